"""Names of files as text: UTF-8 whatever the locale, since names are compared, ordered, recorded and shown."""

from __future__ import annotations

import os
from pathlib import Path


def text_of(name: str | Path) -> str:
    """Return a name as the system gives it, decoded as UTF-8; bytes that are none become lone surrogates."""
    return os.fsencode(name).decode("utf-8", "surrogateescape")


def native(text: str) -> str:
    """Return the name that the system knows a text of `text_of` by."""
    return os.fsdecode(text.encode("utf-8", "surrogateescape"))
