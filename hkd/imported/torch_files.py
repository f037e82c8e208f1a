"""Files that torch saved, read for their tensors alone: what claims more than the file has is refused first.

Torch's own reader calls nothing but what builds tensors, and yet a file can stop it: a key that holds a million values
in one another ends the interpreter, one of shared values never ends, and a storage that claims too much is filled with
whatever lies behind it. So a file is walked through before torch reads it.
"""

from __future__ import annotations

import io
import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

import torch

from hkd.imported.network_pickles import MAX_DEPTH, STORAGES, reach
from hkd.store.bounded import DAMAGES, Damaged
from hkd.store.lines import one_line
from hkd.store.pickle_machine import PLAIN, ForbiddenError, Machine, PickleError, PlainDict, PlainTuple, Word
from hkd.store.zip_directory import check_directory

MAX_MEMBERS = 1 << 16  # a state with its optimiser has three for each tensor
MAX_PICKLE_BYTES = 64 << 20  # what describes the tensors; the largest has a few hundred thousand
MAX_OPERATIONS = 1 << 20  # of such a description; a state of a thousand tensors with its optimiser has 120,000
DESCRIPTION = "data.pkl"
ZIP = b"PK\x03\x04"
LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # begins a file as torch wrote them before it wrote zips
LEGACY_PICKLES = 5  # at its beginning: a number, a version, the machine, the tensors, the keys of storages


def read_torch(path: Path) -> Any:
    """Return what a file of torch's holds, on the CPU: tensors, numbers and text in mappings and lists.

    Nothing in it is called but what builds tensors (`weights_only`). Tensors of a zip are mapped, not read.

    Raises:
        Damaged: it is cut short, claims more than it has, or holds anything else.
    """
    try:
        with open(path, "rb") as file:
            start = file.read(len(LEGACY))
        packed = start.startswith(ZIP)
        if packed:
            _check_zip(path)
        elif start == LEGACY:
            _check_legacy(path)
        else:
            raise Damaged("not a readable file of torch (it begins as none does)")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's, of its own older formats
            return torch.load(path, map_location="cpu", weights_only=True, mmap=packed)
    except Damaged:
        raise
    except (pickle.UnpicklingError, ForbiddenError) as error:
        raise Damaged(f"refused, it holds more than tensors, or is damaged ({one_line(str(error), 120)})") from None
    except (*DAMAGES, TypeError, AttributeError, AssertionError) as error:
        raise Damaged(f"not a readable file of torch ({one_line(str(error), 120)})") from None


def _check_zip(path: Path) -> None:
    """Refuse a zip whose members are packed, damaged, or claim more bytes than the file has."""
    with zipfile.ZipFile(path) as archive:
        check_directory(archive, path)
        members = archive.infolist()
        if len(members) > MAX_MEMBERS or sum(member.file_size for member in members) > path.stat().st_size:
            raise Damaged("its members claim more than the file has")
        sizes: dict[str, int] = {}
        for member in members:
            name = member.filename.lower()  # torch need not tell one case from the other
            if member.compress_type != zipfile.ZIP_STORED:
                raise Damaged(f"its member {one_line(member.filename, 80)!r} is packed, as torch never does")
            if name in sizes:
                raise Damaged(f"its member {one_line(member.filename, 80)!r} is there twice")
            if name.endswith(DESCRIPTION) and member.file_size > MAX_PICKLE_BYTES:
                raise Damaged(f"its description of tensors has {member.file_size:,} bytes")
            sizes[name] = member.file_size
        if (bad := archive.testzip()) is not None:
            raise Damaged(f"not a readable file of torch (the checksum of {one_line(bad, 80)!r} is wrong)")
        held = {name.partition("/data/")[2]: size for name, size in sizes.items()}
        for member in members:
            if member.filename.lower().endswith(DESCRIPTION):
                _StateMachine(io.BytesIO(archive.read(member)), held).run()


def _check_legacy(path: Path) -> None:
    with open(path, "rb") as file:
        for _ in range(LEGACY_PICKLES):
            _StateMachine(file).run()


class _Storage(NamedTuple):
    """Numbers that lie elsewhere in the file."""

    elements: int


class _Built:
    """A tensor, all of whose numbers are there."""


class _StateMachine(Machine):
    """Walks through the description of a file's tensors, as torch will, and builds none.

    `sizes`: bytes of every storage that the file has, by key; None where they come behind the description, and torch
    compares them itself.
    """

    words: Mapping[str, str] = {
        "collections OrderedDict": "mapping",
        "torch._utils _rebuild_tensor_v2": "tensor",
        "torch._utils _rebuild_parameter": "parameter",
        "torch Size": "size",
        **{f"torch {name}": name for name in STORAGES},
    }
    operations, depth, shared = MAX_OPERATIONS, MAX_DEPTH, True
    steps = {
        **PLAIN,
        **dict.fromkeys(("LONG1", "BINFLOAT", "SHORT_BINUNICODE"), lambda machine, value: machine.push(value)),
        "BINPERSID": lambda machine, _: machine.push(machine.persistent()),
    }

    def __init__(self, file: IO[bytes], sizes: Mapping[str, int] | None = None) -> None:
        super().__init__(file)
        self._sizes = sizes

    def persistent(self) -> _Storage:
        """Return the storage that stands for what lies on the stack."""
        about = self.pop()
        if not isinstance(about, PlainTuple) or len(about) not in (5, 6) or about[0] not in ("storage", b"storage"):
            raise PickleError("a storage that does not say what it holds")
        _, kind, key, place, count, *view = about
        if not isinstance(kind, Word) or kind not in STORAGES or type(key) is not str or type(place) is not str:
            raise PickleError("a storage of an unknown kind")
        if type(count) is not int or count < 0 or view not in ([], [None]):
            raise PickleError("a storage without a number of elements")
        if self._sizes is not None and self._sizes.get(key, -1) != count * STORAGES[kind].itemsize:
            raise PickleError(f"the storage {key!r} claims {str(count)[:20]} elements, which the file does not have")
        return _Storage(count)

    def called(self, word: Word, arguments: PlainTuple) -> Any:
        if word == "mapping" and not arguments:
            return PlainDict()
        if word == "size" and len(arguments) == 1 and isinstance(arguments[0], PlainTuple):
            return arguments[0]
        if word == "parameter" and len(arguments) == 3 and isinstance(arguments[0], _Built):
            return arguments[0]
        if word == "tensor" and len(arguments) in (6, 7):
            return _built(*arguments[:4])
        return super().called(word, arguments)

    def build(self) -> None:
        state, target = self.pop(), self.top()
        if not isinstance(state, PlainDict) or not isinstance(target, PlainDict):  # a mapping's own remarks
            raise PickleError("state for what has none")


def _built(storage: Any, offset: Any, size: Any, stride: Any) -> _Built:
    """Compare what a tensor claims with its storage, which torch would enlarge without a word."""
    if not (isinstance(storage, _Storage) and isinstance(size, PlainTuple) and isinstance(stride, PlainTuple)):
        raise PickleError("a tensor without a storage or a shape")
    if not all(type(number) is int and number >= 0 for number in (offset, *size, *stride)) or len(size) != len(stride):
        raise PickleError("a tensor without a shape")
    if reach(offset, size, stride) > storage.elements:
        raise PickleError("a tensor of more elements than its storage has")
    return _Built()
