"""Whether the directory of a zip is whole: a damaged one may list fewer members, which would be missing unnoticed."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import IO

END, HEADER = b"PK\x05\x06", b"PK\x03\x04"
END_BYTES, LONGEST_COMMENT = 22, (1 << 16) - 1
HEADER_BYTES = 30  # of a member, before its name
DESCRIPTOR_BYTES = 24  # at most, behind a member's content
LARGE = 0xFFFF  # the number of members stands elsewhere


def check_directory(archive: zipfile.ZipFile, path: Path | str) -> None:
    """Refuse a zip whose directory lists other members than there are, as far as that is seen without reading all.

    Raises:
        zipfile.BadZipFile: its end says another number of them, one has a cut name, or one that is there is not listed.
    """
    with open(path, "rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - END_BYTES - LONGEST_COMMENT))
        tail = file.read()
        at = tail.rfind(END) + 10
        said, listed = int.from_bytes(tail[at : at + 2], "little"), len(archive.infolist())
        if said not in (LARGE, listed & 0xFFFF):  # some programs write the lowest bits of a large number
            raise zipfile.BadZipFile(f"its directory lists {listed:,} members, and its end says {said:,}")
        if named := [member for member in archive.infolist() if member.filename.endswith("/") and member.file_size]:
            raise zipfile.BadZipFile(f"{named[0].filename!r} is named as a folder and holds bytes")
        if (found := _unlisted(archive, file)) is not None:
            raise zipfile.BadZipFile(f"its directory does not list the member at byte {found:,}")


def _unlisted(archive: zipfile.ZipFile, file: IO[bytes]) -> int | None:
    """Return where a member begins that is not listed: at the beginning of the file, or behind one that is."""
    end, before = 0, None
    members = sorted(archive.infolist(), key=lambda member: member.header_offset)
    for start, member in [*((member.header_offset, member) for member in members), (archive.start_dir, None)]:
        if start - end >= HEADER_BYTES:  # room for one
            if before is not None:
                file.seek(before.header_offset + HEADER_BYTES - 4)
                lengths = file.read(4)  # of the name and what follows it: not those of the directory
                end = before.header_offset + HEADER_BYTES + before.compress_size
                end += int.from_bytes(lengths[:2], "little") + int.from_bytes(lengths[2:], "little")
            file.seek(end)
            found = file.read(min(DESCRIPTOR_BYTES + len(HEADER), max(0, start - end))).find(HEADER)
            if found >= 0:
                return end + found
        if member is not None:
            end, before = start + HEADER_BYTES + member.compress_size, member
    return None
