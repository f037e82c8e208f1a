"""How much anonymous memory a process takes: what it has mapped from files is given back when it is needed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MIB = 1 << 20


def anonymous() -> int:
    """Return the bytes of this process that are mapped from no file."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("RssAnon:"))


def peak(work: Callable[[], object]) -> int:
    """Return the most anonymous bytes of this process while it works, looked at every two milliseconds."""
    seen, done = [anonymous()], threading.Event()

    def look() -> None:
        while not done.wait(0.002):
            seen.append(anonymous())

    thread = threading.Thread(target=look)
    thread.start()
    try:
        work()
    finally:
        done.set()
        thread.join()
    return max(*seen, anonymous())


def peaks_of(code: str, *words: str | Path) -> dict[str, int]:
    """Return what a process of this code prints, as JSON, of its own peaks; it finds this module as `memory`."""
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}",
    }
    command = [sys.executable, "-c", code, *map(str, words)]
    ran = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, timeout=300)
    assert ran.returncode == 0, ran.stderr[-2000:]
    found: dict[str, int] = json.loads(ran.stdout)
    return found
