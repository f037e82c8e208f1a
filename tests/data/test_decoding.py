"""Pictures that nobody has checked: what they become, and the one line that refuses the rest."""

from __future__ import annotations

import io
import struct
import subprocess
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image, PngImagePlugin, features

from hkd.data import decoding
from hkd.data.decoding import DataError, decode, encode_png
from tests.fuzzed import COMPARED, COUNTS, tried
from tests.memory import allocated
from tests.mutations import mutations

WHITE, HIDDEN, SHOWN = (255, 255, 255), (255, 0, 255), (10, 20, 30)
avif = pytest.mark.skipif(not features.check("avif"), reason="this Pillow reads no AVIF")


def encoded(picture: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def blocks(side: int = 16) -> Image.Image:
    """A picture of 4 x 4 blocks of colour, no two alike and none transposed to another."""
    levels = np.random.default_rng(3).integers(0, 256, (4, 4, 3)).astype(np.uint8)
    return Image.fromarray(levels.repeat(side // 4, 0).repeat(side // 4, 1))


def refusal(content: bytes, convert_to_rgb: bool = False) -> str:
    with pytest.raises(DataError) as caught:
        decode(content, "a.png", convert_to_rgb)
    message = str(caught.value)
    assert message.startswith("a.png: ") and ";" in message and message.isprintable(), message
    return message


# -- what is read ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "WEBP"])
def test_lossless_formats_give_the_pixels_that_were_saved(kind):
    picture = decode(encoded(blocks(), kind, lossless=True), "a", False)
    assert picture.mode == "RGB"
    assert_array_equal(picture, blocks())


@pytest.mark.parametrize("kind", ["JPEG", pytest.param("AVIF", marks=avif)])
def test_lossy_formats_give_nearly_the_pixels_that_were_saved(kind):
    picture = decode(encoded(blocks(), kind, quality=100, subsampling="4:4:4"), "a", False)
    assert np.abs(np.asarray(picture).astype(int) - np.asarray(blocks())).max() <= 4


def test_the_format_is_told_by_the_content_whatever_the_name():
    assert_array_equal(decode(encoded(blocks(), "BMP"), "a.jpg", False), blocks())


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK"])
def test_other_channels_are_converted_on_request(mode):
    content = encoded(blocks().convert(mode), "TIFF")
    assert f"its channels are {mode}, expected RGB of 8 bits each; with convert_to_rgb" in refusal(content)
    assert_array_equal(decode(content, "a", True), blocks().convert(mode).convert("RGB"))


def test_a_gif_of_one_frame_is_a_palette():
    content = encoded(blocks().quantize(16), "GIF")
    assert "its channels are P" in refusal(content)
    assert_array_equal(decode(content, "a", True), blocks())


# -- EXIF orientation --------------------------------------------------------------------------------------------------

# where the stored top left and top right corners are shown, as (row, column), for every orientation of the standard
CORNERS = {
    1: ((0, 0), (0, -1)),
    2: ((0, -1), (0, 0)),
    3: ((-1, -1), (-1, 0)),
    4: ((-1, 0), (-1, -1)),
    5: ((0, 0), (-1, 0)),
    6: ((0, -1), (-1, -1)),
    7: ((-1, -1), (0, -1)),
    8: ((-1, 0), (0, 0)),
}


def turned(orientation: int, kind: str, **options: object) -> bytes:
    stored = np.zeros((8, 16, 3), np.uint8)
    stored[:4, :8], stored[:4, 8:] = (250, 0, 0), (0, 250, 0)
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(Image.fromarray(stored), kind, exif=exif, **options)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "JPEG", pytest.param("AVIF", marks=avif)])
@pytest.mark.parametrize("orientation", CORNERS)
def test_a_picture_stands_as_viewers_show_it(kind, orientation):
    shown = np.asarray(decode(turned(orientation, kind, quality=100), "a", False)).astype(int)
    first, second = CORNERS[orientation]
    assert shown.shape == ((8, 16, 3) if orientation < 5 else (16, 8, 3))
    assert np.abs(shown[first] - (250, 0, 0)).max() < 12 and np.abs(shown[second] - (0, 250, 0)).max() < 12


def test_an_orientation_beyond_the_standard_and_damaged_exif_data_turn_nothing():
    plain = decode(turned(1, "PNG"), "a", False)
    for number in (0, 9, 65535):
        assert_array_equal(decode(turned(number, "PNG"), "a", False), plain)
    content = encoded(blocks(), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    assert decode(content, "a", False).size == (16, 16)


# -- depth -------------------------------------------------------------------------------------------------------------


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def deep_png(colour_type: int, channels: int) -> bytes:
    row = b"\0" + bytes(range(64, 64 + 2 * channels)) * 8
    header = struct.pack(">IIBBBBB", 8, 8, 16, colour_type, 0, 0, 0)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(row * 8)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def deep(dtype: type, kind: str) -> bytes:
    return encoded(Image.fromarray(np.arange(64).reshape(8, 8).astype(dtype)), kind)


def deep_tiff() -> bytes:
    """An uncompressed TIFF of 8 x 8 pixels with three channels of 16 bits."""
    entries = [(256, 3, 1, 8), (257, 3, 1, 8), (258, 3, 3, 122), (259, 3, 1, 1), (262, 3, 1, 2), (273, 4, 1, 128)]
    entries += [(277, 3, 1, 3), (278, 3, 1, 8), (279, 4, 1, 384)]
    table = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries) + bytes(4)
    return b"II*\0\x08\0\0\0" + table + struct.pack("<3H", 16, 16, 16) + bytes(range(192)) * 2


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(deep_png(0, 1), id="grey PNG"),
        pytest.param(deep_png(2, 3), id="colour PNG"),
        pytest.param(deep_png(4, 2), id="grey PNG with alpha"),
        pytest.param(deep_png(6, 4), id="colour PNG with alpha"),
        pytest.param(deep(np.uint16, "TIFF"), id="16-bit TIFF"),
        pytest.param(deep_tiff(), id="colour TIFF"),
        pytest.param(deep(np.int32, "TIFF"), id="32-bit TIFF"),
        pytest.param(deep(np.float32, "TIFF"), id="float TIFF"),
        pytest.param(b"P5 8 8 65535\n" + bytes(128), id="PGM"),
        pytest.param(b"P5 8 8 4095\n" + bytes(128), id="12-bit PGM"),
        pytest.param(b"P6 8 8 65535\n" + bytes(384), id="PPM"),
    ],
)
@pytest.mark.parametrize("convert_to_rgb", [True, False])
def test_more_than_eight_bits_are_refused_and_never_clipped(content, convert_to_rgb):
    assert "of more than 8 bits, expected 8; save it with 8 bits a channel" in refusal(content, convert_to_rgb)


