"""A command is handed over to the fork server of its workflow (`hkd.forkserver`), which has loaded the libraries.

What is here runs in the process that the workflow started, before anything slow is loaded. It tells the server what
makes up a process (arguments, folder, environment, umask, open streams), and then stands for the one that is forked:
it hands on every signal that it alone gets, ends as that one ends, and where it is killed that one is killed too. What
is sent to the whole process group reaches the forked process by itself, which has taken the place in the group: so
each signal is heard once. Wherever the server cannot be had, the command runs here, as if there were none.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import signal
import socket
import struct
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import hkd

SOCKET = "HKD_FORK_SERVER"  # names the socket, in the environment of a workflow's own jobs
MOST = 4 << 20  # bytes of a message; a process can be given no larger environment
HEAD = struct.Struct("!I")
CREDENTIALS = struct.Struct("3i")  # process, user and group of the other side
GONE = 75  # exit code: the server was killed, which the same command does not meet again
# read by an interpreter or a library while it starts: under others of these a forked process is not what is asked for
READ_AT_START = (
    *("PYTHON", "LC_", "LANG", "TZ", "LD_", "MALLOC_", "GLIBC_", "COVERAGE_"),
    *("OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "NUMEXPR_", "NPY_", "TORCH", "PYTORCH_", "ATEN_", "CUDA_"),
)
HANDED_ON = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


def run() -> int | None:
    """Have the server run this process's command, and return its exit code; None: it must run here.

    A command that ends by a signal ends this process by the same one.
    """
    if not (path := os.environ.pop(SOCKET, None)):
        return None
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        try:
            server.connect(path)
            check_user(server)
            send(server, _command(), (0, 1, 2))
            forked = receive(server)
            watched = os.pidfd_open(forked["process"])
            os.setpgid(0, forked["group"])  # the server's, out of the one in which the forked process now stands
        except (OSError, ValueError, KeyError):  # no server, another user's, or it refuses
            return None
        _hand_on(watched)
        return _end(server)


def identity(environment: Mapping[str, str]) -> str:
    """Return what processes must share so that one can be forked in the place of the other, as a digest."""
    spaces = [os.readlink(f"/proc/self/ns/{kind}") for kind in ("mnt", "pid", "user")]
    read = sorted((name, value) for name, value in environment.items() if name.startswith(READ_AT_START))
    parts = [os.path.realpath(hkd.__file__), hkd.__version__, sys.executable, sys.version, spaces, read]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def check_user(other: socket.socket) -> None:
    """Raise PermissionError unless the process at the other end is of this user."""
    found = other.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
    if CREDENTIALS.unpack(found)[1] != os.geteuid():
        raise PermissionError("the socket is of another user")


def send(to: socket.socket, message: Mapping[str, Any], descriptors: Sequence[int] = ()) -> None:
    """Send a message, and open files with it."""
    body = json.dumps(message).encode("ascii")
    if descriptors:
        socket.send_fds(to, [HEAD.pack(len(body))], descriptors)
    else:
        to.sendall(HEAD.pack(len(body)))
    to.sendall(body)


def receive(sender: socket.socket) -> dict[str, Any]:
    """Return a message.

    Raises:
        ValueError: see `content`; or the other side has ended.
    """
    return content(sender, _read(sender, HEAD.size))


def content(sender: socket.socket, head: bytes) -> dict[str, Any]:
    """Return the message that follows its head, which says how long it is.

    Raises:
        ValueError: it is too long, is no message, or ends early.
    """
    if len(head) != HEAD.size or (length := HEAD.unpack(head)[0]) > MOST:
        raise ValueError("no head of a message")
    try:
        message = json.loads(_read(sender, length))
    except RecursionError:
        raise ValueError("a message too deep") from None
    if not isinstance(message, dict):
        raise ValueError("no message")
    return message


def _read(sender: socket.socket, length: int) -> bytes:
    found = bytearray()
    while len(found) < length:
        if not (part := sender.recv(length - len(found))):
            raise ValueError("the other side has ended")
        found += part
    return bytes(found)


def _command() -> dict[str, Any]:
    os.umask(mask := os.umask(0))
    return {
        "identity": identity(os.environ),
        "arguments": sys.argv,
        "package": sys.modules["__main__"].__package__,
        "path": sys.path,
        "folder": os.getcwd(),
        "environment": dict(os.environ),
        "umask": mask,
        "group": os.getpgid(0),
        "spent": time.process_time(),
    }


def _hand_on(forked: int) -> None:
    def handle(number: int, frame: object) -> None:
        with suppress(ProcessLookupError):  # it has ended, and how is on its way
            signal.pidfd_send_signal(forked, number)

    for number in HANDED_ON:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handle)


def _end(server: socket.socket) -> int:
    try:
        send(server, {"go": True})  # from here on it is the forked process that runs
        status = receive(server)["status"]
    except (OSError, ValueError):
        print("hkd: the workflow's fork server was killed; the same command goes on from here", file=sys.stderr)
        return GONE
    if os.WIFSIGNALED(status):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # whatever is to be seen is in the forked process
        if (number := os.WTERMSIG(status)) != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    return os.waitstatus_to_exitcode(status)
