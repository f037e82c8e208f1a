"""Whether the directory of a zip is whole: a damaged one may list fewer members, which would be missing unnoticed."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

END = b"PK\x05\x06"
END_BYTES, LONGEST_COMMENT = 22, (1 << 16) - 1
LARGE = 0xFFFF  # the number of members stands elsewhere


def check_directory(archive: zipfile.ZipFile, path: Path | str) -> None:
    """Refuse a zip whose directory lists another number of members than its end says.

    Raises:
        zipfile.BadZipFile: it does.
    """
    with open(path, "rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - END_BYTES - LONGEST_COMMENT))
        tail = file.read()
    at = tail.rfind(END) + 10
    said, listed = int.from_bytes(tail[at : at + 2], "little"), len(archive.infolist())
    if said not in (LARGE, listed & 0xFFFF):  # some programs write the lowest bits of a large number
        raise zipfile.BadZipFile(f"its directory lists {listed:,} members, and its end says {said:,}")
