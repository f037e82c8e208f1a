"""What a picture file is: the formats that are read, others that are known for pictures, and how each one begins.

The format is told from a file's first bytes, by this table alone, and the decoder of that one format is then asked: a
library that looks for a format itself would find any that it knows, among them PostScript, which is a program.
"""

from __future__ import annotations

import re

# Formats that are read, by their names in Pillow, and the names of files that hold them
READ = {
    "PNG": (".png", ".apng"),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "WEBP": (".webp",),
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "AVIF": (".avif",),
}
# Formats that hold pictures and are not read: such files are refused, not passed over
REFUSED = {
    "HEIC": (".heic", ".heif"),
    "JPEG 2000": (".jp2", ".j2k"),
    "JPEG XL": (".jxl",),
    "Photoshop": (".psd",),
    "OpenEXR": (".exr",),
    "QOI": (".qoi",),
    "Targa": (".tga",),
    "plain-text PNM": (),
    "BigTIFF": (),
}
SUFFIXES: frozenset[str] = frozenset(name for names in (*READ.values(), *REFUSED.values()) for name in names)
EXPECTED = ", ".join(READ)
HEAD = 16  # bytes that tell a format
MAX_FILE_BYTES = 256 << 20  # of one picture, packed as it is

BEGINNINGS: dict[str, re.Pattern[bytes]] = {
    name: re.compile(beginning, re.DOTALL)
    for name, beginning in {
        "PNG": rb"\x89PNG\r\n\x1a\n",
        "JPEG": rb"\xff\xd8\xff",
        "WEBP": rb"RIFF....WEBP",
        "BMP": rb"BM",
        "GIF": rb"GIF8[79]a",
        "TIFF": rb"II\*\x00|MM\x00\*",
        "BigTIFF": rb"II\+\x00|MM\x00\+",
        "PPM": rb"P[456][\s#]",
        "AVIF": rb"....ftypavi[fs]|....ftypm[is]f1",
        "HEIC": rb"....ftyphe[a-z][a-z]",
        "JPEG 2000": rb"\x00\x00\x00\x0cjP  |\xff\x4f\xff\x51",
        "JPEG XL": rb"\x00\x00\x00\x0cJXL |\xff\x0a",
        "Photoshop": rb"8BPS\x00",
        "OpenEXR": rb"\x76\x2f\x31\x01",
        "QOI": rb"qoif",
        "plain-text PNM": rb"P[123][\s#]",
    }.items()
}
# Two letters are enough for a file that its name or its owner calls a picture, and too few for one without a name
UNNAMED = re.compile(rb"BM....\x00\x00\x00\x00|P[1-6]\s+(#|\d)|(?!BM|P[1-6]|\xff\x0a)", re.DOTALL)


def format_of(head: bytes) -> str | None:
    """Return the name of the format of a file that begins with these bytes, or None if it is no picture."""
    return next((name for name, beginning in BEGINNINGS.items() if beginning.match(head)), None)


def is_picture(head: bytes) -> bool:
    """Whether a file that begins with these (16) bytes is a picture, one that is read or one that is refused."""
    return format_of(head) is not None and UNNAMED.match(head) is not None
