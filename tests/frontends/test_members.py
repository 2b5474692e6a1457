"""Methods, properties and kinds of what lies in a structure: objects of later classes are computed as eager code does, or refused."""

from __future__ import annotations

import abc
import enum
import numbers
import typing
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import bough
from bough.base.errors import CompileError, InputError


class Node:
    def __init__(self, value: float = 1.0, children: Any = (), op: Any = None) -> None:
        self.value, self.children, self.op = value, list(children), op

    def scaled(self) -> float:
        return self.value

    @property
    def is_leaf(self) -> bool:
        return not self.children

    def __len__(self) -> int:
        return len(self.children)


class Doubled(Node):
    def scaled(self) -> float:
        return self.value * 2


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)


def both(model: nn.Module, example: Any) -> Callable[..., None]:
    """Compares single calls and calls together with eager ones."""
    f = bough.compile(model.eval(), (example,))

    def check(*objects: Any) -> None:
        with torch.no_grad():
            expected = [model(o) for o in objects]
        for o, e in zip(objects, expected):
            torch.testing.assert_close(f(o), e)
        for _ in range(3):
            for found, e in zip(f.map(objects), expected):
                torch.testing.assert_close(found, e)
        check.compiled = f  # type: ignore[attr-defined]

    return check


def refused(f: Any, *objects: Any, code: str = "BGH-ST-010") -> None:
    for o in objects:
        for call in (f, lambda x: f.map([x, x])):
            with pytest.raises(InputError) as caught:
                call(o)
            assert caught.value.code == code


class OfObjects(Model):
    def forward(self, n: Node) -> Tensor:
        h = torch.ones(3) * n.scaled()
        if n.is_leaf:
            return h
        return torch.tanh(self.layer(h)) + sum(self(c) for c in n.children)


class OfElements(Model):
    def forward(self, n: Node) -> Tensor:
        h = torch.ones(3) * n.value
        for c in n.children:
            h = h + self.layer(self(c)) * c.scaled()
        return h


@pytest.mark.parametrize("model", [OfObjects, OfElements])
def test_methods_of_later_classes(model: type[Model]) -> None:
    example = Node(1.0, [Node(2.0), Node(0.5, [Node(3.0)])])
    check = both(model(), example)
    check(example, Node(2.0))

    class Later(Node):
        def scaled(self) -> float:
            return -self.value

    class Same(Node):
        def other(self) -> None: ...

    check(Node(1.0, [Same(2.0, [Same()])]), example)
    refused(check.compiled, Node(1.0, [Later(2.0)]), Node(1.0, [Node(1.0, [Node(), Later()])]))  # type: ignore[attr-defined]
    check(example)


def test_methods_of_classes_that_the_example_has_not() -> None:
    check = both(OfObjects(), Node(1.0, [Node(2.0)]))
    check(Node(1.0, [Doubled(2.0), Node(3.0, [Doubled()])]), Doubled())
    check = both(OfElements(), Node(1.0, [Node(2.0), Node()]))
    check(Node(1.0, [Node(2.0, [Node()])]))
    refused(check.compiled, Node(1.0, [Node(), Doubled(2.0)]))  # type: ignore[attr-defined]


def test_elements_of_one_class_and_a_method_of_another() -> None:
    class Apart:
        def value(self) -> float:
            return 3.0

    class Uses(Model):
        def forward(self, pair: Any) -> Tensor:
            apart, nodes = pair
            h = torch.ones(3) * apart.value()
            for n in nodes:
                h = h + torch.ones(3) * n.value
            return h

    both(Uses(), (Apart(), [Node(), Node()]))((Apart(), [Node(4.0), Node(), Node()]))


def test_truth_and_exact_classes_of_later_classes() -> None:
    class Asks(Model):
        def forward(self, n: Node) -> Tensor:
            h = self.layer(torch.ones(3) * n.value)
            if n:
                h = h + sum(self(c) for c in n.children)
            if type(n) is Doubled:
                h = h * 2
            return h

    example = Node(1.0, [Node(2.0), Doubled(2.0)])
    check = both(Asks(), example)
    check(example, Doubled(3.0, [Node()]))

    class True_(Node):
        def __bool__(self) -> bool:
            return False

    class Below(Doubled):
        pass

    refused(check.compiled, True_(1.0, [Node()]), Node(1.0, [Below()]))  # type: ignore[attr-defined]


def test_forests_of_later_classes() -> None:
    class Plain:
        value: float
        children: list[Any]

        @property
        def twice(self) -> float:
            return self.value * 2

    class Halves(Plain):
        @property
        def half(self) -> float:
            return self.value / 2

    class Reads(Model):
        def forward(self, n: Any) -> Tensor:
            return self.layer(torch.ones(3) * n.twice) + sum(self(c) for c in n.children)

    def forest(kind: type) -> Any:
        return bough.Forest.from_parents([-1, 0, 0, 1], value=torch.tensor([1.0, 2.0, 3.0, 4.0]), classes=kind)[0]

    check = both(Reads(), forest(Plain))
    check(forest(Plain), forest(Halves))

    class Later(Plain):
        @property
        def twice(self) -> float:
            return self.value * 3

    refused(check.compiled, forest(Later))  # type: ignore[attr-defined]


class Op(enum.Enum):
    ADD, MUL = 1, 2


class Other(enum.Enum):
    ADD, MUL = 1, 2


class Whole(enum.IntEnum):
    ADD, MUL = 1, 2