def test_levels_below_255_are_scaled_to_bytes():
    picture = decode(b"P5 2 2 100\n" + bytes((0, 50, 100, 25)), "a", True)
    assert np.asarray(picture)[..., 0].ravel().tolist() == [0, 128, 255, 64]


# -- transparency ------------------------------------------------------------------------------------------------------


def rgba(alpha: int) -> Image.Image:
    picture = Image.new("RGBA", (16, 16), (*HIDDEN, alpha))
    picture.paste((*SHOWN, 255), (4, 4, 12, 12))
    return picture


def keyed(mode: str) -> bytes:
    """A picture whose transparent key is its outer colour."""
    opaque = Image.new("RGB", (16, 16), HIDDEN)
    opaque.paste(SHOWN, (4, 4, 12, 12))
    if mode == "RGB":
        return encoded(opaque, transparency=HIDDEN)
    picture = opaque.quantize(2) if mode == "P" else opaque.getchannel("R").convert(mode)
    return encoded(picture, transparency=int(mode == "1") or picture.getpixel((0, 0)))


def palette_with_alpha() -> bytes:
    picture = Image.open(io.BytesIO(keyed("P")))
    outer = picture.getpixel((0, 0))
    return encoded(picture, transparency=bytes(0 if index == outer else 255 for index in range(2)))


TRANSPARENT = {
    "RGBA": encoded(rgba(0)),
    "LA": encoded(rgba(0).convert("LA")),
    "RGB with a transparent colour": keyed("RGB"),
    "L with a transparent colour": keyed("L"),
    "1 with a transparent colour": keyed("1"),
    "P with a transparent colour": keyed("P"),
    "RGBA in WebP": encoded(rgba(0), "WEBP", lossless=True, exact=True),
    "P with alpha": palette_with_alpha(),
    "P in GIF": encoded(Image.open(io.BytesIO(keyed("P"))), "GIF"),
}


