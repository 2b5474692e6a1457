"""Relocatable ELF objects of 64-bit little-endian machines, read with every size and offset checked.

Source of the layout: System V Application Binary Interface, chapters 4 and 5, and its processor supplements.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bough.runtime.errors import damaged

X86_64, AARCH64 = 62, 183
_RELOCATABLE = 1
_SYMTAB, _RELA, _NOBITS, _REL = 2, 4, 8, 9
_WRITE, _ALLOC, _EXECUTE, _TLS = 1, 2, 4, 0x400
_UNDEFINED, _RESERVED, _ABSOLUTE, _COMMON = 0, 0xFF00, 0xFFF1, 0xFFF2
_LARGEST = 1 << 30
_ALIGNMENT = 4096

_FILE = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_RELOCATION = struct.Struct("<QQq")


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the program in memory. `data` is empty for zeroed memory (then only `size` counts)."""

    index: int
    name: str
    data: memoryview
    size: int
    alignment: int
    executable: bool
    writable: bool


@dataclass(frozen=True, slots=True)
class Symbol:
    """`section` is an index into `Object.sections`' keys; None for an undefined symbol, -1 for an absolute one."""

    name: str
    section: int | None
    value: int
    is_global: bool
    is_weak: bool


@dataclass(frozen=True, slots=True)
class Relocation:
    section: int
    offset: int
    kind: int
    symbol: int
    addend: int


@dataclass(frozen=True, slots=True)
class Object:
    machine: int
    sections: dict[int, Section]
    symbols: tuple[Symbol, ...]
    relocations: tuple[Relocation, ...]


def read(file: bytes | memoryview) -> Object:
    """The loadable parts of a relocatable object. Raises `LoadError` for anything else."""
    data = memoryview(file).cast("B")
    if len(data) < _FILE.size:
        raise damaged("the object file", "it is shorter than a file header")
    header = _FILE.unpack_from(data)
    if header[0][:6] != b"\x7fELF\x02\x01" or header[1] != _RELOCATABLE:
        raise damaged("the object file", "it does not start like a 64-bit little-endian relocatable object")
    machine, table, entry_size, count, names_at = header[2], header[6], header[11], header[12], header[13]
    if entry_size != _SECTION.size:
        raise damaged("the object file", f"section headers have {entry_size} bytes")
    headers = list(_records(_part(data, table, count * entry_size), _SECTION))
    names = bytes(_contents(data, headers, names_at))
    sections: dict[int, Section] = {}
    for index, (name, kind, flags, _, offset, size, _, _, alignment, _) in enumerate(headers):
        if not flags & _ALLOC:
            continue
        label = _text(names, name)
        if flags & _TLS:
            raise damaged("the object file", f"section {label} holds thread-local data")
        if size > _LARGEST:
            raise damaged("the object file", f"section {label} has {size} bytes")
        alignment = max(1, alignment)
        if alignment > _ALIGNMENT or alignment & (alignment - 1):
            raise damaged("the object file", f"section {label} has alignment {alignment}")
        contents = data[:0] if kind == _NOBITS else _part(data, offset, size)
        sections[index] = Section(index, label, contents, size, alignment, bool(flags & _EXECUTE), bool(flags & _WRITE))
    symbols, table_index = _symbols(data, headers, sections)
    relocations: list[Relocation] = []
    for index, (_, kind, _, _, _, _, link, target, _, _) in enumerate(headers):
        if target not in sections or kind not in (_RELA, _REL):
            continue
        if kind == _REL or link != table_index:
            raise damaged("the object file", "a relocation table has an unknown form")
        relocations += _relocations(_contents(data, headers, index), sections[target], len(symbols))
    return Object(machine, sections, symbols, tuple(relocations))


def _symbols(data: memoryview, headers: list[tuple[int, ...]], sections: dict[int, Section]) -> tuple[tuple[Symbol, ...], int]:
    tables = [i for i, header in enumerate(headers) if header[1] == _SYMTAB]
    if len(tables) != 1:
        raise damaged("the object file", f"it has {len(tables)} symbol tables")
    names = bytes(_contents(data, headers, headers[tables[0]][6]))
    symbols: list[Symbol] = []
    for name, info, _, index, value, _ in _records(_contents(data, headers, tables[0]), _SYMBOL):
        label, binding = _text(names, name), info >> 4
        section: int | None = index
        if index == _UNDEFINED:
            section = None
        elif index == _ABSOLUTE:
            section = -1
        elif index == _COMMON:
            raise damaged("the object file", f"symbol {label} is common storage, which is not supported")
        elif index >= _RESERVED or index >= len(headers):
            raise damaged("the object file", f"symbol {label} is in section {index} of {len(headers)}")
        elif index in sections and value > sections[index].size:
            raise damaged("the object file", f"symbol {label} lies outside its section")
        symbols.append(Symbol(label, section, value, binding in (1, 2), binding == 2))
    return tuple(symbols), tables[0]


def _relocations(table: memoryview, section: Section, symbols: int) -> list[Relocation]:
    found: list[Relocation] = []
    for offset, info, addend in _records(table, _RELOCATION):
        symbol, kind = info >> 32, info & 0xFFFFFFFF
        if symbol >= symbols or offset >= section.size or not section.data:
            raise damaged("the object file", f"a relocation of {section.name} points outside of its table or section")
        found.append(Relocation(section.index, offset, kind, symbol, addend))
    return found


def _contents(data: memoryview, headers: list[tuple[int, ...]], index: int) -> memoryview:
    if index >= len(headers):
        raise damaged("the object file", f"it refers to section {index} of {len(headers)}")
    return _part(data, headers[index][4], headers[index][5])


def _part(data: memoryview, offset: int, size: int) -> memoryview:
    if offset + size > len(data):
        raise damaged("the object file", f"it ends at byte {len(data)}, before byte {offset + size} that it refers to")
    return data[offset : offset + size]


def _records(table: memoryview, record: struct.Struct) -> Iterator[tuple[Any, ...]]:
    if len(table) % record.size:
        raise damaged("the object file", f"a table of {len(table)} bytes has records of {record.size}")
    return record.iter_unpack(table)


def _text(names: bytes, offset: int) -> str:
    end = names.find(b"\0", offset)
    if offset > len(names) or end < 0:
        raise damaged("the object file", "a name lies outside of its table")
    try:
        return names[offset:end].decode("ascii")
    except UnicodeDecodeError:
        raise damaged("the object file", "a name is not ASCII text") from None
