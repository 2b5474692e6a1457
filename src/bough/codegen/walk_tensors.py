"""The native copy of tensors that are payloads, read by DLPack's interface for C programs: one after another into an array.

Looking at them takes Python's lock and one thread; copying takes neither. Both are one phase of the thread team: the others copy
what the thread with the lock has looked at. Each tensor lies somewhere else in memory, and what is looked at next is fetched
meanwhile."""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from bough.codegen.llvm_types import BIT, INT32, INT64, POINTER
from bough.codegen.walk_words import Value, Words, word
from bough.runtime.tensor_reader import READER, Described, Form, Order
from bough.runtime.walker_layout import Status

_WORDS = len(Described)
_SEEN_AHEAD, _READ_AHEAD = 16, 8
"""How many tensors ahead the object is fetched, and what it refers to."""
_LINE, _HELD_LINES = 64, 4
"""Bytes of a cache line, and how many lines of what a tensor refers to are fetched."""
_SPINS, _NAP = 1 << 20, 50
"""How often to look for tensors that have been looked at, and microseconds to leave the core then: the other may need it."""


def emit_tensors(module: Any) -> None:
    """`i64 bough_walk_tensors(i64 order, i64 number)`: one chunk of what the words of `Order` say; a status. In the first that
    the thread with Python's lock runs, it looks at all tensors; others wait until it has looked at theirs."""
    look = _emit_look(module)
    code = Words(module, READER, ("order", "number"), internal=False)
    order, number = code.arguments
    first = code.multiply(number, code.get(order, Order.STEP))
    left, step = code.subtract(code.get(order, Order.COUNT), first), code.get(order, Order.STEP)
    count = code.builder.select(code.compare("<", left, step), left, step)
    code.refuse(code.compare("<", _looked(code, order, code.add(first, count), look), 0))
    sources, target, size = (code.get(order, w) for w in (Order.SOURCES, Order.TARGET, Order.BYTES))
    with code.each(count) as k:
        n = code.add(first, k)
        _copy(code, code.add(target, code.multiply(n, size)), code.get(sources, n), size)
    code.end(word(Status.DONE))


def _emit_look(module: Any) -> Any:
    """`i64 bough_walk_look(i64 order)`: the addresses of the elements of all tensors; says after each chunk how many it has."""
    code = Words(module, "bough_walk_look", ("order",))
    order = code.frame
    values, count, form, sources, step = (
        code.get(order, w) for w in (Order.VALUES, Order.COUNT, Order.FORM, Order.SOURCES, Order.STEP)
    )
    held = code.entry.alloca(ir.ArrayType(INT64, _WORDS))
    described = code.builder.ptrtoint(held, INT64)
    next_stop = code.variable(step)
    with code.each(count) as n:
        with code.when(code.compare("==", n, code.read(next_stop))):
            code.publish(order, Order.LOOKED, n)
            code.write(next_stop, code.add(n, step))
        _fetch_ahead(code, values, count, form, n)
        tensor = code.python("PyList_GetItem", values, n)
        code.refuse(code.builder.not_(_is_tensor(code, tensor, form)))
        with code.when(code.compare("!=", _describe(code, code.get(form, Form.CONVERTER), tensor, described), 0)):
            code.python("PyErr_Clear")
            code.builder.ret(word(Status.REFUSED))
        _refuse_other_forms(code, described, form)
        code.put(sources, n, code.add(code.get(described, Described.DATA), code.get(described, Described.OFFSET)))
    code.publish(order, Order.LOOKED, count)
    code.end(word(Status.DONE))
    return code.function


def _looked(code: Words, order: Value, needed: Value, look: Any) -> Value:
    """How many tensors have been looked at, once they are as many as needed; negative where one of them is refused."""
    looked = code.variable(code.observe(order, Order.LOOKED))

    def missing() -> Value:
        some = code.compare(">=", code.read(looked), 0)
        return code.builder.and_(some, code.compare("<", code.read(looked), needed))

    with code.when(missing()):
        here = code.python("pthread_self")
        with code.when(code.compare("==", here, code.get(order, Order.OWNER))):
            status = code.builder.call(look, [order])
            with code.when(code.compare("!=", status, Status.DONE)):
                code.publish(order, Order.LOOKED, -1)
        code.write(looked, code.observe(order, Order.LOOKED))
        with code.loop() as (stop, turn):
            stop(code.builder.not_(missing()))
            with code.when(code.compare("==", code.builder.and_(turn, word(_SPINS - 1)), _SPINS - 1)):
                code.python("usleep", INT32(_NAP))
            code.write(looked, code.observe(order, Order.LOOKED))
    return code.read(looked)


def _fetch_ahead(code: Words, values: Value, count: Value, form: Value, n: Value) -> None:
    """Begins to load a later tensor, and what the words behind the head of another one refer to: wherever that is, loading it
    ahead does no harm."""
    later = code.add(n, _SEEN_AHEAD)
    with code.when(code.compare("<", later, count)):
        code.fetch(code.python("PyList_GetItem", values, later))
    later = code.add(n, _READ_AHEAD)
    with code.when(code.compare("<", later, count)):
        tensor = code.python("PyList_GetItem", values, later)
        with code.when(_is_tensor(code, tensor, form)):
            for behind in (2, 3):
                for line in range(_HELD_LINES):
                    code.fetch(code.add(code.get(tensor, behind), _LINE * line))


def _is_tensor(code: Words, tensor: Value, form: Value) -> Value:
    kind = code.type_of(tensor)
    known = [code.compare("==", kind, code.get(form, n)) for n in (Form.TENSOR, Form.PARAMETER)]
    return code.builder.or_(*known)


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
