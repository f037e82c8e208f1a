"""Temporary files are their writer's alone; nobody removes those of a living writer, here or on another host."""

from __future__ import annotations

import fcntl
import os
import random
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hkd import owner
from hkd.store import temporary as module
from hkd.store.artifacts import read_json
from hkd.store.atomic import atomic_path, write_bytes, write_text
from hkd.store.records import Record, check_digest
from hkd.store.refusals import ArtifactError
from hkd.store.temporary import clear_leftovers, temporary_file, unused_name


def leftover(folder: Path, name: str = "a", *, age: float = 0.0) -> Path:
    """What a writer leaves that was killed: the file, and no lock."""
    path = unused_name(folder / name)
    path.write_text("half")
    os.utime(path, (time.time() - age, time.time() - age))
    return path


def test_the_next_write_removes_what_a_killed_writer_of_this_machine_left(tmp_path):
    left, other = leftover(tmp_path), leftover(tmp_path, "b")
    write_text(tmp_path / "a", "new")
    assert not left.exists() and other.exists()
    clear_leftovers(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_a_file_that_is_being_written_stays(tmp_path):
    with temporary_file(tmp_path / "a") as living:
        clear_leftovers(tmp_path)
        write_text(tmp_path / "a", "by another writer of the same name")
        assert living.exists()
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize(
    "where", [{"gethostname": "elsewhere"}, {"machine_id": "f" * 32}, {"boot": "later"}, {"namespace": "pid:[1]"}]
)
def test_a_living_file_of_another_machine_start_or_container_stays_though_its_lock_is_not_seen(
    tmp_path, monkeypatch, where
):
    with monkeypatch.context() as other:
        if "gethostname" in where:
            other.setattr(socket, "gethostname", lambda: "elsewhere")
        elif "machine_id" in where:
            other.setattr(owner, "_line", lambda path: "f" * 32)
        else:
            other.setattr(owner, *where, lambda: next(iter(where.values())))
        foreign = leftover(tmp_path)  # as a host sees the file of one whose locks it is not told of
    clear_leftovers(tmp_path)
    write_text(tmp_path / "a", "new")
    assert foreign.exists()


def test_of_an_earlier_start_only_what_lay_untouched_for_a_day_goes(tmp_path, monkeypatch):
    with monkeypatch.context() as earlier:
        earlier.setattr(owner, "boot", lambda: "before the power cut")
        forgotten, fresh = leftover(tmp_path, age=2 * module.FORGOTTEN), leftover(tmp_path, age=60)
        earlier.setattr(socket, "gethostname", lambda: "elsewhere")
        foreign = leftover(tmp_path, age=2 * module.FORGOTTEN)
    clear_leftovers(tmp_path)
    assert not forgotten.exists() and fresh.exists() and foreign.exists()


def test_without_locks_the_number_of_the_process_decides(tmp_path, monkeypatch, dead_process):
    def none(*arguments):
        raise OSError(38, "not implemented")

    monkeypatch.setattr(fcntl, "flock", none)
    living = leftover(tmp_path)
    monkeypatch.setattr(os, "getpid", lambda: dead_process)
    dead = leftover(tmp_path)
    clear_leftovers(tmp_path)
    assert living.exists() and not dead.exists()


def test_names_cannot_be_foreseen_and_are_made_not_opened(tmp_path, monkeypatch):
    assert unused_name(tmp_path / "a") != unused_name(tmp_path / "a")
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "taken").symlink_to(tmp_path / "precious")
    monkeypatch.setattr(module, "unused_name", lambda path: tmp_path / "taken")
    with pytest.raises(ArtifactError, match="a file stands where"):
        write_text(tmp_path / "a", "new")
    assert (tmp_path / "precious").read_text() == "mine"


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_a_leftover_that_is_no_file_is_neither_followed_nor_waited_for(tmp_path, kind):
    (tmp_path / "precious").write_text("mine")
    name = unused_name(tmp_path / "a")
    {"link": lambda: name.symlink_to(tmp_path / "precious"), "pipe": lambda: os.mkfifo(name), "folder": name.mkdir}[
        kind
    ]()
    write_text(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text() == "new" and (tmp_path / "precious").read_text() == "mine"


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_a_temporary_file_that_was_replaced_meanwhile_is_not_published(tmp_path, kind):
    (tmp_path / "precious").write_text("mine")
    with pytest.raises(ArtifactError, match="remove the link"), atomic_path(tmp_path / "a") as temporary:
        temporary.unlink()
        temporary.symlink_to(tmp_path / "precious") if kind == "link" else os.mkfifo(temporary)
    assert [p.name for p in tmp_path.iterdir()] == ["precious"]


def test_a_temporary_file_that_was_deleted_meanwhile_is_said(tmp_path):
    with pytest.raises(ArtifactError, match="a: it or its folder is not there"), atomic_path(tmp_path / "a") as name:
        name.unlink()


def test_a_file_gets_the_rights_that_any_new_file_gets(tmp_path):
    old = os.umask(0o027)
    try:
        write_bytes(tmp_path / "a", b"x")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


@pytest.mark.parametrize("name", ["n" * 255, "ä" * 127, "a[b]*?", " ", ".hidden", "new\nline"])
def test_every_name_that_a_file_may_have_can_be_written(tmp_path, name):
    left = leftover(tmp_path, name)
    write_bytes(tmp_path / name, b"x")
    assert (tmp_path / name).read_bytes() == b"x" and not left.exists()


def test_a_name_that_is_too_long_is_said_in_one_line(tmp_path):
    for path in (tmp_path / ("n" * 256), tmp_path / ("n" * 300) / "a"):
        with pytest.raises(ArtifactError, match="the name is too long; choose a shorter name") as found:
            write_bytes(path, b"x")
        assert "\n" not in str(found.value)


def test_a_limit_on_the_size_of_files_is_said_in_one_line(tmp_path):
    code = "import sys; import numpy as np; from pathlib import Path; from hkd.store.artifacts import *\n"
    code += "for write in (lambda p: write_bytes(p, bytes(10**6)), lambda p: save_arrays(p, {'x': np.zeros(10**6)})):\n"
    code += "    try: write(Path(sys.argv[1]))\n    except ArtifactError as error: print(error)\n"
    command = ["bash", "-c", 'ulimit -f 8; exec "$@"', "bash", sys.executable, "-B", "-c", code, str(tmp_path / "a")]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60)
    lines = ran.stdout.splitlines()
    assert len(lines) == 2 and all("ulimit -f" in line for line in lines), ran
    assert ran.stderr == "" and list(tmp_path.iterdir()) == []


