"""What random programs have found, made small: each gives what eager gives, on every way through it."""

from __future__ import annotations

from textwrap import dedent

import pytest
import torch
from random_programs import Case, judge, native

HEAD = """
from collections import defaultdict
import torch
from torch import nn


class Box:
    def __init__(self, value):
        self.value = value


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(2))
        self.depth, self.limit = 2, 0.25
"""
X = torch.tensor([0.5, -1.0, 2.0, 0.25])
INPUTS = (X, -X, X * 0, X.flip(0), X.roll(1) - 0.5)

FOUND = {
    "a_dictionary_that_gets_keys_in_a_loop": """
        def forward(self, x):
            state = {"h": x, "n": 0}
            while state["n"] < 4:
                state["n"] += 1
                state["h"] = torch.tanh(self.first(state["h"]))
                if state["h"].abs().max() < 0.6:
                    break
                state.update(last=state["h"])
            return {**state, "keys": len(state)}
    """,
    "a_list_that_is_stacked_along_another_axis_is_dense": """
        def forward(self, x):
            found = [x]
            while x.abs().max() > 0.6 and len(found) < 5:
                x = torch.tanh(self.first(x))
                found.append(x)
            y = torch.stack(found, 1)
            return y.view(2, -1), y.view(-1).sum(), y @ y.t()
    """,
    "keys_that_one_side_adds": """
        def forward(self, x):
            table = {"a": x}
            if x.sum() > 0:
                table["b"] = x + 1
            else:
                table["c"] = x - 1
            count = 0
            for key, value in table.items():
                count += len(key)
            chosen = table["b"] if "b" in table else table["c"]
            total = sum(v.sum() for v in table.values())
            return {"z": 1, **table}, count, chosen, total, [k for k, _ in table.items()], list(table), dict(table)
    """,
    "entries_that_are_made_when_they_are_read": """
        def forward(self, x):
            counts = defaultdict(int)
            for i in range(3):
                counts["up" if x[i] > 0 else "down"] += 1
                if x[i] > 1:
                    counts["far"] += 2
            return dict(counts), counts["down"], counts["none"]
    """,
    "an_attribute_that_one_side_sets": """
        def forward(self, x):
            box = Box(x)
            while box.value.norm() > 1:
                box.value = box.value * 0.5
                box.count = getattr(box, "count", 0) + 1
            if x[1] > 0:
                box.far = x[1]
            return getattr(box, "count", -1), hasattr(box, "far"), box.far if hasattr(box, "far") else box.value
    """,
    "in_place_on_what_torch_made_inside": """
        def forward(self, x):
            if x[0] > 0:
                y = self.second(x)
                y.mul_(0.5)
            else:
                y = x + 1
            return y
    """,
    "in_place_in_a_loop_on_what_torch_made_inside": """
        def forward(self, x):
            for layer in self.layers:
                x = layer(x)
            if x.argmax().item():
                for i in range(x.argmin().item() % 3):
                    x[int(x[0].item()) % 4] += -0.5
            return x
    """,
    "results_of_several_kinds": """
        def forward(self, x):
            if x[2] >= 1:
                return x, [x]
            return int(x.sum()), [x, x + 1]
    """,
    "tolist_sum": """
        def forward(self, x):
            return min(sum(x.tolist()), x[0].item(), max(x.tolist()))
    """,
    "in_place_on_a_row_at_a_computed_position": """
        def forward(self, x):
            m = torch.stack([x, x + 1, x * 2])
            if x[0] > 0:
                m[x[:3].argmax()].mul_(0.5)
                m[int(x.argmin()) % 3][1:] += 1.0
            m[x[:3].argmin()][x.argmax()] += 3.0
            m[x[:3].argmin()] += x
            m[x[:3].argmin()] = m[x[:3].argmax()]
            rows = [x * 1, x * 2]
            rows[x.argmax().item() % 2].add_(7.0)
            return m, rows
    """,
    "a_dictionary_changed_on_one_side_and_replaced_on_the_other": """
        def forward(self, x):
            table, items = {"a": x, "b": 1}, [x]
            if x.argmax():
                table, items = 1, None
            else:
                table["a"] = torch.stack([x, x])
                items.append(x + 1)
            return table, items
    """,
    "written_in_place_and_returned_in_a_list": """
        def forward(self, x):
            x = x.clone()
            if int(x[:3].argmax()) > 1:
                return [torch.relu(x)], []
            x[int((x > 0.62).any())] = 5.0
            return [x], []
    """,
    "written_in_place_in_a_list_of_two_lengths": """
        def forward(self, x):
            x, rows = x.clone(), []
            if x[0] > 0:
                x.add_(1.0)
                rows.append(x)
            return sum(rows, x * 0), x
    """,
    "a_changed_list_inside_another": """
        def forward(self, x):
            inner = [x]
            if x[0] > 0:
                inner.append(x * 2)
                made = [inner]
            else:
                made = [[x]]
            return made
    """,
    "an_object_that_one_side_changes_and_returns": """
        def forward(self, x):
            box, other = Box(x), Box(x + 1)
            if x[0] > 0:
                box.value, kept = x * 2, box
            else:
                other.value, kept = x * 3, other
            return kept.value, box.value, other.value
    """,
    "numbers_returned_without_a_branch": """
        def forward(self, x):
            return x.argmax().item() % 3, abs(int(x[0] * 3)) % 2, x.sum().item()
    """,
    "break_and_continue_in_the_else_of_a_loop_inside": """
        def forward(self, x):
            total, s = 0, x * 1
            for i in range(4):
                s = s + 1
                j = 0
                while j < int(x[3].abs() * 8) % 4:
                    j += 1
                    if x[0] > 0 and j == 2:
                        total += 10
                        break
                    s = s * 2
                else:
                    if x[1] > 0:
                        continue
                    total += 1
                    if x[2] > 0:
                        break
                    s = s - 5
                total += 100
            else:
                total = -total
            return total, s
    """,
    "what_only_the_else_of_a_loop_needs": """
        def forward(self, x):
            scale, k = x[1].item(), int(bool(x[1] <= 0.22))
            for i in range(3):
                k = (k + i * k) % 7
                if k:
                    scale = scale * 2
                    return x, k
            else:
                return x + scale, k
            return x, k
    """,
    "what_only_the_else_of_a_computed_loop_needs": """
        def forward(self, x):
            scale, k = x[1].item(), 0
            while k < int(x[2].abs() * 2):
                k = k + 1
                if x[k] > 1:
                    scale = scale * 2
                    break
            else:
                x = x + scale
            return x, k
    """,
}


@pytest.mark.parametrize("name", FOUND)
def test_found(name: str) -> None:
    body = "\n".join("    " + line for line in dedent(FOUND[name]).splitlines())
    verdict = judge(Case(HEAD + body, tuple((x.clone(),) for x in INPUTS)), native)
    assert verdict.kind == "equal", verdict