@pytest.mark.parametrize("name", TRANSPARENT)
def test_hidden_colours_are_never_counted(name):
    message = refusal(TRANSPARENT[name])
    assert f"its channels are {name.split(' ')[0]}" in message
    assert "all images are converted, transparent ones laid on white" in message
    shown = np.asarray(decode(TRANSPARENT[name], "a", True))
    assert tuple(shown[0, 0]) == WHITE and tuple(shown[8, 8]) != WHITE
    if name.startswith("RGB"):
        assert tuple(shown[8, 8]) == SHOWN


def test_half_transparent_pixels_are_mixed_with_white():
    shown = np.asarray(decode(encoded(rgba(51)), "a", True))  # a fifth of the colour
    assert tuple(shown[0, 0]) == (255, 204, 255) and tuple(shown[8, 8]) == SHOWN


def test_an_opaque_alpha_channel_changes_no_pixel():
    picture = blocks().convert("RGBA")
    assert_array_equal(decode(encoded(picture), "a", True), blocks())
    assert decoding.is_opaque(picture) and not decoding.is_opaque(rgba(254))


# -- frames ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["WEBP", "PNG", "GIF", "TIFF", "MPO", pytest.param("AVIF", marks=avif)])
def test_several_frames_are_refused_with_their_number(kind):
    frames = [blocks(), blocks().rotate(90), blocks().rotate(180)]
    content = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    assert "3 frames or pages, expected one picture" in refusal(content, True)


@pytest.mark.parametrize("behind", ["PNG", "JPEG"])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "PPM"])
def test_pictures_behind_a_picture_are_seen(kind, behind):
    content = encoded(blocks(), kind)
    assert "2 frames or pages" in refusal(content + encoded(blocks(), behind))
    assert "2 frames or pages" in refusal(content + b"\0\n" + encoded(blocks(), behind) * 2)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_what_is_no_picture_may_stand_behind_one(kind):
    content = encoded(blocks(), kind)
    for rest in (b"\n", bytes(99), b"remarks of a camera", b"BM"):
        assert_array_equal(decode(content + rest, "a", False), decode(content, "a", False))
    assert_array_equal(decode(encoded(blocks(), "PPM") + b"\n", "a", False), blocks())


@pytest.mark.parametrize("side", [8, 12, 32])
@pytest.mark.parametrize("listed", [True, False])
def test_a_smaller_preview_within_a_jpeg_is_no_frame(side, listed):
    if listed:
        more = [blocks().resize((side, side))]
        content = encoded(blocks(), "MPO", save_all=True, append_images=more, quality=95)
    else:
        content = encoded(blocks(), "JPEG") + encoded(blocks(side), "JPEG")
    if side < 16:
        assert decode(content, "a", False).size == (16, 16)
    else:
        assert "2 frames or pages" in refusal(content)


def test_a_tiff_of_very_many_pages_is_not_counted_to_its_end():
    pages = 60_000
    entry = struct.pack("<HHHII", 1, 256, 3, 1, 16)
    start = len(encoded(blocks(), "TIFF"))
    start += start % 2
    whole = bytearray(encoded(blocks(), "TIFF").ljust(start, b"\0"))
    table = struct.unpack_from("<I", whole, 4)[0]
    struct.pack_into("<I", whole, table + 2 + 12 * struct.unpack_from("<H", whole, table)[0], start)
    for number in range(pages):
        whole += entry + struct.pack("<I", start + (number + 1) * (len(entry) + 4))
    began = time.process_time()
    assert "1000 or more frames or pages" in refusal(bytes(whole))
    assert time.process_time() - began < 1


# -- what is no picture of the list ------------------------------------------------------------------------------------

POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 16 16\n(x) (w) file closefile\nshowpage\n"
ICNS = b"icns" + struct.pack(">I", 1024) + bytes(1016)


