"""How a picture's file is built: what is checked of it before a decoder sees it."""

from __future__ import annotations

import re
import struct
import zlib

MAX_PARTS = 1000  # of a file beside its pixels: decoders take longer for each than for the one before
MAX_PIXEL_CHUNKS = 1 << 18  # of a PNG: 64 million pixels in the smallest that encoders write
MAX_GAPS = 1 << 16  # bytes before the pixels of a JPEG that belong to no segment
MAX_EXIF_BYTES = 1 << 20  # a number of theirs may be a list, which takes ten times its bytes
MAX_TIFF_NUMBERS = 1 << 18  # in one entry: one for each strip or tile. Numbers take ten times their bytes in memory
PIXEL_CHUNKS = (b"IDAT", b"fdAT", b"fcTL")
# What stands between the segments of a JPEG, coded pixels among it, is passed over, as decoders do
JPEG_MARKER = re.compile(rb"\xff+([^\x00\xd0-\xd7\xff])")
JPEG_END, JPEG_SCAN, JPEG_APP1 = 0xD9, 0xDA, 0xE1
JPEG_BARE = (0xC8, 0xD8, JPEG_END, *range(0xF0, 0xFE))  # markers without a segment
TIFF_LAYOUT = range(254, 533)  # entries that say how the pixels lie; beyond are remarks, which nobody takes apart


def check_png(content: bytes) -> int:
    """Return where a PNG ends.

    Raises:
        ValueError: it is cut short, or a critical chunk differs from its checksum, of both of which Pillow shows what
            it can; or it has more chunks than a picture needs.
    """
    view, start, kind, parts = memoryview(content), 8, b"", [0, 0]
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
            raise ValueError("its header is not where it begins, or occurs twice")
        parts[kind in PIXEL_CHUNKS] += 1
        if parts[0] > MAX_PARTS or parts[1] > MAX_PIXEL_CHUNKS:
            raise ValueError(f"more than {MAX_PARTS:,} chunks beside its pixels, or {MAX_PIXEL_CHUNKS:,} of them")
        start = end
    return start


def check_jpeg(content: bytes) -> int:
    """Return where a JPEG ends; the length of the file if it does not end, which is left to its decoder.

    Raises:
        ValueError: it has more segments or EXIF data than a picture needs, or more bytes between them, or no pixels.
    """
    at, segments, inside, exif, scanned = 2, 0, 0, 0, False
    while marker := JPEG_MARKER.search(content, at):
        kind, at = marker[1][0], marker.end()
        if at - inside > MAX_GAPS and not scanned:
            raise ValueError(f"more than {MAX_GAPS:,} bytes between its segments")
        if kind == JPEG_END and scanned:
            return at
        if kind in JPEG_BARE:
            continue
        length = int.from_bytes(content[at : at + 2], "big")
        exif += length if kind == JPEG_APP1 and content[at + 2 : at + 8] == b"Exif\0\0" else 0
        check_exif(exif)
        at, inside = at + max(length, 2), inside + max(length, 2)
        segments, scanned = segments + 1, scanned or kind == JPEG_SCAN
        if segments > MAX_PARTS:
            raise ValueError(f"more than {MAX_PARTS:,} segments")
    if not scanned:
        raise ValueError("cut short")
    return len(content)


def check_exif(length: int) -> None:
    """Raise ValueError for more bytes of EXIF data than a picture needs."""
    if length > MAX_EXIF_BYTES:
        raise ValueError(f"{length:,} bytes of EXIF data, more than {MAX_EXIF_BYTES:,}")


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
