"""Decode and encode single image files that nobody has checked: every picture of a user's passes here.

The format is told by our own table and its decoder alone is asked; size, depth and number of frames are read from the
header and checked before any pixel is decoded, so that a small file cannot claim a lot of memory. Texts and profiles
within a PNG are bounded by Pillow: 1 MiB each, 64 MiB together.
"""

from __future__ import annotations

import io
import logging
import math
import re
import warnings

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.ImageFile import ImageFile

from hkd.data import DataError
from hkd.data.formats import EXPECTED, HEAD, READ, format_of, is_picture
from hkd.data.structure import check_exif, check_jpeg, check_png, grey_step, tiff_pages

CONVERTIBLE = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK")
BACKGROUND = (255, 255, 255)  # on which a picture with transparency is laid
MAX_PIXELS = 64 << 20
MAX_FRAMES = 1000  # counted, for messages
MAX_PREVIEWS = 16  # within a JPEG
MAX_SCANS = 100  # of a progressive JPEG of MAX_PIXELS pixels: each costs the time of a whole picture
# Of these, what is compressed is left alone. libtiff prints lines of its own, and far more formats are built into it; a
# few bytes of a run-length BMP can claim gigabytes. In a BMP 0 is plain, and 3 plain with masks of its bits.
UNCOMPRESSED = {"TIFF": ("raw",), "BMP": (0, 3)}
CHECKED = {"PNG": check_png, "JPEG": check_jpeg}  # before they are opened
BLANK = re.compile(rb"[\0\s]*")
TIFF_BITS, TIFF_NUMBERS = 258, 339  # tags: bits of a channel; whether they are unsigned, signed or floats
ORIENTATION = 0x0112  # EXIF: how the stored rows and columns lie
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

logging.getLogger("PIL").addHandler(logging.NullHandler())  # what Pillow finds is said in our one line


def decode(content: bytes, where: str, convert_to_rgb: bool) -> Image.Image:
    """Return the picture in a file's bytes, 8 bits of red, green and blue a pixel.

    Args:
        where: name of the file in errors.
        convert_to_rgb: accept grey, palette and CMYK images, and transparent ones, which are laid on white.

    Raises:
        DataError: not one picture of 8 bits a channel, damaged, too large, or its channels are not RGB.
    """
    picture = opened(content, where)
    if picture.mode == "RGB" and not has_transparency(picture):
        return picture
    channels = described(picture)
    if picture.mode not in CONVERTIBLE:
        raise DataError(f"{where}: its channels are {channels}, expected RGB of 8 bits each; convert it yourself")
    if not convert_to_rgb:
        remedy = "with convert_to_rgb: true (--config data.NAME.convert_to_rgb=true) all images are converted"
        remedy += ", transparent ones laid on white" if has_transparency(picture) else ""
        raise DataError(f"{where}: its channels are {channels}, expected RGB of 8 bits each; {remedy}")
    return on_background(picture)


def opened(content: bytes, where: str) -> Image.Image:
    """Return the picture in a file's bytes, decoded and upright, in whatever channels of 8 bits (or 1) it has.

    Raises:
        DataError: not one picture of 8 bits a channel in a format that is read, damaged, or too large.
    """
    found = format_of(content[:HEAD])
    if found not in READ:
        reason = "not an image" if found is None else f"a picture in {found}, which is not read"
        raise DataError(f"{where}: {reason}; expected {EXPECTED}; convert or remove it")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, of oddities that are checked here or do not matter
            end = CHECKED[found](content) if found in CHECKED else len(content)
            if found == "TIFF":
                _check_frames(tiff_pages(content, MAX_FRAMES), where)
            picture = Image.open(io.BytesIO(content), formats=(found,))
            _check(picture, content, where)
            _check_frames(1 + _is_followed(picture, content, end), where)
            picture.load()
            _scale_key(picture, grey_step(content))
            return _upright(picture)
    except DataError:
        raise
    except Image.DecompressionBombError:
        raise DataError(f"{where}: more than {MAX_PIXELS:,} pixels; make it smaller") from None
    except UnidentifiedImageError:
        raise DataError(
            f"{where}: damaged, or a kind of {found} that this Pillow does not read; remove or replace it"
        ) from None
    except Exception as error:  # a decoder may raise anything for bytes that somebody has made up
        reason = str(error) or type(error).__name__
        raise DataError(f"{where}: damaged ({reason}); expected {EXPECTED}; remove or replace it") from None


def has_transparency(picture: Image.Image) -> bool:
    """Whether a picture has an alpha channel or a transparent colour, used or not."""
    return picture.mode in ("LA", "PA", "RGBA") or "transparency" in picture.info


def is_opaque(picture: Image.Image) -> bool:
    """Whether every pixel of a picture shows in full."""
    return not has_transparency(picture) or picture.convert("RGBA").getchannel("A").getextrema()[0] == 255


def on_background(picture: Image.Image) -> Image.Image:
    """Return a picture as RGB; where it is transparent, white shows and not the colour that is hidden there."""
    if not has_transparency(picture):
        return picture.convert("RGB")
    laid = Image.new("RGBA", picture.size, BACKGROUND)
    laid.alpha_composite(picture.convert("RGBA"))
    return laid.convert("RGB")


def described(picture: Image.Image) -> str:
    """Return a picture's channels as Pillow names them, and whether one colour is transparent."""
    return picture.mode + (" with a transparent colour" if "transparency" in picture.info else "")


