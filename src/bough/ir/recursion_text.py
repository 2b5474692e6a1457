"""Recursions as text.

    recursion main
      function encode -> f32[4]                        # model.py:10
        ask .left is none
          yes: variant leaf
          no: variant node
        variant leaf                                   # model.py:12
          payload 0: .word: i64[]
          param p0 = payload 0
          func leaf(p0: i64[]) -> (h)
            ...
        variant node
          call 0: encode(.left)
          call 1: encode(.right)
          collect in list 0: result 0 after 2 calls
          param p0 = call 0 result 0
          param p1 = call 1 result 0
          func node(p0: f32[4], p1: f32[4]) -> (h)
            ...

The text parses back (`parse_recursion`) but for locations and the arrays of constants.
"""

from __future__ import annotations

import json
import re
from typing import Any

from bough.base.spans import Index
from bough.base.visits import Ask, Attribute, Call, Decision, Each, Fail, Item, Path, Payload, Question, Slice, Variant
from bough.ir.dtypes import DTYPES
from bough.ir.program import Program, TensorType
from bough.ir.program_text import print_program
from bough.ir.recursion import Cell, Collected, Context, Given, Read, Recursion, Returned, Source
from bough.ir.text import print_location, print_name, print_type

_PLAIN = re.compile(r"[A-Za-z_]\w*", re.ASCII)


def print_recursion(recursion: Recursion, locations: bool = True) -> str:
    """The text of a recursion: how its functions walk the objects, and what each variant computes at one of them."""
    lines = [f"recursion {print_name(recursion.visits.entry)}"]
    lines += [f"  rows {r} of list {number}" for r, number in recursion.rows.items()]
    for f in recursion.visits.functions:
        head = f"  function {print_name(f.name)}{_arguments(recursion, f.name)} -> {_types(recursion.results[f.name])}"
        lines.append(print_location(f.location, head) if locations else head)
        names = [v.name for v in f.variants]
        lines += [f"    {line}" for line in _decision_lines(f.decision, names)]
        for n, variant in enumerate(f.variants):
            head = f"    variant {print_name(variant.name)}" + (" repeats" if variant.repeats else "")
            lines.append(print_location(variant.location, head) if locations else head)
            cell = recursion.cells[f.name, n]
            lines += [f"      {line}" for line in _variant_lines(variant, cell)]
            lines += [f"      {line}" for line in _cell_lines(cell, locations)]
    return "\n".join(lines) + "\n"


def _arguments(recursion: Recursion, function: str) -> str:
    types = recursion.arguments_of(function)
    return f" given {_types(types)}" if types else ""


def _types(types: tuple[TensorType, ...]) -> str:
    return ", ".join(print_type(t.dtype, t.shape) for t in types) or "nothing"


def _decision_lines(decision: Decision, names: list[str]) -> list[str]:
    """A decision as a tree of questions; `names` are those of the variants."""
    match decision:
        case int():
            return [f"variant {print_name(names[decision])}"]
        case Fail(what):
            return [f"refuse {json.dumps(what)}"]
        case Ask(question, yes, no):
            lines = [f"ask {_question_text(question)}"]
            for answer, then in (("yes", yes), ("no", no)):
                first, *rest = _decision_lines(then, names)
                lines += [f"  {answer}: {first}", *(f"    {line}" for line in rest)]
            return lines


def _question_text(q: Question) -> str:
    subject = f"length of {path_text(q.path)}" if q.length else path_text(q.path)
    values = q.value if isinstance(q.value, tuple) else () if q.value is None else (q.value,)
    return " ".join([subject, q.test.replace("_", " "), " or ".join(map(_literal, values))]).rstrip()


def _literal(value: Any) -> str:
    return json.dumps(value) if isinstance(value, (bool, str)) else repr(value)


def _variant_lines(v: Variant, cell: Cell) -> list[str]:
    """What a variant walks over, calls, reads and collects."""
    lines = [f"walk {print_name(size)}: {_walk_text(e)}" for size, e in zip(cell.sizes, v.each)]
    lines += [f"call {n}: {_call_text(c, cell.sizes)}" for n, c in enumerate(v.calls)]
    lines += [f"payload {n}: {_payload_text(p, cell.sizes)}" for n, p in enumerate(v.payloads)]
    lines += [f"collect in list {c.list}: result {c.result} after {c.calls} calls" for c in v.collects]
    lines += [f"pass result {p.result} to call {p.call} as {p.argument}" for p in cell.passes]
    return lines


def path_text(path: Path) -> str:
    """`.left[0]`; `it` for the object itself."""
    return "".join(map(_step_text, path)) or "it"


def _step_text(step: Attribute | Item | Slice) -> str:
    if isinstance(step, Slice):
        return f"[{_index_text(step.first)}:{_index_text(step.last)}]"
    if isinstance(step, Item):
        return f"[{_index_text(step.key) if isinstance(step.key, Index) else _literal(step.key)}]"
    return f".{step.name}" if _PLAIN.fullmatch(step.name) else f".`{step.name}`"


def _index_text(index: Index) -> str:
    return f"({index.times} * len + {index.plus}) // {index.over}"


def _walk_text(each: Each) -> str:
    if each.list is not None:
        return f"list {each.list}" + (" of some" if each.some else "")
    ends = f" but {each.skip} and {each.leave}" if each.skip or each.leave else ""
    return path_text(each.path) + ends


def _of_walk(each: int | None, sizes: tuple[str, ...]) -> str:
    return "" if each is None else f" for each of {print_name(sizes[each])}"


def _call_text(c: Call, sizes: tuple[str, ...]) -> str:
    parts = [("element " if p.of_element else "") + path_text(p.path) for p in c.parts]
    objects = f"all {', '.join(parts)}" if parts else path_text(c.path)
    return f"{print_name(c.function)}({objects}){_of_walk(c.each, sizes)}"


def _payload_text(p: Payload, sizes: tuple[str, ...]) -> str:
    what = "position" if p.path is None else path_text(p.path)
    allowed = "" if p.range is None else f" in {p.range[0]}..{p.range[1]}"
    return f"{what}: {print_type(DTYPES[p.dtype], p.shape)}{allowed}{_of_walk(p.each, sizes)}"


def _cell_lines(cell: Cell, locations: bool) -> list[str]:
    f = cell.function
    sources = [f"param {print_name(p.name)} = {_source_text(s)}" for p, s in zip(f.params, cell.sources)]
    return [*sources, *print_program(Program({f.name: f}, f.name), locations=locations).splitlines()]


def _source_text(s: Source) -> str:
    match s:
        case Read():
            return f"payload {s.payload}"
        case Collected():
            return f"collected {s.walk}"
        case Context():
            return f"context {s.result}"
        case Given():
            return f"argument {s.argument}"
        case Returned():
            return f"call {s.call} result {s.result}"
