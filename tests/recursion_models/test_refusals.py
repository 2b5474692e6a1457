"""What cannot be compiled, and structures that a compiled model does not take: clear errors at the line or the object."""

from __future__ import annotations

import inspect
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from binary_models import Additive, Span
from bushy_models import Cons, EveryScore, MaxPooled, Recurrent, Tag, tags
from graph_models import Forgetful, Step
from held_out import WIDTH
from refused_models import REFUSED
from torch import nn

import bough


@pytest.mark.parametrize("name", REFUSED)
def test_refused_at_the_line(name: str) -> None:
    cls, code = REFUSED[name]
    lines, first = inspect.getsourcelines(cls)
    line = first + next(n for n, text in enumerate(lines) if text.rstrip().endswith("# here"))
    with pytest.raises(bough.CompileError) as refusal:
        bough.compile(cls().eval().requires_grad_(False), (tags(Random(4), 12),), threads=1, cache=False)
    error = refusal.value
    assert error.code == code, error
    assert error.location is not None and (Path(error.location.file).name, error.location.line) == ("refused_models.py", line), (
        error
    )
    assert error.because


def compiled(model: nn.Module, example: Any) -> bough.Compiled:
    return bough.compile(model.eval().requires_grad_(False), (example,), threads=1, cache=False)


def refusal(function: bough.Compiled, *args: Any) -> tuple[str, str]:
    with pytest.raises(bough.InputError) as refused:
        function(*args)
    return refused.value.code, str(refused.value)


def test_a_circle_in_a_graph() -> None:
    last = Step((0.5, 0.5))
    root = Step((0.1, 0.2), [Step((0.3, 0.4), [last]), last])
    function = compiled(Forgetful(), root)
    last.needs.append(root.needs[0])
    code, text = refusal(function, root)
    assert code == "BGH-ST-003" and "needs[0]" in text and "graph_models.py" in text


def leaf() -> Span:
    return Span(torch.ones(WIDTH))


@pytest.mark.parametrize(
    ("spoiled", "code", "said"),
    [
        (lambda: Span(None, leaf(), None), "BGH-ST-005", "right"),
        (lambda: None, "BGH-ST-005", "None"),
        (lambda: Span(None, leaf(), Span(torch.ones(WIDTH + 1))), "BGH-ST-004", "vector"),
        (lambda: Span(None, leaf(), Span(torch.ones(WIDTH, dtype=torch.float64))), "BGH-ST-004", "vector"),
        (lambda: Span(None, leaf(), Span("word")), "BGH-ST-004", "vector"),  # type: ignore[arg-type]
        (lambda: Span(None, leaf(), Tag(1, 0.5)), "BGH-ST-005", "Tag"),  # type: ignore[arg-type]
    ],
)
def test_objects_that_are_no_such_tree(spoiled: Any, code: str, said: str) -> None:
    example = Span(None, leaf(), Span(None, leaf(), leaf()))
    given, text = refusal(compiled(Additive(), example), spoiled())
    assert given == code and said in text, text


def test_an_empty_list_that_needs_an_element() -> None:
    class Pooled(MaxPooled):
        def forward(self, tag: Tag) -> torch.Tensor:
            if tag.name == 0:
                return self.own(tag)
            return torch.stack([self(item) for item in tag.items]).amax(0)

    function = compiled(Pooled(), grown(Tag(3, 0.5), Tag(0, 1.0), Tag(0, 2.0)))
    code, text = refusal(function, grown(Tag(3, 0.5), Tag(0, 1.0), Tag(2, 2.0)))
    assert code == "BGH-ST-005" and "empty" in text and "items[1]" in text, text


def grown(root: Tag, *items: Tag) -> Tag:
    for item in items:
        root.add(item)
    return root


def test_map_of_nothing_and_of_a_single_node() -> None:
    model = EveryScore().eval()
    function = compiled(model, tags(Random(0), 9))
    assert function.map([]) == []
    ((scores, state),) = function.map([Tag(1, 0.5)])
    assert scores.shape == (1, 4) and state.shape == (WIDTH,)


def test_a_chain_that_python_cannot_recurse_over() -> None:
    model = Recurrent().eval()
    function = compiled(model, Cons(1, Cons(2, None)))
    draw = np.random.default_rng(0)
    heads = draw.integers(0, 8, 100_000).tolist()
    chain, state = None, model.start
    with torch.no_grad():
        for head in heads:
            chain = Cons(head, chain)
        for head in heads[-400:]:  # the gates forget what is further away
            state = model.cell(model.words.weight[head][None], state)
    assert chain is not None
    torch.testing.assert_close(function(chain), state[0], rtol=1e-4, atol=1e-5)
    while chain is not None:  # freed one by one: Python's own deallocation recurses
        chain = chain.tail
