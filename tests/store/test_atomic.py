"""Files are whole or absent; a full or closed disk is named in one line."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from hkd.store import atomic
from hkd.store.atomic import atomic_path, write_bytes, write_text
from hkd.store.refusals import ArtifactError


def test_a_written_file_is_whole_and_alone(tmp_path):
    write_text(tmp_path / "deep/er/a.txt", "äöü")
    assert (tmp_path / "deep/er/a.txt").read_text(encoding="utf-8") == "äöü"
    assert [p.name for p in (tmp_path / "deep/er").iterdir()] == ["a.txt"]


def test_an_error_while_writing_leaves_the_old_file(tmp_path):
    write_text(tmp_path / "a", "old")
    with pytest.raises(KeyError), atomic_path(tmp_path / "a") as temporary:
        temporary.write_text("half of the n")
        raise KeyError
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_text() == "old"


FAILURES = [
    (errno.ENOSPC, "the disk is full; free some space"),
    (errno.EDQUOT, "the disk is full; free some space"),
    (errno.EACCES, "cannot write here"),
    (errno.EROFS, "cannot write here"),
    (errno.EIO, "the disk reports an error; check the disk"),
    (errno.ESTALE, "not there, or no more; see that both are"),
    (errno.EXDEV, "spans two disks; choose one"),
    (errno.EFBIG, r"larger than a file may be here; raise the limit \(ulimit -f\)"),
    (errno.ENAMETOOLONG, "the name is too long; choose a shorter name"),
    (errno.EISDIR, "a folder stands where a file should be; move the folder away"),
    (errno.ELOOP, "remove the link"),
    (errno.EMFILE, "too many files are open"),
]


@pytest.mark.parametrize("number, expected", FAILURES)
@pytest.mark.parametrize("call", ["write", "fsync", "rename", "mkdir"])
def test_a_disk_that_refuses_is_named_in_one_line(tmp_path, monkeypatch, number, expected, call):
    write_text(tmp_path / "a", "old")

    def refuse(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    if call == "fsync":
        monkeypatch.setattr(atomic.os, "fsync", refuse)
    elif call == "rename":
        monkeypatch.setattr(atomic.os, "replace", refuse)
    elif call == "mkdir":
        monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(ArtifactError, match=expected) as caught, atomic_path(tmp_path / "a") as temporary:
        temporary.write_text("half of the n")
        if call == "write":
            refuse()
    assert str(caught.value).startswith(str(tmp_path / "a"))
    assert "\n" not in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_text() == "old"


def test_a_really_full_disk_is_named(tmp_path):
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    full = pytest.raises(ArtifactError, match="the disk is full")
    with full, atomic_path(tmp_path / "a"), open("/dev/full", "wb") as file:
        file.write(b"x" * 100_000)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_a_file_is_named(tmp_path):
    write_text(tmp_path / "results", "not a folder")
    with pytest.raises(ArtifactError, match=r"results/run/a: cannot write here"):
        write_bytes(tmp_path / "results/run/a", b"x")
