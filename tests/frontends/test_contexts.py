"""Arguments that are the same for all activations become contexts of the call: same meaning, less work."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from pairing_models import MODELS as PAIRING
from passing_models import MODELS as PASSING
from passing_models import Context, H, Node, trees
from staged_run import check_text, run, same
from turning_models import MODELS as TURNING

from bough import ops
from bough.frontends.staging import stage
from bough.ir.recursion import Recursion
from bough.ir.verify_recursion import verify_recursion
from bough.recursion import with_contexts

MODELS = {**PASSING, **PAIRING, **TURNING}
SAME = ("Context", "Question", "Closure")
"""Models with something that is the same everywhere."""


def products(recursion: Recursion, function: str) -> int:
    """How many products the cells of a function make."""
    cells = [cell for (f, _), cell in recursion.cells.items() if f == function]
    return sum(getattr(node, "op", "") == "linear" for cell in cells for node in cell.function.body)


@pytest.mark.parametrize("name", MODELS)
def test_the_meaning_stays(name: str) -> None:
    torch.manual_seed(0)
    make, examples = MODELS[name]
    model = make().eval().requires_grad_(False)
    staged = stage(model, examples()[0])
    recursion = with_contexts(staged.recursion)
    verify_recursion(recursion, ops.infer)
    check_text(recursion)
    assert name not in SAME or sum(map(len, recursion.arguments.values())) == 0
    for args in examples():
        same(run(replace(staged, recursion=recursion), *args), model(*args))


class Projected(Context):
    """The context is projected at every node, one of two ways; the projections are of no object."""

    def node(self, node: Node, context: torch.Tensor) -> torch.Tensor:
        h = self.words(torch.tensor(node.word)) + torch.relu(self.around(context))
        if not node.children:
            return h * torch.sigmoid(self.around(context))
        return torch.tanh(h + torch.stack([self.node(c, context) for c in node.children]).sum(0))


def test_products_of_joined_vectors_are_taken_apart() -> None:
    recursion = with_contexts(stage(Context().eval(), (trees()[0], torch.zeros(H))).recursion)
    assert products(recursion, "entry") == 1


def test_what_depends_on_contexts_alone_is_computed_once() -> None:
    staged = stage(Projected().eval(), (trees()[0], torch.zeros(H)))
    recursion = with_contexts(staged.recursion)
    assert products(staged.recursion, "node") == 3 and products(recursion, "node") == 0
    assert products(recursion, "entry") == 1
    assert not any(v.repeats for v in recursion.visits.function("node").variants)
