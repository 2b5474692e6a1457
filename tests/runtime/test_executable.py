"""Calls with torch and NumPy: results, sharing, nesting, threads, forks, and no torch at all."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import timeit
import weakref
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import bough.base
from bough.base.errors import InternalError
from bough.runtime import Buffer, Executable, Leaf, LoadError, Manifest, Plain, Scalar, Tensor, save

Make = Callable[..., Executable]
WEIGHT = np.arange(8, dtype=np.float32)
SOURCES = str(Path(bough.base.__file__).parents[2])


def rows(n: int) -> np.ndarray:
    return np.random.default_rng(n).random((n, 8), dtype=np.float32)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_every_size_in_the_range(make: Make, threads: int) -> None:
    call = make(threads=threads)
    for n in (3, 0, 1, 1000, 2, 64):
        x = rows(n)
        y = call(x)
        assert type(y) is np.ndarray and y.dtype == np.float32
        np.testing.assert_array_equal(y, x + WEIGHT)
        z = call(torch.from_numpy(x))
        assert type(z) is torch.Tensor
        np.testing.assert_array_equal(z.numpy(), y)


def test_both_providers_agree(make: Make) -> None:
    torch.ones(300, 300) @ torch.ones(300, 300)
    x = torch.from_numpy(rows(50))
    assert torch.equal(make(provider="openmp")(x), make(provider="own")(x))


def test_what_is_not_contiguous_is_copied(make: Make) -> None:
    call = make()
    wide = rows(10).reshape(5, 16)
    for x in (wide[:, ::2], wide[::-1, 8:], np.asfortranarray(rows(5))):
        np.testing.assert_array_equal(call(x), x + WEIGHT)
    wide_torch = torch.from_numpy(wide.copy())
    for t in (wide_torch[:, ::2], wide_torch[:, 8:], torch.from_numpy(rows(8)).T, torch.ones(1, 8).expand(6, 8)):
        assert torch.equal(call(t), t + torch.from_numpy(WEIGHT))
    raw = np.zeros(8 * 8 * 4 + 1, np.uint8)
    odd = raw[1:].view(np.float32).reshape(8, 8)
    np.testing.assert_array_equal(call(odd), odd + WEIGHT)


def test_what_torch_wraps_is_unwrapped(make: Make) -> None:
    call = make()
    x = torch.from_numpy(rows(4))
    expected = x + torch.from_numpy(WEIGHT)
    for given in (x.clone().requires_grad_(), torch.nn.Parameter(x)):
        y = call(given)
        assert type(y) is torch.Tensor and not y.requires_grad and torch.equal(y, expected)
    negated = torch.complex(torch.zeros(1, 8), -x[:1]).conj().imag
    assert negated.is_neg() and torch.equal(call(negated), expected[:1])
    with torch.inference_mode():
        assert torch.equal(call(x), expected)


def test_other_defaults_of_torch_do_not_matter(make: Make) -> None:
    call = make()
    x = torch.from_numpy(rows(4))
    with torch.device("meta"):
        assert call(x).device.type == "cpu"


def test_read_only_arrays_are_taken(make: Make) -> None:
    x = rows(4)
    x.flags.writeable = False
    np.testing.assert_array_equal(make()(x), x + WEIGHT)


def test_arrays_beside_tensors_become_tensors(make: Make) -> None:
    call = make(
        arguments=(Tensor("x", "f32", ("batch", 8)), Tensor("z", "f32", ("batch",))),
        parameters=("x", "z"),
        inputs=(Leaf("argument", 0), Leaf("argument", 1)),
        outputs=(Leaf("result", 0), Leaf("argument", 1)),
    )
    x = rows(3)
    y, z = call(x, torch.ones(3))
    assert type(y) is torch.Tensor and type(z) is torch.Tensor
    np.testing.assert_array_equal(y.numpy(), x + WEIGHT)
    assert torch.equal(call(x=torch.from_numpy(x), z=np.ones(3, np.float32))[0], y)


def test_nested_inputs_and_outputs(make: Make) -> None:
    call = make(
        arguments=(Tensor("x", "f32", ("batch", 8)), Tensor("a", "i64", (2,)), Tensor("b", "bool", ())),
        parameters=("x", "more", "flag"),
        inputs=(Leaf("argument", 0), {"first": [Leaf("argument", 1)], 2: (Leaf("argument", 2), ())}, Plain(True)),
        outputs={"sum": (Leaf("result", 0),), "same": [Leaf("argument", 1), Leaf("constant", "w"), Plain(None)], 5: ()},
    )
    x, a, b = torch.from_numpy(rows(3)), torch.tensor([1, 2]), torch.tensor(True)
    for more in ({"first": [a], 2: (b, ())}, {2: (b, ()), "first": [a]}):
        for _ in range(2):
            out = call(x, more, True)
            assert list(out) == ["sum", "same", 5] and out[5] == ()
            assert torch.equal(out["sum"][0], x + torch.from_numpy(WEIGHT))
            assert out["same"][0] is a and out["same"][2] is None
            np.testing.assert_array_equal(out["same"][1].numpy(), WEIGHT)
            out["same"][1].zero_()
    strided = torch.tensor([[1, 2], [3, 4]])[:, 0]
    assert call(x, {"first": [strided], 2: (b, ())}, True)["same"][0] is strided
    assert torch.equal(call(flag=True, x=x, more=more)["sum"][0], out["sum"][0])


def test_bfloat16_both_ways(build: Callable[..., bytes]) -> None:
    """Torch has the type; NumPy holds its bits as uint16."""
    text = """
    define i32 @bough_copy(ptr %buffers, ptr %scalars, ptr %team) {
      %x = load ptr, ptr %buffers
      %second = getelementptr ptr, ptr %buffers, i64 1
      %y = load ptr, ptr %second
      %v = load i64, ptr %x
      store i64 %v, ptr %y
      ret i32 0
    }"""
    manifest = Manifest(
        "bough_copy",
        (Tensor("x", "bf16", (4,)),),
        (Tensor("y", "bf16", (4,)),),
        (Buffer("argument", 0), Buffer("result", 0)),
        ("x",),
        (Leaf("argument", 0),),
        Leaf("result", 0),
        parallel=False,
    )
    call = Executable(manifest, build(text, with_team=False), {})
    x = torch.tensor([1.0, -2.5, 3.0, float("inf")], dtype=torch.bfloat16)
    assert torch.equal(call(x), x)
    bits = x.view(torch.uint16).numpy()
    np.testing.assert_array_equal(call(bits), bits)


def test_statuses_are_explained(make: Make) -> None:
    with pytest.raises(ValueError, match=r"BGH-IN-012.*negative number"):
        make()(-np.ones((2, 8), np.float32))
    with pytest.raises(InternalError, match="status 7"):
        make(failures=())(-np.ones((2, 8), np.float32))


def test_constants_must_fit(add: bytes, manifest: Callable[..., Manifest]) -> None:
    for constants in ({}, {"w": WEIGHT[:7]}, {"w": WEIGHT.astype(np.float64)}):
        with pytest.raises(LoadError, match="constant w"):
            Executable(manifest(), add, constants)


def test_constants_are_aligned_and_private(add: bytes, manifest: Callable[..., Manifest]) -> None:
    weight = np.zeros(9, np.float32)[1:]
    weight[:] = WEIGHT
    call = Executable(manifest(), add, {"w": weight})
    assert call.constants["w"].ctypes.data % 64 == 0
    assert not call.constants["w"].flags.writeable
    np.testing.assert_array_equal(call(np.zeros((1, 8), np.float32))[0], WEIGHT)


def test_needs_the_processor_that_it_was_compiled_for(make: Make) -> None:
    with pytest.raises(LoadError, match=r"BGH-LD-006(.|\n)*another processor"):
        make(features=("no-such-feature",))


def test_names_never_become_code(make: Make) -> None:
    name = "__import__('os').abort()"
    call = make(
        arguments=(Tensor(name, "f32", (name, 8)),),
        results=(Tensor(name, "f32", (name, 8)),),
        parameters=(name,),
        scalars=(Scalar(name, 0, 10),),
        outputs={name: Leaf("result", 0)},
        arena=("add", ("mul", name, 32), 64),
    )
    x = rows(3)
    np.testing.assert_array_equal(call(x)[name], x + WEIGHT)


def test_calls_from_several_threads(make: Make) -> None:
    call = make(threads=2)
    failures: list[BaseException] = []

    def work(seed: int) -> None:
        try:
            for i in range(200):
                x = rows(1 + (seed * 7 + i) % 50)
                given = torch.from_numpy(x) if i % 2 else x
                np.testing.assert_array_equal(np.asarray(call(given)), x + WEIGHT)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_parent_and_child_go_on_after_a_fork(make: Make) -> None:
    call = make(threads=3)
    x = rows(20)
    call(x)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = 0 if all((call(x) == x + WEIGHT).all() for _ in range(50)) else 2
        finally:
            os._exit(status)
    for _ in range(50):
        np.testing.assert_array_equal(call(x), x + WEIGHT)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_many_come_and_go(make: Make) -> None:
    """Also while their team stays: its code is never unmapped."""
    x = rows(5)
    for _ in range(8):
        call = make(threads=2)
        np.testing.assert_array_equal(call(x), x + WEIGHT)
        del call
        gc.collect()


def test_runs_without_torch(make: Make, tmp_path: Path) -> None:
    save(tmp_path / "add.bough", make())
    code = """
