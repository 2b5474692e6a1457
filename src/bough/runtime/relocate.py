"""What the relocations of x86-64 and AArch64 mean: pure functions from addresses to patched bytes.

`S` is the symbol's address, `A` the addend, `P` the address of the patched place, `G` the address of the symbol's slot in the
table of addresses. Sources: the ELF supplements of both processors (x86-64 psABI 4.4, AAELF64 5.7).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from bough.runtime.elf import AARCH64, X86_64
from bough.runtime.errors import damaged

Through = Literal["direct", "stub", "slot"]
STUB_SIZE = 16


class DoesNotFitError(Exception):
    """A relocated value that its field cannot hold."""


@dataclass(frozen=True, slots=True)
class Rule:
    """`width` bytes at P become `patch(old, value, P)`, with value = (S or G) + A. `through` says what S may be: the symbol
    itself, a stub that jumps to it (calls), or the slot that holds its address."""

    width: int
    through: Through
    patch: Callable[[int, int, int], int]


def _signed(bits: int, value: int) -> int:
    if not -(1 << (bits - 1)) <= value < 1 << (bits - 1):
        raise DoesNotFitError
    return value & ((1 << bits) - 1)


def _unsigned(bits: int, value: int) -> int:
    if not 0 <= value < 1 << bits:
        raise DoesNotFitError
    return value


def _either(bits: int, value: int) -> int:
    return _unsigned(bits, value) if value >= 0 else _signed(bits, value)


def _aligned(value: int, alignment: int) -> int:
    if value % alignment:
        raise DoesNotFitError
    return value // alignment


def _absolute(bits: int) -> Callable[[int, int, int], int]:
    return lambda old, value, place: _either(bits, value)


def _relative(bits: int) -> Callable[[int, int, int], int]:
    return lambda old, value, place: _signed(bits, value - place)


def _branch(bits: int, shift: int) -> Callable[[int, int, int], int]:
    """A distance in instructions, in `bits` bits from bit `shift` on."""
    mask = ((1 << bits) - 1) << shift
    return lambda old, value, place: (old & ~mask) | _signed(bits, _aligned(value - place, 4)) << shift


def _address(old: int, value: int, page: int) -> int:
    """The split 21-bit immediate of ADR and ADRP."""
    distance = _signed(21, page)
    return (old & ~0x60FFFFE0) | (distance & 3) << 29 | (distance >> 2) << 5


def _page(old: int, value: int, place: int) -> int:
    return _address(old, value, (value >> 12) - (place >> 12))


def _low12(size: int) -> Callable[[int, int, int], int]:
    """The low 12 bits of an address, scaled by the size of the access."""
    return lambda old, value, place: (old & ~0x3FFC00) | _aligned(value & 0xFFF, size) << 10


_X86_64: dict[int, Rule] = {
    1: Rule(8, "direct", _absolute(64)),  # 64
    2: Rule(4, "direct", _relative(32)),  # PC32
    4: Rule(4, "stub", _relative(32)),  # PLT32
    9: Rule(4, "slot", _relative(32)),  # GOTPCREL
    10: Rule(4, "direct", lambda old, value, place: _unsigned(32, value)),  # 32
    11: Rule(4, "direct", lambda old, value, place: _signed(32, value)),  # 32S
    24: Rule(8, "direct", _relative(64)),  # PC64
    41: Rule(4, "slot", _relative(32)),  # GOTPCRELX
    42: Rule(4, "slot", _relative(32)),  # REX_GOTPCRELX
}

_AARCH64: dict[int, Rule] = {
    257: Rule(8, "direct", _absolute(64)),  # ABS64
    258: Rule(4, "direct", _absolute(32)),  # ABS32
    260: Rule(8, "direct", _relative(64)),  # PREL64
    261: Rule(4, "direct", _relative(32)),  # PREL32
    273: Rule(4, "direct", _branch(19, 5)),  # LD_PREL_LO19
    274: Rule(4, "direct", lambda old, value, place: _address(old, value, value - place)),  # ADR_PREL_LO21
    275: Rule(4, "direct", _page),  # ADR_PREL_PG_HI21
    277: Rule(4, "direct", _low12(1)),  # ADD_ABS_LO12_NC
    278: Rule(4, "direct", _low12(1)),  # LDST8_ABS_LO12_NC
    279: Rule(4, "direct", _branch(14, 5)),  # TSTBR14
    280: Rule(4, "direct", _branch(19, 5)),  # CONDBR19
    282: Rule(4, "stub", _branch(26, 0)),  # JUMP26
    283: Rule(4, "stub", _branch(26, 0)),  # CALL26
    284: Rule(4, "direct", _low12(2)),  # LDST16_ABS_LO12_NC
    285: Rule(4, "direct", _low12(4)),  # LDST32_ABS_LO12_NC
    286: Rule(4, "direct", _low12(8)),  # LDST64_ABS_LO12_NC
    299: Rule(4, "direct", _low12(16)),  # LDST128_ABS_LO12_NC
    311: Rule(4, "slot", _page),  # ADR_GOT_PAGE
    312: Rule(4, "slot", _low12(8)),  # LD64_GOT_LO12_NC
    314: Rule(4, "stub", _relative(32)),  # PLT32
}

_RULES = {X86_64: _X86_64, AARCH64: _AARCH64}


def rule(machine: int, kind: int) -> Rule:
    """The rule of a relocation kind. Raises `LoadError` for one that Bough's code generator does not emit."""
    found = _RULES.get(machine, {}).get(kind)
    if found is None:
        raise damaged("the object file", f"relocation kind {kind} of machine {machine} is unknown")
    return found


def apply(rule: Rule, memory: memoryview, offset: int, value: int, place: int) -> None:
    """Patches `memory` (writable bytes) at `offset`, which lies at address `place` when the program runs."""
    if offset + rule.width > len(memory):
        raise damaged("the object file", "a relocation points outside of its section")
    old = int.from_bytes(memory[offset : offset + rule.width], "little")
    try:
        new = rule.patch(old, value, place)
    except DoesNotFitError:
        raise damaged("the object file", f"relocation value {value:#x} does not fit at {place:#x}") from None
    memory[offset : offset + rule.width] = new.to_bytes(rule.width, "little")


def stub(machine: int, target: int) -> bytes:
    """Code that jumps to any 64-bit address, for calls into libraries out of reach of a near call."""
    if machine == X86_64:
        return struct.pack("<6sQ2x", b"\xff\x25\x00\x00\x00\x00", target)  # jmp [rip]; address
    return struct.pack("<IIQ", 0x58000050, 0xD61F0200, target)  # ldr x16, 8 ahead; br x16; address
