"""The C text of an export: what differs from model to model, put into the templates beside this file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

from bough.base import settings
from bough.pipeline.export.variants import Variant
from bough.runtime import sizes
from bough.runtime.arrays import ALIGNMENT, NUMPY
from bough.runtime.failures import MOST_CAPACITY
from bough.runtime.manifest import CAPACITY, Leaf, Manifest, Tensor, leaves
from bough.runtime.sizes import Size

_FORMS = {"add": "({} + {})", "sub": "({} - {})", "mul": "({} * {})", "floordiv": "floordiv({}, {})", "mod": "mod({}, {})",
          "min": "least({}, {})", "max": "most({}, {})"}  # fmt: skip
# Features that both GCC and Clang can ask a processor for. The others (f16c, lzcnt, movbe) are in every one with AVX2 and BMI2.
_ASKED = ("ssse3", "sse4.1", "sse4.2", "popcnt", "avx", "avx2", "fma", "bmi", "bmi2", "avx512f", "avx512vl", "avx512bw",
          "avx512dq", "avx512cd", "avx512vnni", "avx512bf16")  # fmt: skip
AT_FIRST = 256
"""What sizes that the model computes are at most until the host program says otherwise."""
_ABOUT_CAPACITY = f"""/* Sets what sizes that the model computes are at most in calls of this thread ({AT_FIRST} at first).
 * A call that needs more returns @NAME@_SMALL; then set more, ask for the shapes of the results again, and call again. */
void @name@_set_capacity(int64_t size);

"""
_SET_CAPACITY = f"void @name@_set_capacity(int64_t size) {{ capacity = most(1, least(size, {MOST_CAPACITY})); }}\n\n"
FUNCTIONS = ("open", "shapes", "run", "close", "error", "target")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a constant lies in the file of weights."""

    offset: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Weights:
    """`places` of each variant's constants by name; `size` and `sha256` of the file."""

    places: tuple[Mapping[str, Place], ...]
    size: int
    sha256: str
    embedded: bool


def outputs(manifest: Manifest) -> list[tuple[Leaf, Tensor]]:
    """What a call gives, each thing once, in the order of the model's outputs; then sizes that it computes."""
    known: dict[Leaf, Tensor] = {}
    for leaf in leaves(manifest.outputs):
        if leaf.source == "constant":
            known[leaf] = next(t for t in manifest.constants if t.name == leaf.key)
        else:
            known[leaf] = (manifest.arguments if leaf.source == "argument" else manifest.results)[int(leaf.key)]
    for size, result in manifest.computed:
        known.setdefault(Leaf("result", result), Tensor(f"size {size}", "i64", ()))
    return list(known.items())


def header(name: str, manifest: Manifest, weights: Weights, targets: Sequence[str]) -> str:
    lines = [f"Compiled for {', '.join(targets)}.", "", "Arguments:"]
    lines += [f"  {i}  {_tensor(t)}" for i, t in enumerate(manifest.arguments)] or ["  none"]
    cuts = {Leaf("result", c.result): c.shape for c in manifest.cuts}
    lines += ["Results:"]
    lines += [f"  {i}  {_tensor(t)}{_origin(leaf)}{_filled(cuts.get(leaf))}" for i, (leaf, t) in enumerate(outputs(manifest))]
    read = [s for s in manifest.scalars if s.name != manifest.capacity]
    if read:
        lines.append("Sizes that may vary, read from the shapes of the arguments:")
        lines += [f"  {_word(s.name)}  {s.low} to {'any' if s.high is None else s.high}" for s in read]
    everything = (*manifest.arguments, *(t for _, t in outputs(manifest)))
    return fill("model.h", {
        **_names(name),
        "signature": "\n".join(f" * {line}".rstrip() for line in lines),
        "arguments": str(len(manifest.arguments)),
        "results": str(len(outputs(manifest))),
        "rank": str(max([1, *(len(t.shape) for t in everything)])),
        "embedded": "this library holds them" if weights.embedded else "this library holds none",
        "capacity": _ABOUT_CAPACITY.replace("@name@", name).replace("@NAME@", name.upper()) if manifest.capacity else "",
    })  # fmt: skip


