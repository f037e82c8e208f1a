"""What is taken for a picture: by a file's name, or where it has none, by its first bytes."""

from __future__ import annotations

import pytest

from hkd.data.decoding import MAX_PIXELS
from hkd.data.formats import READ, REFUSED, SUFFIXES, format_of, is_picture

BEGINNINGS = {
    "PNG": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    "JPEG": b"\xff\xd8\xff\xe1\0\x10Exif",
    "WEBP": b"RIFF\x0a\0\0\0WEBPVP8 ",
    "BMP": b"BM\x36\3\0\0\0\0\0\0\x36\0\0\0\x28\0",
    "GIF": b"GIF89a\x10\0\x10\0",
    "TIFF": b"II*\0\x08\0\0\0",
    "PPM": b"P6\n16 16\n255\n",
    "AVIF": b"\0\0\0\x20ftypavif\0\0\0\0",
    "HEIC": b"\0\0\0\x20ftypheic\0\0\0\0",
    "JPEG 2000": b"\0\0\0\x0cjP  \r\n\x87\n",
    "JPEG XL": b"\0\0\0\x0cJXL \r\n\x87\n",
    "Photoshop": b"8BPS\0\1",
    "OpenEXR": b"\x76\x2f\x31\1\2",
    "QOI": b"qoif\0\0\0\x10",
    "BigTIFF": b"II+\0\x08\0\0\0",
    "plain-text PNM": b"P3 16 16 255 ",
}


@pytest.mark.parametrize("name", BEGINNINGS)
def test_a_format_is_known_by_its_first_bytes(name):
    assert format_of(BEGINNINGS[name]) == name
    assert is_picture(BEGINNINGS[name])


def test_every_format_that_is_read_or_refused_has_a_beginning_or_at_least_a_name():
    assert READ.keys() <= BEGINNINGS.keys()
    assert all(name in BEGINNINGS or suffixes for name, suffixes in REFUSED.items())
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in SUFFIXES)


@pytest.mark.parametrize(
    "head",
    [b"", b"\0", b"%!PS-Adobe-3.0", b"%PDF-1.7", b"BMW and other", b"P5 is a name", b"{}", b"\xff\x0a", b"PK\3\4"],
)
def test_other_files_are_no_pictures(head):
    assert not is_picture(head)


@pytest.mark.parametrize("head", [b"%!PS-Adobe", b"%PDF", b"\xc5\xd0\xd3\xc6", b"\x0a\5\1\x08", b"\xd7\xcd\xc6\x9a"])
def test_what_pillow_would_find_beyond_the_list_has_no_name_here(head):
    assert format_of(head + bytes(64)) is None


def test_the_page_on_pictures_names_every_format_and_suffix(root):
    page = (root / "docs" / "pictures.md").read_text()
    assert all(f"`{suffix}`" in page for suffixes in READ.values() for suffix in suffixes)
    assert all(name.replace("Photoshop", "PSD") in page for name in REFUSED)
    assert f"{MAX_PIXELS:,} pixels" in page
