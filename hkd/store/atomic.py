"""Files are written whole or not at all.

A file is written under a temporary name in its own folder and renamed when it is complete and on the disk, so a reader
sees the old file, the new file, or none, also after the power went.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hkd.store.finite import first_beyond
from hkd.store.refusals import ArtifactError, refusal
from hkd.store.temporary import clear_leftovers, make_folder, settle, settle_folder, temporary_file


@contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside `path`, where an empty file lies; rename it to `path` when the block ends well.

    Bytes and name are on the disk afterwards: what is written next, such as a record, never outlives this file.

    Raises:
        ArtifactError: the folder cannot be written or the disk refuses. Nothing half-written stays behind.
    """
    path = Path(path)
    try:
        make_folder(path.parent)
        clear_leftovers(path.parent, path.name)
        with temporary_file(path) as temporary:
            with _named(path, temporary):
                yield temporary
            # the bytes must be on the disk before the name is: after a power cut, a rename without them would leave an
            # empty file under the final name
            settle(temporary)
            os.replace(temporary, path)
            settle_folder(path.parent)
    except OSError as error:
        raise refusal(error, path) or error from error


@contextmanager
def _named(path: Path, temporary: Path) -> Iterator[None]:
    """Turn what the system refuses while a file is written into one line; a file that was read meanwhile is named."""
    try:
        yield
    except OSError as error:
        other = error.filename
        if not isinstance(other, str | Path) or Path(other) in (path, temporary):
            raise refusal(error, path) or error from error
        raise refusal(error, other, "open") or error from error


def write_bytes(path: Path | str, content: bytes) -> None:
    """Write `content` to `path` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path | str, content: str) -> None:
    """Write `content` to `path` atomically, as UTF-8."""
    write_bytes(path, content.encode())


def write_json(path: Path | str, content: Any, *, undefined: bool = False) -> None:
    """Write `content` to `path` atomically, keys in the order given.

    Args:
        undefined: whether NaN may stand for a number that does not exist.
    Raises:
        ArtifactError: a number is not finite; the message names its key.
    """
    if (key := first_beyond(content, undefined)) is not None:
        raise ArtifactError(f"{path}: not written, {key} is NaN or infinity; look at what it was made from")
    write_text(path, json.dumps(content, indent=2) + "\n")


def sha256(path: Path | str) -> str:
    """Return the hexadecimal SHA-256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
