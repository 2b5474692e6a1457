"""`bough compile` and `bough run`: what they do with a MODEL."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bough.base import settings
from bough.base.clock import Stopwatch, duration
from bough.cli import model as models
from bough.cli import output

if TYPE_CHECKING:
    from bough.pipeline import Compiled, Pass

Spec = Annotated[str, typer.Argument(metavar="MODEL", help=models.HELP)]
Target = Annotated[str | None, typer.Option(help="The hardware to compile for (see `bough targets`).")]
Threads = Annotated[int | None, typer.Option(min=1, help="Threads of the compiled function.")]
Precision = Annotated[str, typer.Option(help="Bits of weights: float32, bfloat16 or int8.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]

FULL = "float32"


@dataclass(frozen=True, slots=True)
class _Built:
    """A model that was compiled. `passes` are the seconds of each; none where the cache had the code."""

    model: models.Model
    compiled: Compiled
    target: str
    threads: int
    precision: str
    seconds: float
    passes: dict[str, float]

    @property
    def summary(self) -> dict[str, Any]:
        executable = self.compiled.executable
        return {
            "model": self.model.name,
            "target": self.target,
            "threads": self.threads,
            "precision": self.precision,
            "compile_s": self.seconds,
            "from_cache": not self.passes,
            "passes_s": self.passes,
            "code_bytes": len(executable.code),
            "constant_bytes": sum(array.nbytes for array in executable.constants.values()),
        }


class _Saying:
    """A watcher that says which pass is done."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say

    def after(self, step: Pass, value: object, seconds: float) -> None:
        self.say(f"{step.name} done")


def _build(spec: str, target: str | None, threads: int | None, precision: str) -> _Built:
    """Loads and compiles a MODEL."""
    model = models.load_model(spec)
    from bough.pipeline import compile as compile_module
    from bough.pipeline.options import find_target
    from bough.pipeline.watchers import Timing

    chosen = find_target(target)
    count = settings.read(settings.THREADS) if threads is None else threads
    timing = Timing()
    with output.status(f"compiling {spec}") as say, Stopwatch() as watch:
        compiled = compile_module(
            model.module,
            model.args,
            dynamic=model.dynamic,
            target=chosen,
            threads=count,
            precision=precision,
            watchers=[timing, _Saying(say)],
        )
    return _Built(model, compiled, chosen.name, count, precision, watch.seconds, timing.seconds)


def compile(
    spec: Spec,
    target: Target = None,
    threads: Threads = None,
    precision: Precision = FULL,
    save: Annotated[
        Path | None, typer.Option("--output", "-o", dir_okay=False, help="Also write a file for `bough.load`.")
    ] = None,
    json: Json = False,
) -> None:
    """Compile a model into the cache, and say what came out."""
    if save is not None and not save.parent.is_dir():
        raise typer.BadParameter(f"there is no folder {save.parent}", param_hint="--output")
    built = _build(spec, target, threads, precision)
    if save is not None:
        built.compiled.save(save)
    if json:
        output.show_json(built.summary)
        return
    summary = built.summary
    rows = [
        ("model", spec),
        ("target", f"{built.target}, {built.threads} threads, weights in {built.precision}"),
        ("code", output.size(summary["code_bytes"])),
        ("weights", output.size(summary["constant_bytes"])),
        ("ready after", duration(built.seconds) + (" (from the cache)" if summary["from_cache"] else "")),
        *((f"  {name}", duration(taken)) for name, taken in built.passes.items()),
    ]
    if save is not None:
        rows.append(("written to", f"{save}, {output.size(save.stat().st_size)}"))
    output.show_pairs(rows)


def run(
    spec: Spec,
    target: Target = None,
    threads: Threads = None,
    precision: Precision = FULL,
    seconds: Annotated[float, typer.Option(min=0.0, help="How long to measure.")] = 1.0,
    json: Json = False,
) -> None:
    """Run a model on its example inputs, compare it with eager PyTorch, and measure both. Fails where it is wrong."""
    import torch

    built = _build(spec, target, threads, precision)
    from bough.bench.measure import Plan, take_turns
    from bough.cli.compare import compare

    rows = compare(built.model, built.compiled, exact=precision == FULL)
    args = built.model.args
    with torch.no_grad():
        calls = {"bough": lambda: built.compiled(*args), "eager": lambda: built.model.module(*args)}
        medians = {name: timing.median for name, timing in take_turns(calls, Plan(seconds)).items()}
    right = all(row.right for row in rows)
    if json:
        output.show_json(built.summary | {"latency_s": medians, "outputs": [asdict(r) for r in rows], "right": right})
    else:
        output.show_table(
            ("output", "type", "Bough's error", "eager's error", "difference", "allowed", ""),
            [
                (str(r.output), f"{r.dtype}[{', '.join(map(str, r.shape))}]", _error(r.bough_error),
                 _error(r.eager_error), _error(r.difference), _error(r.allowed), "right" if r.right else "WRONG")
                for r in rows
            ],
        )  # fmt: skip
        ratio = medians["eager"] / medians["bough"]
        output.result().print(
            f"Bough {duration(medians['bough'])}, eager {duration(medians['eager'])}: "
            f"{ratio:.2f} times as fast"
        )
        if precision != FULL:
            share = max((r.share for r in rows), default=0.0)
            output.result().print(f"weights in {precision} change the outputs by {share:.2%} of the largest at the most")
    if not right:
        output.log().print("the outputs are wrong: this is a bug in Bough, please report it with the model")
        raise typer.Exit(1)


def _error(value: float | None) -> str:
    return "-" if value is None else f"{value:.2e}"
