"""Quotients leave the sums of a chain: what a sum does not run over divides the sum, and not each of its terms.

    p[t, s] = powers[t, s] / sum[t]
    y[t, v] = sum(s) p[t, s] * w[s, v]   ->   y[t, v] = (sum(s) powers[t, s] * w[s, v]) / sum[t]

The results differ by roundings.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from bough.graph_passes.absorb import rebuilt
from bough.graph_passes.chains import Chain
from bough.ir.expr import Apply, Const, Expr, Load, Var, loads, substitute, variables
from bough.ir.kernel import Kernel, Let, Reduce, Statement
from bough.ir.sequence import expressions, map_loads


@dataclass(frozen=True, slots=True)
class _Quotient:
    """What a kernel stores: each element of another array by what its row has."""

    array: str
    top: str
    bottom: Expr
    by: Kernel


def divide_sums(chain: Chain) -> Chain:
    """The chain without those quotients that only sums read."""
    kernels = list(chain.kernels)
    for n in reversed(range(len(kernels))):
        quotient = _quotient(kernels[n], chain)
        if quotient is None:
            continue
        readers = [m for m, k in enumerate(kernels) if quotient.array in {i.name for i in k.inputs}]
        if readers and all(m > n and _only_in_sums(kernels[m], quotient.array) for m in readers):
            for m in readers:
                kernels[m] = _divided(kernels[m], quotient)
            del kernels[n]
    return replace(chain, kernels=tuple(kernels))


def _quotient(kernel: Kernel, chain: Chain) -> _Quotient | None:
    if len(kernel.body) != 1 or not kernel.stores or kernel.stores[0].target not in chain.private:
        return None
    (store,) = kernel.stores
    if not isinstance(store.value, Apply) or store.value.function != "div":
        return None
    top, bottom = store.value.args
    ones: dict[str, Expr] = {a.name: Const(0) for a in kernel.axes if a.extent == 1}
    bottom = substitute(bottom, ones)
    if not isinstance(top, Load) or top.index != store.index or top.source not in chain.private:
        return None
    return None if variables(bottom) - {*chain.rows} else _Quotient(store.target, top.source, bottom, kernel)


def _only_in_sums(kernel: Kernel, array: str) -> bool:
    """Whether a kernel has elements of an array as factors of the terms of sums, one in each term, and nowhere else."""
    for s in kernel.body:
        found = sum(x.source == array for e in expressions(s) for x in loads(e))
        if not found:
            continue
        if found > 1 or not isinstance(s, Let) or not isinstance(s.value, Reduce) or s.value.op != "sum":
            return False
        e = s.value.body
        factors = e.args if isinstance(e, Apply) and e.function == "mul" else (e,)
        if not any(isinstance(f, Load) and f.source == array for f in factors):
            return False
    return True


def _divided(kernel: Kernel, q: _Quotient) -> Kernel:
    body: list[Statement] = []
    for s in kernel.body:
        if isinstance(s, Let) and isinstance(s.value, Reduce) and any(x.source == q.array for x in loads(s.value.body)):
            terms = map_loads(s.value.body, lambda x: Load(q.top, x.index, x.dtype) if x.source == q.array else x)
            whole = Var(f"{s.name}.whole", s.dtype)
            body += [Let(whole.name, replace(s.value, body=terms)), Let(s.name, Apply("div", (whole, q.bottom), s.dtype))]
        else:
            body.append(s)
    return rebuilt(kernel, kernel.axes, tuple(body), {**kernel.operands, **q.by.operands})
