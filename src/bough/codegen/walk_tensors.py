"""The native copy of tensors that are payloads, read by DLPack's interface for C programs: one after another into an array."""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from bough.codegen.llvm_types import BIT, INT32, INT64, POINTER
from bough.codegen.walk_words import Value, Words, word
from bough.runtime.tensor_reader import Described, Form
from bough.runtime.walker_layout import Status

_WORDS = len(Described)


def emit_tensors(module: Any) -> None:
    """`i64 bough_walk_tensors(i64 values, i64 count, i64 form, i64 target)`: a status. `values` is a Python list of so many
    objects, `form` has the words of `Form`, then the sizes and the strides that they have to have."""
    code = Words(module, "bough_walk_tensors", ("values", "count", "form", "target"), internal=False)
    values, count, form, target = code.arguments
    held = code.entry.alloca(ir.ArrayType(INT64, _WORDS))
    described = code.builder.ptrtoint(held, INT64)
    size = code.get(form, Form.BYTES)
    with code.each(count) as n:
        tensor = code.python("PyList_GetItem", values, n)
        _refuse_other_types(code, tensor, form)
        with code.when(code.compare("!=", _describe(code, code.get(form, Form.CONVERTER), tensor, described), 0)):
            code.python("PyErr_Clear")
            code.builder.ret(word(Status.REFUSED))
        _refuse_other_forms(code, described, form)
        source = code.add(code.get(described, Described.DATA), code.get(described, Described.OFFSET))
        _copy(code, code.add(target, code.multiply(n, size)), source, size)
    code.end(word(Status.DONE))


def _refuse_other_types(code: Words, tensor: Value, form: Value) -> None:
    kind = code.type_of(tensor)
    known = [code.compare("==", kind, code.get(form, n)) for n in (Form.TENSOR, Form.PARAMETER)]
    code.refuse(code.builder.not_(code.builder.or_(*known)))


def _describe(code: Words, converter: Value, tensor: Value, described: Value) -> Value:
    """Has the library describe a tensor of its own; 0 where it could."""
    kind = ir.FunctionType(INT32, [INT64, INT64])
    function = code.builder.inttoptr(converter, kind.as_pointer())
    return code.builder.sext(code.builder.call(function, [tensor, described]), INT64)


def _refuse_other_forms(code: Words, described: Value, form: Value) -> None:
    """Other element types, devices, sizes and strides, and what has no memory."""
    code.refuse(code.compare("==", code.get(described, Described.DATA), 0))
    for field, expected in ((Described.DEVICE, Form.DEVICE), (Described.KIND, Form.KIND)):
        code.refuse(code.compare("!=", code.get(described, field), code.get(form, expected)))
    rank = code.get(form, Form.RANK)
    sizes, strides = code.get(described, Described.SIZES), code.get(described, Described.STRIDES)
    code.refuse(code.compare("==", strides, 0))
    with code.each(rank) as d:
        size, stride = code.get(sizes, d), code.get(strides, d)
        code.refuse(code.compare("!=", size, code.get(form, code.add(d, len(Form)))))
        strided = code.compare("!=", stride, code.get(form, code.add(code.add(d, rank), len(Form))))
        code.refuse(code.builder.and_(code.compare(">", size, 1), strided))


def _copy(code: Words, target: Value, source: Value, size: Value) -> None:
    memcpy = code.module.declare_intrinsic("llvm.memcpy", [POINTER, POINTER, INT64])
    addresses = (code.builder.inttoptr(a, POINTER) for a in (target, source))
    code.builder.call(memcpy, [*addresses, size, ir.Constant(BIT, 0)])
