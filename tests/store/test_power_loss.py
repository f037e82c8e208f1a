"""The power goes at any moment: a result is the old one, the new one or none, and no record is without its file.

The disk of these tests keeps what a real one is bound to keep: the bytes of a file once it was settled, its name once
the folder was. Of all else any part may be there after the cut, and every choice of parts is tried.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from hashlib import sha256
from itertools import combinations
from pathlib import Path

import pytest

from hkd.store.atomic import write_bytes
from hkd.store.records import Record, record_path
from hkd.store.superseded import keep


class Disk:
    """What would be left of a folder's files if the power went now, for every order in which the disk may work."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, *, honest: bool = True) -> None:
        self.folder, self.honest = folder, honest
        self.settled: dict[int, bytes] = {}  # bytes on the disk, by file
        self.names: dict[str, int] = {}  # names on the disk
        self.pending: list[tuple[str, int]] = []  # names given since the folder was settled
        self.shown: dict[str, int] = {}  # names as programs see them
        self.seen: list[dict[str, bytes]] = []
        self._open: dict[int, tuple[int, bytes]] = {}
        for name, of in (("fsync", self._fsync), ("replace", self._replace), ("link", self._link)):
            monkeypatch.setattr(os, name, of(getattr(os, name)))

    def _fsync(self, real):
        def fsync(descriptor: int) -> None:
            real(descriptor)
            about = os.fstat(descriptor)
            if os.path.isdir(f"/proc/self/fd/{descriptor}"):
                if self.honest:
                    self.names |= dict(self.pending)
                    self.pending.clear()
            else:
                self.settled[about.st_ino] = Path(os.readlink(f"/proc/self/fd/{descriptor}")).read_bytes()
            self.cut()

        return fsync

    def _replace(self, real):
        def replace(source: Path, target: Path) -> None:
            number = os.stat(source).st_ino
            real(source, target)
            self.pending.append((os.path.relpath(target, self.folder), number))
            self.cut()

        return replace

    def _link(self, real):
        def link(source: Path, target: Path, **options) -> None:
            real(source, target, **options)
            self.cut()

        return link

    def cut(self) -> None:
        """Note every state in which the disk may be found."""
        for count in range(len(self.pending) + 1):
            for chosen in combinations(self.pending, count):
                names = self.names | dict(chosen)
                # a file that was never settled may be found empty
                self.seen.append({name: self.settled.get(number, b"") for name, number in names.items()})

    def results(self) -> Iterator[tuple[bytes | None, str | None]]:
        """Yield the result and the digest in its record, in every state that was possible."""
        for files in self.seen:
            record = files.get("result.record.json")
            yield files.get("result"), None if record is None else str(json.loads(record or b"{}").get("sha256"))


def write(path: Path, content: bytes) -> None:
    write_bytes(path, content)
    Record("train").write(path)


def test_a_first_result_is_there_before_its_record(tmp_path, monkeypatch):
    disk = Disk(tmp_path, monkeypatch)
    write(tmp_path / "result", b"new")
    states = set(disk.results())
    digest = sha256(b"new").hexdigest()
    assert states == {(None, None), (b"new", None), (b"new", digest)}
    assert disk.pending == []  # all that was written is settled when the command says so


def test_a_result_that_is_replaced_is_the_old_or_the_new_one(tmp_path, monkeypatch):
    disk = Disk(tmp_path, monkeypatch)
    write(tmp_path / "result", b"old")
    disk.seen.clear()
    write(tmp_path / "result", b"new")
    old, new = (sha256(content).hexdigest() for content in (b"old", b"new"))
    # a new file beside the old record is refused by every reader, as its digest is another
    assert set(disk.results()) == {(b"old", old), (b"new", old), (b"new", new)}


def test_folders_that_are_made_on_the_way_are_settled_too(tmp_path, monkeypatch):
    settled = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        settled.append(os.path.relpath(os.readlink(f"/proc/self/fd/{descriptor}"), tmp_path))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    write_bytes(tmp_path / "deep/er/result", b"x")
    assert settled[:2] == [".", "deep"] and settled[-1] == "deep/er"


@pytest.mark.parametrize("forgotten", ["file", "folder"])
def test_the_disk_of_these_tests_tells_when_something_was_not_settled(tmp_path, monkeypatch, forgotten):
    disk = Disk(tmp_path, monkeypatch, honest=forgotten != "folder")
    if forgotten == "file":
        monkeypatch.setattr("hkd.store.atomic.settle", lambda path: None)
    write(tmp_path / "result", b"new")
    bad = [(result, digest) for result, digest in disk.results() if digest and result != b"new"]
    assert bad or (b"", None) in set(disk.results())


def test_a_kept_result_has_its_second_name_on_the_disk_before_it_is_said_to_be_kept(tmp_path, monkeypatch):
    disk = Disk(tmp_path, monkeypatch)
    write(tmp_path / "result", b"new")
    disk.seen.clear()
    keep(tmp_path, [tmp_path / "result"], "this training")
    kept = [files for files in disk.seen if "finished/identity" in files]
    assert kept and all(files.get("finished/result") == b"new" for files in kept)
    assert all(files.get("finished/result", b"new") == b"new" for files in disk.seen)


def test_the_record_path_of_these_tests_is_the_real_one(tmp_path):
    assert record_path(tmp_path / "result").name == "result.record.json"
