"""What a training leaves behind when another replaces it: set aside under the name of what made it, never deleted.

Snakemake deletes the declared outputs of a job before it runs again. A finished training therefore gives its files a
second name in `{run}/finished`, which no rule declares; one of other settings, code or inputs moves that folder, and
the states of a training that was not finished, to `{run}/superseded/<digest>`.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from hkd.settings.origins import digest
from hkd.store import bounded
from hkd.store.atomic import atomic_path, write_text
from hkd.store.records import record_path
from hkd.store.refusals import refusal
from hkd.store.temporary import clear_leftovers, make_folder, settle, settle_folder, unused_name

IDENTITY = "identity"  # the file that names what made the files beside it
MAX_IDENTITY_BYTES = 4096
FINISHED, CHECKPOINTS, SUPERSEDED = "finished", "checkpoints", "superseded"


def set_aside(folder: Path, identity: str) -> list[Path]:
    """Move finished results and training states of any other identity out of the way, and return where they went.

    Args:
        folder: of a run or of a feature network.
        identity: names settings, code and inputs of the training that comes now.
    """
    moved = []
    finished = folder / FINISHED
    if (other := identity_of(finished)) not in (None, identity):
        moved.append(_move(finished, folder / SUPERSEDED / digest(other)))
    states = folder / CHECKPOINTS
    others = [found for found in identities_of_states(states) if found != identity]
    if others:
        moved.append(_move(states, folder / SUPERSEDED / digest(others[-1]) / CHECKPOINTS))
    return moved


def keep(folder: Path, files: Iterable[Path], identity: str) -> None:
    """Give finished files, with their records, a second name in `finished`; it costs no space where links are known."""
    finished = folder / FINISHED
    for path in files:
        for file in (path, record_path(path)):
            if file.is_file():
                link_or_copy(file, finished / file.relative_to(folder))
    write_text(finished / IDENTITY, identity)


def link_or_copy(source: Path, target: Path) -> None:
    """Give a finished file a second name, which costs no space; copy it where that is not possible.

    What had that name before is replaced at once, and file and name are on the disk afterwards.

    Raises:
        ArtifactError: the folder cannot be written or the disk refuses.
    """
    linked = unused_name(target)
    try:
        make_folder(target.parent)
        os.link(source, linked)
    except OSError:
        with atomic_path(target) as temporary:
            shutil.copyfile(source, temporary)
        return
    try:
        settle(linked)
        os.replace(linked, target)
        settle_folder(target.parent)
    except OSError as error:
        raise refusal(error, target) or error from error
    finally:
        linked.unlink(missing_ok=True)  # two names of one file are not replaced by one another


def _move(source: Path, target: Path) -> Path:
    """Move a folder to where nothing lies yet: a name that is taken gets a number.

    Raises:
        ArtifactError: the disk refuses; then all lies where it lay.
    """
    free, number = target, 2
    while os.path.lexists(free):
        free, number = target.with_name(f"{target.name}-{number}"), number + 1
    try:
        make_folder(free.parent)
        clear_leftovers(free.parent)
        _rename(source, free)
        settle_folder(free.parent)
        settle_folder(source.parent)
    except OSError as error:
        raise refusal(error, free) or error from error
    return free


def _rename(source: Path, target: Path) -> None:
    try:
        os.rename(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        # a layered disk, as of a container, renames no folder of a lower layer: copied, then removed
        copied = unused_name(target)
        try:
            _copy(source, copied)
            os.rename(copied, target)
        except BaseException:
            shutil.rmtree(copied, ignore_errors=True)
            raise
        settle_folder(target.parent)  # until then the source is all that a power cut is sure to leave
        shutil.rmtree(source)


def _copy(source: Path, target: Path) -> None:
    """Copy a folder and put it on the disk; links are copied as links."""
    os.mkdir(target)
    for path in sorted(source.iterdir()):
        copied = target / path.name
        if path.is_symlink():
            os.symlink(os.readlink(path), copied)
        elif path.is_dir():
            _copy(path, copied)
        else:
            shutil.copy2(path, copied)
            settle(copied)
    settle_folder(target)


def identity_of(finished: Path) -> str | None:
    """Return what made the finished files in a folder; `unknown` where nothing says it, None without a folder."""
    try:
        with open(finished / IDENTITY, "rb") as file:
            return file.read(MAX_IDENTITY_BYTES).decode("utf-8", "replace")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return "unknown" if finished.is_dir() else None


def identities_of_states(folder: Path) -> list[str]:
    """Return the identities of the states in a folder, in order; one that cannot be read has an unknown one."""
    try:
        entries = bounded.parse_json(bounded.read_bytes(folder / "checkpoints.json", bounded.SHORT_JSON_BYTES))
    except FileNotFoundError:
        return []
    except (ValueError, RecursionError):
        return ["unknown"]
    if not isinstance(entries, list):
        return ["unknown"]
    return [str(entry.get("identity", "unknown")) for entry in entries if isinstance(entry, dict)]