import sys
sys.modules["torch"] = None
sys.modules["llvmlite"] = None
import numpy as np
import bough.runtime
call = bough.runtime.load(sys.argv[1], threads=2)
x = np.ones((5, 8), np.float32)
assert (call(x) == x + np.arange(8)).all()
try:
    call([1.0])
except ValueError as error:
    assert "BGH-IN-003" in str(error)
else:
    raise AssertionError
allowed = set(sys.stdlib_module_names) | {"numpy", "bough", "__main__", "__mp_main__"}
foreign = {n.split(".")[0] for n, m in sys.modules.items() if getattr(m, "__file__", None)} - allowed
print(sorted(n for n in foreign if not n.startswith("_")))
layers = {n.split(".")[1] for n in sys.modules if n.startswith("bough.")}
print(sorted(layers))
"""
    environment = {**os.environ, "PYTHONPATH": SOURCES}
    done = subprocess.run(
        [sys.executable, "-S", "-c", "import site; site.main(); exec(open(0).read())", str(tmp_path / "add.bough")],
        input=code, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["[]", "['base', 'runtime']"]


def test_the_process_ends_while_workers_spin(make: Make, tmp_path: Path) -> None:
    save(tmp_path / "add.bough", make())
    code = (
        "import sys, numpy, bough.runtime; call = bough.runtime.load(sys.argv[1], threads=3);"
        "call(numpy.ones((9, 8), numpy.float32))"
    )
    environment = {**os.environ, "PYTHONPATH": SOURCES, "BOUGH_SPIN_US": "100000"}
    for _ in range(3):
        subprocess.run([sys.executable, "-c", code, str(tmp_path / "add.bough")], env=environment, check=True)


def test_a_call_costs_little(make: Make) -> None:
    """The promise is 5 us; the bound here leaves room for a loaded machine."""
    shape = ((8, 8), ("batch",))
    call = make(
        threads=1,
        arguments=(Tensor("x", "f32", shape[0]),),
        results=(Tensor("y", "f32", shape[0]),),
        scalars=(),
        buffers=(Buffer("argument", 0), Buffer("constant", "w"), Buffer("result", 0), Buffer("arena", "copy")),
        arena=256,
    )
    x = torch.ones(8, 8)
    call(x)
    assert min(timeit.repeat(lambda: call(x), number=2000, repeat=10)) / 2000 < 15e-6


def test_weights_go_with_the_last_name_for_the_function(make: Make) -> None:
    """At once, not when the garbage collector comes by."""
    x = rows(3)
    gc.disable()
    try:
        never_called = make()
        gone = weakref.ref(never_called)
        del never_called
        assert gone() is None
        function = make()
        gone = weakref.ref(function)
        function(x)
        quick = function.call
        del function
        assert gone() is None
    finally:
        gc.enable()
    np.testing.assert_array_equal(quick(x), x + WEIGHT)  # what it needs, it holds
    with pytest.raises(ReferenceError, match="keep it"):
        quick(x[0])
