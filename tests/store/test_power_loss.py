"""The power goes at any moment: a result is the old one, the new one or none, and no record is without its file.

What a disk is bound to keep is said in `disk.py`; of all else every part is tried.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from hkd.data import image_set as image_sets
from hkd.data.image_set import write_image_set
from hkd.settings.origins import digest
from hkd.store import superseded
from hkd.store.atomic import write_bytes
from hkd.store.records import Record, record_path
from hkd.store.superseded import keep, set_aside
from tests.store.disk import Disk


@pytest.fixture
def disk(tmp_path, monkeypatch) -> Iterator[Callable[..., Disk]]:
    """Put a disk below the test's folder, as it is then."""
    made: list[Disk] = []

    def build(**options: bool) -> Disk:
        made.append(Disk(tmp_path, monkeypatch, **options))
        return made[-1]

    yield build
    monkeypatch.undo()
    for one in made:
        one.close()


def results(disk: Disk) -> Iterator[tuple[bytes | None, str | None]]:
    """Yield the result and the digest in its record, in every state that was possible."""
    for files in disk.seen:
        record = files.get("result.record.json")
        yield files.get("result"), None if record is None else str(json.loads(record or b"{}").get("sha256"))


def write(path: Path, content: bytes) -> None:
    write_bytes(path, content)
    Record("train").write(path)


def test_a_first_result_is_there_before_its_record(tmp_path, disk):
    disk = disk()
    write(tmp_path / "result", b"new")
    states = set(results(disk))
    digest = sha256(b"new").hexdigest()
    assert states == {(None, None), (b"new", None), (b"new", digest)}
    assert disk.pending == []  # all that was written is settled when the command says so


def test_a_result_that_is_replaced_is_the_old_or_the_new_one(tmp_path, disk):
    disk = disk()
    write(tmp_path / "result", b"old")
    disk.seen.clear()
    write(tmp_path / "result", b"new")
    old, new = (sha256(content).hexdigest() for content in (b"old", b"new"))
    # a new file beside the old record is refused by every reader, as its digest is another
    assert set(results(disk)) == {(b"old", old), (b"new", old), (b"new", new)}


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
def test_the_disk_of_these_tests_tells_when_something_was_not_settled(tmp_path, disk, monkeypatch, forgotten):
    disk = disk(honest=forgotten != "folder")
    if forgotten == "file":
        monkeypatch.setattr("hkd.store.atomic.settle", lambda path: None)
    write(tmp_path / "result", b"new")
    bad = [(result, digest) for result, digest in results(disk) if digest and result != b"new"]
    assert bad or (b"", None) in set(results(disk))


def test_a_kept_result_has_its_second_name_on_the_disk_before_it_is_said_to_be_kept(tmp_path, disk):
    disk = disk()
    write(tmp_path / "result", b"new")
    disk.seen.clear()
    keep(tmp_path, [tmp_path / "result"], "this training")
    kept = [files for files in disk.seen if "finished/identity" in files]
    assert kept and all(files.get("finished/result") == b"new" for files in kept)
    assert all(files.get("finished/result", b"new") == b"new" for files in disk.seen)


def test_the_record_path_of_these_tests_is_the_real_one(tmp_path):
    assert record_path(tmp_path / "result").name == "result.record.json"


def layered(monkeypatch: pytest.MonkeyPatch, *folders: Path) -> None:
    """Let the disk rename none of these folders, as that of a container does."""
    real = os.rename

    def rename(source, target, **options):
        if Path(source) in folders:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        real(source, target, **options)

    monkeypatch.setattr(os, "rename", rename)


def finished(run: Path) -> dict[str, bytes]:
    """Finish a training of identity `old`; return what must never be lost."""
    write_bytes(run / "result", b"weights")
    keep(run, [run / "result"], "old")
    return {"result": b"weights", "identity": b"old"}


def places(files: dict[str, bytes]) -> list[dict[str, bytes]]:
    """What lies in `finished`, and in the place where it is set aside."""
    homes = ("finished/", f"superseded/{digest('old')}/")
    return [{name.removeprefix(home): files[name] for name in files if name.startswith(home)} for home in homes]


@pytest.mark.parametrize("renames", [True, False])
def test_what_is_set_aside_is_whole_in_the_old_or_the_new_place(tmp_path, disk, monkeypatch, renames):
    kept = finished(tmp_path)
    disk = disk()
    if not renames:
        layered(monkeypatch, tmp_path / "finished")
    set_aside(tmp_path, "new")
    assert disk.pending == []
    states = [places(files) for files in disk.seen]
    assert all(kept in found for found in states) and {tuple(map(bool, found)) for found in states} >= {(False, True)}
    assert all(new in ({}, kept) for _, new in states)  # no half of it has the name of the whole
    assert {name: (tmp_path / "superseded" / digest("old") / name).read_bytes() for name in kept} == kept


@pytest.mark.parametrize("forgotten", ["settle", "settle_folder"])
def test_the_disk_of_these_tests_tells_when_a_copy_was_not_settled(tmp_path, disk, monkeypatch, forgotten):
    kept = finished(tmp_path)
    disk = disk()
    layered(monkeypatch, tmp_path / "finished")
    monkeypatch.setattr(superseded, forgotten, lambda path: None)
    set_aside(tmp_path, "new")
    assert any(kept not in places(files) for files in disk.seen)


def image_set(folder: Path, value: int, classes: int) -> None:
    items = [(np.full((1, 2, 2), value, np.uint8), value % classes if classes else None)] * 2
    write_image_set(folder, items, count=2, resolution=2, channels=1, label_dim=classes)


@pytest.mark.parametrize(("before", "after"), [(2, 2), (2, 0), (0, 2), (0, 0)])
def test_an_image_set_is_the_old_one_the_new_one_or_none(tmp_path, disk, before, after):
    folder = tmp_path / "train"
    image_set(folder, 7, before)
    disk = disk()
    image_set(folder, 8, after)
    assert disk.pending == []
    found = set()
    for files in disk.seen:
        if (manifest := files.get("train/manifest.json")) is not None:
            listed = json.loads(manifest)["sha256"]
            assert {name: sha256(files[f"train/{name}"]).hexdigest() for name in listed} == listed
            found.add(manifest)
    assert len(found) == 2 and any("train/manifest.json" not in files for files in disk.seen)


def test_the_disk_of_these_tests_tells_when_an_old_manifest_may_outlive_its_images(tmp_path, disk, monkeypatch):
    image_set(tmp_path, 7, 0)
    disk = disk()
    monkeypatch.setattr(image_sets, "settle_folder", lambda folder: None)
    image_set(tmp_path, 8, 0)
    old = [json.loads(files["manifest.json"])["sha256"] for files in disk.seen if "manifest.json" in files]
    images = [sha256(files["images.npy"]).hexdigest() for files in disk.seen if "manifest.json" in files]
    assert any(listed["images.npy"] != found for listed, found in zip(old, images, strict=True))
