"""`Lanes`: an LLVM scalar or vector with Python operators, so that numeric algorithms read as formulas.

Every operation is elementwise and rounds once, in the same way for a scalar and for each lane of a vector; none carries
a fast-math flag. Python numbers beside a `Lanes` become constants of its type.
"""

from __future__ import annotations

from typing import Union

from llvmlite import ir

from bough.codegen.llvm_types import filled

Number = Union[int, float]
Operand = Union["Lanes", int, float]

F32, F64 = ir.FloatType(), ir.DoubleType()
I32, I64 = ir.IntType(32), ir.IntType(64)

_INTEGER_OF = {"float": I32, "double": I64}
_FLOAT_OF = {"i32": F32, "i64": F64}


def with_element(type_: ir.Type, element: ir.Type) -> ir.Type:
    """`element`, in as many lanes as `type_` has."""
    return ir.VectorType(element, type_.count) if isinstance(type_, ir.VectorType) else element


def intrinsic(module: ir.Module, name: str, result: ir.Type, *args: ir.Type) -> ir.Function:
    """The declaration of LLVM's intrinsic of this full name in `module`."""
    known = module.globals.get(name)
    return known if known is not None else ir.Function(module, ir.FunctionType(result, args), name)


class Lanes:
    """A value and the builder that extends it. Comparisons are methods and give lanes of `i1`."""

    __slots__ = ("builder", "value")

    def __init__(self, builder: ir.IRBuilder, value: ir.Value) -> None:
        self.builder, self.value = builder, value

    @property
    def type(self) -> ir.Type:
        return self.value.type

    @property
    def element(self) -> ir.Type:
        return self.type.element if isinstance(self.type, ir.VectorType) else self.type

    @property
    def suffix(self) -> str:
        """The type as LLVM's intrinsics spell it: `f32`, `v16f32`."""
        element = {"float": "f32", "double": "f64"}.get(str(self.element), str(self.element))
        return f"v{self.type.count}{element}" if isinstance(self.type, ir.VectorType) else element

    def constant(self, number: Number) -> Lanes:
        """`number` in every lane."""
        lanes = self.type.count if isinstance(self.type, ir.VectorType) else 0
        return Lanes(self.builder, filled(ir.Constant(self.element, number), lanes))

    def _same(self, other: Operand) -> ir.Value:
        return other.value if isinstance(other, Lanes) else self.constant(other).value

    def _with(self, value: ir.Value) -> Lanes:
        return Lanes(self.builder, value)

    @property
    def _is_float(self) -> bool:
        return not isinstance(self.element, ir.IntType)

    def _binary(self, name: str, other: Operand, swapped: bool = False) -> Lanes:
        method = getattr(self.builder, "f" + name if self._is_float else name)
        a, b = self.value, self._same(other)
        return self._with(method(b, a) if swapped else method(a, b))

    def __add__(self, other: Operand) -> Lanes:
        return self._binary("add", other)

    def __radd__(self, other: Number) -> Lanes:
        return self._binary("add", other)

    def __sub__(self, other: Operand) -> Lanes:
        return self._binary("sub", other)

    def __rsub__(self, other: Number) -> Lanes:
        return self._binary("sub", other, swapped=True)

    def __mul__(self, other: Operand) -> Lanes:
        return self._binary("mul", other)

    def __rmul__(self, other: Number) -> Lanes:
        return self._binary("mul", other)

    def __truediv__(self, other: Operand) -> Lanes:
        return self._binary("div", other)

    def __rtruediv__(self, other: Number) -> Lanes:
        return self._binary("div", other, swapped=True)

    def __neg__(self) -> Lanes:
        return self._with(self.builder.fneg(self.value))

    def __and__(self, other: Operand) -> Lanes:
        return self._with(self.builder.and_(self.value, self._same(other)))

    def __or__(self, other: Operand) -> Lanes:
        return self._with(self.builder.or_(self.value, self._same(other)))

    def __xor__(self, other: Operand) -> Lanes:
        return self._with(self.builder.xor(self.value, self._same(other)))

    def __lshift__(self, bits: int) -> Lanes:
        return self._with(self.builder.shl(self.value, self._same(bits)))

    def __rshift__(self, bits: int) -> Lanes:
        """The arithmetic shift: it keeps the sign."""
        return self._with(self.builder.ashr(self.value, self._same(bits)))

    def _compare(self, sign: str, other: Operand) -> Lanes:
        """Ordered, but for `!=`; of integers signed."""
        b = self.builder
        compare = (b.fcmp_unordered if sign == "!=" else b.fcmp_ordered) if self._is_float else b.icmp_signed
        return self._with(compare(sign, self.value, self._same(other)))

    def lt(self, other: Operand) -> Lanes:
        return self._compare("<", other)

    def le(self, other: Operand) -> Lanes:
        return self._compare("<=", other)

    def gt(self, other: Operand) -> Lanes:
        return self._compare(">", other)

    def ge(self, other: Operand) -> Lanes:
        return self._compare(">=", other)

    def eq(self, other: Operand) -> Lanes:
        return self._compare("==", other)

    def ne(self, other: Operand) -> Lanes:
        return self._compare("!=", other)

    def at_least(self, bound: Number) -> Lanes:
        """The larger of the two; NaN stays NaN."""
        return choose(self.lt(bound), self.constant(bound), self)

    def at_most(self, bound: Number) -> Lanes:
        """The smaller of the two; NaN stays NaN."""
        return choose(self.gt(bound), self.constant(bound), self)

    def _intrinsic(self, name: str, *others: Lanes) -> Lanes:
        args = (self, *others)
        function = intrinsic(self.builder.module, f"llvm.{name}.{self.suffix}", self.type, *(a.type for a in args))
        return self._with(self.builder.call(function, [a.value for a in args]))

    def abs(self) -> Lanes:
        return self._intrinsic("fabs")

    def sqrt(self) -> Lanes:
        return self._intrinsic("sqrt")

    def with_sign_of(self, other: Lanes) -> Lanes:
        return self._intrinsic("copysign", other)

    def fma(self, factor: Operand, addend: Operand) -> Lanes:
        """`self * factor + addend`, rounded once."""
        return self._intrinsic("fma", self._with(self._same(factor)), self._with(self._same(addend)))

    def as_bits(self) -> Lanes:
        """The bit pattern, as an integer of the same width."""
        return self._with(self.builder.bitcast(self.value, with_element(self.type, _INTEGER_OF[str(self.element)])))

    def as_float(self) -> Lanes:
        """The float of this bit pattern."""
        return self._with(self.builder.bitcast(self.value, with_element(self.type, _FLOAT_OF[str(self.element)])))

    def widened(self) -> Lanes:
        """f32 to f64, exactly."""
        return self._with(self.builder.fpext(self.value, with_element(self.type, F64)))

    def narrowed(self) -> Lanes:
        """f64 to f32, rounded once to nearest even, subnormal results too."""
        return self._with(self.builder.fptrunc(self.value, with_element(self.type, F32)))

    def converted(self) -> Lanes:
        """Signed integers to floats of the same width."""
        return self._with(self.builder.sitofp(self.value, with_element(self.type, _FLOAT_OF[str(self.element)])))

    def any(self) -> ir.Value:
        """Of lanes of `i1`: whether one is set, as a scalar `i1`."""
        if not isinstance(self.type, ir.VectorType):
            return self.value
        function = intrinsic(self.builder.module, f"llvm.vector.reduce.or.{self.suffix}", ir.IntType(1), self.type)
        return self.builder.call(function, [self.value])


def choose(condition: Lanes, yes: Lanes, no: Lanes) -> Lanes:
    """Per lane, `yes` where the condition holds, else `no`."""
    return Lanes(yes.builder, yes.builder.select(condition.value, yes.value, no.value))


def polynomial(x: Lanes, *coefficients: float) -> Lanes:
    """`c0 + c1 x + c2 x^2 + ...`, by Horner's rule in fused multiply-adds."""
    result = x.constant(coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        result = result.fma(x, coefficient)
    return result
