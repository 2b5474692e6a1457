"""Python's numbers that are computed while the compiled function runs."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import sympy  # type: ignore[import-untyped]
import torch

from bough.base.errors import CompileError
from bough.frontends import markers
from bough.frontends.computed_sizes import Size, expression
from bough.frontends.staging.signals import here

if TYPE_CHECKING:
    from bough.frontends.staging.data import DataStaging

KINDS: dict[torch.dtype, type] = {torch.bool: bool, torch.int64: int, torch.float64: float}
DTYPES: dict[type, torch.dtype] = {bool: torch.bool, int: torch.int64, float: torch.float64}
_RANK = {bool: 0, int: 1, float: 2}


def _binary(name: str) -> Callable[..., Any]:
    return lambda self, other: arithmetic(self.staging, name, self, other)


def _reflected(name: str) -> Callable[..., Any]:
    return lambda self, other: arithmetic(self.staging, name, other, self)


def _compared(name: str) -> Callable[..., Any]:
    return lambda self, other: compare(self.staging, name, self, other)


class Scalar:
    """A bool, int or float as a tensor of rank 0 (bool, i64, f64). `size`: the same number as a size, where it is one."""

    __slots__ = ("_tensor", "about", "opposite", "origin", "says", "size", "staging", "whole")

    def __init__(self, staging: DataStaging, tensor: torch.Tensor | None, size: torch.SymInt | None = None) -> None:
        self.staging, self._tensor, self.size = staging, tensor, size
        self.opposite: torch.Tensor | None = None
        """The tensor that this one is the negation of."""
        self.about: tuple[torch.Tensor, frozenset[int], frozenset[int]] | None = None
        """The selector of a choice that this is a question about, and the alternatives that mean yes and no."""
        self.origin: tuple[Scalar, int] = self, 0
        """The number that this one is a known number more than."""
        self.says: tuple[Any, Any] = (sympy.true, sympy.true)
        """What is known of sizes where it holds, and where not: conditions over torch's symbols."""
        self.whole: torch.Tensor | None = None
        """Of a float that Python has as an int on some ways: whether it is one."""

    @property
    def tensor(self) -> torch.Tensor:
        if self._tensor is None:
            assert self.size is not None
            self._tensor = markers.scalar(self.size)
        return self._tensor

    @property
    def kind(self) -> type:
        return int if self._tensor is None else KINDS[self._tensor.dtype]

    def one_kind(self) -> type:
        """The kind, where all depends on it."""
        if self.whole is not None:
            raise _refused("a number that is an int on one way and a float on another is used where its type matters")
        return self.kind

    def __repr__(self) -> str:
        return f"<computed {self.kind.__name__}>"

    __add__, __sub__, __mul__, __truediv__ = _binary("add"), _binary("sub"), _binary("mul"), _binary("truediv")
    __floordiv__, __mod__, __pow__ = _binary("floordiv"), _binary("mod"), _binary("pow")
    __and__, __or__, __xor__, __lshift__, __rshift__ = map(_binary, ("and", "or", "xor", "lshift", "rshift"))
    __radd__, __rsub__, __rmul__, __rtruediv__ = _reflected("add"), _reflected("sub"), _reflected("mul"), _reflected("truediv")
    __rfloordiv__, __rmod__, __rpow__ = _reflected("floordiv"), _reflected("mod"), _reflected("pow")
    __rand__, __ror__, __rxor__, __rlshift__, __rrshift__ = map(_reflected, ("and", "or", "xor", "lshift", "rshift"))
    __lt__, __le__, __gt__, __ge__ = _compared("lt"), _compared("le"), _compared("gt"), _compared("ge")

    def __eq__(self, other: object) -> Any:
        return compare(self.staging, "eq", self, other)

    def __ne__(self, other: object) -> Any:
        return compare(self.staging, "ne", self, other)

    def __neg__(self) -> Any:
        return self.made(-number_tensor(self, at_least=int), self.size and -self.size)

    def __pos__(self) -> Any:
        return self.made(number_tensor(self, at_least=int), self.size)

    def __abs__(self) -> Any:
        return self.made(number_tensor(self, at_least=int).abs())

    def __invert__(self) -> Any:
        return self.made(-number_tensor(self, at_least=int) - 1)

    def __divmod__(self, other: Any) -> Any:
        return self // other, self % other

    def __rdivmod__(self, other: Any) -> Any:
        return other // self, other % self

    def __round__(self, digits: Any = None) -> Any:
        if self.kind is not float:
            return self.made(number_tensor(self, at_least=int), self.size)
        if digits is not None:
            raise _refused("a computed number is rounded to a number of digits")
        _expect_whole(self)
        return self.made(torch.round(self.tensor).to(torch.int64))

    def __trunc__(self) -> Any:
        return convert(self, int)

    def made(self, tensor: torch.Tensor, size: torch.SymInt | None = None) -> Scalar:
        made = Scalar(self.staging, tensor, size)
        made.whole = self.whole if made.kind is float else None
        return made

    def is_integer(self) -> Any:
        return self == self // 1

    def bit_length(self) -> Any:
        raise _refused("the bit length of a computed number is asked for")

    @property
    def real(self) -> Any:
        return self

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        found = next(v for v in (*args, *(kwargs or {}).values(), *_inside(args)) if isinstance(v, Scalar))
        return found.staging.torch_call(func, args, kwargs or {})

    def _fixed(self, *_: object) -> Any:
        raise _refused("a computed number is used where a number must be known when the model is compiled")

    __bool__ = __index__ = __int__ = __float__ = __hash__ = _fixed

    def __format__(self, spec: str) -> str:
        return self.staging.text(self)

    __str__ = __repr__


