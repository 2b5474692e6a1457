"""`bough compile`, `bough run` and `bough explain`: what they do with a MODEL."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated, Any

import typer

from bough.base import settings
from bough.base.clock import Stopwatch, interleaved_medians
from bough.cli import model as models
from bough.cli import output

Spec = Annotated[str, typer.Argument(metavar="MODEL", help=models.HELP)]
Target = Annotated[str | None, typer.Option(help="The hardware to compile for (see `bough targets`).")]
Threads = Annotated[int | None, typer.Option(min=1, help="Threads of the compiled function.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    app.command("compile")(compile)
    app.command("run")(run)
    app.command("explain")(explain)


@dataclass(frozen=True, slots=True)
class _Built:
    model: models.Model
    compiled: Any
    target: str
    threads: int
    seconds: float

    @property
    def summary(self) -> dict[str, Any]:
        return {"model": self.model.name, "target": self.target, "threads": self.threads, "compile_s": self.seconds}


def _build(spec: str, target: str | None, threads: int | None) -> _Built:
    model = models.load_model(spec)
    from bough.pipeline import compile as compile_module

    chosen = settings.read(settings.TARGET) if target is None else target
    count = settings.read(settings.THREADS) if threads is None else threads
    with output.status(f"compiling {spec}"), Stopwatch() as watch:
        compiled = compile_module(model.module, model.args, dynamic=model.dynamic, target=chosen, threads=count)
    return _Built(model, compiled, chosen, count, watch.seconds)


def compile(spec: Spec, target: Target = None, threads: Threads = None, json: Json = False) -> None:
    """Compile a model into the cache, and say what came out."""
    built = _build(spec, target, threads)
    if json:
        output.show_json(built.summary)
    else:
        output.show_table(("", ""), [
            ("model", spec),
            ("target", built.target),
            ("threads", str(built.threads)),
            ("compiled in", output.seconds(built.seconds)),
        ])  # fmt: skip


def explain(spec: Spec, target: Target = None, threads: Threads = None, json: Json = False) -> None:
    """Say what each line of the model became: kernels, instruction mapping, schedule, limit, share of the time."""
    built = _build(spec, target, threads)
    text = str(built.compiled.explain())
    if json:
        output.show_json(built.summary | {"explanation": text})
    else:
        print(text)


def run(
    spec: Spec,
    target: Target = None,
    threads: Threads = None,
    rounds: Annotated[int, typer.Option(min=1, help="Calls to take the median of.")] = 50,
    json: Json = False,
) -> None:
    """Run a model on its example inputs, compare it with eager PyTorch, and measure both. Fails where it is wrong."""
    import torch

    built = _build(spec, target, threads)
    from bough.cli.compare import compare

    rows = compare(built.model, built.compiled)
    args = built.model.args
    with torch.no_grad():
        medians = interleaved_medians(
            {"bough": lambda: built.compiled(*args), "eager": lambda: built.model.module(*args)}, rounds=rounds
        )
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
            f"Bough {output.seconds(medians['bough'])}, eager {output.seconds(medians['eager'])}: "
            f"{ratio:.2f} times as fast"
        )
    if not right:
        output.log().print("the outputs are wrong: this is a bug in Bough, please report it with the model")
        raise typer.Exit(1)


def _error(value: float | None) -> str:
    return "-" if value is None else f"{value:.2e}"
