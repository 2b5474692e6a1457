"""What a call through `torch.compile` costs beside the work: microseconds, for a small network on one thread.

    python tests/pipeline/bench_torch_backend.py
"""

from __future__ import annotations

import torch
import torch._dynamo
from torch import nn

import bough
from bough.base.clock import interleaved_medians

CALLS = 50


def main() -> None:
    torch.set_num_threads(1)
    network = nn.Sequential(*(nn.Linear(16, 16) for _ in range(4))).eval()
    x = torch.randn(2, 16)
    options = {"threads": 1}
    functions = {
        "bough.compile": bough.compile(network, (x,), threads=1),
        "torch.compile, backend bough": torch.compile(network, backend="bough", options=options),
        "the same, freeze off": torch.compile(lambda x: network(x), backend="bough", options={**options, "freeze": False}),
        "torch.compile, backend eager": torch.compile(lambda x: network(x), backend="eager"),
        "eager": network,
    }
    with torch.no_grad():
        many = {name: lambda f=f: [f(x) for _ in range(CALLS)] for name, f in functions.items()}
        for name, seconds in interleaved_medians(many, rounds=200, budget=5.0).items():
            print(f"{name:<30} {1e6 * seconds / CALLS:6.1f}")


if __name__ == "__main__":
    main()
