"""Files that torch saved, read for their tensors alone: what claims more than the file has is refused first."""

from __future__ import annotations

import pickle
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch

from hkd.store.bounded import DAMAGES, Damaged
from hkd.store.lines import one_line
from hkd.store.zip_directory import check_directory

MAX_MEMBERS = 1 << 16  # a state with its optimiser has three for each tensor
MAX_PICKLE_BYTES = 64 << 20  # what describes the tensors; the largest has a few hundred thousand
ZIP = b"PK\x03\x04"
LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # begins a file as torch wrote them before it wrote zips


def read_torch(path: Path) -> Any:
    """Return what a file of torch's holds, on the CPU: tensors, numbers and text in mappings and lists.

    Nothing in it is called but what builds tensors (`weights_only`). Tensors of a zip are mapped, not read.

    Raises:
        Damaged: it is cut short, claims more than it has, or holds anything else.
    """
    with open(path, "rb") as file:
        packed = file.read(len(ZIP)) == ZIP
    if packed:
        _check_members(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's, of its own older formats
            return torch.load(path, map_location="cpu", weights_only=True, mmap=packed)
    except pickle.UnpicklingError as error:
        raise Damaged(f"refused, it holds more than tensors, or is damaged ({one_line(str(error), 120)})") from None
    except (*DAMAGES, TypeError, AttributeError, AssertionError) as error:
        raise Damaged(f"not a readable file of torch ({one_line(str(error), 120)})") from None


def _check_members(path: Path) -> None:
    """Refuse a zip whose members are packed or claim more bytes than the file has."""
    try:
        with zipfile.ZipFile(path) as archive:
            check_directory(archive, path)
            members = archive.infolist()
    except DAMAGES as error:
        raise Damaged(f"not a readable file of torch ({one_line(str(error), 120)})") from None
    if len(members) > MAX_MEMBERS or sum(member.file_size for member in members) > path.stat().st_size:
        raise Damaged("its members claim more than the file has")
    for member in members:
        if member.compress_type != zipfile.ZIP_STORED:
            raise Damaged(f"its member {one_line(member.filename, 80)!r} is packed, as torch never does")
        if member.filename.endswith("data.pkl") and member.file_size > MAX_PICKLE_BYTES:
            raise Damaged(f"its description of tensors has {member.file_size:,} bytes")
