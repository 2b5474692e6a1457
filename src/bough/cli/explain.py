"""`bough explain`: what became of a MODEL, as text, as data, as a page for a browser, as a trace."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bough.cli import model as models
from bough.cli import output
from bough.cli.compiling import FULL, Json, Precision, Spec, Target, Threads

if TYPE_CHECKING:
    from bough.pipeline.explain import Roofs

Out = Path | None


def explain(
    spec: Spec,
    target: Target = None,
    threads: Threads = None,
    precision: Precision = FULL,
    html: Annotated[Out, typer.Option(dir_okay=False, help="Write a report for a browser: one page by itself.")] = None,
    trace: Annotated[Out, typer.Option(dir_okay=False, help="Write one call as a trace for Perfetto or Chrome.")] = None,
    picture: Annotated[Out, typer.Option(dir_okay=False, help="Draw sub-networks, decisions and loops into an SVG file.")] = None,
    json: Json = False,
) -> None:
    """Say what each line of the model became: kernels, instruction mapping, schedule, limit, share of the time."""
    files = [file for file in (html, trace, picture) if file is not None]
    for file in files:
        if not file.parent.is_dir():
            raise typer.BadParameter(f"there is no folder {file.parent}")
    model = models.load_model(spec)
    from bough.pipeline.options import make_options
    from bough.pipeline.recipe import Recipe

    options = make_options(target, threads, precision)
    with output.status("measuring the machine"):
        roofs = measured_roofs(options.target.name, options.threads) if html else None
    with output.status(f"compiling {spec} and recording calls"):
        explanation = Recipe(model.module, model.args, None, model.dynamic, options).explain(roofs)
    if html is not None:
        explanation.html(html, spec)
    if trace is not None:
        explanation.trace(trace, spec)
    if picture is not None:
        explanation.picture(picture)
    if json:
        output.show_json(explanation.as_dict())
    elif not files:
        print(explanation)
    for file in files:
        output.log().print(f"written to {file}, {output.size(file.stat().st_size)}")


def measured_roofs(target: str, threads: int) -> Roofs | None:
    """What this machine can do with so many threads; None for a target that is not this machine."""
    from bough.bench.limits import STREAMS, Meter
    from bough.pipeline.explain import Roof, Roofs, described_roofs
    from bough.targets import host

    if target != host().name:
        return None
    meter = Meter(threads, largest=0)

    def measured(memory: Roof) -> Roof:
        size = memory.capacity // 2 if memory.capacity else meter.largest
        return Roof(memory.name, memory.capacity, max(meter.read(size, streams) for streams in STREAMS))

    return Roofs(meter.peak(), tuple(map(measured, described_roofs(host(), threads).memories)), measured=True)
