"""What the Snakefile needs of its surroundings: the environment of its jobs, and locks left by dead runs."""

from __future__ import annotations

import json
import os
import shlex
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from hkd.plan.runs import Plan
from hkd.settings.origins import ConfigError
from hkd.store.artifacts import ArtifactError, write_json
from hkd.studies.bars import plan as quality_bars

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
        made = Plan.of(config).check()
        quality_bars.bars(made)
        for folder in (made.profile.results, made.profile.figures):
            _check_writable(Path(folder))
    except (ConfigError, ArtifactError) as error:
        raise WorkflowError(str(error)) from None
    return made


def _check_writable(folder: Path) -> None:
    """Refuse a folder in which no job could write, before any job runs."""
    existing = next(f for f in (folder, *folder.absolute().parents) if f.exists())
    if not existing.is_dir():
        raise ArtifactError(f"{existing}: a file stands where the folder for results should be; move it away")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise ArtifactError(f"{existing}: cannot write here; make it writable, or name another folder in the profile")


def prefix(config: Mapping[str, Any]) -> str:
    """Return what precedes every job's command: this interpreter's `hkd` first, and the merged profile.

    The profile travels in the environment and not in the command, so that a change of an unrelated key reruns
    nothing: what a job depends on is in the digest that it is given.
    """
    values = {**ENVIRONMENT, "HKD_PROFILE": json.dumps(config), "HKD_WORKFLOW_PID": str(os.getpid())}
    if not config.get("gpus"):
        values["HKD_DEVICE"] = os.environ.get("HKD_DEVICE", "cpu")  # jobs side by side would share one GPU unasked
    exports = " ".join(f"{name}={shlex.quote(value)}" for name, value in values.items())
    text = f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH {exports}; "
    return text.replace("{", "{{").replace("}", "}}")  # Snakemake formats it as it does commands


def clear_stale_lock(folder: Path | str = ".snakemake", *, main: bool = True) -> bool:
    """Remove the workflow's locks if every process that may have taken them is dead; note that we may take some.

    A workflow that was killed leaves its locks, and Snakemake cannot tell them from those of a running one. Several
    may run side by side on different files, and locks do not say whose they are. So each start leaves a note of who it
    is; locks are removed only when all who left one are gone from this machine. Returns whether any were.

    Args:
        main: False in the processes that a running workflow starts for single jobs: they take no locks.
    """
    if not main:
        return False
    folder = Path(folder)
    locks = list((folder / "locks").glob("*.lock"))
    noted = {path: _read(path) for path in (folder / "hkd-holders").glob("*.json")}
    living = {path for path, holder in noted.items() if holder and _alive(holder)}
    stale = bool(locks and noted and not living)
    if stale:
        for lock in locks:
            lock.unlink(missing_ok=True)
        pids = ", ".join(str(holder["pid"]) for holder in noted.values() if holder)
        print(f"removed the lock of a workflow that was killed (process {pids})", file=sys.stderr)
    for path, holder in noted.items():
        elsewhere = holder is not None and holder["host"] != socket.gethostname()
        if path not in living or (elsewhere and not locks):
            path.unlink(missing_ok=True)
    own = {"host": socket.gethostname(), "pid": os.getpid(), "born": _born(os.getpid())}
    with suppress(OSError, ArtifactError):  # a folder that cannot be written cannot be locked: Snakemake says so itself
        write_json(folder / "hkd-holders" / f"{own['host']}-{own['pid']}.json", own)
    return stale


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