@pytest.mark.parametrize(
    "content",
    [
        POSTSCRIPT,
        b"\xc5\xd0\xd3\xc6" + struct.pack("<II", 32, len(POSTSCRIPT)) + bytes(20) + POSTSCRIPT,
        b"%PDF-1.7\n1 0 obj\n",
        b"\xd7\xcd\xc6\x9a" + bytes(80),
        ICNS,
        encoded(blocks(), "TGA"),
        encoded(blocks(), "PCX"),
        encoded(blocks(), "SGI"),
        encoded(blocks(), "ICO"),
        b"",
        b"hello",
    ],
)
def test_a_program_or_a_picture_of_another_format_is_no_image(content, monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("something was started"))
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("Pillow was asked"))
    assert "not an image; expected PNG, JPEG, WEBP" in refusal(content, True)


@pytest.mark.parametrize(
    ("content", "name"), [(b"\0\0\0\x20ftypheic" + bytes(99), "HEIC"), (b"P3 1 1 255 1 2 3", "plain-text PNM")]
)
def test_a_picture_in_a_format_that_is_not_read_is_named(content, name):
    assert f"a picture in {name}, which is not read; expected PNG" in refusal(content)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"])
def test_only_an_uncompressed_tiff_is_read(compression):
    content = encoded(blocks(), "TIFF", compression=compression)
    assert f"a TIFF of compression {compression}, expected an uncompressed one; save it so" in refusal(content)


def test_a_bitmap_of_runs_that_claims_a_lot_is_not_decoded(monkeypatch):
    monkeypatch.setattr(Image.Image, "load", lambda *_: pytest.fail("decoded"))
    header = struct.pack("<IIIIiiHHIIiiII", 0, 0, 1078, 40, 1 << 26, 1, 1, 8, 1, 0, 0, 0, 256, 0)
    content = b"BM" + header + bytes(1024) + b"\0\2\0\xff" * 9  # nine steps of 255 rows
    assert "a BMP of compression 1, expected an uncompressed one; save it so" in refusal(content)


def test_a_bitmap_with_masks_is_read():
    header = struct.pack("<IIIIiiHHIIiiII", 0, 0, 66, 40, 8, 8, 1, 32, 3, 0, 0, 0, 0, 0)
    content = b"BM" + header + struct.pack("<III", 0xFF0000, 0xFF00, 0xFF) + struct.pack("<I", 0x0A141E) * 64
    assert set(decode(content, "a", False).getdata()) == {SHOWN}


# -- bounds ------------------------------------------------------------------------------------------------------------


def with_chunk(extra: bytes, after_pixels: bool = False) -> bytes:
    content = encoded(blocks())
    place = content.index(b"IEND" if after_pixels else b"IDAT") - 4
    return content[:place] + extra + content[place:]


@pytest.mark.parametrize("after_pixels", [False, True])
@pytest.mark.parametrize(("kind", "beginning"), [(b"zTXt", b"a\0\0"), (b"iTXt", b"a\0\1\0\0\0"), (b"iCCP", b"a\0\0")])
def test_texts_within_a_png_do_not_swell(kind, beginning, after_pixels):
    content = with_chunk(chunk(kind, beginning + zlib.compress(bytes(16 << 20), 1)), after_pixels)
    refusals = []
    assert allocated(lambda: refusals.append(refusal(content))) < 6 << 20
    assert all("damaged (Decompressed data too large" in found for found in refusals)


def test_many_texts_within_a_png_are_bounded_together(monkeypatch):
    assert PngImagePlugin.MAX_TEXT_MEMORY == 64 << 20
    monkeypatch.setattr(PngImagePlugin, "MAX_TEXT_MEMORY", 2 << 20)
    text = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1 << 20)))
    assert "damaged (Too much memory" in refusal(with_chunk(text * 3))


@pytest.mark.parametrize(
    "content",
    [
        b"P6 9000 9000 255\n",
        encoded(blocks(), "GIF").replace(b"\x10\0\x10\0", b"\xff\xff\xff\xff", 1),
        b"BM" + struct.pack("<IIIIiiHHIIIIII", 54, 0, 54, 40, 30_000, 30_000, 1, 24, 0, 0, 0, 0, 0, 0),
    ],
)
def test_a_header_that_claims_too_many_pixels_is_enough(content, monkeypatch):
    monkeypatch.setattr(Image.Image, "load", lambda *_: pytest.fail("decoded"))
    assert "more than 67,108,864" in refusal(content)


