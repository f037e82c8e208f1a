"""How much memory work takes: what a process has mapped from no file, and what Python's objects hold."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import threading
import tracemalloc
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


def allocated(work: Callable[[], object]) -> int:
    """Return the most bytes that Python allocates while it works: the least of three looks at the same work.

    All threads of the process are counted, so whatever else the tests leave running can add to a look and take nothing
    away. What the work keeps from its first look on, as a cache does, is not seen by the later ones. Objects that lie
    here already are left out of the collector's count, or among many of them cycles of garbage would be kept for long.
    """
    found = []
    gc.collect()
    gc.freeze()
    try:
        for _ in range(3):
            tracemalloc.start()
            work()
            found.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    finally:
        tracemalloc.stop()
        gc.unfreeze()
    return min(found)


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
