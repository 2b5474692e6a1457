"""The MODEL argument: `path/to/file.py:factory` or `package.module:factory`."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import typer

from bough.base.errors import BoughError
from bough.cli import output

PACKAGE = f"{Path(__file__).resolve().parents[1]}/"

HELP = (
    "`path/to/file.py:factory` or `package.module:factory`; factory() returns (module, example_args) "
    "or (module, example_args, dynamic)."
)


@dataclass(frozen=True, slots=True)
class Model:
    """What the factory gave: a module, its example arguments, and which axes of them may vary (as `bough.compile`)."""

    name: str
    module: Callable[..., Any]
    args: tuple[Any, ...]
    dynamic: dict[str, dict[int, Any]] | None


def load_model(spec: str) -> Model:
    """Imports the file or module and calls the factory. A wrong `spec` or result of the factory is bad usage."""
    place, _, name = spec.rpartition(":")
    if not place or not name:
        raise typer.BadParameter(f"{spec!r} has no factory; write {HELP}", param_hint="MODEL")
    with _users_errors(f"{place} failed while it was imported"):
        module = _from_file(Path(place)) if place.endswith(".py") or "/" in place else _from_package(place)
    factory = getattr(module, name, None)
    if not callable(factory):
        known = ", ".join(n for n, f in vars(module).items() if callable(f) and not n.startswith("_"))
        raise typer.BadParameter(f"{place} has no function {name!r}; it has: {known or 'none'}", param_hint="MODEL")
    if wanted := _required(factory):
        raise typer.BadParameter(f"{spec} takes {', '.join(wanted)}; it is called without arguments", param_hint="MODEL")
    with _users_errors(f"{spec} failed"):
        made = factory()
    return _checked(spec, made)


@contextmanager
def _users_errors(what: str) -> Iterator[None]:
    """Errors of the user's own code: the user's part of the traceback, and the command fails."""
    try:
        yield
    except (typer.BadParameter, BoughError):
        raise
    except Exception as error:
        frame = error.__traceback__
        while frame is not None and _is_internal(frame.tb_frame.f_code.co_filename):
            frame = frame.tb_next
        lines = traceback.format_exception(type(error), error, frame)
        output.log().print(f"{what}:\n{''.join(lines).rstrip()}")
        raise typer.Exit(1) from error


def _required(factory: Callable[..., object]) -> list[str]:
    """The arguments that a factory cannot do without."""
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):
        return []
    return [p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]


def _from_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise typer.BadParameter(f"there is no file {path}", param_hint="MODEL")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise typer.BadParameter(f"{path} is no Python file", param_hint="MODEL")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.resolve().parent))
    sys.modules.setdefault(path.stem, module)
    spec.loader.exec_module(module)
    return module


def _from_package(name: str) -> ModuleType:
    sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name + ".").startswith(error.name + "."):
            raise
        raise typer.BadParameter(f"there is no module {error.name!r}", param_hint="MODEL") from None


def _checked(spec: str, made: object) -> Model:
    match made:
        case (module, tuple() as args) if callable(module): return Model(spec, module, args, None)
        case (module, tuple() as args, None | dict() as dynamic) if callable(module):
            return Model(spec, module, args, dynamic)
        case _: pass  # fmt: skip
    got = f"({', '.join(type(part).__name__ for part in made)})" if isinstance(made, tuple) else type(made).__name__
    raise typer.BadParameter(
        f"{spec} returned {got}; it must return (module, args) or (module, args, dynamic), "
        "where module is a torch.nn.Module or a function of tensors, args a tuple and dynamic a dict such as {'x': {0: 'batch'}}",
        param_hint="MODEL",
    )


def _is_internal(file: str) -> bool:
    """Whether a file is Bough's own or Python's machinery of imports."""
    return file.startswith(("<frozen importlib", PACKAGE))
