"""Text that others wrote, within one line of a message: names of files, errors of libraries, values of settings."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

NAMES_SHOWN = 5


def printable(text: str) -> str:
    """Return a text on one line, in which letters that do not print are written as Python would."""
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


def shortened(text: str, length: int = 120) -> str:
    """Return a printable text, the middle left out where it is long."""
    text = printable(text)
    return text if len(text) <= length else f"{text[: length // 2]}…{text[-length // 3 :]}"


def one_line(text: str, most: int = 200) -> str:
    """Return the beginning of a text whose line breaks mean nothing, printable."""
    return printable(" ".join(text.split()))[:most]


def as_value(text: object) -> str:
    """Return a path or name as it may stand in a mapping of YAML."""
    plain = str(text)  # a word alone may be a truth value or a number to a reader of YAML, a path is none
    return plain if re.fullmatch(r"[\w.-]*/[\w./-]*", plain) else json.dumps(plain, ensure_ascii=False)


def reason(error: BaseException) -> str:
    """Return what an error of a library says, or its name where it says nothing."""
    return one_line(str(error)) or type(error).__name__


def first_names(names: Sequence[str]) -> str:
    """Return the first names of a list, and how many more there are."""
    more = [f"... ({len(names) - NAMES_SHOWN:,} more)"] if len(names) > NAMES_SHOWN else []
    return ", ".join([*names[:NAMES_SHOWN], *more])
