"""A key for a module and its example arguments, made without tracing: what the cache is asked with before anything runs.

It covers whatever tracing could look at: the bytes of parameters and buffers, the attributes of every submodule, the code of
every function that can be reached from `forward` outside installed packages, the globals and closures that code names,
and the versions of the packages it calls. Where something is met whose value cannot be told (an open file, a foreign
object), there is no fingerprint: the module is traced, and the cache is asked with the program instead.
"""

from __future__ import annotations

import enum
import functools
import hashlib
import inspect
import sys
import sysconfig
import types
import weakref
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from bough.base.digest import digests

PLAIN = (bool, int, float, complex, str, bytes, type(None), type(Ellipsis), torch.dtype, torch.device, torch.Size, enum.Enum)
BOOKKEEPING = frozenset({"_parameters", "_buffers", "_modules", "_non_persistent_buffers_set", "_is_full_backward_hook"})
_INSTALLED = tuple(
    str(Path(p).resolve()) for k, p in sysconfig.get_paths().items() if k in ("stdlib", "platstdlib", "purelib", "platlib")
)


class _NoFingerprint(Exception):
    """Something was met whose value cannot be told."""


def fingerprint(module: object, args: object, extra: tuple[object, ...]) -> str | None:
    """A hexadecimal key, equal for two calls only if tracing would see the same; None where that cannot be told."""
    hashing = _Hash()
    try:
        hashing.value(extra)
        hashing.arguments(args)
        hashing.value(module)
    except (_NoFingerprint, RecursionError):
        return None
    return hashing.hexdigest()


class _Hash:
    def __init__(self) -> None:
        self.hash = hashlib.sha256()
        self.seen: dict[int, int] = {}
        self.kept: list[object] = []  # an id is only unique among living objects
        self.elements: list[memoryview] = []  # of tensors, in the order in which they were met

    def hexdigest(self) -> str:
        whole = self.hash.copy()
        for found in digests(self.elements):
            whole.update(found)
        return whole.hexdigest()

    def note(self, *words: object) -> None:
        self.hash.update("\x1f".join(map(str, words)).encode() + b"\x1e")

    def arguments(self, value: object) -> None:
        """Example arguments count by type and shape, not by their elements."""
        if isinstance(value, torch.Tensor):
            self.note("argument", value.dtype, tuple(value.shape), value.device)
        elif isinstance(value, (tuple, list)):
            self.note(type(value).__name__, len(value))
            for v in value:
                self.arguments(v)
        elif isinstance(value, Mapping):
            self.note("mapping", *value)
            for v in value.values():
                self.arguments(v)
        else:
            self.value(value)

    def value(self, value: object) -> None:
        if isinstance(value, PLAIN):
            self.note(type(value).__name__, repr(value))
            return
        if id(value) in self.seen:
            self.note("again", self.seen[id(value)])
            return
        self.seen[id(value)] = len(self.seen)
        self.kept.append(value)
        if isinstance(value, torch.Tensor):
            self.tensor(value)
        elif isinstance(value, nn.Module):
            self.module(value)
        elif isinstance(value, (tuple, list)):
            self.note(type(value).__name__, len(value))
            for v in value:
                self.value(v)
        elif isinstance(value, (set, frozenset)):
            self.value(sorted(value, key=repr))
        elif isinstance(value, Mapping):
            self.note(type(value).__name__, len(value))
            for k, v in value.items():
                self.value(k)
                self.value(v)
        elif isinstance(value, weakref.ReferenceType):
            self.value(value())
        elif isinstance(value, functools.partial):
            self.value((value.func, value.args, value.keywords))
        elif isinstance(value, types.MethodType):
            self.value(value.__func__)
            self.value(value.__self__)
        elif isinstance(value, types.FunctionType):
            self.function(value)
        elif isinstance(value, type):
            self.type(value)
        elif isinstance(value, types.ModuleType):
            self.package(value)
        elif isinstance(value, (types.BuiltinFunctionType, types.BuiltinMethodType, types.MethodDescriptorType)):
            self.note("builtin", value.__qualname__)
        elif _installed(getattr(sys.modules.get(type(value).__module__), "__file__", None)):
            self.foreign(value)
        elif hasattr(value, "__dict__"):
            self.type(type(value))
            self.value(vars(value))
        else:
            raise _NoFingerprint

    def tensor(self, value: torch.Tensor) -> None:
        if value.device.type != "cpu" or value.layout is not torch.strided:
            raise _NoFingerprint
        flat = value.detach().contiguous()
        self.note("tensor", flat.dtype, tuple(flat.shape), value.requires_grad)
        if flat.numel():
            self.elements.append(flat.view(-1).view(torch.uint8).numpy().data)

    def module(self, value: nn.Module) -> None:
        self.type(type(value))
        for name, attribute in vars(value).items():
            if name in BOOKKEEPING or name.endswith(("_hooks", "_hooks_with_kwargs", "_hooks_always_called")):
                if name.endswith("_hooks") and attribute:
                    raise _NoFingerprint
                continue
            self.note("attribute", name)
            self.value(attribute)
        for group in (value._parameters, value._buffers, value._modules):
            for name, part in group.items():
                self.note("part", name)
                self.value(part)

    def type(self, value: type) -> None:
        self.note("type", value.__module__, value.__qualname__)
        for base in value.__mro__:
            module = sys.modules.get(base.__module__)
            if module is None or _installed(getattr(module, "__file__", None)):
                self.package_of(base.__module__)
                continue
            for name, member in vars(base).items():
                if name in ("__dict__", "__weakref__", "__doc__", "__annotations__", "_abc_impl"):
                    continue
                if isinstance(member, (staticmethod, classmethod)):
                    member = member.__func__
                if isinstance(member, property):
                    member = (member.fget, member.fset)
                self.note("member", name)
                self.value(member)

    def function(self, value: types.FunctionType) -> None:
        if _installed(value.__code__.co_filename):
            self.note("function", value.__module__, value.__qualname__)
            self.package_of(value.__module__)
            return
        self.code(value.__code__)
        self.value((value.__defaults__, value.__kwdefaults__))
        for cell in value.__closure__ or ():
            self.value(cell.cell_contents)
        for name in sorted(_names(value.__code__)):
            if name in value.__globals__:
                self.note("global", name)
                self.value(value.__globals__[name])

    def code(self, code: types.CodeType) -> None:
        self.note("code", code.co_filename, code.co_firstlineno, code.co_names, code.co_varnames)
        self.hash.update(code.co_code)
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                self.code(constant)
            else:
                self.value(constant)

    def package(self, value: types.ModuleType) -> None:
        file = getattr(value, "__file__", None)
        if file is None or _installed(file):
            self.package_of(value.__name__)
        else:
            self.note("module", value.__name__)
            self.value(inspect.getsource(value))

    def package_of(self, name: str) -> None:
        root = name.partition(".")[0]
        self.note("package", root, getattr(sys.modules.get(root), "__version__", sys.version))

    def foreign(self, value: object) -> None:
        """Objects of installed packages: those that print what they are."""
        if type(value).__repr__ is object.__repr__:
            raise _NoFingerprint
        text = repr(value)
        if " at 0x" in text or "..." in text:
            raise _NoFingerprint
        self.note("foreign", type(value).__module__, type(value).__qualname__, text)


def _names(code: types.CodeType) -> set[str]:
    found = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            found |= _names(constant)
    return found


@functools.cache
def _installed(file: str | None) -> bool:
    return file is None or file.startswith("<frozen") or str(Path(file).resolve()).startswith(_INSTALLED)