class Decides(Model):
    def __init__(self, decide: Callable[[Any], bool]) -> None:
        super().__init__()
        self.decide = decide

    def forward(self, n: Node) -> Tensor:
        h = torch.ones(3) * n.value
        for c in n.children:
            h = h + self.layer(self(c))
        return h * 2 if self.decide(n) else h


def is_sum(n: Node) -> bool:
    return n.op is Op.ADD


def equals_sum(n: Node) -> bool:
    return n.op == Op.ADD


def is_among(n: Node) -> bool:
    return n.op in (Op.MUL, None)


@pytest.mark.parametrize("decide", [is_sum, equals_sum, is_among])
def test_members_of_another_enumeration(decide: Callable[[Any], bool]) -> None:
    check = both(Decides(decide), Node(1.0, [Node(op=Op.MUL)], op=Op.ADD))
    check(Node(2.0, op=Op.MUL), Node(2.0, [Node(op=Op.MUL)], op=Op.ADD))
    refused(check.compiled, Node(op=Other.ADD), code="BGH-ST-005")  # type: ignore[attr-defined]
    check = both(Decides(decide), Node(1.0, [Node(op=Op.MUL), Node(op=Other.MUL), Node()], op=Op.ADD))
    check(*(Node(op=op) for op in (Op.ADD, Op.MUL, Other.ADD, Other.MUL, None)))


def test_what_is_the_same_and_what_is_equal() -> None:
    check = both(Decides(lambda n: n.op is True), Node(1.0, [Node(op=1), Node(op=False)], op=True))
    check(*(Node(op=op) for op in (True, False, 1, 0)))
    check = both(Decides(lambda n: n.op is Whole.ADD), Node(1.0, [Node(op=1), Node(op=Whole.MUL)], op=Whole.ADD))
    check(*(Node(op=op) for op in (Whole.ADD, Whole.MUL, 1, 2)))
    check = both(Decides(lambda n: n.op == Whole.ADD), Node(1.0, [Node(op=1), Node(op=Whole.MUL)], op=Whole.ADD))
    check(*(Node(op=op) for op in (Whole.ADD, Whole.MUL, 1, 2)))


class Sums(Model):
    def forward(self, n: Node) -> Tensor:
        return torch.ones(3) * n.value + sum(torch.tensor(c) * torch.ones(3) for c in n.op)


class SumsOfValues(Model):
    def forward(self, n: Node) -> Tensor:
        return torch.ones(3) * n.value + sum(torch.tensor(c) * torch.ones(3) for c in n.op.values())


def test_lists_and_dictionaries() -> None:
    check = both(Sums(), Node(op=[1.0, 2.0]))
    check(Node(op=[1.0]), Node(op=(1.0, 3.0)))
    refused(check.compiled, Node(op={1.0: 2.0}), code="BGH-ST-002")  # type: ignore[attr-defined]
    check = both(SumsOfValues(), Node(op={1.0: 2.0}))
    check(Node(op={3: 1.0, 4: 2.5}))
    refused(check.compiled, Node(op=[1.0]), Node(op=()), code="BGH-ST-002")  # type: ignore[attr-defined]


class Shape(abc.ABC):  # noqa: B024
    pass


@Shape.register
class Registered(Node):
    pass


class Sized(type):
    def __instancecheck__(cls, obj: object) -> bool:
        return hasattr(obj, "size")


class WithSize(metaclass=Sized):
    pass


@typing.runtime_checkable
class HasValue(typing.Protocol):
    value: float


def test_classes_that_count_as_below_others() -> None:
    check = both(Decides(lambda n: isinstance(n, Shape)), Node(1.0, [Registered(2.0), Node()]))
    check(Registered(1.0, [Node()]), Node(2.0, [Registered()]))

    class Adds(Model):
        def forward(self, n: Any) -> Tensor:
            if isinstance(n, numbers.Number):
                return torch.full((3,), float(n))  # type: ignore[arg-type]
            return self.layer(sum(self(c) for c in n))

    both(Adds(), [1, 2.5, [3]])([1, [2, [2.5]], 3], [4.5])


@pytest.mark.parametrize("kind", [WithSize, HasValue])
def test_classes_that_decide_themselves(kind: type) -> None:
    with pytest.raises(CompileError, match="decides itself"):
        bough.compile(Decides(lambda n: isinstance(n, kind)).eval(), (Node(1.0, [Node()]),))


def test_an_example_that_is_refused_itself() -> None:
    class Twice(Model):
        def up(self, n: Node, memo: dict[Any, Tensor]) -> Tensor:
            memo[n] = h = self.layer(torch.ones(3) * n.value) + sum(self.up(c, memo) for c in n.children)
            return h

        def down(self, n: Node, memo: dict[Any, Tensor]) -> Tensor:
            return memo[n] + sum(self.down(c, memo) for c in n.children)

        def forward(self, n: Node) -> Tensor:
            memo: dict[Any, Tensor] = {}
            self.up(n, memo)
            return self.down(n, memo)

    with pytest.raises(CompileError):
        bough.compile(Twice().eval(), (Node(1.0, [Node()]),))


def test_saved_functions_refuse_the_same(tmp_path: Any) -> None:
    example = Node(1.0, [Node(2.0)])
    for model in (OfObjects(), OfElements()):
        compiled = bough.compile(model.eval(), (example,))
        compiled.save(tmp_path / "model.bough")
        loaded = bough.load(tmp_path / "model.bough")

        class Later(Node):
            def scaled(self) -> float:
                return -self.value

        torch.testing.assert_close(loaded(example), compiled(example))
        refused(loaded, Node(1.0, [Later(2.0)]))
