"""What is checked of a picture's file before a decoder sees it."""

from __future__ import annotations

import io
import struct
import time
import zlib

import pytest
from PIL import Image

from hkd.data import DataError
from hkd.data.decoding import opened
from hkd.data.structure import MAX_TIFF_NUMBERS, check_jpeg, check_png, tiff_pages


def encoded(kind: str, pages: int = 1) -> bytes:
    buffer = io.BytesIO()
    picture = Image.new("RGB", (16, 16), (9, 8, 7))
    more = {"save_all": True, "append_images": [picture] * (pages - 1)} if pages > 1 else {}
    picture.save(buffer, kind, **more)
    return buffer.getvalue()


@pytest.mark.parametrize("pages", [1, 2, 7])
def test_pages_are_counted_as_pillow_counts_them(pages):
    content = encoded("TIFF", pages)
    assert tiff_pages(content, 100) == getattr(Image.open(io.BytesIO(content)), "n_frames", 1) == pages
    assert tiff_pages(content, 3) == min(pages, 3)


@pytest.mark.parametrize(("start", "order"), [(b"II*\0", "<"), (b"MM\0*", ">")])
def test_directories_that_lead_in_a_circle_are_counted_to_the_bound(start, order):
    content = start + struct.pack(order + "IHHHIII", 8, 1, 256, 3, 1, 16, 8)
    assert tiff_pages(content, 50) == 50


@pytest.mark.parametrize("tag", [258, 273, 320, 339])
def test_a_list_of_numbers_that_no_picture_needs_is_refused(tag):
    def content(count: int) -> bytes:
        return b"II*\0" + struct.pack("<IHHHIII", 8, 1, tag, 3, count, 26, 0)

    assert tiff_pages(content(MAX_TIFF_NUMBERS), 9) == 1
    with pytest.raises(ValueError, match=f"262,145 numbers in entry {tag}, more than 262,144"):
        tiff_pages(content(MAX_TIFF_NUMBERS + 1), 9)


def test_remarks_may_be_long():
    content = b"II*\0" + struct.pack("<IHHHIII", 8, 1, 34377, 1, 1 << 30, 26, 0)
    assert tiff_pages(content, 9) == 1


@pytest.mark.parametrize("kept", [0, 5, 9, 12])
def test_a_tiff_without_its_directory_is_cut_short(kept):
    with pytest.raises(ValueError, match="cut short"):
        tiff_pages(struct.pack("<4sIHH", b"II*\0", 8, 1, 256)[:kept], 9)


def test_every_bit_of_a_png_before_its_end_is_under_a_checksum():
    content = encoded("PNG")
    check_png(content)
    for place in range(8, len(content)):
        changed = bytearray(content)
        changed[place] ^= 1
        with pytest.raises(ValueError, match=r"checksum|cut short"):
            check_png(bytes(changed))
        if place < len(content) - 4:
            with pytest.raises(ValueError, match="cut short"):
                check_png(content[:place])


def test_where_a_picture_ends_does_not_depend_on_what_is_behind():
    for check, kind in ((check_png, "PNG"), (check_jpeg, "JPEG")):
        content = encoded(kind)
        assert check(content) == check(content + content) == len(content)
    assert check_jpeg(encoded("JPEG")[:-2]) == len(encoded("JPEG")) - 2  # its decoder says what is missing


def png_with(extra: bytes, count: int) -> bytes:
    content = encoded("PNG")
    place = content.index(b"IDAT") - 4
    chunk = bytes(4) + extra + zlib.crc32(extra).to_bytes(4, "big")
    return content[:place] + chunk * count + content[place:]


def test_a_png_of_endless_chunks_is_refused_but_pixels_may_lie_in_many():
    check_png(png_with(b"IDAT", 20_000))
    with pytest.raises(ValueError, match=r"more than 1,000 chunks"):
        check_png(png_with(b"teSt", 1001))


@pytest.mark.parametrize(
    ("start", "one", "message"),
    [
        (b"", b"\xff\xe1\0\x08Exif\0\0", "more than 1,000 segments"),
        (b"\xff\xd9", b"\xff\xe1\0\x08Exif\0\0", "more than 1,000 segments"),  # decoders pass over such an end
        (b"", b"\xff\xfe\0\x02", "more than 1,000 segments"),
        (b"", b"\xff\xe1\x07\xd8Exif\0\0" + bytes(2000), "bytes of EXIF data, more than 1,048,576"),
        (b"", b"\xff" * 99, "more than 65,536 bytes between its segments"),
        (b"", b"\xff\xd8" * 99, "more than 65,536 bytes between its segments"),
    ],
)
def test_a_jpeg_of_endless_segments_is_refused_before_it_is_opened(start, one, message, monkeypatch):
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("Pillow was asked"))
    plain = encoded("JPEG")
    check_jpeg(plain[:2] + start + one * 10 + plain[2:])
    began = time.process_time()
    with pytest.raises(DataError, match=message):
        opened(plain[:2] + start + one * 3000 + plain[2:], "a.jpg")
    assert time.process_time() - began < 0.5


def test_the_length_that_a_segment_states_is_passed_over_with_its_markers():
    plain = encoded("JPEG")
    hidden = b"\xff\xd9\xff\xda\xff\xe1" * 3000
    content = plain[:2] + b"\xff\xe5" + (len(hidden) + 2).to_bytes(2, "big") + hidden + plain[2:]
    assert check_jpeg(content) == len(content)
    with pytest.raises(ValueError, match="cut short"):
        check_jpeg(content[:100])
