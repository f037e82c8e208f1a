"""The pictures of a folder and its sub-folders; links are followed, but not in circles."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from hkd.data import DataError, formats
from hkd.data import picture_files as rule
from hkd.data.file_names import native, text_of
from hkd.data.picture_files import HEAD_BYTES, PictureFiles
from hkd.store import bounded

Identity = tuple[int, int]


class FolderPictures(PictureFiles):
    """Pictures below a folder."""

    kind = "folder"

    def read(self, name: str) -> bytes:
        content = self._start(name, formats.MAX_FILE_BYTES + 1)
        if len(content) > formats.MAX_FILE_BYTES:
            raise DataError(f"{self.where(name)}: more than {formats.MAX_FILE_BYTES:,} bytes; remove it")
        return content

    @property
    def remarks(self) -> list[str]:
        found = super().remarks
        if self._circles:
            found.append(f"links that lead back to a folder above were not followed: {', '.join(self._circles[:3])}")
        again = self._counted_again()
        if again:
            many = f"{again:,} pictures are links to others of the set, and count again"
            found.append("1 picture is a link to another of the set, and counts again" if again == 1 else many)
        return found

    def _members(self) -> Iterator[str]:
        self._circles: list[str] = []
        self._links: dict[str, tuple[str, Identity]] = {}
        reached = {_identity(os.stat(self.path)): ("", False)}  # folder: its name, and whether by a link
        waiting = [""]
        while waiting:
            folder = waiting.pop()
            for entry in self._listing(folder):
                name = folder + text_of(entry.name)
                if self._hide(name, _files_below(entry)):
                    continue
                try:
                    found = os.stat(entry.path)
                except OSError as error:
                    why = "a link to nothing" if entry.is_symlink() else f"cannot be read ({error.strerror})"
                    self.unreadable(name, f"{why}; remove it, or bring back what it stands for")
                    continue
                if stat.S_ISDIR(found.st_mode):
                    if self._enter(name, entry.is_symlink(), _identity(found), reached):
                        waiting.append(f"{name}/")
                elif stat.S_ISREG(found.st_mode):
                    self._note_link(name, entry, found)
                    yield name
                else:
                    self._others["pipes and devices"] += 1

    def _listing(self, folder: str) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(self.path / native(folder)) as entries:
                return sorted(entries, key=lambda entry: text_of(entry.name))
        except OSError as error:
            self.unreadable(folder.rstrip("/"), f"the folder cannot be read ({error.strerror}); check its permissions")
            return []

    def _enter(self, name: str, link: bool, key: Identity, reached: dict[Identity, tuple[str, bool]]) -> bool:
        """Return whether a folder is to be read: not one that a link leads back to.

        Raises:
            DataError: it has been read under another name, so its pictures would count twice.
        """
        earlier, by_link = reached.setdefault(key, (name, link))
        if earlier != name and (link or by_link):
            if not earlier or name.startswith(f"{earlier}/"):
                self._circles.append(name)
                return False
            raise DataError(f"{self.where(name)}: the same folder as {earlier}; remove the link, or images count twice")
        self.folders.add(name)
        return True

    def _note_link(self, name: str, entry: os.DirEntry[str], found: os.stat_result) -> None:
        """Keep where a file lies that has a second name: where a link leads, nothing for one of equal names."""
        if entry.is_symlink():
            self._links[name] = text_of(os.path.realpath(entry.path)), _identity(found)
        elif found.st_nlink > 1:
            self._links[name] = "", _identity(found)

    def _counted_again(self) -> int:
        """Return how many pictures are links to another picture of the set, or to what an earlier one links to."""
        if not self._links:
            return 0
        root, pictures, reached, again = text_of(os.path.realpath(self.path)) + os.sep, set(self.names), set(), 0
        for name in self.names:
            if name in self._links:
                target, key = self._links[name]
                again += (target.startswith(root) and target[len(root) :] in pictures) or key in reached
                reached.add(key)
        return again

    def _head(self, name: str) -> bytes:
        try:
            return self._start(name, HEAD_BYTES)
        except DataError as error:
            self.unreadable(name, error)
            return b""

    def _start(self, name: str, count: int) -> bytes:
        try:
            with open(self.path / native(name), "rb") as file:
                return bounded.read_from(file, count)
        except OSError as error:
            raise DataError(f"{self.where(name)}: cannot be read ({error.strerror}); check its permissions") from None


def _identity(found: os.stat_result) -> Identity:
    return found.st_dev, found.st_ino


def _files_below(entry: os.DirEntry[str]) -> int:
    """Return how many files an entry stands for: 1, or those of a folder."""
    if not rule.is_hidden(text_of(entry.name)) or not entry.is_dir(follow_symlinks=False):
        return 1
    return max(1, sum(len(files) for _, _, files in os.walk(entry.path)))
