"""What the Snakefile needs of its surroundings: the environment of its jobs, and locks left by dead runs."""

from __future__ import annotations

import json
import os
import shlex
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hkd.artifacts import write_json
from hkd.config import ConfigError
from hkd.plan import Plan

# Tensors of some tens of megabytes come and go at every step; without these glibc returns their pages to the
# kernel each time and faults them in again, which costs several times the arithmetic.
ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": "1073741824", "MALLOC_TRIM_THRESHOLD_": "1073741824"}


def plan(config: Mapping[str, Any]) -> Plan:
    """Return the plan of the workflow's merged config, all of whose runs are checked.

    Raises:
        WorkflowError: the config cannot be used; Snakemake prints it without a traceback.
    """
    from snakemake.exceptions import WorkflowError

    try:
        return Plan.of(config).check()
    except ConfigError as error:
        raise WorkflowError(str(error)) from None


def prefix(config: Mapping[str, Any]) -> str:
    """Return what precedes every job's command: this interpreter's `hkd` first, and the merged profile.

    The profile travels in the environment and not in the command, so that a change of an unrelated key reruns
    nothing: what a job depends on is in the digest that it is given.
    """
    values = {**ENVIRONMENT, "HKD_PROFILE": json.dumps(config)}
    exports = " ".join(f"{name}={shlex.quote(value)}" for name, value in values.items())
    text = f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH {exports}; "
    return text.replace("{", "{{").replace("}", "}}")  # Snakemake formats it as it does commands


def show_command(plan: Plan) -> str:
    """Return the command that prints the finished tables."""
    existing = [name for name in plan.tables if Path(f"{plan.layout.table(name)}.csv").exists()]
    return f"hkd show {' '.join(existing or list(plan.tables)[:1])}"


def clear_stale_lock(folder: Path | str = ".snakemake") -> bool:
    """Remove the workflow's locks if the process that took them is dead, and note that we are the next holder.

    A workflow that was killed leaves its locks, and Snakemake cannot tell them from those of a running one. So each
    start notes who it is; locks are removed only when that process is gone from this machine. Returns whether any were.
    """
    folder = Path(folder)
    holder, locks = folder / "hkd-holder.json", list((folder / "locks").glob("*.lock"))
    known = _read(holder)
    if known and _alive(known):
        return False
    if locks and known:
        for lock in locks:
            lock.unlink(missing_ok=True)
        print(f"removed the lock of a workflow that was killed (process {known['pid']})", file=sys.stderr)
    try:
        write_json(holder, {"host": socket.gethostname(), "pid": os.getpid(), "born": _born(os.getpid())})
    except OSError:
        return False  # a folder that cannot be written cannot be locked either; Snakemake says so itself
    return bool(locks and known)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and {"host", "pid", "born"} <= found.keys() else None


def _alive(holder: Mapping[str, Any]) -> bool:
    if holder["host"] != socket.gethostname():
        return True  # on another machine: nothing can be known, so nothing is removed
    if holder["pid"] == os.getpid():
        return False
    return _born(int(holder["pid"])) == holder["born"] and _exists(int(holder["pid"]))


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _born(pid: int) -> str:
    """Return when a process started, in ticks since boot, so that a reused number is not taken for it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return "unknown"
