"""A stack machine for pickles that runs nothing: what all restricted readers of pickles share.

A pickle is a program for a stack machine, and Python's own machine may call any function. Here a name is a word of a
fixed list, never looked up; what a word and its arguments stand for, the reader of a kind of pickle says itself.
Operations are bounded, and what an operation claims to hold is never more than the file has.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Mapping
from typing import IO, Any

from hkd.store.lines import one_line

MAX_MEMO = 1 << 20


class PickleError(ValueError):
    """A pickle is damaged: its operations do not fit together."""


class ForbiddenError(Exception):
    """A pickle does or names something that its kind does not need, or more of it than it does."""


class PlainList(list[Any]):
    """A list of a pickle; `depth` is how many levels of values in values it has."""

    depth = 1


class PlainTuple(tuple[Any, ...]):
    """A tuple of a pickle."""

    depth = 1


class PlainDict(dict[Any, Any]):
    """A dictionary of a pickle."""

    depth = 1


class Word(str):
    """A name that a pickle may use: what it means to its reader, and no object of any module."""


class Mark:
    """The start of what a later operation takes together."""


class Machine:
    """The machine of one pickle.

    Attributes:
        steps: the operations that are known, by name.
        words: the names that are known, as `module name`, and what they mean.
        operations, depth: how many operations there may be, and levels of values in values.
        shared: whether lists and dictionaries may stand in two places. A reader that allows it must bound its own walk
            over the result, which one value may fill a million times.
    """

    steps: Mapping[str, Callable[[Any, Any], None]] = {}
    words: Mapping[str, str] = {}
    operations = 1 << 17
    depth = 8
    shared = False

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def run(self) -> Any:
        """Return the value of the pickle that starts here; the file then stands behind it.

        Raises:
            PickleError, ForbiddenError: see there.
        """
        try:
            for count, (operation, argument, _) in enumerate(pickletools.genops(self._file)):
                if count == self.operations:
                    raise ForbiddenError(f"more than {self.operations:,} operations")
                if operation.name == "STOP":
                    return self._end()
                step = self.steps.get(operation.name)
                if step is None:
                    raise ForbiddenError(operation.name)
                step(self, argument)
        except (ValueError, IndexError, KeyError, OverflowError) as error:
            raise error if isinstance(error, PickleError) else PickleError(one_line(str(error)) or "cut off") from None
        raise PickleError("it does not end")

    def is_value(self, made: Any) -> bool:
        """Return whether a pickle may be this in the end."""
        return not isinstance(made, Mark | Word)

    def called(self, word: Word, arguments: PlainTuple) -> Any:
        """Return what a word and its arguments stand for."""
        raise PickleError(f"{word!s} of {len(arguments)} values that it does not take")

    def build(self) -> None:
        """Give state to what was made last."""
        raise ForbiddenError("BUILD")

    def _end(self) -> Any:
        if len(self._stack) != 1 or not self.is_value(self._stack[0]):
            raise PickleError("it does not end in one value")
        return self._stack[0]

    def push(self, value: Any) -> None:
        self._stack.append(value)

    def top(self) -> Any:
        if isinstance(self._stack[-1], Mark):
            raise PickleError("a value is missing")
        return self._stack[-1]

    def pop(self) -> Any:
        self.top()
        return self._stack.pop()

    def pop_mark(self) -> list[Any]:
        """Return all values since the last mark, and take them and it off the stack."""
        at = len(self._stack) - 1
        while not isinstance(self._stack[at], Mark):
            at -= 1
            if at < 0:
                raise PickleError("no mark")
        values = self._stack[at + 1 :]
        del self._stack[at:]
        return values

    def last(self, count: int) -> list[Any]:
        """Return the last values, and take them off the stack."""
        return [self.pop() for _ in range(count)][::-1]

    def put(self, number: int) -> None:
        if number > MAX_MEMO:
            raise ForbiddenError(f"a memo of number {number}")
        self._memo[number] = self.top()

    def get(self, number: int) -> None:
        if number not in self._memo:
            raise PickleError("a value that was never remembered")
        value = self._memo[number]
        if not self.shared and isinstance(value, PlainList | PlainDict):
            # would let a value hold itself, or one value stand for a million
            raise ForbiddenError("a list or dictionary in two places")
        self.push(value)

    def tuple_of(self, values: list[Any]) -> None:
        made = PlainTuple(values)
        made.depth = 1 + max((_depth(value) for value in values), default=0)
        self.push(self._bounded(made))

    def extend(self, values: list[Any]) -> None:
        target = self.top()
        if not isinstance(target, PlainList):
            raise PickleError("values for a list that is none")
        target.extend(values)
        target.depth = max(target.depth, 1 + max((_depth(value) for value in values), default=0))
        self._bounded(target)

    def set_items(self, items: list[Any]) -> None:
        target = self.top()
        if not isinstance(target, PlainDict) or len(items) % 2:
            raise PickleError("entries for a dictionary that is none")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if type(key) not in (str, bytes, int):
                raise PickleError("a key that is neither text nor number")
            if key in target:
                raise PickleError("a key that occurs twice")
            target[key] = value
            target.depth = max(target.depth, 1 + _depth(value))
        self._bounded(target)

    def name(self, found: str) -> None:
        if found not in self.words:
            raise ForbiddenError(one_line(found, 80).replace(" ", "."))
        self.push(Word(self.words[found]))

    def reduce(self) -> None:
        """Build what a word and its arguments stand for."""
        arguments, word = self.pop(), self.pop()
        if not isinstance(word, Word) or not isinstance(arguments, PlainTuple):
            raise PickleError("a call without a name or arguments")
        self.push(self.called(word, arguments))

    def _bounded(self, made: PlainList | PlainTuple | PlainDict) -> Any:
        if made.depth > self.depth:
            raise ForbiddenError(f"more than {self.depth} levels of values in values")
        return made


def _depth(value: Any) -> int:
    return value.depth if isinstance(value, PlainList | PlainTuple | PlainDict) else 0


PLAIN: dict[str, Callable[[Any, Any], None]] = {  # operations of plain values, as protocol 2 writes them
    "PROTO": lambda machine, _: None,
    "MARK": lambda machine, _: machine.push(Mark()),
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    **dict.fromkeys(("BININT", "BININT1", "BININT2", "BINUNICODE"), lambda machine, value: machine.push(value)),
    # Python 2's text is bytes; genops shows them as latin-1
    **dict.fromkeys(("BINSTRING", "SHORT_BINSTRING"), lambda machine, text: machine.push(text.encode("latin1"))),
    "EMPTY_DICT": lambda machine, _: machine.push(PlainDict()),
    "EMPTY_LIST": lambda machine, _: machine.push(PlainList()),
    "EMPTY_TUPLE": lambda machine, _: machine.tuple_of([]),
    "TUPLE": lambda machine, _: machine.tuple_of(machine.pop_mark()),
    "TUPLE1": lambda machine, _: machine.tuple_of(machine.last(1)),
    "TUPLE2": lambda machine, _: machine.tuple_of(machine.last(2)),
    "TUPLE3": lambda machine, _: machine.tuple_of(machine.last(3)),
    "APPEND": lambda machine, _: machine.extend(machine.last(1)),
    "APPENDS": lambda machine, _: machine.extend(machine.pop_mark()),
    "SETITEM": lambda machine, _: machine.set_items(machine.last(2)),
    "SETITEMS": lambda machine, _: machine.set_items(machine.pop_mark()),
    **dict.fromkeys(("BINPUT", "LONG_BINPUT"), lambda machine, number: machine.put(number)),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), lambda machine, number: machine.get(number)),
    "GLOBAL": lambda machine, found: machine.name(found),
    "REDUCE": lambda machine, _: machine.reduce(),
    "BUILD": lambda machine, _: machine.build(),
}
