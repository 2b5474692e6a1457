"""Functions of the Loops level to one relocatable object."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from llvmlite import ir

from bough.base.source import Location
from bough.codegen import binding
from bough.codegen import llvm_types as t
from bough.codegen.expressions import evaluate
from bough.codegen.indices import emit_index
from bough.codegen.join import join
from bough.codegen.linear import ONE, Linear, atom
from bough.codegen.memory import slot_value
from bough.codegen.parts import Parts, new_module
from bough.codegen.state import Emission, Host, Operand, Scope, Storage
from bough.codegen.statements import emit_body
from bough.ir import loops
from bough.ir.expr import as_expr
from bough.targets.description import Target

ENTRY_PREFIX = "bough_"


def compile_functions(
    functions: Sequence[loops.Function], target: Target, *, team: str, walk: str = "", prefix: str = ""
) -> bytes:
    """One relocatable ELF object that holds every function and the thread team, whose LLVM text is `team`; and the native
    linearizer, where its text is given (`codegen.emit_walk`). The names of all symbols begin with `prefix`.

    A function `f` becomes `i32 bough_f(ptr buffers, ptr scalars, ptr team)`: an array of pointers to its params, an array
    of `i64` values of its scalars, and a team or null (then everything runs on the calling thread). It returns 0, or the code
    of the `Fail` that ended it. Within
    one parallel loop, a buffer that is written must not overlap another that the loop uses. The same functions give the
    same bytes.

    Large functions are several modules, which threads compile while the next one is emitted.
    """
    made: list[Future[bytes]] = []

    def named(text: str) -> str:
        return re.sub(r'@("?)bough_', rf"@\1{prefix}bough_", text) if prefix else text

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        if walk:
            made.append(threads.submit(binding.compile_object, named(walk), target))
        host = build_module(
            functions, target, lambda text: made.append(threads.submit(binding.compile_object, named(text), target))
        )
        texts = [named(text) for text in (host, team) if text]
        return join([binding.compile_object(texts[0], target, *texts[1:]), *(object.result() for object in made)])


def emit_assembly(functions: Sequence[loops.Function], target: Target) -> str:
    """The assembly text of the functions, without the thread team."""
    return binding.compile_assembly(build_module(functions, target), target)


def emit_ir(functions: Sequence[loops.Function], target: Target, *, optimized: bool = False) -> str:
    """The LLVM text of the functions, without the thread team."""
    text = build_module(functions, target)
    return binding.optimize_text(text, target) if optimized else text


def build_module(functions: Sequence[loops.Function], target: Target, apart: Callable[[str], None] | None = None) -> str:
    """The LLVM text of the functions as they are emitted. With `apart`, a part of what they call may be in other modules, whose
    texts it is given as soon as there are."""
    attributes = binding.function_attributes(target)

    def text_of(module: Any) -> str:
        for value in module.functions:
            if not value.is_declaration:
                value.attributes = TargetAttributes(value.attributes, attributes)
        return str(module)

    module = new_module()
    parts = Parts(module, None if apart is None else lambda full: apart(text_of(full)))
    for function in functions:
        _emit_function(module, function, target, parts)
    parts.flush()
    return text_of(module)


class TargetAttributes(ir.values.FunctionAttributes):  # type: ignore[misc]
    """A function's attributes, followed by those that name the processor."""

    def __init__(self, plain: Sequence[str], named: Sequence[str]) -> None:
        super().__init__(tuple(plain))
        self.named = tuple(named)

    def __bool__(self) -> bool:
        return True

    def _to_list(self, kind: Any) -> list[str]:
        return [*super()._to_list(kind), *self.named]


def _emit_function(module: Any, function: loops.Function, target: Target, parts: Parts) -> None:
    kind = ir.FunctionType(t.INT32, [t.POINTER, t.POINTER, t.POINTER])
    emitted = ir.Function(module, kind, f"{ENTRY_PREFIX}{function.name}")
    buffers, scalars, team = emitted.args
    buffers.name, scalars.name, team.name = "buffers", "scalars", "team"
    host = Host(team, buffers, {b.name: n for n, b in enumerate(function.params)}, parts)
    em = Emission.begin(target, emitted, function.location or _first_location(function.body), host=host)
    scope = Scope()
    for n, name in enumerate(function.scalars):
        scope.values[name] = atom(slot_value(em, scalars, n, t.INT64))
    for buffer in function.params:
        scope.buffers[buffer.name] = Storage(buffer, None, _strides(em, scope, buffer), None, False)
    emit_body(em, scope, function.body)
    em.builder.ret(t.int32(0))
    em.end()


def _first_location(body: Sequence[loops.Stmt]) -> Location | None:
    """Where the first loop that knows it comes from."""
    for s in body:
        match s:
            case loops.For():
                found = s.location or _first_location(s.body)
            case loops.If(_, then, otherwise):
                found = _first_location((*then, *otherwise))
            case loops.While():
                found = s.location or _first_location((*s.head, *s.body))
            case _:
                continue
        if found is not None:
            return found
    return None


def _strides(em: Emission, scope: Scope, buffer: loops.Buffer) -> tuple[Operand, ...]:
    """The distance in elements between neighbours along each dimension."""
    strides: list[Operand] = []
    stride: Operand = ONE
    for extent in reversed(buffer.shape):
        strides.append(stride)
        size = Linear(extent) if isinstance(extent, int) else evaluate(em, scope, as_expr(extent))
        stride = emit_index(em, "mul", [stride, size], 0)
    return tuple(reversed(strides))
