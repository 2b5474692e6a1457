"""What sums read along the next vectors, fetched while the rows of these run: each tile of rows fetches a part of it.

    for vectors
      for rows
        for block of the sum
          fetch a part of w.pack[vectors + 1, ...]
          ...
"""

from __future__ import annotations

from math import prod

from bough.ir import loops
from bough.ir.expr import (
    Const,
    Expr,
    Load,
    Var,
    add,
    apply,
    as_expr,
    ceildiv,
    floordiv,
    loads,
    minimum,
    mod,
    mul,
    select,
    sub,
    substitute,
    variables,
)
from bough.ir.kernel import Reduce
from bough.schedule.epilogue import Epilogues, Stmts

LINE = 64
"""Bytes that are fetched at once."""


class Ahead(Epilogues):
    """The part of a register tile that looks ahead."""

    def fetches(self, group: list[tuple[str, Reduce]], blocks: int) -> tuple[Stmts, Stmts]:
        """Statements in front of the blocks of a group of sums, and in each of them, whose number is `sumblock`."""
        ahead = self.schedule.ahead
        if ahead is None or self.row is None or self.vector is None:
            return (), ()
        before: list[loops.Stmt] = []
        inside: list[loops.Stmt] = []
        tiles: Expr = Var(f"{self.row}.tiles")
        if not self.even:
            tiles = ceildiv(as_expr(self.extents[self.row]), self.tile(self.row))
        number = add(mul(Var(f"{self.row}.tile"), blocks), Var("sumblock"))
        start = self.point(Const(0), Const(0), dict.fromkeys(self.kernel.reduced, Const(0)))
        following = {f"{self.vector.axis}.tile": self.next_vectors()}
        read = (load for _, reduce in group for load in loads(substitute(reduce.body, self.locals)))
        for n, load in enumerate(dict.fromkeys(read)):
            size, place = self.along_vectors(load), self.at(load, start)
            if not size or not isinstance(place, Load):
                continue
            width, line, share = self.kernel.operands[load.source].dtype.bytes, Var("fetch.line"), Var(f"share{n}.{group[0][0]}")
            lines = -(-size * width // LINE)
            before.append(loops.Let(share.name, add(floordiv(lines - 1, mul(tiles, blocks)), 1)))
            first = mul(number, share)
            at = add(substitute(place.index[0], following), mul(line, LINE // width))
            fetch = loops.Fetch(load.source, (at,))
            inside.append(loops.For(line.name, first, minimum(add(first, share), lines), (fetch,)))
        enough = apply("ge", tiles, Const(ahead.least))
        return tuple(before), (loops.If(enough, tuple(inside)),) if inside else ()

    def along_vectors(self, load: Load) -> int:
        """How many elements that all rows share lie side by side for each tile of vectors, as of what is packed; 0 where they
        do not."""
        assert self.vector is not None
        tile = floordiv(Var(self.vector.axis), self.tile(self.vector.axis))
        if load.index.count(tile) != 1 or any(self.row in variables(i) for i in load.index):
            return 0
        inner = self.shapes[load.source][load.index.index(tile) + 1 :]
        sizes = [e for e in inner if isinstance(e, int)]
        return prod(sizes) if len(sizes) == len(inner) else 0

    def next_vectors(self) -> Expr:
        """The tile of vectors that the thread comes to next; where its chunks run backwards, the chunk before has it."""
        assert self.vector is not None
        axis, serpentine = self.vector.axis, self.schedule.serpentine
        here, block, per = Var(f"{axis}.tile"), Var(f"{axis}.block"), self.schedule.block(axis)
        if serpentine is None:
            return add(here, 1)
        end = minimum(mul(add(block, 1), per), ceildiv(as_expr(self.extents[axis]), self.tile(axis)))
        odd = apply("eq", mod(Var(serpentine.loop), 2), Const(1))
        last = apply("ge", add(here, 1), end)
        return select(apply("and", odd, last), mul(sub(block, 1), per), add(here, 1))
