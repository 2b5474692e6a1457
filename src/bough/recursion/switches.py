"""What the lowering of recursion does, each on or off, so that the worth of each can be measured."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Switches:
    """Results do not depend on these, speed does."""

    batching: bool = True
    """All activations of a variant in a level at once; else one after the other."""
    leaf_specialization: bool = True
    """What needs no result of its own stage is computed for all activations before the levels; else in level 0."""
    hoisting: bool = True
    """Sums over payloads alone are computed for all activations before the levels, what depends on no object once; else in
    each level."""
    tabulation: bool = True
    """Products of rows of constant tables, such as embeddings of words, are made for all rows when compiling; else for each
    activation."""
    sinking: bool = True
    """What no other activation needs, as a classifier at each node, is computed for all activations after the levels; else in
    each level."""
    constant_propagation: bool = True
    """Results that are the same for all activations of a variant are known to their callers as constants."""
    dense_scratch: bool = True
    """Arrays that live within a level have a place for each activation of the widest level; else one for every activation."""
    contexts: bool = True
    """Tensors that go down unchanged are kept once for each call, and what depends on them alone is computed once; else for each
    activation. Applied before the lowering (`with_contexts`), since objects that are met again then count as one."""
    grouping: bool = True
    """Kernels that share their rows, or need nothing of each other, run between the same two barriers; else each waits for the
    one before."""
    persistence: bool = True
    """Each thread has the same part of the weights in every level, and keeps it in its cache; else the parts move on."""
    one_region: bool = True
    """The thread team is entered once for each call; else for each phase."""
    inlining: bool = True
    """Base cases are computed by their callers where that saves work; else each is an activation. Applied before the lowering
    (`inline_leaves`)."""
    unrolling: bool = False
    """Activations compute those that they call themselves, so that there are half as many levels; else each stands in a level of
    its own. Applied before the lowering (`unroll`), since it changes how objects are walked."""
    refactoring: bool | None = None
    """Products that callers make of each result are made by the callee, once for each object; else for each edge. It pays
    where objects are shared by many: in trees there are as many edges as objects, and one product more waits in each level.
    None: where the example's objects are shared (`sharing.settle`)."""
