"""Files of the user count by what they hold, are read once, and may be moved."""

from __future__ import annotations

import os
import shutil

import pytest

from hkd.store import content as module
from hkd.store.content import content


@pytest.fixture
def memory(tmp_path):
    (tmp_path / "results").mkdir()
    return tmp_path / "results/sources.json"


def test_a_file_that_is_touched_or_moved_is_the_same_and_a_changed_one_is_not(tmp_path, memory):
    archive = tmp_path / "a.zip"
    archive.write_bytes(b"1" * 3_000_000)
    first = content(str(archive), memory)
    os.utime(archive, (1, 1))
    moved = archive.rename(tmp_path / "b.zip")
    assert content(str(moved), memory) == first
    moved.write_bytes(b"1" * 2_999_999 + b"2")
    assert content(str(moved), memory) != first


def test_a_folder_counts_by_names_and_contents(tmp_path, memory):
    folder = tmp_path / "pictures"
    (folder / "cat").mkdir(parents=True)
    for name in ("cat/1.png", "2.png"):
        (folder / name).write_bytes(name.encode())
    (folder / "round").symlink_to(folder)  # leads back to one above
    first = content(str(folder), memory)
    os.utime(folder / "2.png", (1, 1))
    moved = folder.rename(tmp_path / "others")
    (moved / "round").unlink()
    assert content(str(moved), memory) == first
    (moved / "2.png").rename(moved / "3.png")
    assert content(str(moved), memory) != first


def test_what_was_read_is_not_read_again_until_it_changes(tmp_path, memory, monkeypatch):
    archive = tmp_path / "a.zip"
    archive.write_bytes(b"zip")
    first = content(str(archive), memory)
    monkeypatch.setattr(module, "sha256", lambda path: pytest.fail("read again"))
    assert content(str(archive), memory) == first


def test_a_file_of_the_same_size_and_time_in_its_place_is_another(tmp_path, memory):
    """As after `cp -p` or `rsync -t` of another version: the inode tells."""
    archive, other = tmp_path / "a.zip", tmp_path / "b.zip"
    archive.write_bytes(b"1" * 1000)
    other.write_bytes(b"2" * 1000)
    for path in (archive, other):
        os.utime(path, ns=(10**18, 10**18))
    first, second = content(str(archive), memory), content(str(other), memory)
    os.replace(other, archive)
    assert archive.stat().st_mtime_ns == 10**18 and archive.stat().st_size == 1000
    assert content(str(archive), memory) == second != first


def test_a_copy_elsewhere_and_a_link_are_the_same(tmp_path, memory):
    archive = tmp_path / "a.zip"
    archive.write_bytes(b"zip")
    (tmp_path / "link.zip").symlink_to(archive)
    (tmp_path / "there").mkdir()
    shutil.copy(archive, tmp_path / "there/other.zip")
    assert len({content(str(path), memory) for path in tmp_path.rglob("*.zip")}) == 1


@pytest.mark.parametrize("damage", [b"", b"[]", b"{", b'{"a": 3}'])
def test_a_damaged_memory_is_none(tmp_path, memory, damage):
    archive = tmp_path / "a.zip"
    archive.write_bytes(b"zip")
    first = content(str(archive), memory)
    memory.write_bytes(damage)
    assert content(str(archive), memory) == first


def test_before_there_are_results_nothing_is_left_behind(tmp_path):
    archive = tmp_path / "a.zip"
    archive.write_bytes(b"zip")
    assert content(str(archive), tmp_path / "results/sources.json") and not (tmp_path / "results").exists()
    assert content(None, tmp_path / "m") is None and content(str(tmp_path / "gone"), tmp_path / "m") is None
