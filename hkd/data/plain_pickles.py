"""Pickles of plain values, read by a machine that can build nothing else.

It knows dictionaries, lists, tuples, text, bytes, whole numbers and arrays of bytes. The few names that pickles of such
values hold are words to it: none is ever looked up, called or given state. Operations, nesting and memory are bounded.
"""

from __future__ import annotations

import io
import math
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from hkd.store.pickle_machine import PLAIN, Machine, PlainTuple, Word
from hkd.store.pickle_machine import ForbiddenError as ForbiddenError
from hkd.store.pickle_machine import PickleError as PickleError

MAX_OPERATIONS = 1 << 17  # a batch of CIFAR-10 has thirty thousand, and ninety as Python 3 writes it
MAX_DEPTH = 8  # one has four: the shape in the state of the array in the dictionary
MAX_DIMENSIONS = 8


class Array:
    """An array of bytes: made empty, then given its shape and content once."""

    content: NDArray[np.uint8] | None = None


class _Kind:
    """The type of an array's elements, of which only bytes are known."""


NAMES = {  # what a pickle may name: a word each, and no object of any module
    "numpy.core.multiarray _reconstruct": "reconstruct",
    "numpy._core.multiarray _reconstruct": "reconstruct",
    "numpy ndarray": "ndarray",
    "numpy dtype": "dtype",
    "_codecs encode": "encode",  # how Python 3 writes bytes for Python 2
}


def load(content: bytes) -> Any:
    """Return the value of a pickle: dict, list, tuple, str, bytes, int, bool, None, or `Array`.

    Raises:
        PickleError: it is damaged or truncated, or more follows its end.
        ForbiddenError: it uses what plain values do not need.
    """
    file = io.BytesIO(content)
    made = _PlainMachine(file, len(content)).run()
    if left := len(content) - file.tell():
        raise PickleError(f"{left:,} bytes follow its end")
    return made


class _PlainMachine(Machine):
    steps, words, operations, depth = PLAIN, NAMES, MAX_OPERATIONS, MAX_DEPTH

    def __init__(self, file: IO[bytes], size: int) -> None:
        super().__init__(file)
        self._bytes_left = size  # what text may become when it is turned into bytes, all in all

    def is_value(self, made: Any) -> bool:
        return super().is_value(made) and not isinstance(made, _Kind)

    def called(self, word: Word, arguments: PlainTuple) -> Any:
        if word == "reconstruct":
            return Array()
        if word == "dtype" and arguments and arguments[0] in ("u1", b"u1"):
            return _Kind()
        if word == "dtype":
            code = arguments[0] if arguments and isinstance(arguments[0], str | bytes) else b""
            raise PickleError(f"an array of type {code[:9]!r}, expected bytes")
        if word == "encode" and len(arguments) == 2 and arguments[1] in ("latin1", b"latin1"):
            return self._encoded(arguments[0])
        return super().called(word, arguments)

    def build(self) -> None:
        """Give an array its shape and content; types are told their byte order, which bytes do not have."""
        state, target = self.pop(), self.top()
        if isinstance(target, _Kind):
            return
        if not isinstance(target, Array):
            raise ForbiddenError("BUILD on what is no array")
        if target.content is not None or not isinstance(state, PlainTuple) or len(state) != 5:
            raise PickleError("an array whose state is not one of an array")
        _, shape, kind, by_columns, content = state
        if not isinstance(kind, _Kind) or not isinstance(content, bytes):
            raise PickleError("an array that does not hold bytes")
        if not isinstance(shape, PlainTuple) or len(shape) > MAX_DIMENSIONS or not all(type(n) is int for n in shape):
            raise PickleError("an array without a shape")
        if min(shape, default=0) < 0 or math.prod(shape) != len(content):
            raise PickleError(f"an array of {len(content):,} bytes that says another shape")
        target.content = np.frombuffer(content, np.uint8).reshape(shape, order="F" if by_columns is True else "C")

    def _encoded(self, text: Any) -> bytes:
        if not isinstance(text, str) or isinstance(text, Word):
            raise PickleError("bytes of what is no text")
        self._bytes_left -= len(text)
        if self._bytes_left < 0:
            raise ForbiddenError("one text for many bytes")
        return text.encode("latin1")