def test_exif_data_of_many_megabytes_are_not_read(monkeypatch):
    monkeypatch.setattr(Image.Image, "getexif", lambda *_: pytest.fail("read"))
    orientation = struct.pack(">HHHII", 1, 0x0112, 3, 1 << 20, 26) + bytes((4 << 20) + 4)
    content = with_chunk(chunk(b"eXIf", b"MM\0*\0\0\0\x08" + orientation), after_pixels=True)
    assert "bytes of EXIF data, more than 1,048,576)" in refusal(content)


def test_a_jpeg_of_endless_passes_is_refused(monkeypatch):
    monkeypatch.setattr(decoding, "MAX_PIXELS", 256)
    content = encoded(blocks(), "JPEG", progressive=True)
    assert decode(content, "a", False).size == (16, 16)
    scan = content[content.rindex(b"\xff\xda") : -2]
    assert "more passes over its pixels" in refusal(content[:-2] + 200 * scan + content[-2:])


# -- damage ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", [0.2, 0.5, 0.9])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM", pytest.param("AVIF", marks=avif)])
def test_a_truncated_picture_is_refused(kind, kept):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3)).astype(np.uint8))
    content = encoded(noise.quantize(256) if kind == "GIF" else noise, kind)
    refusal(content[: int(kept * len(content))], True)


def test_a_png_whose_bytes_differ_from_its_checksums_is_refused():
    content = bytearray(encode_png(np.asarray(blocks()).transpose(2, 0, 1)))
    content[content.index(b"IDAT") + 300] ^= 1
    assert "damaged (chunk IDAT differs from its checksum)" in refusal(bytes(content))
    whole = encoded(blocks())
    assert "damaged (cut short)" in refusal(whole[: whole.index(b"IEND") - 4])


def test_a_jpeg_has_no_checksum_that_would_show_what_is_cut_out():
    content = encoded(blocks(64), "JPEG", quality=95)
    scan = content.index(b"\xff\xda")
    shown = np.asarray(decode(content[: (scan + len(content)) // 2] + b"\xff\xd9", "a", False))
    assert shown[:16].std() > 9 and shown[-8:, -8:].std() < 9


def exif() -> Image.Exif:
    data = Image.Exif()
    data[0x0112] = 6
    return data


FUZZED: dict[str, Callable[[], bytes]] = {
    "PNG": lambda: encoded(blocks(), exif=exif()),
    "palette PNG": lambda: encoded(blocks().quantize(8), transparency=3),
    "JPEG": lambda: encoded(blocks(), "JPEG", exif=exif(), progressive=True),
    "WEBP": lambda: encoded(blocks(), "WEBP", lossless=True, exif=exif()),
    "lossy WEBP": lambda: encoded(blocks(), "WEBP"),
    "BMP": lambda: encoded(blocks().quantize(8), "BMP"),
    "GIF": lambda: encoded(blocks(), "GIF"),
    "TIFF": lambda: encoded(blocks(), "TIFF", exif=exif()),
    "PPM": lambda: encoded(blocks(), "PPM"),
    "AVIF": lambda: encoded(blocks(), "AVIF", exif=exif()),
}


@pytest.mark.parametrize("count", COMPARED)
@pytest.mark.parametrize("name", ["PNG", "palette PNG"])
def test_a_damaged_png_is_the_same_picture_or_one_line(name, count, capfd):
    content = FUZZED[name]()
    good = decode(content, "a", True).tobytes()
    read = lambda changed: decode(changed, "a", True).tobytes()  # noqa: E731
    assert tried(content, read, count, DataError, lambda found: found == good) > count // 4
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=avif if name == "AVIF" else ()) for name in FUZZED if "PNG" not in name]
)
def test_a_damaged_picture_is_a_picture_or_one_line(name, count, capfd):
    refused = 0
    for content in mutations(FUZZED[name](), count):
        try:
            picture = decode(content, "a", True)
            assert picture.mode == "RGB" and picture.width * picture.height <= decoding.MAX_PIXELS
            picture.tobytes()
        except DataError as error:
            assert str(error).isprintable() and str(error).startswith("a: ")
            refused += 1
    assert refused > count // 4
    assert capfd.readouterr() == ("", "")


def test_names_are_shown_with_what_does_not_print_escaped():
    with pytest.raises(DataError) as caught:
        decode(b"", str(Path("a\n\x1b[31m\u202eb\udcff.png")), False)
    assert str(caught.value).startswith(r"a\n\x1b[31m\u202eb\udcff.png: not an image")
