"""One job, one device: on a workstation a job takes a free GPU by a lock file and sees no other.

HKD_DEVICES lists the devices of this machine that jobs may take, HKD_GPUS how many each takes; the workflow sets both.
The kernel drops a lock with its holder, so a killed job frees its device. Under SLURM, which gives each job devices of
its own, neither is set.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from hkd import interrupt, owner

DRIVER = Path("/proc/driver/nvidia/gpus")
POLL = 0.5

_held: dict[str, int] = {}  # device -> descriptor of its lock, open as long as this process lives


def present() -> str:
    """Return the devices that jobs of this machine may take, as HKD_DEVICES lists them; empty under SLURM."""
    if os.environ.get("SLURM_JOB_ID"):
        return ""
    named = os.environ.get("HKD_DEVICES") or os.environ.get("CUDA_VISIBLE_DEVICES")
    return named or ",".join(str(number) for number, _ in enumerate(DRIVER.glob("*")))


def claim() -> None:
    """Take as many free devices as a job needs, and let this process see these alone; wait while there are too few.

    Must be called before CUDA starts. Does nothing where HKD_DEVICES is not set.

    Raises:
        Interrupted: a request to stop came while waiting.
        ValueError: more are asked for than there are.
    """
    devices = [word.strip() for word in os.environ.get("HKD_DEVICES", "").split(",") if word.strip()]
    count = int(os.environ.get("HKD_GPUS", "1"))
    if not devices or _held or not count:
        return
    if count > len(devices):
        raise ValueError(f"HKD_DEVICES={','.join(devices)}: a job asks for {count} (gpus={count}); ask for fewer")
    told = False
    while len(_held) < count:
        for device in devices:
            if len(_held) < count:
                _take(device)
        if len(_held) < count:
            if not told:
                print(f"waiting for a free device of {','.join(devices)}", file=sys.stderr)
            told = True
            release()  # two that hold one each and want two would wait for one another
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


def _take(device: str) -> None:
    """Hold a device, if nobody else does."""
    name = "".join(c if c.isalnum() else "-" for c in device)
    descriptor = interrupt.lock_file(Path(tempfile.gettempdir()) / f"hkd-device-{name}.lock")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return
    _held[device] = descriptor
    with suppress(OSError):  # of another user: it is held all the same
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(owner.note()).encode(), 0)
