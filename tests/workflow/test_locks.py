"""Locks of dead workflows go, locks of living ones stay; one writer per folder; a job dies with its workflow."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from itertools import chain, repeat
from pathlib import Path

import pytest

from hkd import interrupt, owner
from hkd.interrupt import Interrupted, only_writer
from hkd.owner import born as _born
from hkd.store.refusals import ArtifactError
from hkd.workflow import FORGOTTEN, _check_own_folder, clear_stale_lock


@pytest.fixture(autouse=True)
def nobody_asked():
    interrupt.reset()
    yield
    interrupt.reset()


@pytest.fixture
def locked(tmp_path: Path):
    """A workflow folder with locks, and notes of who may have taken them."""
    (tmp_path / "locks").mkdir()
    for name in ("0.input.lock", "0.output.lock"):
        (tmp_path / "locks" / name).write_text("results/table1.csv")

    def note(pid: int, host: str = socket.gethostname(), born: str | None = None) -> Path:
        path = tmp_path / "hkd-holders" / f"{host}-{pid}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"host": host, "pid": pid, "born": born or _born(pid)}))
        return path

    return tmp_path, note


@pytest.fixture
def neighbour():
    """Another process that lives."""
    process = subprocess.Popen(["sleep", "60"])
    yield process.pid
    process.kill()
    process.wait()


def locks(folder: Path) -> int:
    return len(list((folder / "locks").glob("*.lock")))


def test_the_lock_of_a_dead_workflow_is_removed(locked, dead_process, capsys):
    folder, note = locked
    left = note(dead_process)
    assert clear_stale_lock(folder)
    assert locks(folder) == 0 and not left.exists()
    assert f"process {dead_process}" in capsys.readouterr().err


def test_the_lock_of_a_living_workflow_stays(locked, neighbour):
    folder, note = locked
    note(neighbour)
    assert not clear_stale_lock(folder)
    assert locks(folder) == 2


def test_a_lock_stays_while_any_who_may_hold_it_lives(locked, neighbour, dead_process):
    folder, note = locked
    note(dead_process)
    note(neighbour)
    assert not clear_stale_lock(folder)
    assert locks(folder) == 2


def test_a_dry_run_that_ended_does_not_hide_the_run_that_started_beside_it(locked, neighbour, dead_process):
    folder, note = locked
    note(dead_process)  # the dry run was first
    note(neighbour)
    clear_stale_lock(folder)
    assert not clear_stale_lock(folder)
    assert locks(folder) == 2


def test_a_number_that_was_given_to_another_process_is_not_the_holder(locked, neighbour):
    folder, note = locked
    note(neighbour, born="12")
    assert clear_stale_lock(folder)


def test_of_another_machine_nothing_is_known(locked, dead_process):
    folder, note = locked
    note(dead_process, host="elsewhere")
    assert not clear_stale_lock(folder)
    assert locks(folder) == 2


def test_a_note_of_another_machine_goes_once_its_locks_are_gone(locked, dead_process):
    folder, note = locked
    left = note(dead_process, host="elsewhere")
    for lock in (folder / "locks").iterdir():
        lock.unlink()
    clear_stale_lock(folder)
    assert left.exists()  # it may have started just now, and lock in a moment
    os.utime(left, (time.time() - 2 * FORGOTTEN,) * 2)
    clear_stale_lock(folder)
    assert not left.exists()


def test_a_lock_without_any_note_is_not_ours_to_remove(locked):
    folder, _ = locked
    assert not clear_stale_lock(folder)
    assert locks(folder) == 2


@pytest.mark.parametrize("text", ["", "[]", '{"pid": 3}', "\x00"])
def test_a_note_that_is_none_is_of_somebody_who_may_live(locked, dead_process, capsys, text):
    folder, note = locked
    note(dead_process)
    left = note(1)
    left.write_text(text)
    os.utime(left, (time.time() - 2 * FORGOTTEN,) * 2)
    assert not clear_stale_lock(folder)
    assert locks(folder) == 2 and left.exists()
    (said,) = capsys.readouterr().err.splitlines()
    assert f"whoever left {left}, which cannot be read; delete that file if no workflow runs in this folder" in said
    left.unlink()
    note(dead_process)
    for other in (folder / "hkd-holders").glob(f"*-{os.getpid()}.json"):
        other.unlink()  # this process has noted itself
    assert clear_stale_lock(folder)


def test_a_job_of_a_running_workflow_neither_clears_nor_notes(locked, dead_process):
    folder, note = locked
    note(dead_process)
    assert not clear_stale_lock(folder, main=False)
    assert locks(folder) == 2 and len(list((folder / "hkd-holders").iterdir())) == 1


def test_a_start_notes_itself(tmp_path):
    clear_stale_lock(tmp_path / ".snakemake")
    (note,) = (tmp_path / ".snakemake/hkd-holders").iterdir()
    found = json.loads(note.read_text())
    assert found["pid"] == os.getpid() and found["host"] == socket.gethostname() and found["user"] == owner.user()
    assert found["since"].endswith("UTC")


def note_of(folder: Path, **changes: object) -> Path:
    """A note as this version leaves it, of a process that lives, with some facts changed."""
    path = folder / "hkd-holders" / "other.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(owner.note() | {"pid": os.getppid(), "born": _born(os.getppid())} | changes))
    return path


@pytest.mark.parametrize(
    ("changes", "stale"),
    [
        ({}, False),
        ({"machine": "0" * 8}, False),  # two machines may carry one name
        ({"machine": "0" * 8, "boot": "other", "born": "12"}, False),
        ({"boot": "before the power went"}, True),
        ({"namespace": "pid:[1]", "born": "12"}, False),  # a container's own numbers
        ({"born": "12"}, True),
        ({"pid": "1"}, True),
        ({"pid": 1 << 80}, True),
    ],
)
def test_a_holder_is_known_by_machine_start_and_namespace(locked, changes, stale):
    folder, _ = locked
    note_of(folder, **changes)
    assert clear_stale_lock(folder) is stale
    assert locks(folder) == (0 if stale else 2)


def test_who_may_hold_the_locks_is_said(locked, capsys):
    folder, _ = locked
    note_of(folder, user="anna\x1b[31m", host=socket.gethostname(), since="2026-01-02 03:04:05 UTC")
    clear_stale_lock(folder)
    said = capsys.readouterr().err
    assert "may be held by: user anna\\x1b[31m, host" in said and f"process {os.getppid()}, since 2026-01-02" in said


def test_notes_and_locks_of_another_user_that_may_not_be_deleted_stop_nobody(locked, dead_process, monkeypatch):
    folder, note = locked
    note(dead_process)

    def refused(path, missing_ok=False):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "unlink", refused)
    clear_stale_lock(folder)
    assert locks(folder) == 2


def test_a_note_that_may_not_be_read_is_of_somebody_who_may_live(locked, dead_process, monkeypatch):
    folder, note = locked
    hidden = note(dead_process)
    real = open

    def refused(path, *arguments, **options):
        if path == hidden:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *arguments, **options)

    monkeypatch.setattr("builtins.open", refused)
    assert not clear_stale_lock(folder)
    assert locks(folder) == 2 and hidden.exists()


def test_a_folder_that_snakemake_cannot_write_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(ArtifactError, match=f"^{tmp_path}: of user {owner.user()}, and .*--directory PATH"):
        _check_own_folder(tmp_path / ".snakemake")
    assert owner.user(1 << 30) == f"number {1 << 30}"


def test_a_folder_of_notes_that_may_not_be_seen_stops_nobody(locked, dead_process, monkeypatch):
    folder, note = locked
    note(dead_process)

    def refused(*arguments):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "glob", refused)
    assert not clear_stale_lock(folder)


# -- one writer per folder -------------------------------------------------------------------------------------------

HOLD = "import sys, time; from hkd.interrupt import only_writer\n"
HOLD += "with only_writer(sys.argv[1]): print('held', flush=True); time.sleep(60)"


def hold(folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def is_held(folder: Path) -> bool:
    with open(folder / ".writer.lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_a_second_writer_waits_and_a_killed_one_blocks_nobody(tmp_path):
    first = hold(tmp_path)
    assert is_held(tmp_path)
    first.send_signal(signal.SIGKILL)
    first.wait()
    start = time.monotonic()
    with only_writer(tmp_path):
        assert time.monotonic() - start < 5
        assert is_held(tmp_path)
    assert not is_held(tmp_path)


def test_who_waits_can_be_stopped(tmp_path):
    first = hold(tmp_path)
    try:
        interrupt.ask()
        with pytest.raises(Interrupted), only_writer(tmp_path):
            pytest.fail("two writers")
    finally:
        first.kill()
        first.wait()


def test_a_lock_says_who_holds_it(tmp_path, capsys, monkeypatch):
    first = hold(tmp_path)
    found = json.loads((tmp_path / ".writer.lock").read_text())
    assert (found["pid"], found["user"]) == (first.pid, owner.user())
    moments = chain([0.0], repeat(5.0))
    monkeypatch.setattr(interrupt.time, "monotonic", lambda: next(moments))
    monkeypatch.setattr(interrupt.time, "sleep", lambda seconds: (first.kill(), first.wait()))
    with only_writer(tmp_path):
        said = capsys.readouterr().err
        assert f"waiting for another writer to finish (user {owner.user()}, host" in said
        assert f"process {first.pid}, since 20" in said


@pytest.mark.parametrize("content", [b"", b"\xff", b"[]", b"[" * 9999, b'{"user": "\\u001b[31m"}'])
def test_a_lock_of_other_content_is_a_lock_all_the_same(tmp_path, content):
    (tmp_path / ".writer.lock").write_bytes(content)
    with open(tmp_path / ".writer.lock", "rb") as file:
        assert interrupt.holder(file.fileno()).isprintable()
    with only_writer(tmp_path):
        assert is_held(tmp_path)


def test_a_lock_of_another_user_that_may_only_be_read_is_held_as_well(tmp_path, monkeypatch):
    (tmp_path / ".writer.lock").write_text("theirs")
    real = os.open

    def refused(path, flags, *mode):
        if flags & os.O_RDWR:
            raise PermissionError(13, "Permission denied")
        return real(path, flags, *mode)

    with monkeypatch.context() as other:
        other.setattr(os, "open", refused)
        with only_writer(tmp_path):
            other.undo()
            assert is_held(tmp_path)
    assert (tmp_path / ".writer.lock").read_text() == ""  # what asks whether it is held empties it


def test_a_link_in_the_place_of_a_lock_is_not_followed(tmp_path):
    (tmp_path / "precious").write_text("mine")
    (tmp_path / ".writer.lock").symlink_to("precious")
    with pytest.raises(OSError, match="symbolic links"), only_writer(tmp_path):
        pytest.fail("held through a link")
    assert (tmp_path / "precious").read_text() == "mine"


def test_folders_do_not_exclude_one_another(tmp_path):
    with only_writer(tmp_path / "a"), only_writer(tmp_path / "b"):
        pass


# -- signals, and the death of the parent ----------------------------------------------------------------------------

WORK = """
import sys, time
from hkd import interrupt, owner
interrupt.install()
interrupt.watch()
with interrupt.graceful():
    print("ready", flush=True)
    while not interrupt.requested():
        time.sleep(0.02)
    print("asked", flush=True)
    if len(sys.argv) > 1:
        time.sleep(60)
