"""What the user's files hold, whatever they are called and whenever they were touched: one digest for a file or folder.

Large files are read once: the digest is remembered beside the results while names, sizes, times and inodes stay.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from hkd.store import bounded
from hkd.store.atomic import sha256, write_json
from hkd.store.refusals import ArtifactError

REMEMBERED = 64  # sources that are remembered at most
MAX_BYTES = 1 << 20


def content(path: str | None, memory: Path) -> str | None:
    """Return the digest of a file, or of the names and contents of all files in a folder; None where there is neither.

    Args:
        memory: the file that remembers digests; it can be deleted at any time.
    Raises:
        ArtifactError: a file cannot be read.
    """
    if not path or not os.path.exists(path):
        return None
    source = Path(path)
    files = [("", source)] if source.is_file() else list(_files(source))
    stats = [(name, file.stat()) for name, file in files]
    seen = [os.path.realpath(source), [[name, about.st_size, about.st_mtime_ns, about.st_ino] for name, about in stats]]
    key = _digest(seen)
    known = _known(memory)
    if key not in known:
        try:
            known[key] = _digest([[name, sha256(file)] for name, file in files])
        except OSError as error:
            raise ArtifactError(
                f"{error.filename}: cannot be read ({error.strerror}); see to it and try again"
            ) from None
        if memory.parent.is_dir():  # before there are results, planning leaves nothing behind
            with suppress(OSError, ArtifactError):
                write_json(memory, dict(list(known.items())[-REMEMBERED:]))
    return known[key]


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield relative name and path of every file in a folder, in order.

    Folders that are links are read as others, once each: some lead back to one above.
    """
    found, seen = [], {os.path.realpath(folder)}
    for inside, below, names in os.walk(folder, followlinks=True):
        new = {name: os.path.realpath(os.path.join(inside, name)) for name in sorted(below)}
        below[:] = [name for name, real in new.items() if real not in seen]
        seen.update(new.values())
        found += [Path(inside, name) for name in names]
    for file in sorted(found):
        if file.is_file():
            yield str(file.relative_to(folder)), file


def _known(memory: Path) -> dict[str, str]:
    try:
        found = bounded.parse_json(bounded.read_bytes(memory, MAX_BYTES))
    except (OSError, bounded.Damaged):
        return {}
    return (
        {str(key): value for key, value in found.items() if isinstance(value, str)} if isinstance(found, dict) else {}
    )


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode("utf-8", "surrogateescape")).hexdigest()