def square_size(picture: Image.Image, where: str) -> int:
    """Return the side of a picture that networks can halve three times."""
    remedy = "with a resolution (--config data.NAME.resolution=32) all images are cropped and resized to it"
    if picture.width != picture.height:
        raise DataError(f"{where}: {size(picture)} pixels, expected a square; {remedy}")
    if picture.width % 8:
        raise DataError(f"{where}: {size(picture)} pixels, expected a multiple of 8; {remedy}")
    return picture.width


def centre_square(picture: Image.Image, resolution: int) -> Image.Image:
    """Return the central square of a picture at this resolution."""
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    square = picture.crop((left, top, left + side, top + side))
    return square if side == resolution else square.resize((resolution, resolution), Image.Resampling.LANCZOS)


def channels_first(picture: Image.Image) -> NDArray[np.uint8]:
    """Return an RGB picture as uint8 (3, H, W)."""
    return np.ascontiguousarray(np.asarray(picture, np.uint8).transpose(2, 0, 1))


def encode_png(image: NDArray[np.uint8]) -> bytes:
    """Return uint8 (C, H, W), C = 1 or 3, as an uncompressed PNG."""
    buffer = io.BytesIO()
    pixels = image[0] if len(image) == 1 else image.transpose(1, 2, 0)
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "PNG", compress_level=0)
    return buffer.getvalue()


def size(picture: Image.Image) -> str:
    """Return a picture's size as people write it: 64x48."""
    return f"{picture.width}x{picture.height}"


def _scale_key(picture: Image.Image, step: int) -> None:
    """Make the transparent level of packed grey one of the picture's bytes: Pillow multiplies the pixels alone."""
    if step > 1 and "transparency" in picture.info:
        picture.info["transparency"] = picture.info["transparency"] % (255 // step + 1) * step


def _check(picture: ImageFile, content: bytes, where: str) -> None:
    """Refuse what the header alone shows, before any pixel is decoded."""
    pixels = picture.width * picture.height
    if pixels > MAX_PIXELS:
        raise DataError(f"{where}: {size(picture)} pixels, more than {MAX_PIXELS:,}; make it smaller")
    if pixels * content.count(b"\xff\xda") > MAX_PIXELS * MAX_SCANS and picture.format in ("JPEG", "MPO"):
        raise DataError(f"{where}: more passes over its pixels than a picture needs; save it anew")
    if _is_deep(picture):
        raise DataError(
            f"{where}: its channels are {picture.mode} of more than 8 bits, expected 8; "
            "save it with 8 bits a channel (ImageMagick: -depth 8)"
        )
    compression = picture.info.get("compression")
    if compression not in UNCOMPRESSED.get(str(picture.format), (compression,)):
        found = f"a {picture.format} of compression {compression}"
        raise DataError(f"{where}: {found}, expected an uncompressed one; save it so, or as PNG")
    _check_frames(_frames(picture, content), where)


def _check_frames(frames: int, where: str) -> None:
    if frames > 1:
        number = f"{frames} or more" if frames >= MAX_FRAMES else str(frames)
        raise DataError(f"{where}: {number} frames or pages, expected one picture; save those that you want as files")


def _is_deep(picture: ImageFile) -> bool:
    """Whether channels have more than 8 bits; Pillow would cut off or clip what is beyond."""
    if picture.mode[0] in "IF":
        return True
    if picture.format == "TIFF":
        tags = picture.tag_v2  # type: ignore[attr-defined]
        return max(tags.get(TIFF_BITS, (1,))) > 8 or set(tags.get(TIFF_NUMBERS, (1,))) != {1}
    if picture.format == "PPM":
        return any(isinstance(tile.args, tuple) and max(tile.args[1:], default=0) > 255 for tile in picture.tile)
    return picture.format == "PNG" and any("16" in str(tile.args) for tile in picture.tile)


def _frames(picture: ImageFile, content: bytes) -> int:
    """Return the number of frames or pages, up to MAX_FRAMES, without decoding them."""
    if picture.format == "PPM":  # one after the other in a file, of which Pillow sees the first
        bits = picture.width * {"1": 1, "L": 8, "RGB": 24}[picture.mode]
        return 1 + bool(content[picture.tile[0].offset + (bits + 7) // 8 * picture.height :].strip())
    frames = min(getattr(picture, "n_frames", 1), MAX_FRAMES)
    if picture.format != "MPO" or frames > MAX_PREVIEWS:
        return frames
    first, count = picture.size, 1
    for number in range(1, frames):
        picture.seek(number)
        count += not _is_preview(picture.size, first)
    picture.seek(0)
    return count


def _is_preview(size: tuple[int, int], of: tuple[int, int]) -> bool:
    """Whether a further picture within a JPEG is a preview or a map of brightness, which are smaller, and no frame."""
    return math.prod(size) < math.prod(of)


def _is_followed(picture: ImageFile, content: bytes, end: int) -> bool:
    """Whether another picture stands behind the end of this one, other than the preview of a JPEG."""
    blank = BLANK.match(content, end)
    rest = content[blank.end() if blank else end :]
    if not is_picture(rest[:HEAD]):
        return False
    if picture.format not in ("JPEG", "MPO") or format_of(rest[:HEAD]) != "JPEG":
        return True
    check_jpeg(rest)
    return not _is_preview(Image.open(io.BytesIO(rest), formats=("JPEG",)).size, picture.size)


def _upright(picture: Image.Image) -> Image.Image:
    """Return a picture as viewers show it: turned or mirrored as its EXIF data say, if they can be read."""
    check_exif(len(picture.info.get("exif", b"")))
    try:
        orientation = picture.getexif().get(ORIENTATION)
    except Exception:  # damaged EXIF data, which viewers pass over
        return picture
    turn = UPRIGHT.get(orientation) if isinstance(orientation, int) else None
    return picture if turn is None else picture.transpose(turn)