def test_a_folder_in_the_place_of_a_file_is_said(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(ArtifactError, match="a: a folder stands where a file should be"):
        write_bytes(tmp_path / "a", b"x")


def test_links_that_lead_round_in_a_circle_are_said(tmp_path):
    (tmp_path / "x").symlink_to(tmp_path / "y")
    (tmp_path / "y").symlink_to(tmp_path / "x")
    with pytest.raises(ArtifactError, match=r"x/a: .*link|x/a: .*file stands"):
        write_bytes(tmp_path / "x" / "a", b"x")


def test_a_file_that_cannot_be_read_while_another_is_written_is_named(tmp_path):
    with pytest.raises(ArtifactError, match="source: cannot open here"), atomic_path(tmp_path / "a"):
        raise PermissionError(13, "Permission denied", "source")


WRITER = """
import sys
from pathlib import Path
from hkd.store.atomic import write_bytes
from hkd.store.records import Record
path = Path(sys.argv[1])
for number in range(10**6):
    content = bytes([number % 251]) * 200_000
    write_bytes(path, content)
    Record("train").write(path)
    print(number, flush=True)
"""


@pytest.mark.slow
@pytest.mark.ci
@pytest.mark.parametrize("seed", range(8))
def test_killed_at_any_moment_a_file_is_whole_and_what_was_left_goes(tmp_path, seed):
    draw, path = random.Random(seed), tmp_path / "a"
    for _ in range(6):
        work = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
        assert work.stdout is not None and work.stdout.readline()
        time.sleep(draw.uniform(0, 0.05))
        work.send_signal(signal.SIGKILL)
        work.wait()
        content = path.read_bytes()
        assert len(content) == 200_000 and len(set(content)) == 1
        read_json(tmp_path / "a.record.json", "train")
        write_bytes(path, b"whole")
        Record("train").write(path)
        check_digest(path, "train")
        assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "a.record.json"]
