"""LLVM itself: the one place that touches `llvmlite.binding`. Text in; objects, assembly or optimised text out."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from threading import Lock
from typing import Any

import llvmlite.binding as llvm

from bough.base.errors import InternalError
from bough.targets.description import Target

_ONE_AT_A_TIME = Lock()


def _initialize() -> None:
    """Makes LLVM ready. Its options may be set once in a process."""
    with _ONE_AT_A_TIME:
        _set_up()


@cache
def _set_up() -> None:
    # Hoisting on machine code moves the constants of an epilogue out of all loops around it, and with them in registers the
    # accumulators of the loop before it go to the stack. Invariant code is hoisted before, where constants are no code.
    llvm.set_option("", "-disable-machine-licm")
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()


def _triple(target: Target) -> str:
    return target.triple or llvm.get_process_triple()


def machine(target: Target) -> Any:
    """LLVM's description of a target: position-independent code, small code model."""
    _initialize()
    features = ",".join(f"+{f}" for f in target.features)
    backend = llvm.Target.from_triple(_triple(target))
    return backend.create_target_machine(cpu=target.cpu, features=features, opt=2, reloc="pic", codemodel="small")


def function_attributes(target: Target) -> tuple[str, ...]:
    """What each function says of the processor. All agree, so that any may be inlined into any other."""
    width = 32 * max(target.lanes, 4)
    return (
        '"frame-pointer"="none"',
        f'"prefer-vector-width"="{width}"',
        f'"min-legal-vector-width"="{width}"',
        "nounwind",
    )


def parse(text: str, context: Any = None) -> Any:
    """A verified module. Raises InternalError with LLVM's message where the text is wrong."""
    try:
        module = llvm.parse_assembly(text, context or llvm.create_context())
        module.verify()
    except RuntimeError as error:
        raise InternalError(f"LLVM rejects the emitted code: {error}") from error
    return module


def _beside(name: str) -> Callable[..., Any]:
    """A function of LLVM's interface that other threads may call meanwhile, each for modules of a context of its own. llvmlite
    holds one lock around all of them, because it lets modules share a context."""
    locked = getattr(llvm.ffi.lib, name)
    return getattr(locked, "_cfn", locked)  # type: ignore[no-any-return]


def optimize(text: str, target: Target, *linked: str) -> tuple[Any, Any]:
    """The optimised module of a text, and its machine. Other texts are linked to it.

    Spellings and vector math are inlined, each function is simplified; LLVM vectorises and unrolls nothing by itself.
    """
    m = machine(target)
    context = llvm.create_context()
    module = parse(text, context)
    module.triple, module.data_layout = _triple(target), str(m.target_data)
    for added in linked:
        other = parse(added, context)
        other.triple, other.data_layout = module.triple, module.data_layout
        module.link_in(other)
    options = llvm.create_pipeline_tuning_options(speed_level=1)
    options.loop_vectorization = options.slp_vectorization = options.loop_interleaving = options.loop_unrolling = False
    builder = llvm.create_pass_builder(m, options)
    inlining = llvm.create_new_module_pass_manager()
    inlining.add_always_inliner_pass()
    inlining.add_global_dead_code_eliminate_pass()
    inlining.run(module, builder)
    passes, run = builder.getFunctionPassManager(), _beside("LLVMPY_RunNewFunctionPassManager")
    for function in module.functions:
        if not function.is_declaration:
            run(passes, function, builder)
    return module, m


def compile_object(text: str, target: Target, *linked: str) -> bytes:
    """The relocatable object of a module's text, with other texts linked to it."""
    module, m = optimize(text, target, *linked)
    with llvm.ffi.OutputString() as error:
        memory = _beside("LLVMPY_TargetMachineEmitToMemory")(m, module, 1, error)
        if not memory:
            raise InternalError(f"LLVM emits no object: {error}")
    try:
        return ctypes.string_at(llvm.ffi.lib.LLVMPY_GetBufferStart(memory), llvm.ffi.lib.LLVMPY_GetBufferSize(memory))
    finally:
        llvm.ffi.lib.LLVMPY_DisposeMemoryBuffer(memory)


def compile_assembly(text: str, target: Target) -> str:
    """The assembly of a module's text."""
    module, m = optimize(text, target)
    return str(m.emit_assembly(module))


def optimize_text(text: str, target: Target) -> str:
    """The optimised text of a module's text."""
    return str(optimize(text, target)[0])
