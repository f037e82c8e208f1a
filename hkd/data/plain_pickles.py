"""Pickles of plain values, read by a machine that can build nothing else.

A pickle is a program for a stack machine, and Python's own machine may call any function. This one knows dictionaries,
lists, tuples, text, bytes, whole numbers and arrays of bytes. The few names that pickles of such values hold are words
to it: none is ever looked up, called or given state. Operations, nesting and memory are bounded.
"""

from __future__ import annotations

import math
import pickletools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hkd.store.lines import one_line

MAX_OPERATIONS = 1 << 17  # a batch of CIFAR-10 has thirty thousand, and ninety as Python 3 writes it
MAX_DEPTH = 8  # one has four: the shape in the state of the array in the dictionary
MAX_MEMO = 1 << 20
MAX_DIMENSIONS = 8


class PickleError(ValueError):
    """A pickle is damaged: its operations do not fit together."""


class ForbiddenError(Exception):
    """A pickle does or names something that plain values and byte arrays do not need, or more of it than they do."""


class Array:
    """An array of bytes: made empty, then given its shape and content once."""

    content: NDArray[np.uint8] | None = None


class _Kind:
    """The type of an array's elements, of which only bytes are known."""


class _List(list[Any]):
    depth = 1


class _Tuple(tuple[Any, ...]):
    depth = 1


class _Dict(dict[Any, Any]):
    depth = 1


class _Mark:
    """The start of what a later operation takes together."""


NAMES = {  # what a pickle may name: a word each, and no object of any module
    "numpy.core.multiarray _reconstruct": "reconstruct",
    "numpy._core.multiarray _reconstruct": "reconstruct",
    "numpy ndarray": "ndarray",
    "numpy dtype": "dtype",
    "_codecs encode": "encode",  # how Python 3 writes bytes for Python 2
}


class _Word(str):
    """One of NAMES."""


def load(content: bytes) -> Any:
    """Return the value of a pickle: dict, list, tuple, str, bytes, int, bool, None, or `Array`.

    Raises:
        PickleError: it is damaged or truncated, or more follows its end.
        ForbiddenError: it uses what plain values do not need.
    """
    return _Machine(content).run()


class _Machine:
    def __init__(self, content: bytes) -> None:
        self._content = content
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._bytes_left = len(content)  # what text may become when it is turned into bytes, all in all

    def run(self) -> Any:
        try:
            for count, (operation, argument, place) in enumerate(pickletools.genops(self._content)):
                if count == MAX_OPERATIONS:
                    raise ForbiddenError(f"more than {MAX_OPERATIONS:,} operations")
                if operation.name == "STOP":
                    return self._end(place or 0)
                step = _STEPS.get(operation.name)
                if step is None:
                    raise ForbiddenError(operation.name)
                step(self, argument)
        except (ValueError, IndexError, KeyError, OverflowError) as error:
            raise error if isinstance(error, PickleError) else PickleError(str(error) or "cut off") from None
        raise PickleError("it does not end")

    def _end(self, place: int) -> Any:
        if len(self._stack) != 1 or isinstance(self._stack[0], _Mark | _Word | _Kind):
            raise PickleError("it does not end in one value")
        if place + 1 != len(self._content):
            raise PickleError(f"{len(self._content) - place - 1:,} bytes follow its end")
        return self._stack[0]

    def push(self, value: Any) -> None:
        self._stack.append(value)

    def pop(self) -> Any:
        if isinstance(self._stack[-1], _Mark):
            raise PickleError("a value is missing")
        return self._stack.pop()

    def pop_mark(self) -> list[Any]:
        """Return all values since the last mark, and take them and it off the stack."""
        at = len(self._stack) - 1
        while not isinstance(self._stack[at], _Mark):
            at -= 1
            if at < 0:
                raise PickleError("no mark")
        values = self._stack[at + 1 :]
        del self._stack[at:]
        return values

    def put(self, number: int) -> None:
        if number > MAX_MEMO:
            raise ForbiddenError(f"a memo of number {number}")
        self._memo[number] = self._top()

    def get(self, number: int) -> None:
        if number not in self._memo:
            raise PickleError("a value that was never remembered")
        value = self._memo[number]
        if isinstance(value, _List | _Dict):  # would let a value hold itself, or one value stand for a million
            raise ForbiddenError("a list or dictionary in two places")
        self.push(value)

    def tuple_of(self, values: list[Any]) -> None:
        made = _Tuple(values)
        made.depth = 1 + max((_depth(value) for value in values), default=0)
        self.push(_bounded(made))

    def extend(self, values: list[Any]) -> None:
        target = self._top()
        if not isinstance(target, _List):
            raise PickleError("values for a list that is none")
        target.extend(values)
        target.depth = max(target.depth, 1 + max((_depth(value) for value in values), default=0))
        _bounded(target)

    def set_items(self, items: list[Any]) -> None:
        target = self._top()
        if not isinstance(target, _Dict) or len(items) % 2:
            raise PickleError("entries for a dictionary that is none")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if type(key) not in (str, bytes, int):
                raise PickleError("a key that is neither text nor number")
            if key in target:
                raise PickleError("a key that occurs twice")
            target[key] = value
            target.depth = max(target.depth, 1 + _depth(value))
        _bounded(target)

    def name(self, found: str) -> None:
        if found not in NAMES:
            raise ForbiddenError(one_line(found, 80).replace(" ", "."))
        self.push(_Word(NAMES[found]))

    def reduce(self) -> None:
        """Build what a word and its arguments stand for."""
        arguments, word = self.pop(), self.pop()
        if not isinstance(word, _Word) or not isinstance(arguments, _Tuple):
            raise PickleError("a call without a name or arguments")
        if word == "reconstruct":
            self.push(Array())
        elif word == "dtype" and arguments and arguments[0] in ("u1", b"u1"):
            self.push(_Kind())
        elif word == "dtype":
            code = arguments[0] if arguments and isinstance(arguments[0], str | bytes) else b""
            raise PickleError(f"an array of type {code[:9]!r}, expected bytes")
        elif word == "encode" and len(arguments) == 2 and arguments[1] in ("latin1", b"latin1"):
            self.push(self._encoded(arguments[0]))
        else:
            raise PickleError(f"{word!s} of {len(arguments)} values that it does not take")

    def build(self) -> None:
        """Give an array its shape and content; types are told their byte order, which bytes do not have."""
        state, target = self.pop(), self._top()
        if isinstance(target, _Kind):
            return
        if not isinstance(target, Array):
            raise ForbiddenError("BUILD on what is no array")
        if target.content is not None or not isinstance(state, _Tuple) or len(state) != 5:
            raise PickleError("an array whose state is not one of an array")
        _, shape, kind, by_columns, content = state
        if not isinstance(kind, _Kind) or not isinstance(content, bytes):
            raise PickleError("an array that does not hold bytes")
        if not isinstance(shape, _Tuple) or len(shape) > MAX_DIMENSIONS or not all(type(n) is int for n in shape):
            raise PickleError("an array without a shape")
        if min(shape, default=0) < 0 or math.prod(shape) != len(content):
            raise PickleError(f"an array of {len(content):,} bytes that says another shape")
        target.content = np.frombuffer(content, np.uint8).reshape(shape, order="F" if by_columns is True else "C")

    def _encoded(self, text: Any) -> bytes:
        if not isinstance(text, str) or isinstance(text, _Word):
            raise PickleError("bytes of what is no text")
        self._bytes_left -= len(text)
        if self._bytes_left < 0:
            raise ForbiddenError("one text for many bytes")
        return text.encode("latin1")

    def _top(self) -> Any:
        if isinstance(self._stack[-1], _Mark):
            raise PickleError("a value is missing")
        return self._stack[-1]


