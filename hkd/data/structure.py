"""How a picture's file is built: what is checked of it before a decoder sees it."""

from __future__ import annotations

import struct
import zlib

MAX_TIFF_NUMBERS = 1 << 18  # in one entry: one for each strip or tile. Numbers take ten times their bytes in memory
TIFF_LAYOUT = range(254, 533)  # entries that say how the pixels lie; beyond are remarks, which nobody takes apart


def check_png(content: bytes) -> None:
    """Raise ValueError for a PNG that is cut short, or has a critical chunk that differs from its checksum.

    Pillow shows what it can of either.
    """
    view, start, kind = memoryview(content), 8, b""
    while kind != b"IEND":
        if start + 12 > len(content):
            raise ValueError("cut short")
        length, kind = struct.unpack_from(">I4s", content, start)
        end = start + 12 + length
        if end > len(content):
            raise ValueError("cut short")
        critical = not kind[0] & 0x20
        if critical and zlib.crc32(view[start + 4 : end - 4]) != int.from_bytes(view[end - 4 : end], "big"):
            raise ValueError(f"chunk {kind.decode('latin-1')} differs from its checksum")
        if (kind == b"IHDR") != (start == 8):
            raise ValueError("its header is not where it begins, or stands twice")
        start = end


def grey_step(content: bytes) -> int:
    """Return what makes a byte of a level of packed grey (a PNG of 2 or 4 bits a pixel), and 1 for other pictures."""
    is_png, bits, colour_type = content.startswith(b"\x89PNG"), content[24:25], content[25:26]
    return {b"\2": 85, b"\4": 17}.get(bits, 1) if is_png and colour_type == b"\0" else 1


def tiff_pages(content: bytes, most: int) -> int:
    """Return how many pages a TIFF has, up to `most`, by the list of its directories alone.

    Raises:
        ValueError: a directory is beyond the end, or the first claims more numbers than a picture needs.
    """
    order = "<" if content[:2] == b"II" else ">"
    start, pages = _number(content, order + "I", 4), 0
    while start and pages < most:
        entries = _number(content, order + "H", start)
        if not pages:
            _check_entries(content, order, start, entries)
        start, pages = _number(content, order + "I", start + 2 + 12 * entries), pages + 1
    return pages


def _check_entries(content: bytes, order: str, start: int, entries: int) -> None:
    for entry in range(start + 2, start + 2 + 12 * entries, 12):
        tag, count = _number(content, order + "H", entry), _number(content, order + "I", entry + 4)
        if tag in TIFF_LAYOUT and count > MAX_TIFF_NUMBERS:
            raise ValueError(f"{count:,} numbers in entry {tag}, more than {MAX_TIFF_NUMBERS:,}")


def _number(content: bytes, kind: str, start: int) -> int:
    if start + struct.calcsize(kind) > len(content):
        raise ValueError("cut short")
    return int(struct.unpack_from(kind, content, start)[0])
