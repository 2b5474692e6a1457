"""Every kind of unfit argument gets its own code, and a message in the user's terms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from bough.base.errors import InputError
from bough.runtime import Executable, Leaf, Plain, Scalar, Tensor


@pytest.fixture(scope="module")
def call(make: Callable[..., Executable]) -> Executable:
    return make(
        arguments=(
            Tensor("x", "f32", ("batch", 8)),
            Tensor("rest[0]", "i64", ("batch", "tokens")),
            Tensor("rest[1]", "bool", (("mul", ("add", "tokens", 1), 2),)),
        ),
        parameters=("x", "rest", "mode"),
        inputs=(Leaf("argument", 0), (Leaf("argument", 1), Leaf("argument", 2)), Plain("fast")),
        scalars=(Scalar("batch", 0, 1000), Scalar("tokens", 2)),
    )


def arguments(**changes: Any) -> tuple[Any, ...]:
    given = {
        "x": torch.ones(3, 8),
        "ids": torch.ones(3, 4, dtype=torch.int64),
        "mask": torch.ones(10, dtype=torch.bool),
        "mode": "fast",
        **changes,
    }
    return given["x"], (given["ids"], given["mask"]), given["mode"]


CASES: list[tuple[str, dict[str, Any], str]] = [
    ("BGH-IN-003", {"x": [[1.0]]}, r"argument x is a list of 1\n.*torch tensor or a NumPy array"),
    ("BGH-IN-003", {"x": None}, "argument x is None"),
    ("BGH-IN-003", {"ids": 3}, r"argument rest\[0\] is 3"),
    ("BGH-IN-004", {"x": torch.ones(3, 8, device="meta")}, r"argument x is on the device meta(.|\n)*x\.cpu\(\)"),
    ("BGH-IN-005", {"x": torch.ones(3, 8, dtype=torch.float64)}, r"torch\.float64(.|\n)*x\.to\(torch\.float32\)"),
    ("BGH-IN-005", {"x": np.ones((3, 8))}, r"float64(.|\n)*astype\(numpy\.float32\)"),
    ("BGH-IN-005", {"x": np.ones((3, 8), ">f4")}, "other byte order"),
    ("BGH-IN-005", {"x": np.ones((3, 8), object)}, "object"),
    ("BGH-IN-005", {"mask": torch.ones(10, dtype=torch.uint8)}, r"rest\[1\](.|\n)*torch\.bool"),
    ("BGH-IN-006", {"x": torch.ones(3, 8, 1)}, r"3 axes, its shape being \[3, 8, 1\](.|\n)*2 axes: \[batch, 8\]"),
    ("BGH-IN-006", {"x": np.float32(1)}, "0 axes"),
    ("BGH-IN-007", {"x": torch.ones(3, 9)}, r"axis 1 of argument x has size 9(.|\n)*compiled for 8(.|\n)*dynamic"),
    ("BGH-IN-008", {"ids": torch.ones(3, 1, dtype=torch.int64)}, r"size 1\n(.|\n)*tokens = at least 2"),
    ("BGH-IN-008", {"x": torch.ones(1001, 8)}, r"batch = 0 to 1000"),
    ("BGH-IN-009", {"ids": torch.ones(4, 4, dtype=torch.int64)}, r"axis 0(.|\n)*batch, which is 3 on axis 0 of argument x"),
    ("BGH-IN-010", {"mask": torch.ones(9, dtype=torch.bool)}, r"\(\(tokens \+ 1\) \* 2\) = 10 with tokens = 4"),
    ("BGH-IN-011", {"mode": "slow"}, r"argument mode(.|\n)*'fast'"),
    ("BGH-IN-011", {"mode": 1}, r"argument mode is 1"),
    ("BGH-IN-013", {"x": torch.ones(3, 8).to_sparse()}, r"torch\.sparse_coo(.|\n)*to_dense"),
]


@pytest.mark.parametrize(("code", "changes", "message"), CASES)
def test_unfit_tensors(call: Executable, code: str, changes: dict[str, Any], message: str) -> None:
    call(*arguments())
    for _ in range(2):
        with pytest.raises(InputError, match=message) as caught:
            call(*arguments(**changes))
        assert caught.value.code == code
        assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((), {}, "argument x, rest, mode is missing"),
        ((1, 2, 3, 4), {}, "4 arguments are too many"),
        ((1, 2, 3), {"x": 1}, "argument x is given twice"),
        ((1, 2), {"depth": 1}, "argument depth is unknown"),
    ],
)
def test_unfit_signatures(call: Executable, args: tuple[Any, ...], kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        call(*args, **kwargs)
    assert caught.value.code == "BGH-IN-001"


@pytest.mark.parametrize("rest", [torch.ones(2), [torch.ones(2)] * 2, (torch.ones(2),), {"a": 1}, ()])
def test_unfit_nesting(call: Executable, rest: Any) -> None:
    with pytest.raises(InputError, match="argument rest") as caught:
        call(torch.ones(3, 8), rest, "fast")
    assert caught.value.code == "BGH-IN-002"


def test_dicts_of_other_keys(make: Callable[..., Executable]) -> None:
    call = make(inputs=({"x": Leaf("argument", 0)},))
    call({"x": torch.ones(2, 8)})
    for given in ({"y": torch.ones(2, 8)}, {}, {"x": torch.ones(2, 8), "y": 1}):
        with pytest.raises(InputError, match="keys 'x'") as caught:
            call(given)
        assert caught.value.code == "BGH-IN-002"


def test_without_memory_of_its_own(make: Callable[..., Executable]) -> None:
    call = make()
    for _ in range(2):
        with pytest.raises(InputError) as caught:
            torch.func.vmap(call)(torch.ones(2, 3, 8))
        assert caught.value.code == "BGH-IN-013"
        for value in (torch.ones(3, 8).to_mkldnn(), torch.nested.nested_tensor([torch.ones(3, 8)])):
            with pytest.raises(InputError, match="has the layout") as caught:
                call(value)
            assert caught.value.code == "BGH-IN-013"
        call(torch.ones(3, 8))  # the next calls go the short way


def test_the_first_call_checks_too(make: Callable[..., Executable]) -> None:
    with pytest.raises(InputError):
        make()(np.ones((2, 9), np.float32))


def test_numbers_of_numpy_are_arrays_without_axes(make: Callable[..., Executable]) -> None:
    call = make(
        arguments=(Tensor("x", "f32", ("batch", 8)), Tensor("s", "f64", ())),
        parameters=("x", "s"),
        inputs=(Leaf("argument", 0), Leaf("argument", 1)),
        outputs=(Leaf("result", 0), Leaf("argument", 1)),
    )
    for scalar in (np.float64(3), np.array(3.0), np.array([3.0, 4.0])[0:1].reshape(())):
        _, same = call(np.ones((2, 8), np.float32), scalar)
        assert same.shape == () and same == 3
        _, tensor = call(torch.ones(2, 8), scalar)
        assert tensor.shape == () and tensor == 3