def _inside(args: tuple[Any, ...]) -> list[Any]:
    return [v for a in args if isinstance(a, (list, tuple)) for v in a]


def _refused(what: str) -> CompileError:
    return CompileError(
        what,
        code="BGH-CTRL-001",
        because="its value is known only when the compiled function runs",
        advice="use it in arithmetic, conditions, indices and sizes of tensors",
        location=here(),
    )


def kind_of(value: Any) -> type | None:
    """bool, int or float for Python's numbers, known or computed."""
    if isinstance(value, Scalar):
        return value.kind
    return type(value) if type(value) in DTYPES else None


def number_tensor(value: Scalar, at_least: type = bool) -> torch.Tensor:
    """The tensor, of this kind at least."""
    tensor = value.tensor
    return tensor if _RANK[value.kind] >= _RANK[at_least] else tensor.to(DTYPES[at_least])


def cast(tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """The tensor in this type; nothing is traced where it has it."""
    return tensor if tensor.dtype is dtype else tensor.to(dtype)


def constant(value: bool | int | float, kind: type | None = None) -> torch.Tensor:
    """A known number as a tensor of rank 0."""
    return torch.full((), value, dtype=DTYPES[kind or type(value)])


def convert(value: Any, kind: type) -> Any:
    """`int(value)`, `float(value)` and `bool(value)` of a computed number."""
    if value.kind is kind:
        return value if value.whole is None else Scalar(value.staging, value.tensor)
    if kind is bool:
        return Scalar(value.staging, value.tensor != 0)
    if kind is int and value.kind is float:
        _expect_whole(value)
    return Scalar(value.staging, cast(value.tensor, DTYPES[kind]))


def _expect_whole(value: Any) -> None:
    """The call ends where Python cannot make an integer of a float, or only one of more than 64 bits."""
    staging, number = value.staging, value.tensor
    staging.check_that(Scalar(staging, number == number), "ValueError", "cannot convert float NaN to integer")
    within = Scalar(staging, number.abs() < 2.0**63)
    staging.check_that(within, "OverflowError", "cannot convert float infinity, or one beyond 64 bits, to integer")


def arithmetic(staging: DataStaging, name: str, a: Any, b: Any) -> Any:
    """A binary operator of Python's on numbers of which one at least is computed."""
    a, b = of_sizes(staging, a), of_sizes(staging, b)
    kinds = kind_of(a), kind_of(b)
    if isinstance(a, torch.Tensor) or isinstance(b, torch.Tensor):
        return staging.torch_call(_TORCH[name], (a, b), {})
    if None in kinds:
        return NotImplemented
    kind = max((k for k in kinds if k is not None), key=_RANK.__getitem__)
    if name in ("and", "or", "xor"):
        if kind is bool:
            return Scalar(staging, _TORCH[name](_operand(a, bool), _operand(b, bool)))
    else:
        kind = max(kind, int, key=_RANK.__getitem__)
    if name == "truediv":
        kind = float
    if name in ("truediv", "floordiv", "mod"):
        _nonzero(staging, b, name, kind)
    if name == "pow" and kind is int:
        if isinstance(b, Scalar):
            staging.check_that(b >= 0, "ValueError", "an integer to a negative power is no integer")
        elif b < 0:
            kind = float
    sized = _sized(name, a, b)
    if sized is not None:
        made = Scalar(staging, None, sized)
    else:
        made = Scalar(staging, _OPERATORS[name](_operand(a, kind), _operand(b, kind)))
    made.origin = _origin(name, a, b) or made.origin
    if made.kind is float and name in ("add", "sub", "mul", "floordiv", "mod"):
        made.whole = _both_whole(a, b)
    return made


def is_whole(value: Any) -> bool | torch.Tensor:
    """Whether a number is an int or bool in Python, where only the call decides it as a tensor."""
    if not isinstance(value, Scalar):
        return type(value) is not float
    return value.kind is not float or (False if value.whole is None else value.whole)


def _both_whole(a: Any, b: Any) -> torch.Tensor | None:
    kinds = is_whole(a), is_whole(b)
    computed = [k for k in kinds if isinstance(k, torch.Tensor)]
    if any(k is False for k in kinds) or not computed:
        return None
    return computed[0] if len(computed) == 1 else torch.logical_and(*computed)


def _origin(name: str, a: Any, b: Any) -> tuple[Scalar, int] | None:
    """What a computed whole number is a known one more than."""
    if name == "add" and type(a) is int:
        a, b = b, a
    if name not in ("add", "sub") or type(b) is not int or not isinstance(a, Scalar) or a.kind is not int:
        return None
    base, offset = a.origin
    return base, offset + b if name == "add" else offset - b


def compare(staging: DataStaging, name: str, a: Any, b: Any) -> Any:
    if isinstance(b, torch.Tensor):
        return staging.torch_call(getattr(torch, name), (a, b), {})
    b = of_sizes(staging, b)
    if kind_of(b) is None:
        return NotImplemented
    kind = max(a.kind, kind_of(b), int, key=_RANK.__getitem__)
    made = Scalar(staging, getattr(torch, name)(_operand(a, kind, tensor=True), _operand(b, kind)))
    sizes = _sizes(a, b)
    if sizes is not None:
        says = getattr(sympy, name.capitalize())(*map(expression, sizes))
        made.says = says, sympy.Not(says)
    return made


def of_sizes(staging: DataStaging, value: Any) -> Any:
    """A number that torch computes of sizes, as one that the call decides; all else as it is."""
    match value:
        case torch.SymInt():
            return Scalar(staging, None, value)
        case torch.SymFloat():
            return Scalar(staging, torch.full((), value, dtype=torch.float64))  # type: ignore[call-overload]
        case torch.SymBool():
            made = Scalar(staging, torch.full((), value, dtype=torch.bool))  # type: ignore[call-overload]
            made.says = value.node.expr, sympy.Not(value.node.expr)
            return made
    return value


def _operand(value: Any, kind: type, tensor: bool = False) -> Any:
    """A number as torch takes it, of the right kind: computed ones as tensors."""
    if isinstance(value, Scalar):
        return cast(value.tensor, DTYPES[kind])
    return constant(value, kind) if tensor else kind(value)


def _sized(name: str, a: Any, b: Any) -> Any:
    """Sums and differences of sizes are sizes."""
    sizes = _sizes(a, b) if name in ("add", "sub") else None
    return None if sizes is None else getattr(operator, name)(*sizes)


def _sizes(a: Any, b: Any) -> tuple[Size, Size] | None:
    """Two numbers as sizes, where both are known to be."""
    a, b = (v.size if isinstance(v, Scalar) else v if type(v) is int else None for v in (a, b))
    return None if a is None or b is None else (a, b)


def _nonzero(staging: DataStaging, divisor: Any, name: str, kind: type) -> None:
    message = {"mod": "integer modulo by zero" if kind is int else "float modulo"}.get(
        name, "division by zero" if kind is int or name == "truediv" else "float floor division by zero"
    )
    if isinstance(divisor, Scalar):
        staging.check_that(divisor != 0, "ZeroDivisionError", message)
    elif divisor == 0:
        raise staging.python_error(ZeroDivisionError(message))


def _floor(a: Any, b: Any) -> Any:
    return torch.div(*_tensors(a, b), rounding_mode="floor")


def _tensors(a: Any, b: Any) -> tuple[torch.Tensor, torch.Tensor]:
    dtype = a.dtype if isinstance(a, torch.Tensor) else b.dtype
    return tuple(v if isinstance(v, torch.Tensor) else torch.full((), v, dtype=dtype) for v in (a, b))  # type: ignore[return-value]


_OPERATORS: dict[str, Callable[..., Any]] = {
    "add": operator.add, "sub": operator.sub, "mul": operator.mul, "truediv": operator.truediv, "floordiv": _floor,
    "mod": lambda a, b: torch.remainder(*_tensors(a, b)), "pow": lambda a, b: torch.pow(*_tensors(a, b)),
    "and": lambda a, b: torch.bitwise_and(*_tensors(a, b)), "or": lambda a, b: torch.bitwise_or(*_tensors(a, b)),
    "xor": lambda a, b: torch.bitwise_xor(*_tensors(a, b)), "lshift": lambda a, b: torch.bitwise_left_shift(*_tensors(a, b)),
    "rshift": lambda a, b: torch.bitwise_right_shift(*_tensors(a, b)),
}  # fmt: skip
_TORCH: dict[str, Callable[..., Any]] = {
    **{n: getattr(operator, n) for n in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "lshift", "rshift", "xor")},
    "and": operator.and_, "or": operator.or_,
}  # fmt: skip
