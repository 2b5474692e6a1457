"""Loads relocatable objects into memory and makes their functions callable.

Executable memory is never writable at the same time. Undefined symbols come from the process (libc, libm, libpthread) only.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bough.runtime import elf, relocate
from bough.runtime.errors import LoadError, damaged

_MACHINES = {"x86_64": elf.X86_64, "amd64": elf.X86_64, "aarch64": elf.AARCH64, "arm64": elf.AARCH64}
_LIBRARIES = ("libc.so.6", "libm.so.6", "libpthread.so.0", "libgcc_s.so.1")
_READ, _WRITE, _EXECUTE = 1, 2, 4
_LARGEST = 1 << 31
# The order in memory, and what the program may do with each part once it is loaded.
_SEGMENTS = (("code", _READ | _EXECUTE), ("constants", _READ), ("data", _READ | _WRITE))


@dataclass(frozen=True, slots=True)
class Image:
    """A program laid out: where each section starts, where calls and addresses of outside symbols go, the total size."""

    sections: dict[int, int]
    stubs: dict[int, int]
    slots: dict[int, int]
    segments: tuple[tuple[int, int, int], ...]
    size: int


def lay_out(program: elf.Object, page: int = mmap.PAGESIZE) -> Image:
    """Places sections, stubs (in code) and slots (in constants) without overlap, each segment on pages of its own."""
    stubbed: dict[int, None] = {}
    slotted: dict[int, None] = {}
    for relocation in program.relocations:
        through = relocate.rule(program.machine, relocation.kind).through
        if through == "slot":
            slotted[relocation.symbol] = None
        elif through == "stub" and program.symbols[relocation.symbol].section is None:
            stubbed[relocation.symbol] = None
    sections: dict[int, int] = {}
    stubs: dict[int, int] = {}
    slots: dict[int, int] = {}
    segments: list[tuple[int, int, int]] = []
    position = 0
    for name, protection in _SEGMENTS:
        start = position
        for section in program.sections.values():
            kind = "code" if section.executable else "data" if section.writable else "constants"
            if kind == name:
                position = _round_up(position, section.alignment)
                sections[section.index] = position
                position += section.size
        position = _round_up(position, relocate.STUB_SIZE)
        if name == "code":
            for symbol in stubbed:
                stubs[symbol] = position
                position += relocate.STUB_SIZE
        elif name == "constants":
            for symbol in slotted:
                slots[symbol] = position
                position += 8
        position = _round_up(position, page)
        if position > start:
            segments.append((start, position - start, protection))
    if position > _LARGEST:
        raise damaged("the object file", f"it asks for {position} bytes of memory")
    return Image(sections, stubs, slots, tuple(segments), position)


def link(program: elf.Object, image: Image, memory: memoryview, base: int, outside: Mapping[str, int]) -> dict[str, int]:
    """Fills `memory` (zeroed, `image.size` bytes, to run at address `base`); `outside` gives the addresses of undefined
    symbols. Returns the addresses of the global symbols. Touches nothing but `memory`: works for any machine."""
    addresses = [_address(symbol, image, base, outside) for symbol in program.symbols]
    for index, section in program.sections.items():
        memory[image.sections[index] : image.sections[index] + len(section.data)] = section.data
    for symbol, at in image.stubs.items():
        memory[at : at + relocate.STUB_SIZE] = relocate.stub(program.machine, addresses[symbol])
    for symbol, at in image.slots.items():
        memory[at : at + 8] = addresses[symbol].to_bytes(8, "little")
    for relocation in program.relocations:
        rule = relocate.rule(program.machine, relocation.kind)
        symbol, start = relocation.symbol, image.sections[relocation.section]
        if rule.through == "slot":
            target = base + image.slots[symbol]
        elif symbol in image.stubs and rule.through == "stub":
            target = base + image.stubs[symbol]
        else:
            target = addresses[symbol]
        part = memory[start : start + program.sections[relocation.section].size]
        relocate.apply(rule, part, relocation.offset, target + relocation.addend, base + start + relocation.offset)
    return {
        symbol.name: address
        for symbol, address in zip(program.symbols, addresses, strict=True)
        if symbol.is_global and symbol.section in image.sections
    }


class LoadedObject:
    """A loaded program. Its memory lives as long as this object, or until the process ends after `keep()`."""

    def __init__(self, file: bytes | memoryview) -> None:
        program = elf.read(file)
        host = _MACHINES.get(platform.machine().lower())
        if program.machine != host:
            raise LoadError(
                f"the object file is for another processor (ELF machine {program.machine})",
                code="BGH-LD-002",
                because=f"this process runs on {platform.machine()}",
                advice="compile for this processor, or load it on the one that it was compiled for",
            )
        image = lay_out(program)
        self._memory = mmap.mmap(-1, max(image.size, mmap.PAGESIZE), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        anchor = ctypes.c_char.from_buffer(self._memory)
        base = ctypes.addressof(anchor)
        del anchor
        undefined = {s.name: s.is_weak for s in program.symbols if s.section is None and s.name}
        with memoryview(self._memory) as memory:
            self.symbols: dict[str, int] = link(program, image, memory, base, _resolve(undefined))
        _protect(base, image)

    def function(self, name: str, result: Any, *arguments: Any) -> Any:
        """A callable for a function of the object, which releases the interpreter's lock while it runs."""
        if name not in self.symbols:
            raise damaged("the object file", f"it has no function {name}")
        call = ctypes.CFUNCTYPE(result, *arguments)(self.symbols[name])
        call.loaded_object = self  # type: ignore[attr-defined]
        return call

    def keep(self) -> None:
        """Never unmaps the memory: threads run in it, also while the interpreter takes its modules down at the end."""
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._memory))


