"""The functions that every native walk is made of: references, types, numbers, the hash table, the stack.

A walk that owns what it reads puts every new reference on the pile of the frame, which lets go of all of them after each sample.
So nothing else needs to know who owns what, and leaving in the middle is safe. A walk that borrows leaves where code of Python's
might run, and counts no references: it may be one of several threads.
"""

from __future__ import annotations

from typing import Any

from bough.codegen.llvm_types import BIT, DOUBLE, INT32, INT64
from bough.codegen.walk_words import Value, Words, word
from bough.runtime.attribute_places import (
    DICTIONARY,
    DICTIONARY_KEYS,
    DICTIONARY_VALUES,
    ENTRIES,
    NO_PLACE,
    NOTED,
    TYPE_KEYS,
    TYPE_VERSION,
    VALUES,
    WORDS,
)
from bough.runtime.walker_layout import OBJECT, TYPE_CACHE, Layout, Status, Word

LESS, AT_MOST, EQUAL = 0, 1, 2  # Py_LT, Py_LE, Py_EQ
_LARGEST_EXACT = 1 << 53
_MIXER = 0x9E3779B97F4A7C15 - (1 << 64)
"""An odd number whose multiples look random."""


class Library:
    """One function of each kind; a function that nothing calls is left out of the object.

    attribute(frame, object, name), item(frame, object, key)    a reference on the pile, or 0; name and key are words of the frame
    element(frame, object, key, number)                         the same as item, where the key is this number
    nth(frame, container, number)                               the same for a container that is a list or a tuple, no subclass
    elements(frame, container, skip, leave, dictionary)         a list or tuple whose items are its own, or 0; for a dictionary
                                                                0 where it may be none
    listed(frame, container)                                    list or tuple, which of the two it is a kind of, or 0
    is_instance(frame, type, question)                          1, 0, or -1
    is_true(frame, object), has_attribute(frame, object, name)  1, 0, or -1
    size(frame, object)                                         a length, or -1
    compare(frame, object, value, op)                           1, 0, or -1; `op` as in Python's C interface
    find(frame, function, object, bounds)                       a position in the log, -1 for a new one, -2 for no room
    renew(frame, function, object, bounds)                      a status: the object is found at the log's end from now on
    push(frame, tag, address), collect(frame, list, address)
    room(frame, log, stack, references)                         a status: whether there is so much room
    integer(frame, object, address, row, low, high), real(frame, object, address, row), truth(frame, object, address, row),
    thing(frame, object, row)                                   a status: stores a payload, or keeps it as an object
    enter(frame, object, address)                               a status: the number of an object of the frame's forest
    """

    def __init__(self, module: Any, layout: Layout) -> None:
        self.module, self.layout = module, layout
        self.attribute = self._attribute()
        self.item = self._item()
        self.nth = self._nth()
        self.element = self._element()
        self.elements = self._elements()
        self.listed = self._listed()
        self.is_instance = self._is_instance()
        self.is_true = self._is_true()
        self.size = self._size()
        self.compare = self._compare()
        self.has_attribute = self._has_attribute()
        self.find = self._find()
        self.renew = self._renew()
        self.push = self._push()
        self.collect = self._collect()
        self.room = self._room()
        self.thing = self._thing()
        self.enter = self._enter()
        self.integer = self._integer()
        self.real = self._real()
        self.truth = self._truth()

    def _function(self, name: str, *parameters: str) -> Words:
        code = Words(self.module, f"bough_walk_{name}", ("frame", *parameters))
        code.function.attributes.add("noinline")
        return code

    def constant(self, code: Words, value: Any) -> Value:
        """A Python object that the frame knows."""
        return code.get(code.frame, self.layout.object(value))

    @staticmethod
    def own(code: Words, failed: int) -> None:
        """Returns `failed` from the function of a walk that borrows: code of Python's may run next."""
        code.leave(code.compare("==", code.get(code.frame, Word.OWNED), 0), failed)

    def keep(self, code: Words, found: Value, failed: int) -> Value:
        """Puts a new reference on the pile; returns `failed` from the function where there is none."""
        code.leave(code.compare("==", found, 0), failed)
        code.put(code.get(code.frame, Word.REFERENCES), code.add_to(code.frame, Word.REFERENCES_USED, 1), found)
        return found

    # -------------------------------------------------------------------------------------------------------------- objects

    def _attribute(self) -> Words:
        """Where the attribute's place is known, it is read there; otherwise the object is noted."""
        code = self._function("attribute", "object", "key")
        b = code.builder
        frame, obj, key = code.arguments
        kind = code.type_of(obj)
        entry = self._entry(code, kind, key)
        known = b.and_(code.compare("==", code.get(entry), kind), code.compare("==", code.get(entry, 1), key))
        version = self.version(code, kind)
        known = b.and_(known, code.compare("==", code.get(entry, 2), version))
        place = code.get(entry, 3)
        with code.when(b.and_(known, code.compare("!=", place, NO_PLACE))):
            base = code.variable(obj)
            with code.when(b.trunc(place, BIT)):
                code.write(base, code.get(code.add(obj, VALUES)))
                with code.when(code.compare("==", code.read(base), 0)):
                    self._write_values_of_dictionary(code, obj, kind, base)
            with code.when(code.compare("!=", code.read(base), 0)):
                self._keep_held(code, code.get(code.add(code.read(base), b.ashr(place, word(1)))))
        self.own(code, 0)
        name = code.get(frame, key)
        found = self.keep(code, code.python("PyObject_GetAttr", obj, name), 0)
        missed = code.get(frame, Word.MISSED)
        room = code.compare("<", code.python("PyList_Size", missed), NOTED)
        with code.when(b.and_(b.not_(known), room)):
            for noted in (obj, name):
                code.leave(code.compare("<", code.python("PyList_Append", missed, noted), 0), 0)
        code.end(found)
        return code

    @staticmethod
    def version(code: Words, kind: Value) -> Value:
        """A number that no type had before; 0 where the type has none."""
        return code.builder.zext(code.load(code.add(kind, TYPE_VERSION), word(0), INT32), INT64)

    @staticmethod
    def _write_values_of_dictionary(code: Words, obj: Value, kind: Value, found: Value) -> None:
        """See `values_of`."""
        dictionary = code.get(code.add(obj, DICTIONARY))
        with code.when(code.compare("!=", dictionary, 0)):
            names = code.get(code.add(dictionary, DICTIONARY_KEYS))
            with code.when(code.compare("==", names, code.get(code.add(kind, TYPE_KEYS)))):
                code.write(found, code.get(code.add(dictionary, DICTIONARY_VALUES)))

    @staticmethod
    def _entry(code: Words, kind: Value, name: Value) -> Value:
        """See `entry_of`."""
        b = code.builder
        mixed = b.xor(b.xor(b.lshr(kind, word(4)), b.lshr(kind, word(9))), name)
        number = b.and_(mixed, word(ENTRIES - 1))
        return code.at(code.get(code.frame, Word.PLACES), code.multiply(number, WORDS))

    def _keep_held(self, code: Words, found: Value) -> None:
        """Returns what another object holds, if anything, with a reference on the pile of a walk that owns."""
        with code.when(code.compare("!=", found, 0)):
            code.leave(code.compare("==", code.get(code.frame, Word.OWNED), 0), found)
            code.python("Py_IncRef", found)
            code.builder.ret(self.keep(code, found, 0))

    def _item(self) -> Words:
        code = self._function("item", "object", "key")
        _, obj, key = code.arguments
        self.own(code, 0)
        code.end(self.keep(code, code.python("PyObject_GetItem", obj, code.get(code.frame, key)), 0))
        return code

    def _element(self) -> Words:
        code = self._function("element", "object", "key", "number")
        frame, obj, key, number = code.arguments
        with code.when(self.is_plain(code, obj)):
            found = code.call(self.nth, frame, obj, number)
            code.leave(code.compare("!=", found, 0), found)
        code.end(code.call(self.item, frame, obj, key))
        return code

    def _nth(self) -> Words:
        """Looks at the length now: other code may have changed a list since it was asked for."""
        code = self._function("nth", "container", "number")
        b = code.builder
        _, container, number = code.arguments
        size = code.get(container, 2)
        place = b.select(code.compare("<", number, 0), code.add(number, size), number)
        code.leave(b.not_(b.icmp_unsigned("<", place, size)), 0)
        is_tuple = code.compare("==", code.type_of(container), self.constant(code, tuple))
        items = b.select(is_tuple, code.at(container, 3), code.get(container, 3))
        self._keep_held(code, code.get(items, place))
        code.end(word(0))
        return code

    def _elements(self) -> Words:
        code = self._function("elements", "container", "skip", "leave", "dictionary")
        b = code.builder
        _, container, skip, leave, dictionary = code.arguments
        whole = code.compare("==", b.or_(skip, leave), 0)
        code.leave(b.and_(whole, self.is_plain(code, container)), container)
        self.own(code, 0)
        found = code.variable(container)
        with code.when(self.is_a(code, container, dict)):
            code.leave(code.compare("==", dictionary, 0), 0)
            code.write(found, self.keep(code, code.python("PyMapping_Values", container), 0))
        listed = code.read(found)
        code.leave(b.not_(self._is_list(code, listed)), 0)
        with code.when(b.not_(whole)):
            end = code.larger(code.subtract(code.python("PySequence_Size", listed), leave), word(0))
            code.write(found, self.keep(code, code.python("PySequence_GetSlice", listed, skip, end), 0))
        self._end_plain(code, code.read(found))
        return code

    def _listed(self) -> Words:
        code = self._function("listed", "container")
        _, container = code.arguments
        code.leave(self.is_plain(code, container), code.type_of(container))
        self.own(code, 0)
        code.leave(code.builder.not_(self._is_list(code, container)), 0)
        code.end(code.builder.select(self.is_a(code, container, list), self.constant(code, list), self.constant(code, tuple)))
        return code

    def _end_plain(self, code: Words, found: Value) -> None:
        """Returns a list or tuple; a class of the user's may have an order of its own."""
        code.leave(self.is_plain(code, found), found)
        code.end(self.keep(code, code.python("PySequence_List", found), 0))

    def is_plain(self, code: Words, found: Value) -> Value:
        """Whether it is a list or a tuple, no subclass."""
        kind = code.type_of(found)
        plain = [code.compare("==", kind, self.constant(code, t)) for t in (list, tuple)]
        return code.builder.or_(*plain)

    def _is_list(self, code: Words, found: Value) -> Value:
        return code.builder.or_(self.is_a(code, found, list), self.is_a(code, found, tuple))

    def is_a(self, code: Words, found: Value, of: type) -> Value:
        return code.builder.trunc(code.python("PyType_IsSubtype", code.type_of(found), self.constant(code, of)), BIT)

    def _is_instance(self) -> Words:
        """`question` is the address of what works out the answer; behind it stand the types met last, each in one of two places
        with twice its version, and the answer added. A type may get other bases, and another type its memory."""
        code = self._function("is_instance", "type", "question")
        b = code.builder
        _, kind, question = code.arguments
        mixed = b.xor(b.lshr(kind, word(4)), b.lshr(kind, word(9)))
        places = [b.xor(b.and_(mixed, word(TYPE_CACHE - 1)), word(n)) for n in range(2)]
        pair, other = (code.at(code.at(question, 1), b.shl(place, word(1))) for place in places)
        version = b.shl(self.version(code, kind), word(1))
        for known in (pair, other):
            answer = code.subtract(code.get(known, 1), version)
            met = b.and_(code.compare("==", code.get(known), kind), b.icmp_unsigned("<", answer, word(2)))
            code.leave(met, answer)
        self.own(code, -1)
        found = code.python("PyObject_GetItem", code.get(question), kind)
        code.leave(code.compare("==", found, 0), -1)
        answer = b.zext(code.compare("==", found, self.constant(code, True)), INT64)
        code.python("Py_DecRef", found)
        version = b.shl(self.version(code, kind), word(1))
        with code.when(code.compare("!=", version, 0)):
            for n, new in enumerate((kind, code.add(version, answer))):
                code.put(other, n, code.get(pair, n))
                code.put(pair, n, new)
        code.end(answer)
        return code

    def _is_true(self) -> Words:
        code = self._function("is_true", "object")
        obj = code.arguments[1]
        code.leave(code.compare("==", obj, self.constant(code, True)), 1)
        code.leave(code.compare("==", obj, self.constant(code, False)), 0)
        code.leave(code.compare("==", obj, self.constant(code, None)), 0)
        code.leave(self.is_plain(code, obj), code.builder.zext(code.compare("!=", code.get(obj, 2), 0), INT64))
        self.own(code, -1)
        code.end(code.python("PyObject_IsTrue", obj))
        return code

    def _size(self) -> Words:
        code = self._function("size", "object")
        obj = code.arguments[1]
        code.leave(self.is_plain(code, obj), code.get(obj, 2))
        self.own(code, -1)
        code.end(code.python("PyObject_Size", obj))
        return code

    def _compare(self) -> Words:
        """Two integers are compared here: the interpreter would count references to its answer."""
        code = self._function("compare", "object", "value", "op")
        b = code.builder
        _, obj, value, op = code.arguments
        whole = [code.compare("==", code.type_of(v), self.constant(code, int)) for v in (obj, value)]
        with code.when(b.and_(*whole)):
            (x, x_beyond), (y, y_beyond) = (self._value(code, v) for v in (obj, value))
            with code.when(code.compare("==", b.or_(x_beyond, y_beyond), 0)):
                less, equal = code.compare("<", x, y), code.compare("==", x, y)
                at_most = b.or_(less, equal)
                found = b.select(code.compare("==", op, EQUAL), equal, b.select(code.compare("==", op, LESS), less, at_most))
                b.ret(b.zext(found, INT64))
        self.own(code, -1)
        code.end(code.python("PyObject_RichCompareBool", obj, value, b.trunc(op, INT32)))
        return code

    def _has_attribute(self) -> Words:
        code = self._function("has_attribute", "object", "name")
        _, obj, name = code.arguments
        self.own(code, -1)
        attribute = code.python("PyObject_GetAttr", obj, code.get(code.frame, name))
        with code.when(code.compare("==", attribute, 0)):
            matches = code.python("PyErr_ExceptionMatches", self.constant(code, AttributeError))
            code.leave(code.compare("==", matches, 0), -1)
            code.python("PyErr_Clear")
            code.builder.ret(word(0))
        self.keep(code, attribute, -1)
        code.end(word(1))
        return code

    # --------------------------------------------------------------------------------------------------------------- memory

    def _find(self) -> Words:
        """The table: linear probing; entries of other samples count as free. A new activation will be at the log's end."""
        code = self._function("find", "function", "object", "bounds")
        b = code.builder
        frame, function, obj, bounds = code.arguments
        table, size = code.get(frame, Word.TABLE), code.get(frame, Word.TABLE_SIZE)
        epoch = code.multiply(code.get(frame, Word.EPOCH), len(self.layout.functions))
        stamp = code.add(epoch, function)
        start = self._hashed(code, function, obj, bounds)
        mask = code.subtract(size, 1)
        with code.loop() as (_, step):
            entry = code.at(table, b.shl(b.and_(code.add(start, step), mask), word(2)))
            with code.when(code.compare("<", code.get(entry, 1), epoch)):
                code.leave(code.compare(">=", b.shl(code.get(frame, Word.SEEN), word(1)), size), -2)
                code.add_to(frame, Word.SEEN, 1)
                for n, value in enumerate((obj, stamp, code.get(frame, Word.LOG_USED), bounds)):
                    code.put(entry, n, value)
                b.ret(word(-1))
            code.leave(self._holds(code, entry, obj, stamp, bounds), code.get(entry, 2))
        code.end(word(-1))
        return code

    def _renew(self) -> Words:
        """Makes the entry of an object that the table has one for the next activation."""
        code = self._function("renew", "function", "object", "bounds")
        b = code.builder
        frame, function, obj, bounds = code.arguments
        table, mask = code.get(frame, Word.TABLE), code.subtract(code.get(frame, Word.TABLE_SIZE), 1)
        stamp = code.add(code.multiply(code.get(frame, Word.EPOCH), len(self.layout.functions)), function)
        start = self._hashed(code, function, obj, bounds)
        with code.loop() as (_, step):
            entry = code.at(table, b.shl(b.and_(code.add(start, step), mask), word(2)))
            with code.when(self._holds(code, entry, obj, stamp, bounds)):
                code.put(entry, 2, code.get(frame, Word.LOG_USED))
                b.ret(word(Status.DONE))
        code.end(word(Status.DONE))
        return code

    def _holds(self, code: Words, entry: Value, obj: Value, stamp: Value, bounds: Value) -> Value:
        """Whether an entry of the table is that of an object."""
        same = code.builder.and_(code.compare("==", code.get(entry, 1), stamp), code.compare("==", code.get(entry), obj))
        return code.builder.and_(same, code.compare("==", code.get(entry, 3), bounds)) if self.layout.spanned else same

    def _hashed(self, code: Words, function: Value, obj: Value, bounds: Value) -> Value:
        b = code.builder
        mixed = b.xor(b.lshr(obj, word(4)), b.shl(function, word(40)))
        if self.layout.spanned:
            mixed = b.xor(mixed, code.multiply(bounds, _MIXER))
        return b.lshr(code.multiply(mixed, _MIXER), word(24))

    def _push(self) -> Words:
        code = self._function("push", "tag", "address")
        frame, tag, address = code.arguments
        top = code.at(code.get(frame, Word.STACK), code.add_to(frame, Word.STACK_USED, 2))
        code.put(top, 0, tag)
        code.put(top, 1, address)
        code.end(word(Status.DONE))
        return code

    def _collect(self) -> Words:
        code = self._function("collect", "list", "address")
        frame, number, address = code.arguments
        code.put(address, 0, code.add_to(frame, code.add(number, self.layout.lengths), 1))
        code.end(word(Status.DONE))
        return code

    def _room(self) -> Words:
        code = self._function("room", "log", "stack", "references")
        frame, *more = code.arguments
        memories = (
            (Word.LOG_SIZE, Word.LOG_USED), (Word.STACK_SIZE, Word.STACK_USED), (Word.REFERENCES_SIZE, Word.REFERENCES_USED),
        )  # fmt: skip
        for (size, used), needed in zip(memories, more, strict=True):
            code.leave(code.compare(">", code.add(code.get(frame, used), needed), code.get(frame, size)), Status.FULL)
        code.end(word(Status.DONE))
        return code

    def _enter(self) -> Words:
        """A forest that is not the frame's is kept until the walk has ended: its object may have been made for this visit."""
        code = self._function("enter", "object", "address")
        frame, obj, address = code.arguments
        self.own(code, Status.REFUSED)
        code.check(code.call(self.room, frame, 0, 0, 2))

        def held(name: str) -> Value:
            return self.keep(code, code.python("PyObject_GenericGetAttr", obj, self.constant(code, name)), Status.REFUSED)

        forest = held("forest")
        with code.when(code.compare("!=", forest, code.get(frame, Word.FOREST))):
            code.put(frame, Word.FOREST_MET, forest)
            code.refuse(code.compare("<", code.python("PyList_Append", code.get(frame, Word.KEPT), forest), 0))
            code.builder.ret(word(Status.FOREST))
        code.put(address, 0, code.python("PyLong_AsLongLong", held("index")))
        code.end(word(Status.DONE))
        return code

    # ------------------------------------------------------------------------------------------------------------- payloads

    def _thing(self) -> Words:
        code = self._function("thing", "object", "row")
        _, obj, row = code.arguments
        code.refuse(code.compare("!=", code.get(code.frame, code.add(row, self.layout.modes)), OBJECT))
        self.own(code, Status.DONE)
        failed = code.python("PyList_Append", code.get(code.frame, Word.KEPT), obj)
        code.refuse(code.compare("<", failed, 0))
        code.end(word(Status.DONE))
        return code

    def _number(self, name: str, *parameters: str) -> tuple[Words, Value, Value, Value]:
        """Begins a function that stores a number, unless this payload holds objects; the status for those that turn up."""
        code = self._function(name, "object", "address", "row", *parameters)
        frame, obj, address, row = code.arguments[:4]
        with code.when(code.compare("!=", code.get(frame, code.add(row, self.layout.modes)), 0)):
            code.put(address, 0, obj)
            code.builder.ret(code.call(self.thing, frame, obj, row))
        return code, obj, address, code.add(row, Status.UNFIT)

    def _whole(self, code: Words, obj: Value) -> Value:
        """The value of a Python int. Leaves the function where it is out of range."""
        value, beyond = self._value(code, obj)
        code.refuse(code.compare("!=", beyond, 0))
        return value

    @staticmethod
    def _value(code: Words, obj: Value) -> tuple[Value, Value]:
        """The value of a Python int, and what is not 0 where it is out of range. Raises nothing."""
        place = code.entry.alloca(INT32)
        value = code.python("PyLong_AsLongLongAndOverflow", obj, code.builder.ptrtoint(place, INT64))
        return value, code.builder.zext(code.builder.load(place, typ=INT32), INT64)

    def _integer(self) -> Words:
        code, obj, address, unfit = self._number("integer", "low", "high")
        low, high = code.arguments[4:]
        code.leave(code.compare("!=", code.type_of(obj), self.constant(code, int)), unfit)
        value = self._whole(code, obj)
        code.refuse(code.builder.or_(code.compare("<", value, low), code.compare(">", value, high)))
        code.put(address, 0, value)
        code.end(word(Status.DONE))
        return code

    def _real(self) -> Words:
        code, obj, address, unfit = self._number("real")
        b = code.builder
        with code.when(code.compare("==", code.type_of(obj), self.constant(code, float))):
            code.put(address, 0, b.bitcast(code.python("PyFloat_AsDouble", obj), INT64))
            b.ret(word(Status.DONE))
        code.leave(code.compare("!=", code.type_of(obj), self.constant(code, int)), unfit)
        value = self._whole(code, obj)
        code.refuse(b.or_(code.compare(">", value, _LARGEST_EXACT), code.compare("<", value, -_LARGEST_EXACT)))
        code.put(address, 0, b.bitcast(b.sitofp(value, DOUBLE), INT64))
        code.end(word(Status.DONE))
        return code

    def _truth(self) -> Words:
        code, obj, address, unfit = self._number("truth")
        true = code.compare("==", obj, self.constant(code, True))
        false = code.compare("==", obj, self.constant(code, False))
        code.leave(code.builder.not_(code.builder.or_(true, false)), unfit)
        code.put(address, 0, code.builder.zext(true, INT64))
        code.end(word(Status.DONE))
        return code
