"""Each instruction's spelling, compiled, against its meaning on random inputs."""

from __future__ import annotations

import ctypes
from typing import Any

import llvmlite.binding as llvm
import numpy as np
import pytest

from bough.ir.bfloat import from_bf16
from bough.ir.dtypes import DType
from bough.ir.functions import FUNCTIONS
from bough.ir.interpret_kernel import run_kernel
from bough.ir.kernel import Operand
from bough.targets import TARGETS, Instruction, host
from bough.targets.host import cpu_features

Array = np.ndarray[Any, Any]
LLVM_TYPES = {"f32": "float", "bf16": "bfloat", "i32": "i32", "i8": "i8", "u8": "i8"}
SPECIAL = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 3e38, 1e-40], np.float32)

SPELLED = list(dict.fromkeys(i for t in TARGETS.values() for i in t.instructions if i.spelling is not None))


def llvm_type(o: Operand) -> str:
    element = LLVM_TYPES[o.dtype.name]
    if not o.shape:
        return element
    return f"<{np.prod(o.shape)} x {element}>" if o.place == "register" else "ptr"


def wrapper(instruction: Instruction) -> str:
    """An LLVM module with `test(ptr, ...)`, which loads what the spelling takes by value and stores what it returns."""
    kernel = instruction.kernel
    fresh = [o for o in kernel.outputs if o not in kernel.inputs]
    operands = [*kernel.inputs, *(o for o in fresh if o.place != "register")]
    output = kernel.outputs[0]
    returned = llvm_type(output) if output.place == "register" else "void"
    lines = [f"define {returned} @spelled({', '.join(f'{llvm_type(o)} %{o.name}' for o in operands)}) {{"]
    lines += [str(instruction.spelling), "}"]
    pointers = [*kernel.inputs, *fresh]
    lines.append(f"define void @test({', '.join(f'ptr %{o.name}.at' for o in pointers)}) {{")
    arguments = []
    for o in operands:
        if llvm_type(o) == "ptr":
            arguments.append(f"ptr %{o.name}.at")
        else:
            lines.append(f"%{o.name} = load {llvm_type(o)}, ptr %{o.name}.at, align 4")
            arguments.append(f"{llvm_type(o)} %{o.name}")
    call = f"call {returned} @spelled({', '.join(arguments)})"
    if returned == "void":
        lines.append(call)
    else:
        lines += [f"%result = {call}", f"store {returned} %result, ptr %{output.name}.at, align 4"]
    return "\n".join([*lines, "ret void", "}"])


def random_array(rng: np.random.Generator, o: Operand, special: bool) -> Array:
    if o.dtype.is_float:
        values = rng.normal(size=o.shape).astype(np.float32) * np.float32(10) ** rng.integers(-3, 4, o.shape)
        values = np.asarray(values, np.float32)
        if special:
            values = np.asarray(np.where(rng.random(o.shape) < 0.4, rng.choice(SPECIAL, o.shape), values), np.float32)
        return values if o.dtype.name == "f32" else np.asarray(values.view(np.uint32) >> 16, np.uint16)
    limits = np.iinfo(o.dtype.numpy)
    return np.asarray(rng.integers(limits.min, limits.max, o.shape, endpoint=True), o.dtype.numpy)


def same(got: Array, expected: Array, dtype: DType) -> bool:
    if dtype.is_float:
        return bool(np.array_equal(got, expected, equal_nan=True))
    return bool(np.array_equal(got, expected))


def compiled(instruction: Instruction) -> Any:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    module = llvm.parse_assembly(wrapper(instruction))
    module.verify()
    machine = llvm.Target.from_default_triple().create_target_machine(
        features=",".join(f"+{f}" for f in host().features), jit=True
    )
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    return engine


CASES = [(i, special) for i in SPELLED for special in (False, True) if not (special and i.tolerance)]
"""Where intermediate results are not finite, those that are not exact may differ."""


@pytest.mark.parametrize(
    ("instruction", "special"),
    CASES,
    ids=[f"{i.name}-{'+'.join(i.needs)}-{'special' if special else 'finite'}" for i, special in CASES],
)
def test_spelling_does_what_the_kernel_means(instruction: Instruction, special: bool) -> None:
    if not cpu_features().issuperset(instruction.needs):
        pytest.skip(f"this processor lacks {instruction.needs}")
    kernel = instruction.kernel
    engine = compiled(instruction)
    operands = list(kernel.operands.values())
    call = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * len(operands))(engine.get_function_address("test"))
    rng = np.random.default_rng(7)
    for _ in range(50):
        arrays = {o.name: random_array(rng, o, special) for o in operands}
        expected = run_kernel(kernel, arrays)
        inside = {n: np.ascontiguousarray(a).copy() for n, a in arrays.items()}
        call(*(inside[o.name].ctypes.data for o in operands))
        for output in kernel.outputs:
            if instruction.tolerance:
                difference = np.abs(inside[output.name] - expected[output.name])
                assert np.all(difference <= instruction.tolerance * magnitude(instruction, arrays))
            else:
                assert same(inside[output.name], expected[output.name], output.dtype), (arrays, inside, expected)


def magnitude(instruction: Instruction, arrays: dict[str, Array]) -> Array:
    """What the instruction adds up, without signs: its kernel on absolute values."""
    kernel = instruction.kernel
    positive = {}
    for o in kernel.operands.values():
        x = arrays[o.name]
        positive[o.name] = np.asarray(x & 0x7FFF, x.dtype) if o.dtype.name == "bf16" else np.abs(x)
    return run_kernel(kernel, positive)[kernel.outputs[0].name]


def test_order_of_the_bf16_product_is_as_documented() -> None:
    instruction = TARGETS["avx512-bf16"].instruction("avx512.dpbf16ps")
    if not cpu_features().issuperset(instruction.needs):
        pytest.skip(f"this processor lacks {instruction.needs}")
    engine = compiled(instruction)
    call = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 3)(engine.get_function_address("test"))
    fma = FUNCTIONS["fma"].evaluate
    rng = np.random.default_rng(8)
    for scale in (1.0, 1e-38):
        for _ in range(50):
            acc, a, b = (random_array(rng, o, False) for o in instruction.kernel.inputs)
            acc = np.asarray(acc * np.float32(scale), np.float32)
            a = np.asarray((from_bf16(a) * np.float32(scale**0.5)).view(np.uint32) >> 16, np.uint16)
            b = np.asarray((from_bf16(b) * np.float32(scale**0.5)).view(np.uint32) >> 16, np.uint16)
            x, y = flushed(from_bf16(a)), flushed(from_bf16(b))
            odd = flushed(fma(x[:, 1], y[:, 1], flushed(acc)))
            expected = flushed(fma(x[:, 0], y[:, 0], odd))
            call(acc.ctypes.data, a.ctypes.data, b.ctypes.data)
            assert np.array_equal(acc, expected)


def flushed(x: Array) -> Array:
    return np.where(np.abs(x) < np.finfo(np.float32).tiny, np.float32(0), x)
