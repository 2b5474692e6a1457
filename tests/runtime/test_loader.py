"""Objects are placed, linked and run; damaged ones give a clear error."""

from __future__ import annotations

import ctypes
import math
import random
import struct
from collections import defaultdict

import pytest

from bough.runtime import LoadedObject, LoadError
from bough.runtime.elf import read
from bough.runtime.loader import lay_out, link

# Calls within and without, jump tables and tables of addresses, data of all three segments, data of another library.
EVERYTHING = """
@counter = global i64 0
@hidden = internal global [4 x i64] zeroinitializer
@primes = internal constant [4 x i64] [i64 2, i64 3, i64 5, i64 7]
@table = internal constant [2 x ptr] [ptr @twice, ptr @half]
@environ = external global ptr
@absent = extern_weak global i64
declare double @cos(double)
declare ptr @memset(ptr, i32, i64)

define internal double @twice(double %x) noinline { %y = fmul double %x, 2.0  ret double %y }
define internal double @half(double %x) noinline { %y = fmul double %x, 0.5  ret double %y }

define double @cosine(double %x) { %y = call double @cos(double %x)  %z = fadd double %y, 1.25  ret double %z }
define i64 @count() {
  %old = load i64, ptr @counter
  %new = add i64 %old, 1
  store i64 %new, ptr @counter
  ret i64 %new
}
define i64 @prime(i64 %i) {
  %p = getelementptr [4 x i64], ptr @primes, i64 0, i64 %i
  %v = load i64, ptr %p
  %h = getelementptr [4 x i64], ptr @hidden, i64 0, i64 %i
  %o = load i64, ptr %h
  store i64 %v, ptr %h
  %s = add i64 %v, %o
  ret i64 %s
}
define double @choose(i64 %i, double %x) {
  %p = getelementptr [2 x ptr], ptr @table, i64 0, i64 %i
  %f = load ptr, ptr %p
  %y = call double %f(double %x)
  ret double %y
}
define i64 @environment() { %e = load ptr, ptr @environ  %i = ptrtoint ptr %e to i64  ret i64 %i }
define i1 @has_absent() { %t = icmp ne ptr @absent, null  ret i1 %t }
define void @clear(ptr %p, i64 %n) { %q = call ptr @memset(ptr %p, i32 0, i64 %n)  ret void }
define i64 @sparse(i64 %x) {
entry: switch i64 %x, label %d [ i64 0, label %a i64 1, label %b i64 2, label %c i64 3, label %e i64 4, label %f ]
a: call void @clear(ptr @counter, i64 8) ret i64 17
b: %m = load i64, ptr @counter ret i64 %m
c: %n = call i64 @count() ret i64 %n
e: ret i64 99
f: %q = call i64 @prime(i64 1) ret i64 %q
d: ret i64 -1
}
"""


@pytest.fixture(scope="module")
def everything(build) -> bytes:
    return build(EVERYTHING, with_team=False)


def test_runs_every_kind_of_reference(everything: bytes) -> None:
    loaded = LoadedObject(everything)
    f64, i64 = ctypes.c_double, ctypes.c_int64
    assert loaded.function("cosine", f64, f64)(0.5) == math.cos(0.5) + 1.25
    assert [loaded.function("count", i64)() for _ in range(3)] == [1, 2, 3]
    prime = loaded.function("prime", i64, i64)
    assert [prime(i) for i in range(4)] == [2, 3, 5, 7]
    assert prime(3) == 14
    choose = loaded.function("choose", f64, i64, f64)
    assert (choose(0, 3.0), choose(1, 3.0)) == (6.0, 1.5)
    assert loaded.function("environment", i64)() == ctypes.c_void_p.in_dll(ctypes.CDLL(None), "environ").value
    assert not loaded.function("has_absent", ctypes.c_bool)()
    assert [loaded.function("sparse", i64, i64)(i) for i in (0, 2, 3, 9)] == [17, 1, 99, -1]


def test_each_load_has_its_own_data(everything: bytes) -> None:
    first, second = LoadedObject(everything), LoadedObject(everything)
    assert first.function("count", ctypes.c_int64)() == 1
    assert second.function("count", ctypes.c_int64)() == 1


