"""Several relocatable ELF objects as one, as `ld -r` makes it: what LLVM compiled in parts.

Sections of one name and kind stand one behind the other, symbols and relocations follow them. Nothing is resolved or removed.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from bough.base.errors import InternalError

_FILE = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_RELOCATION = struct.Struct("<QQq")
_NONE, _SYMTAB, _STRTAB, _RELA, _NOBITS, _REL, _GROUP, _ADDRSIG = 0, 2, 3, 4, 8, 9, 17, 0x6FFF4C03
_OF_SECTION, _OF_FILE = 3, 4
_RESERVED = 0xFF00
_INFO_LINK = 0x40


@dataclass(slots=True)
class _Section:
    """A section of the result. `kind` is its type, flags and size of entries."""

    name: str
    kind: tuple[int, int, int]
    number: int
    alignment: int = 1
    size: int = 0
    data: bytearray = field(default_factory=bytearray)
    relocations: bytearray = field(default_factory=bytearray)

    def append(self, data: bytes, size: int, alignment: int) -> int:
        """Where the contents begin that are put behind those so far."""
        begin = -(-self.size // alignment) * alignment
        self.alignment, self.size = max(self.alignment, alignment), begin + size
        if self.kind[0] != _NOBITS:
            self.data += bytes(begin - len(self.data)) + data
        return begin


@dataclass(slots=True)
class _Symbol:
    name: str
    info: int
    other: int
    section: int
    value: int
    size: int

    def entry(self, names: _Names) -> bytes:
        return _SYMBOL.pack(names.at(self.name), self.info, self.other, self.section, self.value, self.size)


@dataclass(slots=True)
class _Names:
    data: bytearray = field(default_factory=lambda: bytearray(1))
    known: dict[str, int] = field(default_factory=lambda: {"": 0})

    def at(self, name: str) -> int:
        if name not in self.known:
            self.known[name] = len(self.data)
            self.data += name.encode() + b"\0"
        return self.known[name]


@dataclass(slots=True)
class _Joined:
    sections: dict[tuple[str, tuple[int, int, int]], _Section] = field(default_factory=dict)
    local: list[_Symbol] = field(default_factory=lambda: [_Symbol("", 0, 0, 0, 0, 0)])
    outside: dict[str, _Symbol] = field(default_factory=dict)
    """Symbols by name that other objects see, or that are looked for there."""
    waiting: list[tuple[_Section, int, int, _Symbol, int]] = field(default_factory=list)
    """Relocations: section, offset, kind, symbol, addend."""

    def add(self, file: bytes) -> None:
        """Puts the contents of an object behind those of the objects before."""
        header = _FILE.unpack_from(file)
        headers = [_SECTION.unpack_from(file, header[6] + n * _SECTION.size) for n in range(header[12])]
        labels = headers[header[13]]
        places: dict[int, tuple[_Section, int]] = {}
        for n, (name, kind, flags, _, offset, size, _, _, alignment, entry) in enumerate(headers):
            if kind in (_NONE, _SYMTAB, _STRTAB, _RELA, _ADDRSIG):
                continue
            if kind in (_REL, _GROUP):
                raise InternalError(f"an object has a section of type {kind}, which cannot be joined")
            key = _text(file, labels, name), (kind, flags, entry)
            section = self.sections.setdefault(key, _Section(*key, len(self.sections) + 1))
            data = b"" if kind == _NOBITS else file[offset : offset + size]
            places[n] = section, section.append(data, size, max(1, alignment))
        symbols = next((self._symbols(file, headers, s, places) for s in headers if s[1] == _SYMTAB), [])
        for _, kind, _, _, offset, size, _, target, _, _ in headers:
            if kind == _RELA and target in places:
                section, begin = places[target]
                for at, info, addend in _RELOCATION.iter_unpack(file[offset : offset + size]):
                    symbol, moved = symbols[info >> 32]
                    self.waiting.append((section, begin + at, info & 0xFFFFFFFF, symbol, addend + moved))

    def _symbols(
        self, file: bytes, headers: list[tuple[int, ...]], table: tuple[int, ...], places: dict[int, tuple[_Section, int]]
    ) -> list[tuple[_Symbol, int]]:
        """The symbols of a table, each with how far what it stands for has moved, where the symbol itself stays."""
        found: list[tuple[_Symbol, int]] = []
        for name, info, other, index, value, size in _SYMBOL.iter_unpack(file[table[4] : table[4] + table[5]]):
            section, begin = places.get(index, (None, 0))
            number = section.number if section is not None else index if index >= _RESERVED else 0
            if section is not None and info & 15 == _OF_SECTION:
                found.append((self._of_section(section, info), begin))
                continue
            symbol = _Symbol(_text(file, headers[table[6]], name), info, other, number, value + begin, size)
            if info >> 4:
                symbol = self._outside(symbol)
            elif symbol.name and info & 15 != _OF_FILE:
                self.local.append(symbol)
            found.append((symbol, 0))
        return found

    def _of_section(self, section: _Section, info: int) -> _Symbol:
        for symbol in self.local:
            if symbol.section == section.number and symbol.info & 15 == _OF_SECTION:
                return symbol
        self.local.append(_Symbol("", info, 0, section.number, 0, 0))
        return self.local[-1]

    def _outside(self, symbol: _Symbol) -> _Symbol:
        known = self.outside.setdefault(symbol.name, symbol)
        if known.section and symbol.section and known is not symbol:
            raise InternalError(f"two objects define {symbol.name}")
        if symbol.section:
            known.info, known.section, known.value, known.size = symbol.info, symbol.section, symbol.value, symbol.size
        known.other = max(known.other, symbol.other, key=lambda visibility: (visibility & 3 != 0, visibility))
        return known

    def file(self, first: bytes) -> bytes:
        """The object, with the header of the first one."""
        names, labels = _Names(), _Names()
        symbols = [*self.local, *self.outside.values()]
        numbers = {id(symbol): n for n, symbol in enumerate(symbols)}
        for section, at, kind, symbol, addend in self.waiting:
            section.relocations += _RELOCATION.pack(at, numbers[id(symbol)] << 32 | kind, addend)
        table = bytearray().join(symbol.entry(names) for symbol in symbols)
        related = [s for s in self.sections.values() if s.relocations]
        symtab = 1 + len(self.sections) + len(related)
        out = bytearray(_FILE.size)
        headers = [bytes(_SECTION.size)]

        def put(name: str, data: bytearray, kind: tuple[int, int, int], place: tuple[int, int, int, int]) -> None:
            size, link, info, alignment = place
            out.extend(bytes(-len(out) % alignment))
            headers.append(_SECTION.pack(labels.at(name), *kind[:2], 0, len(out), size, link, info, alignment, kind[2]))
            out.extend(data)

        for s in self.sections.values():
            put(s.name, s.data, s.kind, (s.size, 0, 0, s.alignment))
        for s in related:
            size = len(s.relocations)
            put(f".rela{s.name}", s.relocations, (_RELA, _INFO_LINK, _RELOCATION.size), (size, symtab, s.number, 8))
        put(".symtab", table, (_SYMTAB, 0, _SYMBOL.size), (len(table), symtab + 1, len(self.local), 8))
        put(".strtab", names.data, (_STRTAB, 0, 0), (len(names.data), 0, 0, 1))
        labels.at(".shstrtab")
        put(".shstrtab", labels.data, (_STRTAB, 0, 0), (len(labels.data), 0, 0, 1))
        out.extend(bytes(-len(out) % 8))
        fields = list(_FILE.unpack_from(first))
        fields[6], fields[12], fields[13] = len(out), len(headers), len(headers) - 1
        out[: _FILE.size] = _FILE.pack(*fields)
        return bytes(out + b"".join(headers))


def join(files: Sequence[bytes]) -> bytes:
    """One relocatable object for several of one machine. What one defines and another asks for by name is one symbol."""
    if len(files) == 1:
        return files[0]
    joined = _Joined()
    for file in files:
        joined.add(file)
    return joined.file(files[0])


def _text(file: bytes, table: tuple[int, ...], offset: int) -> str:
    begin = table[4] + offset
    return file[begin : file.index(b"\0", begin)].decode()
