"""Which files of a folder or a zip are pictures: one rule for every command, and what it leaves out is counted.

A file is a picture if its extension is one of a picture, or if it begins as one. Hidden files and the copies that
programs leave behind do not count, `dataset.json` holds labels, and all other files are left out. Files are not
trusted: archives are read and never unpacked, links cannot lead in circles, and sizes are checked before reading.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path, PurePosixPath

from hkd.data import DataError
from hkd.data.file_names import text_of
from hkd.data.formats import EXPECTED, SUFFIXES, is_picture
from hkd.store.lines import printable

LABEL_FILE = "dataset.json"
HEAD_BYTES = 64
KINDS_SHOWN = 6
# Folders and files beside dotted ones that systems, viewers and network drives make
COPIES = frozenset(
    [
        "__macosx",
        "@eadir",
        "#recycle",
        "@recycle",
        "$recycle.bin",
        "lost+found",
        "system volume information",
        "thumbs.db",
        "ehthumbs.db",
        "desktop.ini",
        "recycler",
        "recycled",
        "network trash folder",
        "temporary items",
        "__pycache__",
        "node_modules",
        "thumbnail",
        "thumbnails",
        "thumb",
        "thumbs",
        "_thumb",
        "_thumbs",
        "icon\r",
        "trash",
    ]
)
FOUND = re.compile(r"found\.[0-9]{3}")  # what a repair of a disk finds
LEFT_ENDINGS = ("~", ".bak", ".part", ".swp", ".tmp", ".crdownload")  # of editors and downloads
LEFT_BEGINNINGS = (".", "~$")
AS_CLASSES = ("trash", "thumb")  # copies by these names, and things that a class may be called
ARRAYS = (".npz", ".npy")
TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
CIFAR = "cifar-10-python.tar.gz"
CIFAR_BATCH = "data_batch_1"


class PictureFiles(ABC):
    """The pictures of a folder or zip, by name.

    Args:
        skip_unreadable: leave out what cannot be read, and count it, instead of refusing the whole.

    Attributes:
        names: of the pictures, relative to `path`, with forward slashes, in the order of their letters.
        folders: names of the folders that are not hidden, as far as a zip names them; of the uppermost, "".
        set_aside: names of the folders that are taken for copies, and might be classes.
        label_files: names of files called `dataset.json`, in whatever case.
        skipped: why files could not be read, by name.

    Raises:
        DataError: `path` cannot be read, holds no picture, or one name twice.
    """

    kind: str

    def __init__(self, path: Path, *, skip_unreadable: bool = False) -> None:
        self.path, self.skip_unreadable = path, skip_unreadable
        self.names: list[str] = []
        self.folders: set[str] = set()
        self.set_aside: set[str] = set()
        self.label_files: list[str] = []
        self.skipped: dict[str, str] = {}
        self._hidden: Counter[str] = Counter()
        self._others: Counter[str] = Counter()
        batches, archives = False, []
        for name in self._members():
            base = name.rpartition("/")[2]
            if base.lower() == LABEL_FILE:
                self.label_files.append(name)
            elif self._is_picture(name):
                self.names.append(name)
            else:
                self._others[_extension(base)] += 1
                self.folders.add(name[: -len(base) - 1])
                batches = batches or base.startswith(CIFAR_BATCH)
                archives += [name] if base.lower().endswith((".zip", *TARS)) else []
        self.names.sort()
        self.label_files.sort()
        self._refuse_twins()
        self._refuse_label_folder()
        if not self.names:
            raise DataError(self._no_pictures(batches, archives))

    def where(self, name: str) -> str:
        """Return what errors call a file."""
        return f"{text_of(self.path)}, {name}" if name else text_of(self.path)

    def unreadable(self, name: str, why: str | DataError) -> None:
        """Count a file that cannot be read, for a reason or because of an error that begins with where it lies.

        Raises:
            DataError: unless such files are to be skipped.
        """
        said = str(why).removeprefix(printable(f"{self.where(name)}: "))
        if not self.skip_unreadable:
            raise DataError(f"{self.where(name)}: {said}")
        self.skipped[name] = said

    @property
    def remarks(self) -> list[str]:
        """What was left out and why, a line each."""
        found = []
        if self._hidden:
            found.append(_counted(self._hidden, "left out as hidden or copies"))
        if self._others:
            found.append(_counted(self._others, "left out"))
        if self.skipped:
            first = min(self.skipped)
            found.append(f"{_files(len(self.skipped))} skipped as unreadable, first {first}: {self.skipped[first]}")
        return found

    @abstractmethod
    def read(self, name: str) -> bytes:
        """Return the content of one file.

        Raises:
            DataError: it cannot be read, or has more than formats.MAX_FILE_BYTES.
        """

    @abstractmethod
    def _members(self) -> Iterator[str]:
        """Yield the names of all files that are not hidden; count the hidden ones; fill `folders`."""

    @abstractmethod
    def _head(self, name: str) -> bytes:
        """Return the first HEAD_BYTES of a file, or nothing."""

    def _hide(self, name: str, count: int = 1) -> bool:
        """Return whether a name is that of a hidden file or copy, and count it."""
        parts = name.split("/")
        at = next((k for k, part in enumerate(parts) if is_hidden(part)), None)
        if at is None:
            return False
        self._hidden[_as_counted(parts[at])] += count
        if parts[at].lower() in AS_CLASSES:
            self.set_aside.add("/".join(parts[: at + 1]))
        return True

    def _is_picture(self, name: str) -> bool:
        return PurePosixPath(name).suffix.lower() in SUFFIXES or is_picture(self._head(name))

    def _refuse_twins(self) -> None:
        for names in (self.names, self.label_files):
            for one, other in pairwise(names):
                if one == other:
                    raise DataError(
                        f"{self.where(one)}: there are two files of this name, and which one is meant cannot be "
                        "told; pack the files again under different names"
                    )

    def _refuse_label_folder(self) -> None:
        for name in (*self.folders, *self.names):
            if f"/{LABEL_FILE}/" in f"/{name.lower()}/":
                folder = name[: f"/{name.lower()}/".index(f"/{LABEL_FILE}/") + len(LABEL_FILE)]
                raise DataError(
                    f"{self.where(folder)}: a folder, and labels would be in a file of this name; give it another name"
                )

    def _no_pictures(self, batches: bool, archives: list[str]) -> str:
        count = self._others.total() + len(self.label_files)
        text = f"{text_of(self.path)}: no images among its {count} {'file' if count == 1 else 'files'}"
        if batches:
            return f"{text}, which are CIFAR-10's batches; give the archive they came in, {CIFAR}"
        if archives:
            given = min(archives, key=lambda name: (not name.endswith(CIFAR), not name.lower().endswith(".zip"), name))
            return f"{text}, and archives within it are not looked into; {_instead(given, self.where(''), self.kind)}"
        if any(suffix in self._others for suffix in ARRAYS):
            text += ", and array files within it are not read"
        left = "".join(f" ({line})" for line in self.remarks)
        return f"{text}; expected {EXPECTED}{left}"


def _instead(archive: str, outer: str, kind: str) -> str:
    """Return what to do with an archive that lies among files without pictures."""
    if kind != "folder":
        return f"unpack {archive} from it, and give what is there"
    readable = archive.lower().endswith(".zip") or archive.endswith(CIFAR)
    return f"give {outer}/{archive} itself" if readable else f"unpack {archive}, and give its folder of pictures"


def is_hidden(part: str) -> bool:
    """Return whether one part of a path is hidden, or a copy that a program has left behind."""
    low = part.lower()
    return low in COPIES or low.startswith(LEFT_BEGINNINGS) or low.endswith(LEFT_ENDINGS) or bool(FOUND.fullmatch(low))


def _as_counted(part: str) -> str:
    """Return what hidden files or copies of one kind are counted as: by name, or by how their names end."""
    low = part.lower()
    if low.startswith(LEFT_BEGINNINGS):
        return "~$*" if low.startswith("~$") else part
    return next((f"*{ending}" for ending in LEFT_ENDINGS if low.endswith(ending)), part)


def _extension(base: str) -> str:
    return PurePosixPath(base).suffix.lower()[:20] or "without extension"


def _files(count: int) -> str:
    return "1 file was" if count == 1 else f"{count:,} files were"


def _counted(kinds: Counter[str], what: str) -> str:
    """Return such as `8 files were left out: .txt 5, .csv 3`."""
    shown = [f"{kind} {count:,}" for kind, count in sorted(kinds.items(), key=lambda item: (-item[1], item[0]))]
    more = [f"{len(shown) - KINDS_SHOWN} more kinds"] if len(shown) > KINDS_SHOWN else []
    return f"{_files(kinds.total())} {what}: {', '.join(shown[:KINDS_SHOWN] + more)}"
