"""Writes an export: compiles what is asked for, lays out the weights, links, and puts the files into their folder."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import struct
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bough.base.errors import CompileError
from bough.pipeline.export import source
from bough.pipeline.export.link import link
from bough.pipeline.export.source import Place, Weights
from bough.pipeline.export.variants import Variant, make_variants
from bough.pipeline.recipe import Recipe
from bough.runtime import weights as safetensors
from bough.runtime.arrays import Array
from bough.runtime.executable import Executable
from bough.runtime.manifest import Tensor

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Exported:
    """The files that were written, and the compiler that linked the shared object."""

    folder: Path
    name: str
    targets: tuple[str, ...]
    files: tuple[Path, ...]
    compiler: tuple[str, ...]


def export(
    executable: Executable,
    recipe: Recipe | None,
    folder: str | os.PathLike[str],
    *,
    name: str = "model",
    target: str | Sequence[str] | None = None,
    embed: bool = False,
) -> Exported:
    """Writes a compiled function as `libNAME.so`, `NAME.h`, `NAME.safetensors`, `NAME.cmake`, `NAME.json` and `NAME_sample.c`.

    The shared object needs libc and libm only. `target` names processor levels of one architecture, separated by commas or as
    a sequence; the library then holds code for each, and takes the best that runs. None: the code as it was compiled. With
    `embed` the weights are in the library too.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise CompileError(
            f"{name!r} is no name for a library",
            code="BGH-EXP-006",
            because="C functions are called by it",
            advice="use lower-case letters, digits and _, a letter first",
        )
    targets = target.split(",") if isinstance(target, str) else list(target or ())
    variants = make_variants(name, executable, recipe, [t.strip() for t in targets])
    if any(leaf.source == "constant" for leaf, _ in source.outputs(variants[0].manifest)):
        raise CompileError(
            "an output of the model is one of its weights",
            code="BGH-EXP-007",
            because="an export gives computed results and arguments only",
            advice="leave the weight out of what the module returns",
        )
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    contents, weights = _lay_out(variants, embed)
    with tempfile.TemporaryDirectory(dir=place, prefix=".export.") as held:
        made = Path(held)
        compiler = _build(made, name, variants, contents, weights)
        files = [f"lib{name}.so", f"{name}.h", f"{name}.safetensors", f"{name}.cmake", f"{name}.json", f"{name}_sample.c"]
        for file in files:
            os.replace(made / file, place / file)
    return Exported(place, name, tuple(v.label for v in variants), tuple(place / f for f in files), tuple(compiler))


def _build(made: Path, name: str, variants: Sequence[Variant], contents: bytes, weights: Weights) -> list[str]:
    """Writes all files into `made`."""
    manifest = variants[0].manifest
    file = made / f"{name}.safetensors"
    file.write_bytes(contents)
    texts = {
        f"{name}.h": source.header(name, manifest, weights, [v.label for v in variants]),
        f"{name}_host.c": source.host_source(name, variants, weights, str(file.resolve())),
        f"{name}_sample.c": source.sample(name, manifest, weights),
        f"{name}.cmake": source.cmake(name),
    }
    for file_name, text in texts.items():
        (made / file_name).write_text(text)
    objects = []
    for number, variant in enumerate(variants):
        objects.append(made / f"code{number}.o")
        objects[-1].write_bytes(variant.code)
    shared = made / f"lib{name}.so"
    functions = (*source.FUNCTIONS, *(["set_capacity"] if variants[0].manifest.capacity else []))
    exported = [f"{name}_{function}" for function in functions]
    compiler = link(made, shared, [made / f"{name}_host.c", *objects], exported, variants[0].triple)
    (made / f"{name}.json").write_text(json.dumps(_description(name, variants, weights, shared), indent=1) + "\n")
    return compiler


def _lay_out(variants: Sequence[Variant], embed: bool) -> tuple[bytes, Weights]:
    """One safetensors file with the constants of all variants, equal arrays once, and where each lies."""
    tensors: dict[str, Tensor] = {}
    arrays: dict[str, Array] = {}
    known: dict[tuple[str, bytes], str] = {}
    chosen: list[dict[str, str]] = []
    for number, variant in enumerate(variants):
        own: dict[str, str] = {}
        for t in variant.manifest.constants:
            array = variant.constants[t.name]
            key = (f"{t.dtype}{t.shape}", hashlib.sha256(array.tobytes()).digest())
            stored = known.setdefault(key, t.name if t.name not in tensors else f"{t.name}@{number}")
            own[t.name] = stored
            tensors.setdefault(stored, Tensor(stored, t.dtype, t.shape))
            arrays.setdefault(stored, array)
        chosen.append(own)
    file = io.BytesIO()
    safetensors.Contents.of(list(tensors.values()), arrays).write(file)
    contents = file.getvalue()
    places = _places(contents)
    found = tuple({name: places[stored] for name, stored in own.items()} for own in chosen)
    return contents, Weights(found, len(contents), hashlib.sha256(contents).hexdigest(), embed)


def _places(contents: bytes) -> dict[str, Place]:
    (length,) = struct.unpack_from("<Q", contents)
    start = 8 + length
    header: Mapping[str, Any] = json.loads(contents[8:start])
    return {name: Place(start + entry["data_offsets"][0], entry["data_offsets"][1] - entry["data_offsets"][0])
            for name, entry in header.items()}  # fmt: skip


def _description(name: str, variants: Sequence[Variant], weights: Weights, shared: Path) -> dict[str, Any]:
    """What `bough inspect` shows and checks."""
    library = shared.read_bytes()
    return {
        "export": FORMAT,
        "name": name,
        "variants": [
            {"target": v.label, "triple": v.triple, "code_bytes": len(v.code), "function": v.manifest.to_data()} for v in variants
        ],
        "embedded": weights.embedded,
        "files": {
            shared.name: [len(library), hashlib.sha256(library).hexdigest()],
            f"{name}.safetensors": [weights.size, weights.sha256],
        },
    }
