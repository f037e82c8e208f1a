"""Several processes of one command on one machine, and one exit code for all of them.

Each is told its number as `torchrun` would tell it, which may be used instead, on several machines for instance. It
keeps no exit codes, though, and kills processes that take longer than half a minute to save.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence

from hkd import interrupt

POLL = 0.2
GRACE = 30.0  # seconds in which the others of a process that died are to find that out for themselves
PATIENCE = 1800.0  # and in which they may save what they have


def run(command: Sequence[str], processes: int) -> int:
    """Run a command in several processes to its end and return its exit code: 0, or that of what went wrong.

    A request to stop is handed on to all. A process that was killed counts as refused by the system (75).
    """
    port = _free_port()
    running = [_start(command, number, processes, port) for number in range(processes)]
    told, failed_at = False, None
    with interrupt.graceful():
        while any(process.poll() is None for process in running):
            now = time.monotonic()
            if failed_at is None and any(process.poll() for process in running):
                failed_at = now
            late = failed_at is not None and now - failed_at > GRACE
            if not told and (interrupt.requested() or late):
                told = True
                _signal(running, signal.SIGTERM)
            if failed_at is not None and now - failed_at > GRACE + PATIENCE:
                _signal(running, signal.SIGKILL)
            time.sleep(POLL)
    return _code([process.returncode for process in running])


def _start(command: Sequence[str], number: int, processes: int, port: int) -> subprocess.Popen[bytes]:
    names = {"RANK": number, "LOCAL_RANK": number, "WORLD_SIZE": processes, "MASTER_PORT": port}
    environment = {**os.environ, **{name: str(value) for name, value in names.items()}, "MASTER_ADDR": "127.0.0.1"}
    return subprocess.Popen([sys.executable, "-m", "hkd", *command], env=environment)


def _signal(running: Sequence[subprocess.Popen[bytes]], number: int) -> None:
    for process in running:
        if process.poll() is None:
            process.send_signal(number)


def _code(codes: Sequence[int]) -> int:
    """Return the code of several processes: that of the first failure that is no consequence of another, or 0."""
    # a process that loses another leaves with 75, or at worst with a traceback, 70: the other one knows why
    known = [code for code in codes if code > 0 and code not in (70, 75)]
    if known or not any(codes):
        return (known or [0])[0]
    return 70 if 70 in codes and min(codes) >= 0 else 75


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
