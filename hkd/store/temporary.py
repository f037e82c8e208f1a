"""Temporary files beside the files that they become: private while they are written, removed once nobody writes them.

The name holds the machine, its start and namespace, the process and 64 random bits; the file is made by `open` alone
and locked as long as its writer lives. Whoever finds such a file removes it only when it is of the same machine and
nobody holds the lock. What another host writes into a shared folder is therefore never touched.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hkd import owner

NAME = re.compile(r"\.(.+)\.([0-9a-f]{8})-([0-9a-f]{8})-([0-9]+)-[0-9a-f]{16}\.tmp", re.DOTALL)
MAX_STEM_BYTES = 180  # of the 255 that a name may have, the rest is for what follows
FORGOTTEN = 86400.0  # seconds without a change after which a file of an earlier start of this machine is nobody's
CREATE = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
NO_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.ENOSYS)  # a disk that cannot settle a folder by itself


@contextmanager
def temporary_file(path: Path) -> Iterator[Path]:
    """Yield the name of a new empty file beside `path` that is this writer's alone; it is gone afterwards.

    Raises:
        OSError: the folder does not take a new file.
    """
    temporary, descriptor = _create(path)
    try:
        yield temporary
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        os.close(descriptor)


def unused_name(path: Path) -> Path:
    """Return a name beside `path` that nobody can foresee; only `clear_leftovers` knows it for a temporary one."""
    writer = f"{owner.machine()}-{owner.session()}-{os.getpid()}-{secrets.token_hex(8)}"
    return path.with_name(f".{_stem(path.name)}.{writer}.tmp")


def clear_leftovers(folder: Path, name: str | None = None) -> None:
    """Remove the half-written files or folders of `name`, or of any, that killed writers of this machine left."""
    here, stem = owner.machine(), None if name is None else _stem(name)
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            found = NAME.fullmatch(entry.name)
            if found and found[2] == here and stem in (None, found[1]):
                remove = _remove_abandoned_folder if entry.is_dir(follow_symlinks=False) else _remove_abandoned
                with suppress(OSError):  # somebody else's, or gone already
                    remove(Path(entry.path), found[3], int(found[4]))


def settle(path: Path) -> None:
    """Put a file's bytes on the disk.

    Raises:
        OSError: among others, ELOOP where a link or anything but a file has taken its place.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def settle_folder(folder: Path) -> None:
    """Put on the disk which names a folder has: without it a file may lose its name when the power goes."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError:  # a folder that may be written and not listed
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in NO_SYNC:
            raise
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Make a folder with all above it, if they are not there, and put their names on the disk."""
    new = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for each in reversed(new):
        settle_folder(each.parent)


def _create(path: Path) -> tuple[Path, int]:
    """Return a new locked file's name and descriptor."""
    for _ in range(100):
        temporary = unused_name(path)
        # read and write for all, less what the process's mask takes away, as for any new file
        descriptor = os.open(temporary, CREATE, 0o666)
        with suppress(OSError):  # a disk without locks: then the process's number says whether the writer lives
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        # somebody who cleared leftovers may have seen the file before it was locked
        if os.path.lexists(temporary):
            return temporary, descriptor
        os.close(descriptor)
    raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))


def _remove_abandoned(path: Path, session: str, pid: int) -> None:
    """Remove a temporary file of this machine if its writer is gone."""
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        about = os.fstat(descriptor)
        # of an earlier start, or of a container with processes of its own; two machines may carry one name, so it
        # must also have been left alone
        elsewhere = session != owner.session()
        if not stat.S_ISREG(about.st_mode) or (elsewhere and time.time() - about.st_mtime < FORGOTTEN):
            return
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        except OSError:
            if elsewhere or owner.exists(pid):
                return
        path.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def _remove_abandoned_folder(path: Path, session: str, pid: int) -> None:
    """Remove a copy that was cut short; no folder is locked, so its writer's number says whether that one lives."""
    if session == owner.session():
        abandoned = not owner.exists(pid)
    else:
        abandoned = time.time() - path.stat().st_ctime >= FORGOTTEN
    if abandoned:
        shutil.rmtree(path)


def _stem(name: str) -> str:
    """Return what a temporary name keeps of the name that it stands for."""
    encoded = os.fsencode(name)
    return name if len(encoded) <= MAX_STEM_BYTES else hashlib.sha256(encoded).hexdigest()
