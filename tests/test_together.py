"""Several processes of one command: their numbers, what they are told, and the one exit code of all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from hkd import interrupt, together


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Run a program text in several processes in place of `hkd`; `N` is the number of the process."""

    def started(command, number, processes, port):
        text = f"import os, sys, time, signal\nN = {number}\n{command[0]}"
        names = {"RANK": str(number), "WORLD_SIZE": str(processes), "MASTER_PORT": str(port)}
        return subprocess.Popen([sys.executable, "-c", text], cwd=tmp_path, env={**os.environ, **names})

    monkeypatch.setattr(together, "_start", started)
    interrupt.reset()
    yield lambda text, processes=2: together.run([text], processes)
    interrupt.reset()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("sys.exit(0)", 0),
        ("sys.exit(85)", 85),
        ("sys.exit(70 if N else 75)", 70),  # one loses the other, which knows why
        ("sys.exit(70 if N else 1)", 1),
        ("sys.exit(70)", 70),
        ("os.kill(os.getpid(), signal.SIGKILL) if N else sys.exit(70)", 75),
    ],
)
def test_the_code_is_that_of_what_went_wrong(run, text, code):
    assert run(text) == code


def test_each_is_told_its_number_and_one_port(run, tmp_path):
    assert (
        run("open(str(N), 'w').write(' '.join(os.environ[k] for k in ('RANK', 'WORLD_SIZE', 'MASTER_PORT')))", 3) == 0
    )
    found = [(tmp_path / str(number)).read_text().split() for number in range(3)]
    assert [words[:2] for words in found] == [["0", "3"], ["1", "3"], ["2", "3"]]
    assert len({words[2] for words in found}) == 1


def test_a_request_to_stop_reaches_all_and_they_may_take_their_time(run, tmp_path):
    text = (
        "signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.5), open(f'saved{N}', 'w'), os._exit(85)))\n"
        "open(f'ready{N}', 'w')\ntime.sleep(60)"
    )

    def ask() -> None:
        while len(list(tmp_path.glob("ready*"))) < 2:
            time.sleep(0.02)
        interrupt.ask()

    threading.Thread(target=ask).start()
    assert run(text) == 85
    assert len(list(tmp_path.glob("saved*"))) == 2


def test_those_who_wait_for_one_that_died_are_ended(run, monkeypatch):
    monkeypatch.setattr(together, "GRACE", 0.5)
    start = time.monotonic()
    assert run("time.sleep(60) if N else os.kill(os.getpid(), signal.SIGKILL)") == 75
    assert time.monotonic() - start < 30


def test_a_signal_is_a_request_while_they_run(run, tmp_path):
    text = "signal.signal(signal.SIGTERM, lambda *_: os._exit(85))\nopen(f'ready{N}', 'w')\ntime.sleep(60)"
    before = signal.signal(signal.SIGTERM, interrupt._handle)

    def terminate() -> None:
        while len(list(tmp_path.glob("ready*"))) < 2:
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGTERM)

    try:
        threading.Thread(target=terminate).start()
        assert run(text) == 85
    finally:
        signal.signal(signal.SIGTERM, before)
