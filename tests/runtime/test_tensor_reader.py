"""Payloads that are tensors come out as PyTorch stacks them, whichever way they are read."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from bough.base.errors import InputError
from bough.base.visits import Attribute, Call, Each, Item, Payload, Variant, Visit, Visits
from bough.codegen import binding, emit_walk
from bough.runtime import LoadedObject, team_text
from bough.runtime.linearize import linearize
from bough.runtime.linearizer import Linearizer
from bough.runtime.team import Provider, team_of
from bough.runtime.tensor_reader import CHUNK, Form, TensorReader, form_of
from bough.targets import host


class Node:
    def __init__(self, value: Any, children: tuple[Any, ...] = ()) -> None:
        self.value, self.children = value, children


def payload(shape: tuple[int, ...], dtype: str = "f32") -> Payload:
    return Payload((Attribute("value"),), dtype, shape)


def visits(wanted: Payload) -> Visits:
    node = Variant("node", (Each((Attribute("children"),)),), (Call("encode", (), 0),), (wanted,))
    entry = Visit("forward", 0, (Variant("all", calls=(Call("encode", (Item(0),)),)),))
    return Visits((entry, Visit("encode", 0, (node,))), "forward")


def program(wanted: Payload) -> LoadedObject:
    return LoadedObject(binding.compile_object(emit_walk(visits(wanted), ["encode.0.payload0"], ["encode.0.count"]), host()))


def read(wanted: Payload, values: list[Any]) -> np.ndarray[Any, Any]:
    """What the linearizer gives of nodes with these values."""
    linearizer = Linearizer(visits(wanted), ["encode.0.payload0"], ["encode.0.count"], program(wanted))
    tree = Node(values[0], tuple(Node(v) for v in values[1:]))
    expected = linearize(linearizer.visits, [(tree,)]).arrays["encode.0.payload0"]
    flat = linearizer([(tree,)])
    memory: Any = (ctypes.c_char * expected.nbytes).from_address(flat.pointers[0])
    found = np.frombuffer(memory, expected.dtype)
    np.testing.assert_array_equal(found.reshape(expected.shape), expected)
    return expected


needs_interface = pytest.mark.skipif(form_of(payload((2,))) is None, reason="this PyTorch has no DLPack interface for C programs")


@needs_interface
@pytest.mark.parametrize("dtype", ["f64", "f32", "f16", "i64", "i32", "i16", "i8", "u8", "bool"])
def test_tensors_are_copied_natively(dtype: str) -> None:
    wanted = payload((2, 3), dtype)
    kind = {"f64": torch.float64, "f32": torch.float32, "f16": torch.float16, "i64": torch.int64, "i32": torch.int32,
            "i16": torch.int16, "i8": torch.int8, "u8": torch.uint8, "bool": torch.bool}[dtype]  # fmt: skip
    values = [torch.randint(0, 2, (2, 3)).to(kind) for _ in range(5)] + [torch.ones(9, 3, dtype=kind)[4:6]]
    stacked = TensorReader(program(wanted)).read(values, wanted, lambda size: np.zeros(size, np.uint8))
    assert stacked is not None
    expected = torch.stack(values).numpy()
    np.testing.assert_array_equal(stacked.owner[: expected.nbytes].view(expected.dtype), expected.ravel())
    read(wanted, values)


@needs_interface
@pytest.mark.parametrize("count", [1, 2, 100])
@pytest.mark.parametrize(("provider", "phases"), [("own", False), ("own", True), ("openmp", False)])
def test_a_team_copies_the_same(count: int, provider: Provider, phases: bool) -> None:
    """Also where every phase is a region of its own."""
    wanted = payload((CHUNK // 16,))
    architecture = host().triple.partition("-")[0]
    walk = emit_walk(visits(wanted), ["encode.0.payload0"], ["encode.0.count"])
    loaded = LoadedObject(binding.compile_object(team_text(architecture, one_region=not phases), host(), walk))
    helpers = team_of(loaded, provider, 3)
    assert helpers.start(loaded)
    values = [torch.randn(CHUNK // 16) for _ in range(count)]
    stacked = TensorReader(loaded, helpers).read(values, wanted, lambda size: np.zeros(size, np.uint8))
    assert stacked is not None
    expected = torch.stack(values).numpy()
    np.testing.assert_array_equal(stacked.owner[: expected.nbytes].view(np.float32), expected.ravel())


UNUSUAL: dict[str, Callable[[], Any]] = {
    "transposed": lambda: torch.randn(3, 2).t(),
    "every other element": lambda: torch.randn(2, 6)[:, ::2],
    "imaginary part of a conjugate": lambda: torch.randn(2, 3, dtype=torch.complex64).conj().imag,
    "one value for all": lambda: torch.randn(()).expand(2, 3),
    "array": lambda: np.ones((2, 3), np.float32),
}


@pytest.mark.parametrize("name", UNUSUAL)
def test_what_is_not_contiguous_is_read_otherwise(name: str) -> None:
    read(payload((2, 3)), [torch.randn(2, 3), UNUSUAL[name](), torch.nn.Parameter(torch.randn(2, 3))])


def test_single_elements_may_be_negated() -> None:
    value = torch.tensor([1 + 2j]).conj().imag
    assert value.is_neg() and set(read(payload((1,)), [value, torch.ones(1)]).ravel()) == {-2, 1}


@pytest.mark.parametrize("value", [torch.ones(2, 2), torch.ones(6), torch.ones(2, 3, device="meta"), torch.ones(2, 3).to_sparse()])
def test_other_forms_are_refused(value: Any) -> None:
    with pytest.raises(InputError):
        read(payload((2, 3)), [torch.ones(2, 3), value])


@needs_interface
def test_a_form_has_sizes_then_strides() -> None:
    form = form_of(payload((2, 3, 4)))
    assert form is not None and list(form[len(Form) :]) == [2, 3, 4, 12, 4, 1]
    assert form[Form.RANK] == 3 and form[Form.BYTES] == 96