"""
# a request to stop must get past code that suppresses every Exception: were it swallowed, "swallowed" would be read
NOTHING_TO_SAVE = """
import time
from contextlib import suppress
from hkd import interrupt, owner
interrupt.install()
interrupt.watch()
try:
    with suppress(Exception):
        print("ready", flush=True)
        time.sleep(60)
    print("swallowed", flush=True)
except interrupt.Interrupted:
    print("stopped", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_where_nothing_is_to_be_saved_a_signal_stops_at_once(number):
    work = subprocess.Popen([sys.executable, "-c", NOTHING_TO_SAVE], stdout=subprocess.PIPE, text=True)
    assert work.stdout is not None and work.stdout.readline() == "ready\n"
    work.send_signal(number)
    assert work.stdout.read() == "stopped\n"
    assert work.wait(10) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_a_request(number):
    work = subprocess.Popen([sys.executable, "-c", WORK], stdout=subprocess.PIPE, text=True)
    assert work.stdout is not None and work.stdout.readline() == "ready\n"
    work.send_signal(number)
    assert work.stdout.read() == "asked\n"
    assert work.wait(10) == 0


def test_a_second_signal_leaves_at_once():
    work = subprocess.Popen([sys.executable, "-c", WORK, "stubborn"], stdout=subprocess.PIPE, text=True)
    assert work.stdout is not None
    for line in ("ready\n", "asked\n"):
        assert work.stdout.readline() == line
        work.send_signal(signal.SIGTERM)
    assert work.wait(10) == 128 + signal.SIGTERM


def test_a_job_stops_when_its_workflow_was_killed(tmp_path):
    out = tmp_path / "out"
    parent_code = "import os, subprocess, sys, time; os.environ['HKD_WORKFLOW_PID'] = str(os.getpid()); "
    parent_code += (
        "subprocess.Popen([sys.executable, '-c', sys.argv[1]], stdout=open(sys.argv[2], 'w')); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", parent_code, WORK, str(out)])
    wait_for(lambda: out.exists() and out.read_text() == "ready\n")
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    wait_for(lambda: out.read_text() == "ready\nasked\n")


