"""Checks of scalar expressions that the verifiers of all levels share."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import NoReturn

from bough.base.errors import InternalError
from bough.ir.dtypes import BOOL, I64, DType
from bough.ir.expr import Apply, Cast, Const, Expr, Extent, Load, Var, variables
from bough.ir.functions import FUNCTIONS, result_type
from bough.ir.text import print_expr


@dataclass(slots=True)
class Checker:
    """What expressions may name: `arrays` by type and rank, `variables` by type. `where` begins each message; `open`:
    other variables are taken for scalars given from outside."""

    where: str
    arrays: Mapping[str, tuple[DType, int]]
    variables: Mapping[str, DType]
    open: bool = False

    def fail(self, message: str, text: str) -> NoReturn:
        raise InternalError(f"{self.where}: {message} in: {text}")

    def index(self, index: Iterable[Expr], array: str, text: str) -> None:
        """An element of an array: as many `i64` expressions as it has dimensions."""
        if array not in self.arrays:
            self.fail(f"{array} is no array here", text)
        parts, rank = tuple(index), self.arrays[array][1]
        if len(parts) != rank:
            self.fail(f"{array} has {rank} dimensions, its index has {len(parts)}", text)
        for part in parts:
            self.expr(part, text, I64)

    def expr(self, e: Expr, text: str, dtype: DType | None = None) -> None:
        """An expression, of this type."""
        if dtype is not None and e.dtype != dtype:
            self.fail(f"{print_expr(e)} has type {e.dtype}, not {dtype},", text)
        match e:
            case Const(value, kind):
                if isinstance(value, bool) != (kind == BOOL) or (isinstance(value, float) and not kind.is_float):
                    self.fail(f"the literal {value!r} has type {kind}", text)
            case Var(name, kind):
                known = self.variables.get(name, I64 if self.open else None)
                if known is None:
                    self.fail(f"{name} is not defined", text)
                if known != kind:
                    self.fail(f"{name} has type {known}, not {kind},", text)
            case Load(source, index, kind):
                self.index(index, source, text)
                if self.arrays[source][0] != kind:
                    self.fail(f"{source} holds {self.arrays[source][0]}, not {kind},", text)
            case Cast(value, _):
                self.expr(value, text)
            case Apply():
                self._apply(e, text)

    def _apply(self, e: Apply, text: str) -> None:
        function = FUNCTIONS.get(e.function)
        if function is None or function.arity != len(e.args):
            self.fail(f"no function {e.function} of {len(e.args)} operands", text)
        first, operands = (BOOL, e.args[1:]) if e.function == "select" else (None, e.args)
        self.expr(e.args[0], text, first)
        for a in e.args[1:]:
            self.expr(a, text)
        types = {a.dtype for a in operands}
        if len(types) != 1:
            self.fail(f"{print_expr(e)} mixes {' and '.join(sorted(map(str, types)))}", text)
        if operands[0].dtype.kind not in function.kinds:
            self.fail(f"{e.function} is not defined on {operands[0].dtype},", text)
        if e.dtype != result_type(e.function, *(a.dtype for a in e.args)):
            self.fail(f"{print_expr(e)} says that it has type {e.dtype}", text)

    def shape(self, shape: Iterable[Extent], text: str, apart_from: Collection[str] = ()) -> None:
        """Extents over symbolic sizes, which are not among `apart_from`."""
        for extent in shape:
            if isinstance(extent, int):
                if extent < 0:
                    self.fail(f"the size {extent} is negative", text)
                continue
            Checker(self.where, {}, self.variables, self.open).expr(extent, text, I64)
            inner = variables(extent) & set(apart_from)
            if inner:
                self.fail(f"the size {print_expr(extent)} depends on {', '.join(sorted(inner))}", text)