def test_only_global_symbols_are_listed(everything: bytes) -> None:
    symbols = LoadedObject(everything).symbols
    assert "cosine" in symbols and "counter" in symbols
    assert "twice" not in symbols and "cos" not in symbols


def test_names_the_missing_function(build) -> None:
    text = "declare i32 @no_such_function()\ndefine i32 @f() { %x = call i32 @no_such_function() ret i32 %x }"
    with pytest.raises(LoadError, match=r"BGH-LD-003(.|\n)*no_such_function"):
        LoadedObject(build(text, with_team=False))


def test_names_the_other_processor(build) -> None:
    other = "aarch64-unknown-linux-gnu" if read(build("", with_team=False)).machine == 62 else "x86_64-unknown-linux-gnu"
    with pytest.raises(LoadError, match="BGH-LD-002"):
        LoadedObject(build("define void @f() { ret void }", triple=other, with_team=False))


def test_names_the_absent_entry(everything: bytes) -> None:
    with pytest.raises(LoadError, match="no function nothing"):
        LoadedObject(everything).function("nothing", None)


def relocated(file: bytes, base: int) -> tuple[bytearray, dict[str, int]]:
    """The linked bytes, without running them: works for any machine."""
    program = read(file)
    image = lay_out(program, 4096)
    assert image.size < 1 << 24
    memory = bytearray(image.size)
    outside: dict[str, int] = defaultdict(lambda: 0x7FFF_1234_5678)
    return memory, link(program, image, memoryview(memory), base, outside)


def signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) & 1 else value


def test_links_aarch64_addresses(build) -> None:
    """Follows the addresses in the linked instructions by hand: ADRP with ADD or LDR, and BL."""
    file = build(EVERYTHING, triple="aarch64-unknown-linux-gnu", with_team=False)
    base = 0x5500_0000_0000
    memory, symbols = relocated(file, base)

    def words(name: str, count: int) -> list[tuple[int, int]]:
        start = symbols[name] - base
        return [(base + start + 4 * i, struct.unpack_from("<I", memory, start + 4 * i)[0]) for i in range(count)]

    def page_of(place: int, word: int) -> int:
        return (place & ~0xFFF) + (signed((word >> 5 & 0x7FFFF) << 2 | word >> 29 & 3, 21) << 12)

    # count: the address of @counter, a global, comes from its slot or directly.
    (page,) = [page_of(p, w) for p, w in words("count", 4) if w & 0x9F000000 == 0x90000000]
    (load,) = [w for _, w in words("count", 4) if w & 0xFFC00000 == 0xF9400000 and (w >> 5 & 31) != 31][:1]
    slot = page + (load >> 10 & 0xFFF) * 8
    address = struct.unpack_from("<Q", memory, slot - base)[0]
    assert symbols["counter"] in (address, slot)
    # cosine: BL leads to a stub that loads the outside address and jumps there.
    (target,) = [p + signed(w & 0x3FFFFFF, 26) * 4 for p, w in words("cosine", 6) if w & 0xFC000000 == 0x94000000]
    assert struct.unpack_from("<IIQ", memory, target - base) == (0x58000050, 0xD61F0200, 0x7FFF_1234_5678)


def test_links_the_team_for_both_processors(build) -> None:
    for triple in ("x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"):
        _, symbols = relocated(build("", triple=triple), 0x10000)
        assert {"bough_team_run", "bough_team_parallel", "bough_team_create", "bough_team_destroy"} <= symbols.keys()


def test_truncated_objects_are_refused(everything: bytes) -> None:
    for length in [*range(0, 200), *range(200, len(everything), 37)]:
        with pytest.raises(LoadError):
            relocated(everything[:length], 0x10000)


def test_damaged_objects_never_do_worse_than_an_error(everything: bytes) -> None:
    chance = random.Random(1)
    refused = 0
    for _ in range(1500):
        damaged = bytearray(everything)
        for _ in range(chance.choice((1, 1, 2, 8))):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        try:
            program = read(bytes(damaged))
            image = lay_out(program)
            if image.size < 1 << 22:
                outside: dict[str, int] = defaultdict(lambda: 0x7FFF_1234_5678)
                link(program, image, memoryview(bytearray(image.size)), 0x10000, outside)
        except LoadError:
            refused += 1
    assert refused > 100
