"""PNGs of 1, 2, 4 and 8 bits of grey a pixel, in which one level is transparent."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from hkd.data import DataError
from hkd.data.decoding import decode, is_opaque, opened
from hkd.data.pictures import read_mask, read_picture

SIDE = 8


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def packed(levels: np.ndarray, bits: int, key: int | None, before: bytes = b"") -> bytes:
    """A PNG of grey levels (H, W) of so many bits, one of which may be transparent."""
    rows = [int("".join(f"{level:0{bits}b}" for level in row), 2).to_bytes(SIDE * bits // 8, "big") for row in levels]
    parts = [before, chunk(b"IHDR", struct.pack(">IIBBBBB", SIDE, SIDE, bits, 0, 0, 0, 0))]
    parts += [] if key is None else [chunk(b"tRNS", struct.pack(">H", key))]
    parts += [chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows))), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def levels(bits: int) -> np.ndarray:
    return np.arange(SIDE * SIDE).reshape(SIDE, SIDE) % (1 << bits)


@pytest.mark.parametrize("high_bits", [0, 0x100])
@pytest.mark.parametrize(
    ("bits", "key"), [(1, 0), (1, 1), *((2, key) for key in range(4)), (4, 1), (4, 7), (4, 15), (8, 7)]
)
def test_white_shows_at_the_transparent_level_and_no_other(bits, key, high_bits):
    content = packed(levels(bits), bits, key | high_bits if bits > 1 else key)
    shown = np.asarray(decode(content, "a.png", True))[..., 0]
    plain = levels(bits) * (255 // ((1 << bits) - 1))
    assert_array_equal(shown, np.where(levels(bits) == key, 255, plain))
    assert not is_opaque(opened(content, "a.png"))
    with pytest.raises(DataError, match="transparent ones laid on white"):
        decode(content, "a.png", False)


@pytest.mark.parametrize("bits", [2, 4])
def test_a_transparent_level_that_no_pixel_has_hides_nothing(tmp_path, bits):
    unused = np.where(levels(bits) == 1, 0, levels(bits))
    (tmp_path / "a.png").write_bytes(packed(unused, bits, 1))
    (tmp_path / "b.png").write_bytes(packed(unused, bits, None))
    keyed, plain = (read_picture(tmp_path / name, resolution=SIDE, channels=3) for name in ("a.png", "b.png"))
    assert (keyed == plain).all()


@pytest.mark.parametrize("bits", [2, 4])
def test_what_pillow_would_show_is_not_advised(tmp_path, bits):
    path: Path = tmp_path / "a.png"
    white = (1 << bits) - 1
    path.write_bytes(packed(levels(bits) // white * white, bits, white))
    for read in (lambda: read_mask(path, resolution=SIDE), lambda: read_picture(path, resolution=SIDE, channels=3)):
        with pytest.raises(DataError, match=r"pixels of it are transparent; save it with an alpha channel of 8 bits"):
            read()


def test_a_png_has_one_header_at_its_beginning():
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", SIDE, SIDE, 4, 0, 0, 0, 0))
    for before in (header, chunk(b"CgBI", bytes(4))):
        with pytest.raises(DataError, match="its header is not where it begins, or occurs twice"):
            decode(packed(levels(4), 4, None, before), "a.png", True)
