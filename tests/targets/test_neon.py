"""The instructions of NEON as LLVM assembles them; tests/pipeline/test_export.py runs whole models of them under an emulator."""

from __future__ import annotations

import llvmlite.binding as llvm
import pytest

from bough.ir.kernel import Operand
from bough.targets import TARGETS, Instruction

NEON = TARGETS["neon"]
WORDS = {"fma": "fmla", "fmavv": "fmla", "load": "ldr", "store": "str", "broadcast": "dup", "add": "fadd", "mul": "fmul", "max": "fmax"}


def assembly(instruction: Instruction) -> str:
    def kind(o: Operand) -> str:
        if not o.shape:
            return "float"
        return "<4 x float>" if o.place == "register" else "ptr"

    kernel = instruction.kernel
    operands = [*kernel.inputs, *(o for o in kernel.outputs if o not in kernel.inputs and o.place != "register")]
    returned = kind(kernel.outputs[0]) if kernel.outputs[0].place == "register" else "void"
    parameters = ", ".join(f"{kind(o)} %{o.name}" for o in operands)
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    module = llvm.parse_assembly(f"define {returned} @f({parameters}) {{\n{instruction.spelling}\n}}")
    module.verify()
    machine = llvm.Target.from_triple(NEON.triple).create_target_machine(cpu=NEON.cpu, features="+neon", opt=2)
    return str(machine.emit_assembly(module))


@pytest.mark.parametrize("instruction", [i for i in NEON.instructions if i.name.startswith("neon.")], ids=lambda i: i.name)
def test_each_is_one_instruction_of_the_processor(instruction: Instruction) -> None:
    lines = [line.split() for line in assembly(instruction).splitlines() if line.startswith("\t") and not line.strip().startswith(".")]
    words = [line[0] for line in lines]
    assert WORDS[instruction.name.removeprefix("neon.")] in words
    assert len([w for w in words if w not in ("ret", "mov")]) == 1, words
