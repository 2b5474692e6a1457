"""Line tables: emitted code names the lines of the user's source that it stands for."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from llvmlite import ir

from bough.base.source import Location


@dataclass(frozen=True, slots=True)
class DebugInfo:
    """The entry of one function in the line table."""

    module: Any
    subprogram: Any
    file: str

    @classmethod
    def begin(cls, function: Any, location: Location | None) -> DebugInfo | None:
        """Gives the function an entry, where it has a location."""
        if location is None:
            return None
        module = function.module
        file = _file(module, location.file)
        kind = module.add_debug_info("DISubroutineType", {"types": module.add_metadata([None])})
        subprogram = module.add_debug_info(
            "DISubprogram",
            {
                "name": function.name,
                "linkageName": function.name,
                "scope": file,
                "file": file,
                "line": location.line,
                "scopeLine": location.line,
                "type": kind,
                "unit": _unit(module, file),
                "spFlags": ir.DIToken("DISPFlagDefinition | DISPFlagOptimized"),
            },
            is_distinct=True,
        )
        function.set_metadata("dbg", subprogram)
        return cls(module, subprogram, location.file)

    def line(self, location: Location) -> Any:
        """The label of code that stands for a line."""
        scope = self.subprogram
        if location.file != self.file:
            file = _file(self.module, location.file)
            scope = self.module.add_debug_info(
                "DILexicalBlockFile", {"scope": scope, "file": file, "discriminator": 0}, is_distinct=True
            )
        return self.module.add_debug_info("DILocation", {"line": location.line, "column": 0, "scope": scope})


def _file(module: Any, path: str) -> Any:
    folder, name = os.path.split(path)
    return module.add_debug_info("DIFile", {"filename": name, "directory": folder})


def _unit(module: Any, file: Any) -> Any:
    """The module's one compilation unit."""
    units = module.namedmetadata.get("llvm.dbg.cu")
    if units is not None:
        return units.operands[0]
    unit = module.add_debug_info(
        "DICompileUnit",
        {
            "language": ir.DIToken("DW_LANG_C"),
            "file": file,
            "producer": "bough",
            "runtimeVersion": 0,
            "isOptimized": True,
            "emissionKind": ir.DIToken("LineTablesOnly"),
        },
        is_distinct=True,
    )
    module.add_named_metadata("llvm.dbg.cu", unit)
    flags = [[ir.Constant(ir.IntType(32), 2), "Dwarf Version", ir.Constant(ir.IntType(32), 4)],
             [ir.Constant(ir.IntType(32), 2), "Debug Info Version", ir.Constant(ir.IntType(32), 3)]]  # fmt: skip
    for flag in flags:
        module.add_named_metadata("llvm.module.flags", flag)
    return unit
