"""Readers of JSON and safetensors that a damaged or hostile file cannot make slow, large or wrong.

Sizes, depths and counts that a file states are compared with its own length before anything is made of them, nothing
that it holds is evaluated, and whatever is wrong is a `Damaged` with one line of reason. Callers add the file's name
and what to do. Those of numpy's files are in `bounded_arrays`.
"""

from __future__ import annotations

import json
import math
import os
import re
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from importlib import import_module
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from hkd.store.lines import reason

if TYPE_CHECKING:
    import numpy as np

    Room = Callable[[tuple[int, ...], np.dtype[Any]], np.ndarray]

JSON_BYTES = 64 << 20  # no file of this project comes near
SHORT_JSON_BYTES = 1 << 20  # lists of states and milestones, cards, records of parts
CHUNK = 1 << 16  # bytes asked for at once of a file that holds more than it says, as those of /proc do
JSON_DEPTH = 64
DIGITS = 40  # of a whole number: a digest has no digits to read, and a count of nanoseconds has 19
TENSOR_HEADER = 16 << 20

_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*"?', re.DOTALL)
_BRACKETS = re.compile(r"[\[{\]}]")


class Damaged(ValueError):
    """The content of a file is not what a file of its kind holds; the message is one line without the file's name."""


def read_bytes(path: Path | str, most: int) -> bytes:
    """Return the bytes of a file that has at most so many; no more memory is taken than it has.

    Raises:
        Damaged: it has more, or is no plain file. FileNotFoundError: there is none.
    """
    try:
        with open(plain_path(path), "rb") as file:
            content = read_from(file, most + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Damaged(f"cannot be read ({error.strerror or error})") from None
    if len(content) > most:
        raise Damaged(f"more than {most:,} bytes")
    return content


def read_from(file: IO[bytes], most: int) -> bytes:
    """Return what an open file holds, up to so many bytes.

    At once as much as the file says that it has: a read reserves all that it asks for.
    """
    wanted, pieces = os.fstat(file.fileno()).st_size + 1, []
    while most and (piece := file.read(min(wanted, most))):
        pieces.append(piece)
        most, wanted = most - len(piece), CHUNK
    return b"".join(pieces)


def plain_path(path: Path | str) -> Path:
    """Return the path of a plain file, or of none: a pipe would keep a reader waiting for ever."""
    path = Path(path)
    if path.exists() and not path.is_file():
        raise Damaged("a folder or a device where a file should be")
    return path


def parse_json(content: bytes, *, undefined: bool = False) -> Any:
    """Return the value of a JSON text: UTF-8, no key twice in one mapping, every number finite.

    Args:
        undefined: whether NaN may stand for a number that does not exist.
    Raises:
        Damaged: it is none, is nested too deeply, or states numbers of unreasonable length.
    """
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Damaged(f"not valid JSON (not UTF-8 at byte {error.start})") from None
    _check_depth(text)
    constant = _undefined if undefined else _no_number
    try:
        return json.loads(
            text, object_pairs_hook=_mapping, parse_int=_whole, parse_float=_real, parse_constant=constant
        )
    except json.JSONDecodeError as error:
        raise Damaged(f"not valid JSON ({error})") from None


def _check_depth(text: str) -> None:
    depth = 0
    for bracket in _BRACKETS.finditer(_STRINGS.sub("", text)):
        depth += 1 if bracket.group() in "[{" else -1
        if depth > JSON_DEPTH:
            raise Damaged(f"not valid JSON (nested more than {JSON_DEPTH} levels deep)")


def _mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        counts = Counter(key for key, _ in pairs)
        twice = next(key for key, count in counts.items() if count > 1)
        raise Damaged(f"the key {twice!r} occurs twice")
    return found


def _whole(digits: str) -> int:
    if len(digits) > DIGITS:
        raise Damaged(f"a whole number of {len(digits):,} digits")
    return int(digits)


def _real(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise Damaged(f"the number {digits[:DIGITS]} is too large")
    return value


def _undefined(name: str) -> float:
    return math.nan if name == "NaN" else _no_number(name)


def _no_number(name: str) -> float:
    raise Damaged(f"{name} where a number should be")


# what zipfile and zlib raise for bytes that are none of theirs
DAMAGES = (
    OSError,
    EOFError,
    ValueError,
    IndexError,
    KeyError,
    OverflowError,
    MemoryError,
    RuntimeError,  # a password, and a method of compression that is not built in
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
)


def read_tensors(path: Path | str, *, arrays: bool = False) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the tensors of a safetensors file, on the CPU, and the facts `about` it that its header holds.

    Args:
        arrays: numpy's arrays instead of tensors, which takes no start of torch.
    Raises:
        Damaged: the header states other bytes than follow, facts that are no JSON mapping, or types that numpy lacks.
        FileNotFoundError: there is none.
    """
    from safetensors import SafetensorError

    about = tensors_about(path)
    load_file = import_module("safetensors.numpy" if arrays else "safetensors.torch").load_file
    try:
        return load_file(path), about
    except FileNotFoundError:
        raise
    except (SafetensorError, AttributeError, TypeError, *DAMAGES) as error:
        raise Damaged(f"not a readable safetensors file ({reason(error)})") from None


def tensors_about(path: Path | str) -> dict[str, Any]:
    """Return the facts `about` a safetensors file that its header holds; empty where it holds none.

    Raises:
        Damaged, FileNotFoundError: as `read_tensors`.
    """
    try:
        with open(plain_path(path), "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= min(TENSOR_HEADER, Path(path).stat().st_size - 8):
                raise Damaged(f"not a readable safetensors file (its header states {length:,} bytes)")
            header = file.read(length)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Damaged(f"cannot be read ({error.strerror or error})") from None
    facts = _of(parse_json(header), dict, "its header").get("__metadata__", {})
    text = _of(facts, dict, "the facts in its header").get("about", "{}")
    about = parse_json(_of(text, str, "the facts in its header").encode("utf-8", "replace"))
    return dict(_of(about, dict, "the facts in its header"))


def _of(value: Any, kind: type, what: str) -> Any:
    if not isinstance(value, kind):
        raise Damaged(f"{what}: {type(value).__name__} where {kind.__name__} is due")
    return value


def check_fields(
    content: Any, fields: Mapping[str, type | tuple[type, ...]], optional: Collection[str] = ()
) -> dict[str, Any]:
    """Return a mapping that has these fields, each of its type; true and false are no numbers.

    Raises:
        Damaged: naming the first field that is missing or of another type.
    """
    found = dict(_of(content, dict, "its content"))
    for name, kinds in fields.items():
        if name not in found:
            if name in optional:
                continue
            raise Damaged(f"its field {name!r} is missing")
        kinds = kinds if isinstance(kinds, tuple) else (kinds,)
        if not isinstance(found[name], kinds) or (isinstance(found[name], bool) and bool not in kinds):
            due = " or ".join(kind.__name__ for kind in kinds)
            raise Damaged(f"its field {name!r} is of type {type(found[name]).__name__}, not {due}")
    return found
