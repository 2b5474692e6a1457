"""Programs: texts come back, and broken ones are refused."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from bough.base.errors import InternalError
from bough.base.source import Location
from bough.ir.dtypes import F32, I64
from bough.ir.expr import Var, add
from bough.ir.program import Assign, Dim, Function, Loop, Program, TensorType, Value
from bough.ir.program_text import content_hash, parse_program, print_program, same_program
from bough.ir.text import ParseError
from bough.ir.verify_program import verify_program

TEXT = """
func main(x: f32[batch, tokens, 8], `odd name`: i64[]) -> (last, all, y)
  dims batch: 1..1024, tokens: 0..
  const w: f32[8, 8]
  h0: f32[batch, 8] = full(none, value=0.5, shape=(batch, 8), names=("a # b", none), empty=(), one=(batch + 1,))
  loop t: i64[] in 0..tokens reverse
    carry h: f32[batch, 8] = h0
    carry same: i64[] = `odd name`
    h2: f32[batch, 8], gate: f32[batch, 8] = cell(x, t, h, w, flag=true, to=bf16, big=-1e-05, size=(batch + 1) * 2)
    loop u: i64[] in 0..3
      g: f32[batch, 8] = relu(gate)
      stack g -> gs: f32[3, batch, 8]
    next h = h2 -> last: f32[batch, 8]
    next same = same -> end: i64[]
    stack gate -> all: f32[tokens, batch, 8]
  y: f32[batch, 8] = helper(last, low=-inf, nested=((1, 2), (3,)))

func helper(a: f32[n]) -> (a)
  dims n: 2..2
"""


def test_texts_come_back() -> None:
    w = np.arange(64, dtype=np.float32).reshape(8, 8)
    program = parse_program(TEXT, {"w": w})
    assert print_program(program).strip() == TEXT.strip()
    verify_program(program)
    hashed = print_program(program, hashes=True)
    assert f'const w: f32[8, 8] hash "{content_hash(w)}"' in hashed
    again = parse_program(hashed, {"w": w})
    assert same_program(program, again) and not same_program(program, parse_program(TEXT))
    with pytest.raises(ParseError, match="the array given for w is another one"):
        parse_program(hashed, {"w": w + 1})
    attributes = program.functions["main"].body[0]
    assert isinstance(attributes, Assign)
    assert attributes.attributes["one"] == (add(Var("batch"), 1),)
    assert attributes.attributes["value"] == 0.5 and attributes.args == (None,)


def test_golden(golden: Callable[[str, str], None]) -> None:
    batch = Var("batch")
    x, w = Value("x", TensorType(F32, (batch, 300))), Value("w", TensorType(F32, (512, 300)))
    y = Value("y", TensorType(F32, (batch, 512)))
    node = Assign((y,), "linear", (x, w, None), {"activation": "relu"}, Location("model.py", 12))
    main = Function("main", (x,), {w: np.zeros((512, 300), np.float32)}, [node], (y,), (Dim("batch", 1, 1024),))
    golden("linear_program", print_program(Program({"main": main}), hashes=True))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("cell(x, t", "cell(z, t", "line 9, column 51: no value is named z"),
        ("    next h = h2 -> last: f32[batch, 8]\n", "", "line 6, column 3: a carried value of this loop has no next"),
        ("next same = same", "next same = t", None),
        ("next same = same", "next t = same", "t is not carried"),
        ("-> (last, all, y)", "-> (last, all, z)", "line 2, column 71: no value is named z"),
        ("y: f32[batch, 8] =", "h0: f32[batch, 8] =", "h0 is defined twice"),
        ("0..tokens reverse", "1..tokens reverse", "a loop starts from 0"),
        ("nested=((1, 2), (3,))", "nested=((1, 2), (3,)", "line 18, column 1: expected '\\)' but found 'func'"),
    ],
)
def test_wrong_texts(old: str, new: str, message: str | None) -> None:
    assert old in TEXT
    text = TEXT.replace(old, new)
    if message is None:
        parse_program(text)
        return
    with pytest.raises(ParseError, match=message):
        parse_program(text)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("  dims batch: 1..1024, tokens: 0..\n", "", "batch is not defined in: its params"),
        ("batch: 1..1024", "batch: 9..8", "the range is empty or negative in: batch: 9..8"),
        ("tokens: 0..", "tokens: 0.., batch: 1..", "a name stands twice in: its dims"),
        ("size=(batch + 1) * 2", "size=(n + 1) * 2", "n is not defined in: h2"),
        ("helper(last", "helper(gate", "gate has no value yet in: y"),
        ("(last, all, y)", "(last, all, g)", "g has no value yet in: its results"),
        ("h2: f32[batch, 8],", "h2: f32[batch, 9],", "the state h is "),
        ("all: f32[tokens, batch, 8]", "all: f32[3, batch, 8]", "all is f32.3, batch, 8., not f32.tokens, batch, 8."),
        ("loop u: i64[]", "loop u: f32[]", "the index is f32"),
    ],
)
def test_broken_programs(old: str, new: str, message: str) -> None:
    assert old in TEXT
    with pytest.raises(InternalError, match=message):
        verify_program(parse_program(TEXT.replace(old, new)))


def test_constants_and_inferred_types() -> None:
    program = parse_program(TEXT, {"w": np.zeros((8, 9), np.float32)})
    with pytest.raises(InternalError, match=r"the constant w is f32\[8, 8\] but holds float32\[8, 9\]"):
        verify_program(program)
    with pytest.raises(InternalError, match=r"the results are i64\[\] in: h0"):
        verify_program(parse_program(TEXT), lambda op, types, attributes: (TensorType(I64, ()),))
    with pytest.raises(InternalError, match="the entry start is no function"):
        verify_program(Program({}, "start"))


def test_sizes_may_be_written_differently() -> None:
    """batch + batch is 2 * batch, batch + 1 is not."""
    text = "func main(x: f32[batch]) -> (y)\n  dims batch: 1..8\n  y: f32[2 * batch] = concat(x, x)"
    twice = add(Var("batch"), Var("batch"))
    verify_program(parse_program(text), lambda op, types, attributes: (TensorType(F32, (twice,)),))
    with pytest.raises(InternalError, match="the results are"):
        wrong = TensorType(F32, (add(Var("batch"), 1),))
        verify_program(parse_program(text), lambda op, types, attributes: (wrong,))


def test_lists_of_states_must_pair_up() -> None:
    x, t = Value("x", TensorType(F32, ())), Value("t", TensorType(I64, ()))
    loop = Loop(t, 3, (), (x,), (), (), (), (), [])
    with pytest.raises(InternalError, match="do not pair up"):
        verify_program(Program({"main": Function("main", (x,), {}, [loop], ())}))