def host_source(name: str, variants: Sequence[Variant], weights: Weights, embedded_file: str) -> str:
    """The C source of everything but the arithmetic."""
    first = variants[0].manifest
    tables = [
        f"#define SIZES {max(1, len(first.scalars))}",
        f"#define MOST_POINTERS {max(1, *(len(v.manifest.buffers) for v in variants))}",
        f"#define WEIGHTS_SHA256 {_text(weights.sha256)}",
        f"#define LEAST_TARGET {_text(variants[-1].label)}",
        f"#define MORE_CAPACITY {next((f.status for f in first.failures if f.error == CAPACITY), 0)}",
        *_embedded(name, weights, embedded_file),
        "",
        *_read_sizes(name, first),
        *_results(name, first),
        *_reason(first),
    ]
    for number, variant in enumerate(variants):
        tables += _variant(name, number, variant, weights.places[number])
    tables += ["static const variant VARIANTS[] = {", *(_row(n, v, weights.places[n]) for n, v in enumerate(variants)), "};", ""]
    tables += _finish(name, first)
    return fill("model.c", {
        **_names(name),
        "alignment": str(ALIGNMENT),
        "weights_bytes": str(weights.size),
        "most": str(AT_FIRST),
        "set_capacity": _SET_CAPACITY.replace("@name@", name) if first.capacity else "",
        "spin_ns": str(1000 * settings.read(settings.SPIN)),
        "tables": "\n".join(tables),
    })  # fmt: skip


def sample(name: str, manifest: Manifest, weights: Weights) -> str:
    """The C source of a host program."""
    lines = [*_elements("ARGUMENTS", manifest.arguments), *_elements("RESULTS", [t for _, t in outputs(manifest)])]
    defaults = [max(s.low, min(4, s.high or 4)) for s in manifest.scalars] or [0]
    lines += [f"static int64_t s[] = {{{', '.join(map(str, defaults))}}};", ""]
    body = []
    for number, scalar in enumerate(manifest.scalars):
        start = f"{_word(scalar.name)}="
        n = len(start)
        value = f"atoll(text + {n})"
        then = f"{name}_set_capacity({value})" if scalar.name == manifest.capacity else f"s[{number}] = {value}"
        body.append(f"if (!strncmp(text, {_text(start)}, {n})) {{ {then}; return 1; }}")
    lines += _function("int set_size(const char *text)", ("text", "s"), [*body, "return 0;"])
    lines += _function(f"void set_shapes({name}_array *x)", "xs", _shapes("x", manifest, manifest.arguments))
    return fill("sample.c", {
        **_names(name),
        "sizes": ", ".join(_word(s.name) for s in manifest.scalars) or "none",
        "weights": "none" if weights.embedded else f"{name}.safetensors",
        "tables": "\n".join(lines),
    })  # fmt: skip


def cmake(name: str) -> str:
    return fill("model.cmake", _names(name))


def fill(template: str, words: Mapping[str, str]) -> str:
    """A template with each `@word@` replaced."""
    text = resources.files("bough.pipeline.export").joinpath(template).read_text(encoding="utf-8")
    return re.sub(r"@(\w+)@", lambda found: words[found[1]], text)


def _names(name: str) -> dict[str, str]:
    return {"name": name, "NAME": name.upper()}


def _elements(table: str, tensors: Sequence[Tensor]) -> list[str]:
    rows = [f"    {{{_text(t.name)}, {_text(t.dtype)}, {NUMPY[t.dtype].itemsize}}}," for t in tensors]
    return [f"static const element {table}[] = {{", *(rows or ["    {NULL, NULL, 0},"]), "};", ""]


def _embedded(name: str, weights: Weights, file: str) -> list[str]:
    if not weights.embedded:
        return ["static const unsigned char *const EMBEDDED = NULL;"]
    return [
        f'__asm__(".section .rodata\\n.balign {ALIGNMENT}\\n{name}_weights:\\n.incbin \\"{file}\\"\\n.byte 0\\n.previous\\n");',
        f"extern const unsigned char {name}_weights[];",
        f"static const unsigned char *const EMBEDDED = {name}_weights;",
    ]


