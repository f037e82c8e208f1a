"""The pictures of a zip, read one at a time and never unpacked, within bounds that no honest set meets."""

from __future__ import annotations

import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO

from hkd.data import DataError, formats
from hkd.data.picture_files import HEAD_BYTES, PictureFiles
from hkd.store.zip_directory import check_directory

MAX_MEMBERS = 8 << 20
MAX_RATIO = 200  # of all bytes to those of the zip: packed pictures hardly shrink again
FREE_BYTES = 1 << 30  # that much may any zip hold, whatever its ratio
PIECE = 1 << 20
SMALL_PIECE = 4096  # bzip2 and LZMA are unpacked without a bound on what a piece becomes, so pieces are small
# Errors that the reader raises for damaged zips: an unknown compression is a RuntimeError, a name that is no text a
# ValueError, an offset past all files an OverflowError
ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    OSError,
    RuntimeError,
    ValueError,
    OverflowError,
    MemoryError,
)
ENCRYPTED = 0x1
UTF8 = 0x800
LINK = 0o120000


class ZipPictures(PictureFiles):
    """Pictures of a zip."""

    kind = "edm-zip"

    def read(self, name: str) -> bytes:
        info = self._infos[name]
        if info.file_size > formats.MAX_FILE_BYTES:
            raise DataError(
                f"{self.where(name)}: {info.file_size:,} bytes, more than {formats.MAX_FILE_BYTES:,}; remove it"
            )
        return self._start(name, info.file_size + 1)

    def _members(self) -> Iterator[str]:
        try:
            self._archive = zipfile.ZipFile(self.path)
            check_directory(self._archive, self.path)
        except ZIP_ERRORS as error:
            raise DataError(f"{self.path}: truncated or not a zip ({error}); copy or download it again") from None
        self._infos: dict[str, zipfile.ZipInfo] = {}
        self._check_sizes(self._archive.infolist())
        for info in self._archive.infolist():
            stored = _stored_name(info)
            name = self._plain(stored)
            if not name or self._hide(name):
                continue
            if info.is_dir() or stored.endswith("\\"):
                self.folders.add(name)
            elif info.external_attr >> 16 & 0o170000 == LINK:
                self.unreadable(name, "a link, not a picture; pack the files that links stand for")
            else:
                self._infos[name] = info
                yield name

    def _check_sizes(self, infos: list[zipfile.ZipInfo]) -> None:
        if len(infos) > MAX_MEMBERS:
            raise DataError(f"{self.path}: {len(infos):,} files, more than {MAX_MEMBERS:,}; split it")
        total, packed = sum(info.file_size for info in infos), self.path.stat().st_size
        if total > max(FREE_BYTES, MAX_RATIO * packed):
            raise DataError(
                f"{self.path}: its {packed:,} bytes claim to hold {total:,}, more than {MAX_RATIO} times as many; "
                "pictures do not shrink so far: pack it again from the files that you trust"
            )

    def _plain(self, stored: str) -> str:
        """Return a stored name with forward slashes and without `./`.

        Raises:
            DataError: it leads out of the zip, or is empty.
        """
        name = stored.replace("\\", "/")
        if not name or name.startswith("/") or name[1:3] == ":/" or ".." in name.split("/"):
            raise DataError(
                f"{self.where(stored)}: a path outside the archive; expected names like 00000/img00000000.png"
            )
        return "/".join(part for part in name.split("/") if part not in ("", "."))

    def _head(self, name: str) -> bytes:
        try:
            return self._start(name, HEAD_BYTES)
        except DataError:  # not named as a picture, and nobody can say that it is one: it is left out, and counted
            return b""

    def _start(self, name: str, count: int) -> bytes:
        info = self._infos[name]
        if info.flag_bits & ENCRYPTED:
            raise DataError(f"{self.where(name)}: needs a password; pack the files again without one")
        piece = PIECE if info.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) else SMALL_PIECE
        try:
            with self._archive.open(info) as member:
                return _up_to(member, count, piece)
        except RuntimeError as error:  # so zipfile says that it does not know a compression, or a way of packing
            raise DataError(f"{self.where(name)}: {error}; pack the files again, with deflate or none") from None
        except ZIP_ERRORS as error:
            raise DataError(f"{self.where(name)}: cannot be read ({error}); copy or download the zip again") from None


def _stored_name(info: zipfile.ZipInfo) -> str:
    """Return the name of a member: UTF-8 if it can be that, whether or not the zip says so, as macOS's do not."""
    if info.flag_bits & UTF8:
        return info.filename
    try:
        return info.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return info.filename


def _up_to(member: IO[bytes], count: int, piece: int) -> bytes:
    """Return at most `count` bytes, of which no more than `piece` are asked for at once."""
    content = bytearray()
    while len(content) < count and (more := member.read(min(piece, count - len(content)))):
        content += more
    return bytes(content)
