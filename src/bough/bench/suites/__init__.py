"""The suites of `bough bench`, by name."""

from __future__ import annotations

from typing import Any

from bough.bench import dynamic_peers
from bough.bench.peers import PEERS, open_bough, open_saved
from bough.bench.suite import Suite
from bough.bench.suites import conv, dynamic, gemm, rnn, static, trees
from bough.bench.tree_peers import ABLATIONS, TREE_PEERS, open_compiled

SUITES: dict[str, Suite[Any]] = {
    "gemm": Suite(lambda _: gemm.cases(), open_bough, PEERS, ("torch",)),
    "rnn": Suite(lambda _: rnn.cases(), open_bough, PEERS, ("torch",)),
    "conv": Suite(lambda _: conv.cases(), open_bough, PEERS, ("torch",)),
    "static": Suite(
        static.cases,
        open_saved,
        PEERS,
        ("torch", "inductor", "onnxruntime", "openvino"),
        footprints=("bough", "onnxruntime", "openvino"),
    ),
    "trees": Suite(trees.cases, open_compiled, TREE_PEERS, ("torch", "batched", "dgl"), ABLATIONS),
    "dynamic": Suite(
        dynamic.cases,
        dynamic_peers.open_compiled,
        dynamic_peers.DYNAMIC_PEERS,
        ("torch", "torch-compile", "onnxruntime"),
        dynamic_peers.SINGLY,
    ),
}