def _function(head: str, names: Sequence[str], body: Sequence[str]) -> list[str]:
    """A C function; `names` are parameters that a small model may not use."""
    return [f"static {head}", "{", *(f"    (void){n};" for n in names), *(f"    {line}" for line in body), "}", ""]


def _read_sizes(name: str, manifest: Manifest) -> list[str]:
    """Reads each size where it stands alone for the first time, then checks all."""
    places: dict[str, tuple[int, int]] = {}
    for i, tensor in enumerate(manifest.arguments):
        for axis, size in enumerate(tensor.shape):
            if isinstance(size, str):
                places.setdefault(size, (i, axis))
    body = ["int status = 0;", *_expect("argument", "a", manifest.arguments, "with_data")]
    for number, scalar in enumerate(manifest.scalars):
        if scalar.name == manifest.capacity:
            body.append(f"s[{number}] = capacity;")
            continue
        i, axis = places[scalar.name]
        high = "INT64_MAX" if scalar.high is None else str(scalar.high)
        body.append(f"s[{number}] = a[{i}].shape[{axis}];")
        call = f"expect_range({_text(_word(scalar.name))}, s[{number}], {scalar.low}, {high})"
        body.append(f"if ((status = {call})) return status;")
    body += [*_check("argument", "a", manifest, manifest.arguments), "return status;"]
    return _function(f"int read_sizes(const {name}_array *a, int64_t *s, int with_data)", ("a", "s", "with_data"), body)


def _results(name: str, manifest: Manifest) -> list[str]:
    tensors = [t for _, t in outputs(manifest)]
    checks = [*_expect("result", "r", tensors, "1"), *_check("result", "r", manifest, tensors)]
    return [
        *_function(f"void set_shapes({name}_array *r, const int64_t *s)", "rs", _shapes("r", manifest, tensors)),
        *_function(
            f"int check_results(const {name}_array *r, const int64_t *s)", "rs", ["int status = 0;", *checks, "return status;"]
        ),
    ]


def _expect(kind: str, array: str, tensors: Sequence[Tensor], with_data: str) -> list[str]:
    """Checks of rank and data."""
    lines = []
    for i, t in enumerate(tensors):
        width = NUMPY[t.dtype].itemsize
        call = f'expect("{kind}", {i}, {_text(t.name)}, &{array}[{i}], {len(t.shape)}, {width}, {with_data})'
        lines.append(f"if ((status = {call})) return status;")
    return lines


def _check(kind: str, array: str, manifest: Manifest, tensors: Sequence[Tensor]) -> list[str]:
    """Checks of sizes."""
    lines = []
    for i, t in enumerate(tensors):
        for axis, size in enumerate(t.shape):
            call = f'expect_size("{kind}", {i}, {_text(t.name)}, {axis}, {array}[{i}].shape[{axis}], {_size(size, manifest)})'
            lines.append(f"if ((status = {call})) return status;")
    return lines


def _shapes(array: str, manifest: Manifest, tensors: Sequence[Tensor]) -> list[str]:
    lines = []
    for i, t in enumerate(tensors):
        lines.append(f"{array}[{i}].rank = {len(t.shape)};")
        lines += [f"{array}[{i}].shape[{axis}] = {_size(size, manifest)};" for axis, size in enumerate(t.shape)]
    return lines


def _reason(manifest: Manifest) -> list[str]:
    rows = [f"if (status == {f.status}) return {_text(f'{f.error}: {f.message}')};" for f in manifest.failures]
    return _function("const char *reason(int32_t status)", ("status",), [*rows, 'return "the model failed";'])


