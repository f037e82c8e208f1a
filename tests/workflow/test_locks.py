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
from pathlib import Path

import pytest

from hkd import interrupt
from hkd.interrupt import Interrupted, only_writer
from hkd.workflow import _born, clear_stale_lock


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
    assert not left.exists()


def test_a_lock_without_any_note_is_not_ours_to_remove(locked):
    folder, _ = locked
    assert not clear_stale_lock(folder)
    assert locks(folder) == 2


@pytest.mark.parametrize("text", ["", "[]", '{"pid": 3}', "\x00"])
def test_a_note_that_cannot_be_read_names_nobody(locked, text):
    folder, note = locked
    note(1).write_text(text)
    assert clear_stale_lock(folder)


def test_a_job_of_a_running_workflow_neither_clears_nor_notes(locked, dead_process):
    folder, note = locked
    note(dead_process)
    assert not clear_stale_lock(folder, main=False)
    assert locks(folder) == 2 and len(list((folder / "hkd-holders").iterdir())) == 1


def test_a_start_notes_itself(tmp_path):
    clear_stale_lock(tmp_path / ".snakemake")
    (note,) = (tmp_path / ".snakemake/hkd-holders").iterdir()
    assert json.loads(note.read_text())["pid"] == os.getpid()


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


def test_folders_do_not_exclude_one_another(tmp_path):
    with only_writer(tmp_path / "a"), only_writer(tmp_path / "b"):
        pass


# -- signals, and the death of the parent ----------------------------------------------------------------------------

WORK = """
import sys, time
from hkd import interrupt
interrupt.install()
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
from hkd import interrupt
interrupt.install()
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


def wait_for(happened, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)
