"""Recursions as text.

    recursion main
      function encode -> f32[4]                        # model.py:10
        ask .left is none
          yes: variant leaf
          no: variant node
        variant leaf                                   # model.py:12
          payload 0: .word: i64[]
          func leaf(p0: i64[]) -> (h)
            p0 = payload 0
            ...
        variant node
          call 0: encode(.left)
          call 1: encode(.right)
          collect in list 0: result 0 after 2 calls
          func node(p0: f32[4], p1: f32[4]) -> (h)
            p0 = call 0 result 0
            ...
"""

from __future__ import annotations

from bough.base.visits import Ask, Call, Decision, Each, Fail, Item, Path, Payload, Question, Variant
from bough.ir.dtypes import DTYPES
from bough.ir.program import Program, TensorType
from bough.ir.program_text import print_program
from bough.ir.recursion import Cell, Collected, Given, Read, Recursion, Returned, Source
from bough.ir.text import print_location, print_name, print_type


def print_recursion(recursion: Recursion, locations: bool = True) -> str:
    """The text of a recursion: how its functions walk the objects, and what each variant computes at one of them."""
    lines = [f"recursion {print_name(recursion.visits.entry)}"]
    lines += [f"  result {r} has a row for each element of list {number}" for r, number in recursion.rows.items()]
    for f in recursion.visits.functions:
        head = f"  function {print_name(f.name)}{_arguments(recursion, f.name)} -> {_types(recursion.results[f.name])}"
        lines.append(print_location(f.location, head) if locations else head)
        names = [v.name for v in f.variants]
        lines += [f"    {line}" for line in decision_lines(f.decision, names)]
        for n, variant in enumerate(f.variants):
            head = f"    variant {print_name(variant.name)}"
            lines.append(print_location(variant.location, head) if locations else head)
            lines += [f"      {line}" for line in variant_lines(variant)]
            lines += [f"      {line}" for line in _cell_lines(recursion.cells[f.name, n], locations)]
    return "\n".join(lines) + "\n"


def _arguments(recursion: Recursion, function: str) -> str:
    types = recursion.arguments_of(function)
    return f" given {_types(types)}" if types else ""


def _types(types: tuple[TensorType, ...]) -> str:
    return ", ".join(print_type(t.dtype, t.shape) for t in types) or "nothing"


def decision_lines(decision: Decision, names: list[str]) -> list[str]:
    """A decision as a tree of questions; `names` are those of the variants."""
    match decision:
        case int():
            return [f"variant {print_name(names[decision])}"]
        case Fail(what):
            return [f"refuse: {what}"]
        case Ask(question, yes, no):
            lines = [f"ask {question_text(question)}"]
            for answer, then in (("yes", yes), ("no", no)):
                first, *rest = decision_lines(then, names)
                lines += [f"  {answer}: {first}", *(f"    {line}" for line in rest)]
            return lines


def question_text(q: Question) -> str:
    subject = f"length of {path_text(q.path)}" if q.length else path_text(q.path)
    value = f" {' or '.join(q.value)}" if isinstance(q.value, tuple) else "" if q.value is None else f" {q.value!r}"
    return f"{subject} {q.test.replace('_', ' ')}{value}"


def variant_lines(v: Variant) -> list[str]:
    """What a variant walks over, calls, reads and collects."""
    lines = [f"walk {n}: {_walk_text(e)}" for n, e in enumerate(v.each)]
    lines += [f"call {n}: {_call_text(c)}" for n, c in enumerate(v.calls)]
    lines += [f"payload {n}: {_payload_text(p)}" for n, p in enumerate(v.payloads)]
    lines += [f"collect in list {c.list}: result {c.result} after {c.calls} calls" for c in v.collects]
    return lines


def path_text(path: Path) -> str:
    """`.left[0]`; `it` for the object itself."""
    return print_path(path) or "it"


def print_path(path: Path) -> str:
    return "".join(f"[{s.key!r}]" if isinstance(s, Item) else f".{s.name}" for s in path)


def _walk_text(each: Each) -> str:
    if each.list is not None:
        return f"list {each.list}" + (" of some" if each.some else "")
    part = f"[{each.skip}:{-each.leave or ''}]" if each.skip or each.leave else ""
    return path_text(each.path) + part


def _of_walk(each: int | None) -> str:
    return "" if each is None else f" for each of walk {each}"


def _call_text(c: Call) -> str:
    parts = ", ".join(("element" if p.of_element else "it") + print_path(p.path) for p in c.parts)
    return f"{print_name(c.function)}({parts or path_text(c.path)}){_of_walk(c.each)}"


def _payload_text(p: Payload) -> str:
    what = "position" if p.path is None else path_text(p.path)
    return f"{what}: {print_type(DTYPES[p.dtype], p.shape)}{_of_walk(p.each)}"


def _cell_lines(cell: Cell, locations: bool) -> list[str]:
    f = cell.function
    head, *body = print_program(Program({f.name: f}, f.name), locations=locations).splitlines()
    sources = [f"  {print_name(p.name)} = {_source_text(s)}" for p, s in zip(f.params, cell.sources)]
    passes = [f"  result {p.result} goes to call {p.call} as argument {p.argument}" for p in cell.passes]
    return [head, *sources, *passes, *body]


def _source_text(s: Source) -> str:
    match s:
        case Read():
            return f"payload {s.payload}"
        case Collected():
            return f"collected in walk {s.walk}"
        case Given():
            return f"argument {s.argument}"
        case Returned():
            return f"call {s.call} result {s.result}"
