"""What `make demo` runs: networks trained on the spot, compiled, and held against PyTorch. With `--quick` it measures less.

Fails if one prediction on held-back data differs from PyTorch's, or what an exported network prints from what it gives in Python.
"""

from __future__ import annotations

import sys
from pathlib import Path

import digits
import early_exit
import syntax_trees
from comparing import make_console, warn_if_busy

PICTURE = Path("demo-syntax-trees.png")


def main(quick: bool) -> int:
    console = make_console()
    console.rule("Handwritten digits: static networks, any batch size", align="left")
    different = digits.run(console, seconds=0.05 if quick else 1.0)
    console.print()
    console.rule("Handwritten digits: a network that stops when it is sure", align="left")
    different += early_exit.run(console, seconds=0.05 if quick else 1.0)
    console.print()
    console.rule("Syntax trees: plain recursion, any tree", align="left")
    different += syntax_trees.run(console, PICTURE, quick)
    warn_if_busy(console)
    if different:
        console.print(f"\n{different} predictions differ from PyTorch's: this is a bug in Bough")
        return 1
    console.print("\nEvery prediction is PyTorch's.")
    return 0


if __name__ == "__main__":
    sys.exit(main("--quick" in sys.argv[1:]))
