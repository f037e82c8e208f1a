"""Decode and encode single image files that nobody has checked.

Size and channels are read from the header and checked before any pixel is decoded, and only a few decoders are allowed,
so that a small file cannot claim a lot of memory.
"""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from hkd.data import DataError

FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp"))
HEADS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM")
CONVERTIBLE = ("1", "L", "LA", "P", "RGBA", "CMYK")
MAX_PIXELS = 64 << 20
DECODING_ERRORS = (OSError, SyntaxError, ValueError, EOFError, zlib.error, struct.error, Image.DecompressionBombError)


def decode(content: bytes, where: str, convert_to_rgb: bool) -> Image.Image:
    """Return the picture in a file's bytes, 8 bits of red, green and blue a pixel.

    Args:
        where: name of the file in errors.
        convert_to_rgb: accept grey, palette and CMYK images and alpha channels, which are dropped.

    Raises:
        DataError: not an image, damaged, too large, or its channels are not RGB.
    """
    try:
        picture = Image.open(io.BytesIO(content), formats=FORMATS)
        if picture.width * picture.height <= MAX_PIXELS:
            _check_channels(picture, where, convert_to_rgb)
            return picture.convert("RGB")
    except DataError:
        raise
    except DECODING_ERRORS as error:
        reason = "not an image" if isinstance(error, UnidentifiedImageError) else f"damaged ({error})"
        raise DataError(f"{where}: {reason}; expected {', '.join(FORMATS)}; remove or replace it") from None
    raise DataError(f"{where}: {size(picture)} pixels, more than {MAX_PIXELS:,}; make it smaller")


def is_picture(head: bytes) -> bool:
    """Return whether the first bytes of a file (32 or more) are those of a format that `decode` reads."""
    return head.startswith(HEADS) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")


def square_size(picture: Image.Image, where: str) -> int:
    """Return the side of a picture that networks can halve three times."""
    remedy = "set a resolution, and all images are cropped and resized to it"
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


def _check_channels(picture: Image.Image, where: str, convert_to_rgb: bool) -> None:
    if picture.mode == "RGB" or (convert_to_rgb and picture.mode in CONVERTIBLE):
        return
    remedy = "set convert_to_rgb: true to convert all images" if picture.mode in CONVERTIBLE else "convert it yourself"
    raise DataError(f"{where}: its channels are {picture.mode}, expected RGB of 8 bits each; {remedy}")
