"""What cannot be staged is refused at the user's line; objects that the model does not take, when it is called."""

from __future__ import annotations

import linecache
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bough import ops
from bough.base.errors import CompileError, InputError
from bough.frontends.staging import stage
from bough.ir.interpret_recursion import interpret_recursion
from bough.recursion import lower_recursion

H = 4


@dataclass
class Node:
    value: float = 1.0
    left: Any = None
    right: Any = None
    children: list[Any] = field(default_factory=list)


TREE = Node(0.5, Node(1.0, Node(), Node()), Node(2.0))
BUSH = Node(children=[Node(children=[Node() for _ in range(9)]), Node()])


class Base(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(H, H)
        self.count = 0
        self.seen: dict[str, int] = {}

    def start(self, n: Node) -> Tensor:
        return self.layer.bias * n.value


def refused(model: nn.Module, example: Any, code: str, line: str) -> CompileError:
    """The error, after a look at its code and at the line of source it names."""
    with pytest.raises(CompileError) as caught:
        stage(model.eval(), (example,))
    error = caught.value
    assert error.location is not None
    assert (error.code, linecache.getline(error.location.file, error.location.line).strip()) == (code, line), str(error)
    assert error.because and error.what
    return error


def test_a_condition_on_several_elements() -> None:
    class Model(Base):
        def forward(self, n: Node) -> Tensor:
            if n.left is None:
                return self.start(n)
            h = self(n.left)
            if h.sum() > 0:
                h = h + self(n.right)
            while h > 0:
                h = h - 1
            return h

    refused(Model(), TREE, "BGH-CTRL-001", "while h > 0:")


def test_a_list_that_a_computed_value_decides_about() -> None:
    class Model(Base):
        def forward(self, n: Node) -> list[Tensor]:
            out: list[Tensor] = []
            self.fill(n, out)
            return out

        def fill(self, n: Node, out: list[Tensor]) -> None:
            h = self.start(n)
            if h.sum() > 0:
                out.append(h)
            if n.left is not None:
                self.fill(n.left, out)

    refused(Model(), TREE, "BGH-MUT-001", "out.append(h)")


def test_a_state_goes_down_that_a_branch_has_chosen() -> None:
    class Model(Base):
        def forward(self, n: Node) -> Tensor:
            return self.down(n, torch.zeros(H))

        def down(self, n: Node, h: Tensor) -> Tensor:
            h = self.layer(h) + n.value
            if n.left is None or h.sum() > 3:
                return h
            if h.mean() > 0:
                k = h + 1
                while k.sum() > 1:
                    k = k / 2
                return self.down(n.left, k)
            return h

    with pytest.raises(CompileError, match="used outside of the branch"):
        stage(Model().eval(), (TREE,))


def test_a_child_chosen_by_a_computed_value() -> None:
    class Model(Base):
        def forward(self, n: Node) -> Tensor:
            h = self.start(n)
            if len(n.children) > 0:
                best = torch.stack([self(c) for c in n.children]).sum(1).argmax()
                h = h + self(n.children[int(best)])
            return h

    with pytest.raises(CompileError) as caught:
        stage(Model().eval(), (BUSH,))
    assert caught.value.code in ("BGH-CTRL-001", "BGH-REC-002")
    assert caught.value.location is not None and "int(best)" in caught.value.location.text


def test_recursion_without_an_end() -> None:
    class Model(Base):
        def forward(self, n: Node) -> Tensor:
            return self(n) + 1

    refused(Model(), TREE, "BGH-REC-003", "return self(n) + 1")


def test_a_result_of_another_shape() -> None:
    class Model(Base):
        def forward(self, n: Node) -> Tensor:
            if n.left is None:
                return self.start(n)
            return torch.stack([self(n.left), self(n.right)])

    error = refused(Model(), TREE, "BGH-REC-004", "return torch.stack([self(n.left), self(n.right)])")
    assert "float32[4]" in error.what and "float32[2, 4]" in error.what


def test_a_result_as_long_as_a_list() -> None:
    class Model(Base):
        def forward(self, n: Node) -> Tensor:
            return self.pooled(n)

        def pooled(self, n: Node) -> Tensor:
            if not n.children:
                return self.start(n)
            return torch.stack([self.pooled(c) for c in n.children])

    with pytest.raises(CompileError):
        stage(Model().eval(), (BUSH,))


def test_a_state_goes_along_from_left_to_right() -> None:
    class Model(Base):
        def forward(self, n: Node) -> Tensor:
            return self.along(n, torch.zeros(H))

        def along(self, n: Node, h: Tensor) -> Tensor:
            h = torch.tanh(self.layer(h)) + n.value
            return h if n.left is None else self.along(n.right, self.along(n.left, h))

    recursion = stage(Model().eval(), (TREE,)).recursion
    with pytest.raises(CompileError, match=r"BGH-REC-007.*`along` passes down"):
        lower_recursion(recursion)


def test_a_memo_beside_a_state_that_goes_down() -> None:
    class Model(Base):
        def forward(self, n: Node) -> Tensor:
            return self.down(n, torch.zeros(H), {})

        def down(self, n: Node, h: Tensor, memo: dict[int, Tensor]) -> Tensor:
            if id(n) not in memo:
                memo[id(n)] = h if n.left is None else self.down(n.left, h + 1, memo) + self.down(n.right, h, memo)
            return memo[id(n)]

    refused(Model(), TREE, "BGH-REC-001", "def down(self, n: Node, h: Tensor, memo: dict[int, Tensor]) -> Tensor:")


def test_what_came_down_is_changed_in_place() -> None:
    class Model(Base):
        def forward(self, n: Node) -> Tensor:
            return self.down(n, torch.zeros(H))

        def down(self, n: Node, h: Tensor) -> Tensor:
            h += n.value
            return h if n.left is None else self.down(n.left, h) + self.down(n.right, h)

    with pytest.raises(CompileError, match="BGH-MUT-001"):
        stage(Model().eval(), (TREE,))


def test_a_list_takes_more_behind_its_use() -> None:
    class Model(Base):
        def forward(self, n: Node) -> list[Tensor]:
            out: list[Tensor] = []
            self.fill(n, out)
            out.append(torch.stack(out).sum(0))
            return out

        def fill(self, n: Node, out: list[Tensor]) -> None:
            out.append(self.start(n))
            if n.left is not None:
                self.fill(n.left, out)

    with pytest.raises(CompileError, match="BGH-REC-001"):
        stage(Model().eval(), (TREE,))


def test_rows_of_a_list_go_down() -> None:
    class Model(Base):
        def forward(self, n: Node) -> Tensor:
            return self.down(n, torch.zeros(1, H))

        def down(self, n: Node, h: Tensor) -> Tensor:
            if not n.children:
                return h.sum(0)
            below = torch.stack([torch.tensor(c.value) for c in n.children])[:, None]
            return torch.stack([self.down(c, below + h) for c in n.children]).sum(0)

    refused(Model(), BUSH, "BGH-REC-001", "return torch.stack([self.down(c, below + h) for c in n.children]).sum(0)")


def test_no_object_at_all() -> None:
    class Model(Base):
        def forward(self, n: Node) -> Tensor:
            return self.start(n) * self.power(torch.zeros(H), 3)

        def power(self, h: Tensor, times: int) -> Tensor:
            return h if times == 0 else self.power(self.layer(h), times - 1)

    stage(Model().eval(), (TREE,))


def test_a_loop_over_linked_objects() -> None:
    class Model(Base):
        def forward(self, n: Node) -> Tensor:
            h = self.start(n)
            while n.left is not None:
                n = n.left
                h = self.layer(h)
            return h

    refused(Model(), TREE, "BGH-REC-005", "while n.left is not None:")


STATEMENTS: dict[str, Callable[[], nn.Module]] = {}


def statement(line: str) -> Callable[[type[nn.Module]], type[nn.Module]]:
    def enter(cls: type[nn.Module]) -> type[nn.Module]:
        STATEMENTS[line] = cls
        return cls

    return enter


@statement("try:")
class _Try(Base):
    def forward(self, n: Node) -> Tensor:
        try:
            return self.start(n) + self(n.left)
        except AttributeError:
            return self.start(n)


@statement("self.count += 1")
class _Count(Base):
    def forward(self, n: Node) -> Tensor:
        self.count += 1
        return self.start(n) if n.left is None else self(n.left) + self(n.right)


@statement('self.seen["x"] = 1')
class _Store(Base):
    def forward(self, n: Node) -> Tensor:
        self.seen["x"] = 1
        return self.start(n) if n.left is None else self(n.left) + self(n.right)


@statement("n.state = self.start(n)")
class _OnNode(Base):
    def forward(self, n: Node) -> Tensor:
        n.state = self.start(n)
        return n.state if n.left is None else self(n.left) + n.state


@statement("nonlocal total")
class _Nonlocal(Base):
    def forward(self, n: Node) -> Tensor:
        total = 0

        def visit(m: Node) -> Tensor:
            nonlocal total
            total += 1
            return self.start(m) if m.left is None else visit(m.left) + visit(m.right)

        return visit(n) * total


@statement("yield self.start(n)")
class _Yield(Base):
    def forward(self, n: Node) -> Tensor:
        return sum(self.states(n))

    def states(self, n: Node) -> Any:
        yield self.start(n)
        if n.left is not None:
            yield from self.states(n.left)


@statement("if n.value < n.left.value:")
class _Compared(Base):
    def forward(self, n: Node) -> Tensor:
        if n.left is None:
            return self.start(n)
        if n.value < n.left.value:
            return self(n.left)
        return self(n.right)


@statement("return torch.zeros(n.value)")
class _Size(Base):
    def forward(self, n: Node) -> Tensor:
        if n.left is None:
            return torch.zeros(n.value)
        return self(n.left) + self(n.right)


@statement("return memo")
class _Memo(Base):
    def forward(self, n: Node) -> Any:
        memo: dict[int, Tensor] = {}
        self.fill(n, memo)
        return memo

    def fill(self, n: Node, memo: dict[int, Tensor]) -> Tensor:
        h = self.start(n) if n.left is None else self.fill(n.left, memo) + self.fill(n.right, memo)
        memo[id(n)] = h
        return h


@statement("self.fill(n.left, out)")
class _Filled(Base):
    def forward(self, n: Node) -> Tensor:
        out: list[Tensor] = []
        self.fill(n, out)
        total = torch.stack(out).sum()
        if n.left is not None:
            self.fill(n.left, out)
        return total

    def fill(self, n: Node, out: list[Tensor]) -> Tensor:
        h = self.start(n) if n.left is None else self.fill(n.left, out) + self.fill(n.right, out)
        out.append(h)
        return h


@pytest.mark.parametrize("line", STATEMENTS)
def test_statements(line: str) -> None:
    model = STATEMENTS[line]()
    before = dict(vars(model))
    with pytest.raises(CompileError) as caught:
        stage(model.eval(), (TREE,))
    error = caught.value
    assert error.location is not None and error.location.text == line, str(error)
    assert {k: v for k, v in vars(model).items() if k != "training"} == {k: v for k, v in before.items() if k != "training"}


def test_long_lists_are_not_unrolled() -> None:
    class Model(Base):
        def forward(self, n: Node) -> Tensor:
            rows = self.start(n)[None]
            for c in n.children:
                rows = torch.cat([rows, torch.tanh(self.layer(rows[-1:])) + self(c)])
            return rows.sum(0)

    refused(Model(), BUSH, "BGH-REC-001", "for c in n.children:")


def test_an_element_after_the_loop() -> None:
    class Model(Base):
        def forward(self, n: Node) -> Tensor:
            h = self.start(n)
            for c in n.children:
                last = self(c)
            return h if not n.children else h + last

    refused(Model(), BUSH, "BGH-REC-001", "return h if not n.children else h + last")


def test_payloads_of_two_shapes() -> None:
    @dataclass
    class Leaf:
        x: Tensor
        rest: Any = None

    class Model(Base):
        def forward(self, n: Any) -> Tensor:
            return n.x.sum() if n.rest is None else n.x.sum() + self(n.rest)

    with pytest.raises(CompileError, match=r"differ|shape"):
        stage(Model().eval(), (Leaf(torch.ones(3), Leaf(torch.ones(4), Leaf(torch.ones(3)))),))


def call(model: nn.Module, example: Any, value: Any) -> Any:
    return interpret_recursion(stage(model.eval(), (example,)).recursion, (value,), ops.evaluate)


def test_raise_and_assert_refuse_objects() -> None:
    class Model(Base):
        def forward(self, n: Node) -> Tensor:
            assert n.value >= 0, f"negative: {n.value}"
            if n.left is None:
                return self.start(n)
            if n.right is None:
                raise ValueError("only one child")
            return self(n.left) + self(n.right)

    assert len(call(Model(), TREE, TREE)) == 1
    with pytest.raises(InputError, match="only one child") as caught:
        call(Model(), TREE, Node(1.0, Node()))
    assert caught.value.location is not None and caught.value.location.text.startswith("raise ValueError")
    with pytest.raises(InputError, match="negative"):
        call(Model(), TREE, Node(-1.0))


def test_a_longer_list_than_in_the_example() -> None:
    class Model(Base):
        def forward(self, n: Node) -> Tensor:
            rows = self.start(n)[None]
            for c in n.children:
                rows = torch.cat([rows, torch.tanh(self.layer(rows[-1:])) + self(c)])
            return rows.sum(0)

    small = Node(children=[Node(), Node(2.0)])
    got, wanted = call(Model(), small, small)[0], None
    assert got.shape == (H,) and wanted is None
    with pytest.raises(InputError, match="more than 2 elements"):
        call(Model(), small, Node(children=[Node()] * 3))


def test_a_number_of_the_call_is_fixed() -> None:
    class Model(Base):
        def forward(self, n: Node, scale: int) -> Tensor:
            return self.sum(n) * scale

        def sum(self, n: Node) -> Tensor:
            return self.start(n) if n.left is None else self.sum(n.left) + self.sum(n.right)

    model = Model().eval()
    staged = stage(model, (TREE, 3))
    (got,) = interpret_recursion(staged.recursion, (TREE, 3), ops.evaluate)
    np.testing.assert_allclose(got, model(TREE, 3).detach().numpy(), rtol=1e-5)
    with pytest.raises(InputError, match="3"):
        interpret_recursion(staged.recursion, (TREE, 4), ops.evaluate)


def test_keywords_are_arguments_by_name() -> None:
    class Model(Base):
        def forward(self, n: Node, extra: Tensor | None = None) -> Tensor:
            return self.sum(n) + extra

        def sum(self, n: Node) -> Tensor:
            return self.start(n) if n.left is None else self.sum(n.left) + self.sum(n.right)

    staged = stage(Model().eval(), (TREE,), {"extra": torch.ones(H)})
    assert staged.names == ("n", "extra")


def test_a_ring_is_not_followed_for_ever() -> None:
    class Model(Base):
        def forward(self, n: Node) -> Tensor:
            return self.start(n) if n.left is None else self(n.left) + self.start(n)

    ring = Node(1.0)
    ring.left = ring
    with pytest.raises(InputError, match="circle"):
        call(Model(), ring, ring)
