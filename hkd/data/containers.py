"""What lies at a path that somebody names as a set of pictures: a folder, a zip, a tar, a single picture."""

from __future__ import annotations

import os
import stat
import tarfile
import zipfile
import zlib
from lzma import LZMAError
from pathlib import Path, PurePosixPath

from hkd.data import DataError
from hkd.data.formats import EXPECTED, SUFFIXES, is_picture
from hkd.data.picture_files import CIFAR_BATCH, HEAD_BYTES, TARS, PictureFiles
from hkd.data.picture_folder import FolderPictures
from hkd.data.picture_zip import ZipPictures

ACCEPTED = f"an EDM-format zip, a folder of images ({EXPECTED}), a prepared set, or cifar-10-python.tar.gz"
TAR_ERRORS = (tarfile.TarError, OSError, EOFError, zlib.error, LZMAError, ValueError, OverflowError, MemoryError)
PEEKED, PEEKED_BYTES = 16, 512 << 20  # members of a tar, and bytes, that are passed by to learn what it is


def find_pictures(path: Path, *, skip_unreadable: bool = False) -> PictureFiles:
    """Return the pictures in a folder or a zip.

    Raises:
        DataError: it cannot be read, or holds no picture.
    """
    made: type[PictureFiles] = FolderPictures if path.is_dir() else ZipPictures
    return made(path, skip_unreadable=skip_unreadable)


def check_kind(path: Path, accepted: str) -> None:
    """Raise DataError unless there is a file or a folder at `path`, and it can be asked for."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        detail = "" if isinstance(error, FileNotFoundError) else f" ({why})"
        raise DataError(f"{path}: no such file or folder{detail}; put there {accepted}") from None
    if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
        raise DataError(f"{path}: neither a file nor a folder; expected {accepted}")


def is_zip(path: Path) -> bool:
    """Return whether a file is a zip, or is named as one."""
    try:
        return path.suffix.lower() == ".zip" or zipfile.is_zipfile(path)
    except (OSError, ValueError, OverflowError):
        return False


def is_tar(path: Path) -> bool:
    """Return whether a file is a tar archive, or is named as one."""
    try:
        return path.name.lower().endswith(TARS) or tarfile.is_tarfile(path)
    except TAR_ERRORS:
        return False


def other_tar(path: Path) -> str:
    """Return what a tar is and what to give, or nothing if it may be CIFAR-10's, by its first members.

    The reader of that archive says what is wrong with a damaged one.
    """
    passed, first = 0, ""
    try:
        with tarfile.open(path, "r:*") as archive:
            for _ in range(PEEKED):
                member = archive.next()
                if member is None:
                    found = (
                        f"nothing named as a picture or a batch of CIFAR-10 (first {first})" if first else "no files"
                    )
                    return f"a tar with {found}; expected {ACCEPTED}"
                name = PurePosixPath(member.name)
                if name.name.startswith(CIFAR_BATCH) or (passed := passed + member.size) > PEEKED_BYTES:
                    break
                if not member.isfile() or name.name.startswith("."):
                    continue
                if name.suffix.lower() in SUFFIXES:
                    return "a tar of pictures is not read; unpack it and give the folder, or zip that"
                first = first or member.name
    except TAR_ERRORS:
        pass
    return ""


def is_single_picture(path: Path) -> bool:
    """Return whether a file is a picture by its name or its first bytes.

    Raises:
        DataError: it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return path.suffix.lower() in SUFFIXES or is_picture(file.read(HEAD_BYTES))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None
