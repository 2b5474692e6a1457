"""The native linearizer of given visits: LLVM text that is compiled into the object of the function that needs it.

What it has to give is defined by `bough.runtime.linearize`; how it is called, by `bough.runtime.linearizer`.
"""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir

from bough.base.visits import Visits
from bough.codegen.walk_arrange import emit_arrange
from bough.codegen.walk_discover import emit_discover
from bough.codegen.walk_tensors import emit_tensors
from bough.codegen.walk_words import Words
from bough.runtime.walker_layout import VARIANT_BITS, Layout


def emit_walk(visits: Visits, arrays: Sequence[str], sizes: Sequence[str]) -> str:
    """LLVM text of `i64 bough_walk(i64 frame)` and `i64 bough_walk_arrange(i64 frame)`, which do one after the other, or the
    second half alone, and of `bough_walk_tensors`. They give the arrays and sizes of these names, in this order. Empty for
    what the reference linearizer serves: more variants than fit a record's header, and functions of several objects."""
    layout = Layout(visits)
    if len(layout.variants) >= 1 << VARIANT_BITS or any(c.parts for v in layout.variants for c in v.variant.calls):
        return ""
    module = ir.Module("bough_walk", context=ir.Context())
    discover = emit_discover(module, layout)
    arrange = emit_arrange(module, layout, arrays, sizes)
    walk = Words(module, "bough_walk", ("frame",), internal=False)
    walk.check(walk.call(discover, walk.frame))
    walk.end(walk.call(arrange, walk.frame))
    if any(p.shape for slots in layout.variants for p in slots.variant.payloads):
        emit_tensors(module)
    return str(module)


def emit_reader() -> str:
    """LLVM text of `bough_walk_tensors` alone, for functions of many samples, which are tensors."""
    module = ir.Module("bough_walk", context=ir.Context())
    emit_tensors(module)
    return str(module)
