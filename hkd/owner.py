"""Which process of which machine: what temporary files, locks and notes say of who holds them.

A process number alone names nobody: folders are shared by hosts, hosts start again, and containers count their
processes anew. So a holder is known by its machine, the machine's start, the process namespace and the number.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hkd import slurm
from hkd.store.lines import printable

SHOWN = 80  # characters of each thing that somebody else's note says


def machine() -> str:
    """Return 8 hexadecimal digits for this machine: its name and the identity that its system was given."""
    return _short(socket.gethostname(), _line("/etc/machine-id"))


def session() -> str:
    """Return 8 hexadecimal digits for the machine's start and the namespace in which process numbers hold."""
    return _short(boot(), namespace())


def boot() -> str:
    """Return what the kernel calls this start of the machine, or `unknown`."""
    return _line("/proc/sys/kernel/random/boot_id") or "unknown"


def namespace() -> str:
    """Return the namespace in which this process has its number, or `unknown`."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return "unknown"


def user(number: int | None = None) -> str:
    """Return the name of a user, by default of the one whose process this is, or the number of one without a name."""
    number = os.getuid() if number is None else number
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"number {number}"


def note() -> dict[str, Any]:
    """Return what this process leaves where others must know who it is."""
    job = {"job": slurm.job()} if slurm.job() else {}
    return {
        **job,
        "user": user(),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "since": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
        "born": born(os.getpid()),
        "machine": machine(),
        "boot": boot(),
        "namespace": namespace(),
    }


def described(found: Mapping[str, Any]) -> str:
    """Return a note as words on one line, whoever wrote it."""
    named = (("user", "user"), ("host", "host"), ("process", "pid"), ("job", "job"), ("since", "since"))
    words = [f"{word} {printable(str(found[key]))[:SHOWN]}" for word, key in named if key in found]
    return ", ".join(words) or "nobody known"


def may_live(found: Mapping[str, Any]) -> bool:
    """Whether the process of a note may still run; of what cannot be seen from here nothing is known, so it may.

    Args:
        found: a note, of any version, with `host`, `pid` and `born` at least.
    """
    here = note()
    # a note without these is of an earlier version, which knew machines by their names
    known = {key: found.get(key, here[key]) for key in ("machine", "boot", "namespace")}
    if found["host"] != here["host"] or known["machine"] != here["machine"]:
        return True
    if known["boot"] != here["boot"]:
        return False
    if known["namespace"] != here["namespace"]:
        return True
    pid = found["pid"]
    if not isinstance(pid, int) or pid == os.getpid():
        return False
    return born(pid) == found["born"] and exists(pid)


def exists(pid: int) -> bool:
    """Whether a process of this number runs here."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # it lives, and belongs to somebody else
        return True
    return True


def born(pid: int) -> str:
    """Return when a process started, in ticks since the machine did, so that a reused number is not taken for it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return "unknown"


def _line(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""


def _short(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:8]
