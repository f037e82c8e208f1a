"""What is checked of a picture's file before a decoder sees it."""

from __future__ import annotations

import io
import struct

import pytest
from PIL import Image

from hkd.data.structure import MAX_TIFF_NUMBERS, check_png, tiff_pages


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
