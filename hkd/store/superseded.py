"""What a training leaves behind when another replaces it: set aside under the name of what made it, never deleted.

Snakemake deletes the declared outputs of a job before it runs again. A finished training therefore gives its files a
second name in `{run}/finished`, which no rule declares; one of other settings, code or inputs moves that folder, and
the states of a training that was not finished, to `{run}/superseded/<digest>`.
"""

from __future__ import annotations

import errno
import os
import re
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
STATES = "states"  # and the one that names the states on the way to them, where that is another name
MAX_IDENTITY_BYTES = 4096
STATE_NAME = re.compile(r"step([0-9]{9,12})\.safetensors")  # of a state, by its step
FINISHED, CHECKPOINTS, SUPERSEDED = "finished", "checkpoints", "superseded"


def set_aside(folder: Path, identity: str, states: str = "", most: int | None = None) -> list[Path]:
    """Move finished results and training states of any other identity out of the way, and return where they went.

    Args:
        folder: of a run or of a feature network.
        identity: names settings, code and inputs of the training that comes now.
        states: names its states on the way, if not `identity` does: those of a shorter training stay in place.
        most: its steps; states beyond them are of a longer training, and move too.
    """
    moved = []
    finished = folder / FINISHED
    homes = {states_of(finished): identity_of(finished)}
    if (other := identity_of(finished)) not in (None, identity):
        moved.append(_move(finished, folder / SUPERSEDED / digest(other)))
    there = listed_states(folder / CHECKPOINTS)
    others = [name for name, step in there if name != (states or identity) or (most is not None and step > most)]
    if others:
        home = homes.get(others[-1]) or others[-1]
        moved.append(_move(folder / CHECKPOINTS, folder / SUPERSEDED / digest(home) / CHECKPOINTS))
    return moved


def keep(folder: Path, files: Iterable[Path], identity: str, states: str = "") -> None:
    """Give finished files, with their records, a second name in `finished`; it costs no space where links are known.

    Args:
        identity, states: see `set_aside`.
    """
    finished = folder / FINISHED
    for path in files:
        for file in (path, record_path(path)):
            if file.is_file():
                link_or_copy(file, finished / file.relative_to(folder))
    if states not in ("", identity):
        write_text(finished / STATES, states)
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
    found = _text(finished / IDENTITY)
    return "unknown" if found is None and finished.is_dir() else found


def states_of(finished: Path) -> str | None:
    """Return what names the states on the way to the finished files in a folder; None without a folder."""
    found = _text(finished / STATES)
    return identity_of(finished) if found is None else found


def _text(path: Path) -> str | None:
    try:
        with open(path, "rb") as file:
            return file.read(MAX_IDENTITY_BYTES).decode("utf-8", "replace")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None


def identities_of_states(folder: Path) -> list[str]:
    """Return the identities of the states in a folder, in order; one that cannot be read has an unknown one."""
    return [name for name, _ in listed_states(folder)]


def listed_states(folder: Path) -> list[tuple[str, int]]:
    """Return identity and step of the states in a folder, in order: `unknown` and 0 of what cannot be read."""
    try:
        entries = bounded.parse_json(bounded.read_bytes(folder / "checkpoints.json", bounded.SHORT_JSON_BYTES))
    except FileNotFoundError:
        return []
    except (ValueError, RecursionError):
        return [("unknown", 0)]
    if not isinstance(entries, list):
        return [("unknown", 0)]
    found = (entry for entry in entries if isinstance(entry, dict))
    return [(str(entry.get("identity", "unknown")), step_of(str(entry.get("file", "")))) for entry in found]


def step_of(name: str) -> int:
    """Return the step after which a state was saved, by the name of its file; 0 of any other name."""
    found = STATE_NAME.fullmatch(name)
    return int(found[1]) if found else 0