@pytest.mark.parametrize("command", [["--help"], ["config", "--help"], ["fetch"], ["no-such-command"]])
def test_a_job_whose_workflow_is_gone_before_it_starts_stops_as_on_request(dead_process, command):
    environment = os.environ | {"HKD_WORKFLOW_PID": str(dead_process)}
    ran = subprocess.run(
        [sys.executable, "-m", "hkd", *command], capture_output=True, text=True, env=environment, timeout=60
    )
    assert ran.returncode == interrupt.EXIT_CODE and ran.stdout == ""
    assert ran.stderr == "hkd: stopped on request; what is finished is saved, the same command goes on from here\n"


@pytest.mark.parametrize("number", ["abc", "-1", "0", "1.5", "²", "1 2"])
def test_a_workflow_that_is_no_process_number_is_said_in_one_line(number):
    environment = os.environ | {"HKD_WORKFLOW_PID": number}
    ran = subprocess.run(
        [sys.executable, "-m", "hkd", "fetch"], capture_output=True, text=True, env=environment, timeout=60
    )
    assert (ran.returncode, ran.stderr) == (1, f"hkd: HKD_WORKFLOW_PID: '{number}' is no process number; unset it\n")


ENDING = """
import atexit, os, signal, sys
from hkd import __main__, interrupt
atexit.register(lambda: os.kill(os.getpid(), signal.SIGTERM))
__main__._command = lambda: 0
__main__.main()
"""


def test_a_signal_when_all_is_done_changes_nothing():
    ran = subprocess.run([sys.executable, "-c", ENDING], capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stderr) == (0, "")


def wait_for(happened, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)
