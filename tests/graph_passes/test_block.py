"""A block of kernels knows at any time who reads and writes what."""

from __future__ import annotations

from random import Random

from bough.graph_passes.block import Block
from bough.graph_passes.effects import Effects
from bough.ir.dtypes import F32
from bough.ir.expr import Load, Var
from bough.ir.kernel import Axis, Kernel, Operand, Store


def copying(source: str, target: str, apart: tuple[str, ...] = ()) -> Kernel:
    x, y = Operand(source, F32, (4,)), Operand(target, F32, (4,))
    return Kernel("k", (Axis("i", 4),), (x,), (y,), (Store(target, (Var("i"),), Load(source, (Var("i"),), F32)),), apart=apart)


def test_agrees_with_a_list_through_random_changes() -> None:
    drawn = Random(0)
    names = "abcd"

    def kernel() -> Kernel:
        source, target = drawn.sample(names, 2)
        return copying(source, target, (source,) if drawn.random() < 0.2 else ())

    places: list[Kernel | None] = [kernel() for _ in range(8)]
    block = Block(k for k in places if k is not None)
    for _ in range(200):
        if drawn.random() < 0.5:
            at = drawn.randrange(8)
            places[at] = kernel() if drawn.random() < 0.7 else None
            block.put(at, places[at])
        else:
            start, stop = sorted(drawn.sample(range(9), 2))
            new = [kernel() for _ in range(drawn.randint(0, stop - start))]
            places[start:stop] = [*[None] * (stop - start - len(new)), *new]
            block.rewrite(start, stop, new)
        here = [k for k in places if k is not None]
        assert list(block) == here
        for n, k in enumerate(places):
            assert block.effects[n] == (Effects(set(), set()) if k is None else Effects.of(k))
        for name in names:
            reads = [n for n, k in enumerate(places) if k is not None and k.inputs[0].name == name]
            writes = [n for n, k in enumerate(places) if k is not None and k.outputs[0].name == name]
            assert block.between(block.readers, [name], 0, 8) == reads
            assert block.between(block.writers, [name], 2, 5) == [n for n in writes if 2 <= n < 5]
            assert block.is_state(name) == (len(writes) > 1 or any(name in k.apart for k in here))
