"""Judges many random programs and shrinks what fails: `python tests/fuzz/hunt.py 0 500 --engine native --shrink`."""

from __future__ import annotations

import argparse
import re
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType

sys.path.insert(0, str(Path(__file__).parent))

from random_programs import Case, Engine, Verdict, generate, judge, judge_map, native, shrink, through_interpreter

ENGINES: dict[str, Engine] = {"native": native, "interpreter": through_interpreter, "eager": lambda module, args: module}
Judge = Callable[[Case], Verdict]
SLOW = 60
"""Seconds after which the stack of a program is printed: a hang is a bug too."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("first", type=int)
    parser.add_argument("end", type=int)
    parser.add_argument("--engine", choices=ENGINES, default="native")
    parser.add_argument("--map", action="store_true", help="compare `map` with calls one by one")
    parser.add_argument("--precision", default="float32", help="of weights, with --map")
    parser.add_argument("--size", type=int, default=8, help="statements on the outermost level")
    parser.add_argument("--shrink", action="store_true")
    parser.add_argument("--refused", action="store_true", help="show and shrink what is refused, once for each message")
    options = parser.parse_args()
    signal.signal(signal.SIGALRM, show_stack)
    engine = ENGINES[options.engine]
    decide: Judge = partial(judge_map, precision=options.precision) if options.map else lambda case: judge(case, engine)
    counts, met, start = Counter[str](), set[str](), time.perf_counter()
    try:
        for seed in range(options.first, options.end):
            hunt(seed, options, decide, counts, met)
    except KeyboardInterrupt:
        print("stopped")
    signal.alarm(0)
    seconds = time.perf_counter() - start
    print(f"{dict(counts.most_common())}, {counts.total() / seconds:.1f} programs a second")


def show_stack(_: int, frame: FrameType | None) -> None:
    print(f"still at it after {SLOW} s:\n", *traceback.format_stack(frame)[-12:], flush=True)


def hunt(seed: int, options: argparse.Namespace, decide: Judge, counts: Counter[str], met: set[str]) -> None:
    """Judges one program; what is shown is shown once for each message."""
    signal.alarm(SLOW)
    case = generate(seed, options.size)
    begin = time.perf_counter()
    verdict = decide(case)
    if (seconds := time.perf_counter() - begin) > SLOW:
        print(f"seed {seed} took {seconds:.0f} s", flush=True)
    counts[f"{verdict.kind} {verdict.code}"] += 1
    shown = summary(verdict)
    if not (verdict.bug or verdict.kind == "invalid" or (options.refused and verdict.kind == "refused")) or shown in met:
        return
    met.add(shown)
    print(f"--- seed {seed}: {verdict.kind} {verdict.code}\n{verdict.text}", flush=True)
    if options.shrink:
        signal.alarm(0)
        small = shrink(case, lambda c: alike(c, verdict, decide))
        print(f"{small.source}\n{decide(small).text}\n{small.inputs}", flush=True)


def alike(case: Case, verdict: Verdict, decide: Judge) -> bool:
    """Whether a smaller program fails in the same way."""
    found = decide(case)
    return found.kind == verdict.kind and summary(found) == summary(verdict)


def summary(verdict: Verdict) -> str:
    """The message without what is particular to the program."""
    lines = [line for line in verdict.text.strip().splitlines() if line]
    if verdict.kind == "wrong":  # what was got and what was wanted: a tensor, a list, an exception ...
        return " ".join(["wrong", *(m.group() for m in re.finditer(r"(got|raised|wanted) *\w+", verdict.text))])
    telling = lines[-1:] if verdict.kind in ("broken", "invalid") else [*lines[:1], *(x for x in lines if "because" in x)]
    text = " ".join(telling)
    return f"{verdict.kind} {verdict.code} {''.join(c for c in text if not c.isdigit())[:90]}"


if __name__ == "__main__":
    main()