def _variant(name: str, number: int, variant: Variant, places: Mapping[str, Place]) -> list[str]:
    """The table of constants, the size of the arena, the pointers and the symbols of one compilation."""
    manifest = variant.manifest
    rows = [f"    {{{place.offset}, {place.bytes}}}," for place in places.values()]
    team = f"{variant.prefix}bough_team"
    parameters = f"void **p, const {name}_array *a, const {name}_array *r, char *const *k, char *base, const int64_t *s"
    return [
        f"static const place CONSTANTS_{number}[] = {{", *(rows or ["    {0, 0},"]), "};", "",
        *_function(f"int64_t arena_{number}(const int64_t *s)", "s", [f"return {_size(manifest.arena, manifest)};"]),
        *_function(f"void fill_{number}({parameters})", ("p", "a", "r", "k", "base", "s"), _pointers(manifest, list(places))),
        *_function(f"int fits_{number}(void)", (), [f"return {_fits(variant)};"]),
        f'extern entry_function entry_{number} __asm__("{variant.prefix}{manifest.entry}");',
        f'extern int32_t run_{number}(void *, entry_function *, void **, int64_t *) __asm__("{team}_run");',
        f'extern void *create_{number}(int32_t, int64_t) __asm__("{team}_create");',
        f'extern void destroy_{number}(void *) __asm__("{team}_destroy");',
        "",
    ]  # fmt: skip


def _pointers(manifest: Manifest, constants: Sequence[str]) -> list[str]:
    """What each pointer of the entry points at."""
    results = {int(leaf.key): i for i, (leaf, _) in enumerate(outputs(manifest)) if leaf.source == "result"}
    lines = []
    for position, buffer in enumerate(manifest.buffers):
        match buffer.source:
            case "argument":
                base = f"(char *)a[{buffer.key}].data"
            case "result":
                base = f"(char *)r[{results[int(buffer.key)]}].data"
            case "constant":
                base = f"k[{constants.index(str(buffer.key))}]"
            case "arena":
                base = "base"
        lines.append(f"p[{position}] = {base} + {_size(buffer.offset, manifest)};")
    return lines


def _row(number: int, variant: Variant, places: Mapping[str, Place]) -> str:
    functions = ", ".join(f"{f}_{number}" for f in ("fits", "entry", "run", "create", "destroy", "CONSTANTS"))
    parallel = int(variant.manifest.parallel)
    return f"    {{{_text(variant.label)}, {functions}, {len(places)}, arena_{number}, fill_{number}, {parallel}}},"


def _fits(variant: Variant) -> str:
    if not variant.triple.startswith("x86_64"):
        return "1"
    asked = [f for f in _ASKED if f in variant.manifest.features]
    return " && ".join(f'__builtin_cpu_supports("{f}")' for f in asked) or "1"


def _finish(name: str, manifest: Manifest) -> list[str]:
    """Outputs that are arguments are copied."""
    lines = []
    for i, (leaf, t) in enumerate(outputs(manifest)):
        if leaf.source == "argument":
            count = " * ".join([str(NUMPY[t.dtype].itemsize), *(f"(size_t){_size(e, manifest)}" for e in t.shape)])
            lines.append(f"if ({count}) memcpy(r[{i}].data, a[{leaf.key}].data, {count});")
    return _function(f"void finish(const {name}_array *a, const {name}_array *r, const int64_t *s)", "ars", lines)


def _size(size: Size, manifest: Manifest) -> str:
    """A size as a C expression of `s`."""
    if isinstance(size, int):
        return f"INT64_C({size})" if size > 2**31 - 1 else str(size)
    if isinstance(size, str):
        return f"s[{[s.name for s in manifest.scalars].index(size)}]"
    return _FORMS[size[0]].format(_size(size[1], manifest), _size(size[2], manifest))


def _text(text: str) -> str:
    """A C string."""
    return json.dumps(text.encode("ascii", "replace").decode())


def _word(name: str) -> str:
    return re.sub(r"\W", "_", name)


def _tensor(t: Tensor) -> str:
    return f"{_comment(t.name)}: {t.dtype}[{', '.join(_comment(sizes.text(e)) for e in t.shape)}]"


def _comment(text: str) -> str:
    """Text that ends no comment."""
    return text.replace("*/", "* /").replace("/*", "/ *")


def _filled(shape: tuple[Size, ...] | None) -> str:
    return "" if shape is None else f"  (filled: [{', '.join(_comment(sizes.text(e)) for e in shape)}])"


def _origin(leaf: Leaf) -> str:
    return f"  (a copy of argument {leaf.key})" if leaf.source == "argument" else ""
