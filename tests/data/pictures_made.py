"""Small pictures, folders and zips, for the tests of their readers."""

from __future__ import annotations

import io
import warnings
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

Files = dict[str, bytes]


def colour(*rgb: int, side: int = 8, kind: str = "PNG") -> bytes:
    """A picture of one colour."""
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), rgb).save(buffer, kind)
    return buffer.getvalue()


RED, GREEN, BLUE = colour(255, 0, 0), colour(0, 255, 0), colour(0, 0, 255)


def folder(path: Path, files: Files) -> Path:
    """Files below a folder; a name that ends in a slash is an empty folder."""
    for name, content in files.items():
        at = path / name
        if name.endswith("/"):
            at.mkdir(parents=True)
        else:
            at.parent.mkdir(parents=True, exist_ok=True)
            at.write_bytes(content)
    return path


def packed(path: Path, files: Files | list[tuple[str, bytes]], method: int = zipfile.ZIP_STORED) -> Path:
    """Files in a zip, under names that are stored as they are."""
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", method) as archive:
        warnings.simplefilter("ignore")  # one name may stand twice
        for name, content in files.items() if isinstance(files, dict) else files:
            info = zipfile.ZipInfo("placeholder")
            info.filename, info.compress_type = name, method
            archive.writestr(info, content)
    return path


def mean_colours(images: np.ndarray) -> list[tuple[int, int, int]]:
    """The mean colour of each of (N, 3, H, W)."""
    return [tuple(round(float(value)) for value in image.mean(axis=(1, 2))) for image in images]