def _depth(value: Any) -> int:
    return value.depth if isinstance(value, _List | _Tuple | _Dict) else 0


def _bounded(made: _List | _Tuple | _Dict) -> Any:
    if made.depth > MAX_DEPTH:
        raise ForbiddenError(f"more than {MAX_DEPTH} levels of values in values")
    return made


def _last(machine: _Machine, count: int) -> list[Any]:
    return [machine.pop() for _ in range(count)][::-1]


_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": lambda machine, _: None,
    "MARK": lambda machine, _: machine.push(_Mark()),
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    **dict.fromkeys(("BININT", "BININT1", "BININT2", "BINUNICODE"), lambda machine, value: machine.push(value)),
    # Python 2's text is bytes; genops shows them as latin-1
    **dict.fromkeys(("BINSTRING", "SHORT_BINSTRING"), lambda machine, text: machine.push(text.encode("latin1"))),
    "EMPTY_DICT": lambda machine, _: machine.push(_Dict()),
    "EMPTY_LIST": lambda machine, _: machine.push(_List()),
    "EMPTY_TUPLE": lambda machine, _: machine.tuple_of([]),
    "TUPLE": lambda machine, _: machine.tuple_of(machine.pop_mark()),
    "TUPLE1": lambda machine, _: machine.tuple_of(_last(machine, 1)),
    "TUPLE2": lambda machine, _: machine.tuple_of(_last(machine, 2)),
    "TUPLE3": lambda machine, _: machine.tuple_of(_last(machine, 3)),
    "APPEND": lambda machine, _: machine.extend(_last(machine, 1)),
    "APPENDS": lambda machine, _: machine.extend(machine.pop_mark()),
    "SETITEM": lambda machine, _: machine.set_items(_last(machine, 2)),
    "SETITEMS": lambda machine, _: machine.set_items(machine.pop_mark()),
    **dict.fromkeys(("BINPUT", "LONG_BINPUT"), lambda machine, number: machine.put(number)),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), lambda machine, number: machine.get(number)),
    "GLOBAL": lambda machine, found: machine.name(found),
    "REDUCE": lambda machine, _: machine.reduce(),
    "BUILD": lambda machine, _: machine.build(),
}