def _address(symbol: elf.Symbol, image: Image, base: int, outside: Mapping[str, int]) -> int:
    if symbol.section is None:
        return outside[symbol.name] if symbol.name else 0
    if symbol.section == -1:
        return symbol.value
    return base + image.sections[symbol.section] + symbol.value if symbol.section in image.sections else 0


def _resolve(names: Mapping[str, bool]) -> dict[str, int]:
    """Addresses of outside symbols; `names` says which are weak (then absent ones are 0)."""
    addresses: dict[str, int] = {}
    for name, weak in names.items():
        for library in _libraries():
            try:
                addresses[name] = ctypes.cast(getattr(library, name), ctypes.c_void_p).value or 0
                break
            except AttributeError:
                continue
        else:
            if not weak:
                raise LoadError(
                    f"the object file needs the function {name}, which the system libraries do not have",
                    code="BGH-LD-003",
                    because="only libc, libm and libpthread are searched",
                    advice="compile the model again with this version of Bough on this system",
                )
            addresses[name] = 0
    return addresses


_OPENED: list[ctypes.CDLL] = []


def _libraries() -> list[ctypes.CDLL]:
    if not _OPENED:
        opened = [ctypes.CDLL(None, use_errno=True)]
        for name in _LIBRARIES if sys.platform.startswith("linux") else ():
            try:
                opened.append(ctypes.CDLL(name))
            except OSError:
                continue
        _OPENED[:] = opened
    return _OPENED


def _protect(base: int, image: Image) -> None:
    process = _libraries()[0]
    protect = process.mprotect
    protect.argtypes, protect.restype = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int), ctypes.c_int
    _flush_instructions(base, image.size)
    for start, size, protection in image.segments:
        if protect(base + start, size, protection):
            raise LoadError(
                "the system refuses to make compiled code executable",
                code="BGH-LD-004",
                because=f"mprotect failed: {os.strerror(ctypes.get_errno())}",
                advice="allow executable memory for this process (SELinux execmem, seccomp)",
            )


def _flush_instructions(base: int, size: int) -> None:
    """On processors whose instruction cache does not see stores; x86-64 does."""
    if _MACHINES.get(platform.machine().lower()) == elf.X86_64:
        return
    name, end = ("sys_icache_invalidate", size) if sys.platform == "darwin" else ("__clear_cache", base + size)
    for library in _libraries():
        flush = getattr(library, name, None)
        if flush is not None:
            flush.argtypes, flush.restype = (ctypes.c_void_p, ctypes.c_void_p), None
            flush(base, end)
            return


def _round_up(position: int, alignment: int) -> int:
    return -(-position // alignment) * alignment
