"""One job, one device: on a workstation a job takes a free GPU by a lock file and sees no other.

HKD_DEVICES lists the devices of this machine that jobs may take, HKD_GPUS how many each takes; the workflow sets both
for the jobs that it runs itself. The kernel drops a lock with its holder, so a killed job frees its device. A job that
was submitted to a cluster has a device of its own, and neither is set; jobs that were submitted as one group share the
devices of their allocation, and each takes one of these.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from hkd import interrupt, owner, slurm

DRIVER = Path("/proc/driver/nvidia/gpus")
LOCKS = Path("/tmp")  # and not TMPDIR, which two users or two jobs need not share
POLL = 0.5

_held: dict[str, int] = {}  # device -> descriptor of its lock, open as long as this process lives


def present() -> str:
    """Return the devices that jobs of this machine may take, as HKD_DEVICES lists them; empty where none is known."""
    named = os.environ.get("HKD_DEVICES") or os.environ.get("CUDA_VISIBLE_DEVICES")
    return named or ",".join(str(number) for number in range(len(_driver())))


def given() -> str:
    """Return the devices that a scheduler gave to this job, if there are several to be shared out; else nothing."""
    listed = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return listed if "," in listed else ""


def check(listed: str, most: int) -> list[str]:
    """Return the devices of a list of which a job takes up to `most`.

    Raises:
        ValueError: there is none, one stands there twice, the driver does not know one, or there are too few.
    """
    devices = [word.strip() for word in listed.split(",") if word.strip()]
    other = "HKD_DEVICES" not in os.environ and "CUDA_VISIBLE_DEVICES" in os.environ
    said = f"{'CUDA_VISIBLE_DEVICES' if other else 'HKD_DEVICES'}={listed}"
    if not devices:
        raise ValueError(f"{said}: names no device; list some, as 0,1, or unset it")
    if twice := [device for device in devices if devices.count(device) > 1]:
        raise ValueError(f"{said}: {twice[0]} stands there twice; name each device once")
    known = _driver()
    for device in devices if known else ():
        if not (_numbers(device, len(known)) or any(uuid.startswith(device) for uuid in known) or device[:4] == "MIG-"):
            raise ValueError(f"{said}: no device {device} here, which has 0 to {len(known) - 1}; name those")
    if most > len(devices):
        raise ValueError(f"{said}: a job takes {most} devices; name more, or ask for fewer (gpus={len(devices)})")
    return devices


def claim() -> None:
    """Take as many free devices as a job needs, and let this process see these alone; wait while there are too few.

    Must be called before CUDA starts. Does nothing where HKD_DEVICES is not set.

    Raises:
        Interrupted: a request to stop came while waiting.
        ValueError: see `check`; or the lock of a device cannot be opened.
    """
    listed, count = os.environ.get("HKD_DEVICES", ""), int(os.environ.get("HKD_GPUS", "1"))
    if not listed or _held or not count:
        return
    devices = check(listed, count)
    told = False
    while not _take_all(devices, count):
        if not told:
            print(f"waiting for a free device of {','.join(devices)}", file=sys.stderr)
        told = True
        interrupt.check()
        time.sleep(POLL)
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(_held)


def claimed() -> bool:
    """Return whether this process sees only devices that it has taken for itself."""
    return bool(_held)


def release() -> None:
    """Free the devices that this process holds."""
    while _held:
        os.close(_held.popitem()[1])


def _take_all(devices: Sequence[str], count: int) -> bool:
    """Hold so many devices, or none; one process of the machine at a time tries.

    Two that want two each would otherwise hold one each, and let go of it in step for ever.
    """
    with _turn() as mine:
        for device in devices if mine else ():
            if len(_held) < count:
                _take(device)
        if len(_held) < count:
            release()
    return len(_held) == count


@contextmanager
def _turn() -> Iterator[bool]:
    """Whether it is this process's turn to try, after a moment's wait; no other's is until the block ends."""
    descriptor, end = _opened(LOCKS / "hkd-devices.lock"), time.monotonic() + POLL
    try:
        while not (mine := _locked(descriptor)) and time.monotonic() < end:
            interrupt.check()
            time.sleep(POLL / 50)
        yield mine
    finally:
        os.close(descriptor)


def _take(device: str) -> None:
    """Hold a device, if nobody else does."""
    # two jobs of SLURM may call two devices by one number, where each sees its own alone
    name = "".join(c if c.isalnum() else "-" for c in f"{slurm.job() or ''}-{device}").lstrip("-")
    descriptor = _opened(LOCKS / f"hkd-device-{name}.lock")
    if not _locked(descriptor):
        os.close(descriptor)
        return
    _held[device] = descriptor
    with suppress(OSError):  # of another user: it is held all the same
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(owner.note()).encode(), 0)


def _opened(path: Path) -> int:
    """Return the descriptor of a lock that all users of the machine share.

    Raises:
        ValueError: it is another user's, and closed to all others.
    """
    try:
        descriptor = interrupt.lock_file(path)
    except PermissionError:
        raise ValueError(f"{path}: another user's, who lets nobody read it; have it deleted by its owner") from None
    with suppress(PermissionError):  # another user's; our own must open for others, whatever our umask is
        os.fchmod(descriptor, 0o666)
    return descriptor


def _locked(descriptor: int) -> bool:
    """Take a lock; return False if another holds it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _driver() -> list[str]:
    """Return the UUIDs of the devices that the driver knows, in no order; one that cannot be read is empty."""
    found = []
    for folder in DRIVER.glob("*"):
        text = ""
        with suppress(OSError):
            text = (folder / "information").read_text(encoding="utf-8", errors="replace")
        lines = (line.partition(":") for line in text.splitlines())
        found.append(next((value.strip() for key, _, value in lines if key.strip() == "GPU UUID"), ""))
    return found


def _numbers(device: str, count: int) -> bool:
    return device.isascii() and device.isdigit() and int(device[:9]) < count
