"""Single pictures and masks of users: those that need no conversion are taken as they are, others refused in a line."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from PIL import Image, ImageOps

from hkd.data import formats, pictures
from hkd.data.pictures import DataError, read_mask, read_picture
from tests.fuzzed import COUNTS
from tests.mutations import mutations

SIDE = 8
GREY = np.arange(SIDE * SIDE, dtype=np.uint8).reshape(SIDE, SIDE) * 4
COLOURS = np.stack((GREY, GREY.T, 255 - GREY), axis=2)
PAINTED = np.zeros((SIDE, SIDE), np.uint8)
PAINTED[1:4, 2:7] = 255


def as_bytes(images: torch.Tensor) -> np.ndarray:
    """Whole numbers (H, W, C) of an image in [-1, 1]."""
    return np.rint((images.numpy().transpose(1, 2, 0) + 1) * 127.5).astype(int)


def read(path: Path, channels: int = 3) -> np.ndarray:
    return as_bytes(read_picture(path, resolution=SIDE, channels=channels))


def refusal(reader: Callable[..., object], path: Path, **options: object) -> str:
    with pytest.raises(DataError) as caught:
        reader(path, resolution=SIDE, **options)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and ";" in message and message.isprintable(), message
    return message


def saved(path: Path, picture: Image.Image, **options: object) -> Path:
    picture.save(path, **options)
    return path


# -- pictures ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".ppm", ".tif", ".webp"])
def test_a_colour_picture_keeps_every_byte(tmp_path, suffix):
    path = saved(tmp_path / f"a{suffix}", Image.fromarray(COLOURS), lossless=True)
    assert_array_equal(read(path), COLOURS)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_grey_picture_is_the_same_in_every_mode(tmp_path, mode, channels):
    path = saved(tmp_path / "a.png", Image.fromarray(GREY).convert(mode))
    assert_array_equal(read(path, channels), np.broadcast_to(GREY[..., None], (SIDE, SIDE, channels)))


def test_black_and_white_of_one_bit_are_bytes_0_and_255(tmp_path):
    path = saved(tmp_path / "a.png", Image.fromarray(PAINTED).convert("1"))
    assert_array_equal(read(path, 1)[..., 0], PAINTED)


def test_colours_are_not_made_grey_for_a_network_of_grey_images(tmp_path):
    path = saved(tmp_path / "a.png", Image.fromarray(COLOURS))
    message = refusal(read_picture, path, channels=1)
    assert "has colours, the run's images are grey; convert it (with Pillow: image.convert('L'))" in message
    saved(path, Image.open(path).convert("L"))  # as advised
    assert read(path, 1).shape == (SIDE, SIDE, 1)


def test_a_transparent_picture_is_laid_on_a_background_by_its_owner(tmp_path):
    path = tmp_path / "a.png"
    picture = Image.fromarray(COLOURS).convert("RGBA")
    picture.putpixel((3, 2), (1, 2, 3, 0))
    message = refusal(read_picture, saved(path, picture), channels=3)
    assert "its channels are RGBA, and pixels of it are transparent; lay it on a background" in message
    advice = message.partition("with Pillow: ")[2].removesuffix(")")
    saved(path, eval(advice, {"Image": Image, "image": picture}))
    assert read(path)[2, 3].tolist() == [255, 255, 255]


def test_a_transparent_key_counts_where_a_pixel_has_it(tmp_path):
    picture = Image.fromarray(COLOURS)
    unused = saved(tmp_path / "a.png", picture, transparency=(1, 2, 3))
    assert_array_equal(read(unused), COLOURS)
    used = saved(tmp_path / "b.png", picture, transparency=picture.getpixel((0, 0)))
    assert "pixels of it are transparent" in refusal(read_picture, used, channels=3)


def test_printing_inks_are_converted_by_their_owner(tmp_path):
    path = saved(tmp_path / "a.jpg", Image.fromarray(COLOURS).convert("CMYK"))
    message = refusal(read_picture, path, channels=3)
    assert "its channels are CMYK, expected RGB; convert it (with Pillow: image.convert('RGB'))" in message


def test_a_picture_is_turned_as_viewers_turn_it(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = saved(tmp_path / "a.png", Image.fromarray(COLOURS), exif=exif)
    assert_array_equal(read(path), np.rot90(COLOURS, -1))


@pytest.mark.parametrize("reader", ["picture", "mask"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n", "not an image; expected PNG"),
        (b"%PDF-1.7\n", "not an image; expected PNG"),
        (b"", "not an image"),
    ],
)
def test_a_program_is_no_picture(tmp_path, reader, content, message):
    (tmp_path / "a.png").write_bytes(content)
    given = (read_picture, {"channels": 3}) if reader == "picture" else (read_mask, {})
    assert message in refusal(given[0], tmp_path / "a.png", **given[1])


def test_what_is_no_file_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "looped.png").symlink_to(tmp_path / "looped.png")
    for name, message in {
        "pipe.png": "not a file; name a picture",
        "folder.png": "not a file; name a picture",
        "looped.png": "cannot be read (Too many levels",
        "absent.png": "no such file; name a picture",
        "n" * 300 + ".png": "cannot be read (File name too long)",
    }.items():
        assert message in refusal(read_picture, tmp_path / name, channels=3)
    with pytest.raises(DataError, match=r"a\\x00b\.png: cannot be read"):
        read_mask(Path("a\0b.png"), resolution=SIDE)
    assert "not a file" in refusal(read_mask, Path("/dev/zero"))


def test_a_file_that_is_too_long_is_not_read_to_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "MAX_FILE_BYTES", 100)
    path = saved(tmp_path / "a.bmp", Image.fromarray(COLOURS))
    assert "more than 100 bytes" in refusal(read_picture, path, channels=3)


# -- masks -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_a_mask_is_taken_in_every_mode_in_which_it_can_be_painted(tmp_path, mode, suffix):
    path = saved(tmp_path / f"m{suffix}", Image.fromarray(PAINTED).convert("RGB").convert(mode))
    assert_array_equal(read_mask(path, resolution=SIDE), PAINTED > 0)


def test_a_palette_of_two_colours_is_a_mask(tmp_path):
    for kind in (".png", ".gif"):
        picture = Image.fromarray(PAINTED // 255).convert("P")
        picture.putpalette([255, 255, 255, 0, 0, 0])
        assert_array_equal(read_mask(saved(tmp_path / f"m{kind}", picture), resolution=SIDE), PAINTED == 0)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "RGB", "L", "1", "P"])
def test_advice_for_a_mask_in_the_transparency_works(tmp_path, mode):
    path = tmp_path / "m.png"
    if mode.endswith("A"):
        picture = Image.new(mode, (SIDE, SIDE))
        picture.putalpha(Image.fromarray(PAINTED))
        saved(path, picture)
    else:
        picture = Image.fromarray(PAINTED if mode != "P" else PAINTED // 255).convert(mode)
        saved(path, picture, transparency=(0, 0, 0) if mode == "RGB" else 0)
    message = refusal(read_mask, path)
    assert f"its channels are {mode}" in message
    advice = message.partition("save ")[2].removesuffix(" as the mask")
    saved(path, eval(advice, {"image": Image.open(path)}))
    assert_array_equal(read_mask(path, resolution=SIDE), PAINTED > 0)


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (np.where(PAINTED[..., None] > 0, np.uint8((255, 0, 0)), np.uint8(0)), "a pixel has the colour (255, 0, 0)"),
        (np.uint8(PAINTED // 2), "a pixel has the value 127, expected 0 (kept) and 255 (missing) alone"),
        (np.uint16(PAINTED) * 257, "of more than 8 bits"),
        (np.zeros((SIDE, SIDE, 3), np.uint8), "no pixel is white"),
        (np.full((SIDE, SIDE), 255, np.uint8), "every pixel is white"),
        (np.zeros((4, 4), np.uint8), "4x4 pixels, the run's images have 8x8"),
    ],
)
def test_what_is_not_black_and_white_is_no_mask(tmp_path, picture, message):
    assert message in refusal(read_mask, saved(tmp_path / "m.png", Image.fromarray(picture)))


def test_a_mask_is_turned_as_its_picture_is(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 5
    path = saved(tmp_path / "m.png", Image.fromarray(PAINTED), exif=exif)
    assert_array_equal(read_mask(path, resolution=SIDE), PAINTED.T > 0)
    assert_array_equal(ImageOps.exif_transpose(Image.open(path)), PAINTED.T)


@pytest.mark.parametrize("count", COUNTS)
def test_a_damaged_mask_is_a_mask_or_one_line(tmp_path, monkeypatch, count):
    for content in mutations(saved(tmp_path / "m.bmp", Image.fromarray(PAINTED)).read_bytes(), count):
        monkeypatch.setattr(pictures, "_content", lambda path, content=content: content)
        try:
            mask = read_mask(Path("m.bmp"), resolution=SIDE)
            assert mask.shape == (SIDE, SIDE) and mask.any() and not mask.all()
        except DataError as error:
            assert str(error).isprintable() and str(error)[1:].startswith((".npy: ", ".bmp: "))
