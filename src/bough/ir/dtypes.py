"""Element types, shared by the three levels of the IR."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Kind = Literal["float", "int", "uint", "bool"]


@dataclass(frozen=True, slots=True)
class DType:
    """An element type, told from others by its name. `bytes` is its size in memory; a bool takes one byte."""

    name: str
    kind: Kind
    bits: int

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, DType) and self.name == other.name)

    def __hash__(self) -> int:
        return hash(self.name)

    @property
    def bytes(self) -> int:
        return max(1, self.bits // 8)

    @property
    def is_float(self) -> bool:
        return self.kind == "float"

    @property
    def is_integer(self) -> bool:
        return self.kind in ("int", "uint")

    def __str__(self) -> str:
        return self.name

    @property
    def numpy(self) -> np.dtype[Any]:
        """The NumPy type that holds it; bf16 has none and is held as uint16 bit patterns."""
        return np.dtype(_NUMPY[self.name])


F64 = DType("f64", "float", 64)
F32 = DType("f32", "float", 32)
F16 = DType("f16", "float", 16)
BF16 = DType("bf16", "float", 16)
I64 = DType("i64", "int", 64)
I32 = DType("i32", "int", 32)
I16 = DType("i16", "int", 16)
I8 = DType("i8", "int", 8)
U8 = DType("u8", "uint", 8)
BOOL = DType("bool", "bool", 1)

DTYPES: dict[str, DType] = {t.name: t for t in (F64, F32, F16, BF16, I64, I32, I16, I8, U8, BOOL)}

_NUMPY = {
    "f64": np.float64, "f32": np.float32, "f16": np.float16, "bf16": np.uint16, "i64": np.int64,
    "i32": np.int32, "i16": np.int16, "i8": np.int8, "u8": np.uint8, "bool": np.bool_,
}  # fmt: skip
_FROM_NUMPY: dict[np.dtype[Any], str] = {np.dtype(v): k for k, v in _NUMPY.items() if k != "bf16"}


def from_numpy(dtype: np.dtype[Any]) -> DType:
    """The element type of a NumPy array. Raises KeyError for one that has none here."""
    return DTYPES[_FROM_NUMPY[dtype]]
