"""A disk of which the power may go at any moment, and all that may be found on it afterwards.

It keeps what a real one is bound to keep: the bytes of a file once the file was settled, and the names that a folder
had when the folder was. Of all that changed since, any part may be there after the cut. A folder that is renamed is in
one place or the other, as on every disk with a journal.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

MOVES = ("replace", "link", "rename", "unlink", "rmdir")
Change = tuple[int, str, int | None]  # in a folder, a name, and the file or folder that has it now


class Disk:
    """What would be left of a folder if the power went now, for every order in which the disk may work."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, *, honest: bool = True) -> None:
        self.folder, self.honest = folder, honest
        self.seen: list[dict[str, bytes]] = []
        self._names: dict[int, dict[str, int]] = {}  # of each folder, on the disk
        self._now: dict[int, dict[str, int]] = {}  # as programs see them
        self._bytes: dict[int, bytes] = {}  # of each file, on the disk
        self._held: dict[int, int] = {}  # a descriptor of each file and folder, so that no other gets its number
        self._whole: set[tuple[int, str, int, str]] = set()  # folders on their way: from there to there
        self._root = os.stat(folder).st_ino
        self._look()
        self._names = {number: dict(names) for number, names in self._now.items()}
        for path in folder.rglob("*"):
            if path.is_file():
                self._bytes[os.stat(path).st_ino] = path.read_bytes()
        monkeypatch.setattr(os, "fsync", self._fsync(os.fsync))
        for name in MOVES:
            monkeypatch.setattr(os, name, self._moving(name, getattr(os, name)))

    def close(self) -> None:
        """Let go of all files."""
        for descriptor in self._held.values():
            os.close(descriptor)

    def _fsync(self, real: Callable[[int], None]) -> Callable[[int], None]:
        def fsync(descriptor: int) -> None:
            real(descriptor)
            self._look()
            number, path = os.fstat(descriptor).st_ino, Path(f"/proc/self/fd/{descriptor}")
            if not path.is_dir():
                self._bytes[number] = path.read_bytes()
            elif self.honest:
                self._settle(number)
            self.cut()

        return fsync

    def _settle(self, folder: int) -> None:
        self._names[folder] = dict(self._now.get(folder, {}))
        for move in [move for move in self._whole if folder in (move[0], move[2])]:
            source, old, target, new = move
            self._names[source].pop(old, None)
            if new in self._now[target]:
                self._names.setdefault(target, {})[new] = self._now[target][new]
            self._whole.discard(move)

    def _moving(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def moving(*paths: Any, **options: Any) -> None:
            folder = name == "rename" and os.path.isdir(paths[0])
            real(*paths, **options)
            self._look()
            if folder:
                (old, new) = (Path(path) for path in paths)
                self._whole.add((os.stat(old.parent).st_ino, old.name, os.stat(new.parent).st_ino, new.name))
            self.cut()

        return moving

    def _look(self) -> None:
        """Note which names there are now; those of files on the way to their name are nobody's."""
        self._now = {number: {} for number in self._now}
        for root, folders, files in os.walk(self.folder):
            number, names = self._hold(root), {}
            for name in (*folders, *files):
                kept = self._hold(os.path.join(root, name))
                if not name.endswith(".tmp"):
                    names[name] = kept
            self._now[number] = names

    def _hold(self, path: str) -> int:
        number = os.lstat(path).st_ino
        if number not in self._held:
            self._held[number] = os.open(path, os.O_PATH | os.O_NOFOLLOW)
        return number

    @property
    def pending(self) -> list[Change]:
        """The changes that are not on the disk yet, of folders that anybody can still come to."""
        reached, found = set(), []
        waiting = [self._root]
        while waiting:
            folder = waiting.pop()
            if folder in reached:
                continue
            reached.add(folder)
            old, new = self._names.get(folder, {}), self._now.get(folder, {})
            found += [(folder, name, new.get(name)) for name in sorted(old | new) if old.get(name) != new.get(name)]
            waiting += [number for number in (*old.values(), *new.values()) if number in self._now]
        return found

    def cut(self) -> None:
        """Note every state in which the disk may be found."""
        changes = self.pending
        for count in range(len(changes) + 1):
            for chosen in combinations(changes, count):
                if self._possible({change[:2] for change in changes}, {change[:2] for change in chosen}):
                    names = {folder: dict(known) for folder, known in self._names.items()}
                    for folder, name, number in chosen:
                        names.setdefault(folder, {})
                        names[folder].pop(name, None)
                        if number is not None:
                            names[folder][name] = number
                    state = dict(self._files(names, self._root, ""))
                    if state not in self.seen:
                        self.seen.append(state)

    def _possible(self, changes: set[tuple[int, str]], chosen: set[tuple[int, str]]) -> bool:
        """Whether each folder on its way is in one place."""
        pairs = (((source, old), (target, new)) for source, old, target, new in self._whole)
        return all((one in chosen) == (two in chosen) for one, two in pairs if one in changes and two in changes)

    def _files(self, names: dict[int, dict[str, int]], folder: int, at: str) -> Iterator[tuple[str, bytes]]:
        for name, number in names.get(folder, {}).items():
            if number in self._now:
                yield from self._files(names, number, f"{at}{name}/")
            else:
                yield f"{at}{name}", self._bytes.get(number, b"")  # a file that was never settled may be found empty
