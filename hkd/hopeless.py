"""What must fail again is not tried again: a job that failed for its settings or inputs says so at once next time.

Snakemake's `retries` cannot tell such a failure from a broken node. So the command leaves what it said under the name
of its workflow and of itself; a further attempt of the same workflow finds it, says the same line and leaves, before
anything is loaded. Another start of the workflow tries anew.
"""

from __future__ import annotations

import hashlib
import os
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

from hkd import owner

WORKFLOW = "HKD_WORKFLOW"  # names the workflow that a job is of, over all its attempts
FOLDER = Path(".snakemake/hkd-hopeless")
MAX_BYTES = 1 << 16


def workflow() -> str:
    """Return the name of the workflow that this process, or the one that started it, is."""
    return os.environ.get(WORKFLOW) or _own_name()


def said(command: Sequence[str]) -> str | None:
    """Return what an earlier attempt of this command said when it failed for good; None if there was none."""
    if not (path := _path(command)):
        return None
    try:
        with open(path, "rb") as file:
            return file.read(MAX_BYTES).decode("utf-8", "replace")
    except OSError:
        return None


def remember(command: Sequence[str], message: str) -> None:
    """Leave what this command says of a failure that the next attempt would meet again."""
    if path := _path(command):
        with suppress(OSError):  # then the next attempt finds out by itself
            path.parent.mkdir(exist_ok=True)
            path.write_text(message, encoding="utf-8")


def forget(folder: Path = FOLDER) -> None:
    """Forget the failures of workflows that have ended, as a new one starts."""
    for path in folder.glob("*.txt"):
        with suppress(OSError):
            path.unlink()


@cache
def _own_name() -> str:
    return f"{socket.gethostname()}-{owner.session()}-{os.getpid()}-{time.time():.0f}"


def _path(command: Sequence[str]) -> Path | None:
    """Return where the words of a job lie; None outside of a workflow."""
    name = os.environ.get(WORKFLOW)
    if not name:
        return None
    return FOLDER / f"{hashlib.sha256(repr([name, *command]).encode()).hexdigest()[:32]}.txt"
