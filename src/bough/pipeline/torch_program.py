"""Programs to native code, with the program itself for the key of the cache."""

from __future__ import annotations

import hashlib

import torch

from bough.base import settings
from bough.base.version import build
from bough.frontends.torch_export import Imported
from bough.ir.program_text import print_program
from bough.pipeline.assemble import constant_bytes
from bough.pipeline.compiled import LARGEST_CACHED, own
from bough.pipeline.manifest import make_manifest
from bough.pipeline.passes import Options, run_passes
from bough.pipeline.watchers import default_watchers
from bough.runtime import artefact
from bough.runtime.cache import Cache
from bough.runtime.executable import Executable


def compile_program(imported: Imported, options: Options) -> Executable:
    """What was compiled before for the same program, weights and machine comes from the user's cache folder."""
    key = _key(imported, options)
    store = Cache()
    found = store.view(key)
    if found is not None:
        return artefact.loads(found, threads=options.threads, verified=True)
    generated = run_passes(imported.program, options, default_watchers(options.target))
    constants = {n: own(a) for n, a in generated.assembled.sequence.constants.items()}
    manifest = make_manifest(imported, generated.assembled, options.target)
    executable = Executable(manifest, generated.code, constants, threads=options.threads)
    if constant_bytes(constants) <= LARGEST_CACHED:
        store.write(key, lambda file: artefact.write(file, executable))
    return executable


def _key(imported: Imported, options: Options) -> str:
    """Covers what `compile_program` depends on."""
    parts = (
        build(), torch.__version__, options.target.name, options.target.features, options.target.memories, options.threads,
        options.strategy, settings.cache_key(), imported.names, imported.inputs, imported.outputs,
        print_program(imported.program, hashes=True, locations=False),
    )  # fmt: skip
    return hashlib.sha256(repr(parts).encode()).hexdigest()
