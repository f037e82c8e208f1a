"""One process loads the libraries of a workflow's jobs, once, and forks for each job that runs on this machine.

The start of torch costs more than many a job. The server holds libraries only: the package's own modules, the settings
and all files are read by each forked process anew, as they are read by a process that was started. Before a fork it
computes nothing: no kernel of torch, no thread, nothing of CUDA. A forked process takes over folder, environment,
umask, streams and process group of the one that asks for it (`hkd.handover`), and dies with it. The server ends with
the workflow, however that ends: it sees the end of a pipe that the workflow alone holds.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import importlib.abc
import io
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from types import ModuleType
from typing import Any, NamedTuple

from hkd import owner
from hkd.handover import HEAD, SOCKET, check_user, content, identity, receive, send

LIBRARIES = (
    *(
        "typer",
        "yaml",
        "pydantic.main",
        "pydantic.type_adapter",
        "pydantic.json_schema",
        "pydantic.functional_validators",
    ),
    *("numpy", "pandas", "scipy.linalg", "tqdm", "safetensors.torch", "torch", "torch.utils.flop_counter"),
)
PATIENCE = 5.0  # seconds for a message to arrive
PR_SET_PDEATHSIG = 1
HEARD = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)  # those that `hkd.interrupt` turns into requests
THREADS = ("OMP", "OPENBLAS", "MKL", "NUMEXPR")  # whose *_NUM_THREADS Snakemake sets to a job's threads: one

started: list[str] = []  # sockets of the servers of this process


def start(environment: str, libraries: Sequence[str]) -> None:
    """Start a server for the jobs of this workflow and name it to them; where that cannot be, they start by themselves.

    Args:
        environment: the file that every job sources.
        libraries: modules that the server loads.
    """
    if sys.platform != "linux" or started:
        return
    folder = tempfile.mkdtemp(prefix="hkd-")  # of this user alone
    path = f"{folder}/socket"
    ended, held = os.pipe()
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(path)  # OSError of a path that is too long
            listener.listen(128)
            told = [str(listener.fileno()), str(ended), folder, *libraries]
            server = subprocess.Popen(
                ["bash", "-c", '. "$0" && exec "$@"', environment, sys.executable, "-P", "-m", __name__, *told],
                env={**os.environ, **{f"{name}_NUM_THREADS": "1" for name in THREADS}},
                pass_fds=(listener.fileno(), ended),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                process_group=0,  # a Ctrl-C is for the jobs
            )
    except OSError:
        os.close(held)
        shutil.rmtree(folder, ignore_errors=True)
        return
    finally:
        os.close(ended)
    started.append(path)  # modules of one workflow share it
    os.environ[SOCKET] = path
    atexit.register(_stop, server, held, folder)


def _stop(server: subprocess.Popen[bytes], held: int, folder: str) -> None:
    os.close(held)
    with suppress(subprocess.TimeoutExpired):
        server.wait(PATIENCE)  # whoever measures the workflow measures the server and its jobs as well
    shutil.rmtree(folder, ignore_errors=True)  # if the server was killed


class Job(NamedTuple):
    """A forked process, what tells of its end, and the connection to the process that it runs for."""

    process: int
    watched: int
    connection: socket.socket


class Server:
    """Waits for commands, for the end of forked processes and of those they run for, and for that of the workflow."""

    def __init__(self, listener: socket.socket, workflow: int, folder: str, own: str) -> None:
        self.listener, self.workflow, self.folder, self.identity = listener, workflow, folder, own
        self.process = os.getpid()
        self.jobs: dict[int, Job] = {}  # by both descriptors
        self.poll = select.poll()
        self.poll.register(listener, select.POLLIN)
        self.poll.register(workflow, select.POLLIN)

    def serve(self) -> dict[str, Any] | None:
        """Return the command that this process has to run, if it is a forked one; the server's end is None."""
        while self.listener.fileno() >= 0 or self.jobs:
            descriptor, _ = self.poll.poll()[0]  # one at a time: the next may be of a number that is taken anew
            if descriptor == self.listener.fileno():
                if command := self._accept():
                    return command
            elif descriptor == self.workflow:
                self.poll.unregister(self.workflow)
                self.poll.unregister(self.listener)
                self.listener.close()
                shutil.rmtree(self.folder, ignore_errors=True)
            elif descriptor == self.jobs[descriptor].watched:
                self._end(self.jobs[descriptor])
            else:  # who asked for it is gone
                self.poll.unregister(descriptor)
                signal.pidfd_send_signal(self.jobs[descriptor].watched, signal.SIGKILL)
        return None

    def _accept(self) -> dict[str, Any] | None:
        connection, _ = self.listener.accept()
        job = 0
        descriptors: list[int] = []
        try:
            connection.settimeout(PATIENCE)
            check_user(connection)
            head, descriptors, _, _ = socket.recv_fds(connection, HEAD.size, 3)
            command = content(connection, head)
            alone = len(os.listdir("/proc/self/task")) == 1  # another thread's locks would stay locked in a fork
            if command.get("identity") == self.identity and len(descriptors) == 3 and alone:
                spent = time.process_time()
                if not (job := os.fork()):
                    self._become(command, connection, descriptors, spent)
                    return command
                self._watch(job, connection)
        except (OSError, ValueError):
            pass
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        if not job:
            connection.close()  # refused: the command starts by itself
        return None

    def _watch(self, process: int, connection: socket.socket) -> None:
        job = Job(process, os.pidfd_open(process), connection)
        self.poll.register(job.watched, select.POLLIN)
        self.poll.register(connection, select.POLLRDHUP)
        self.jobs |= {job.watched: job, connection.fileno(): job}

    def _end(self, job: Job) -> None:
        _, status = os.waitpid(job.process, 0)
        with suppress(OSError):  # nobody is there to hear it
            send(job.connection, {"status": status})
        for descriptor in (job.watched, job.connection.fileno()):
            del self.jobs[descriptor]
            with suppress(KeyError):
                self.poll.unregister(descriptor)
        os.close(job.watched)
        job.connection.close()

    def _become(self, command: Any, connection: socket.socket, streams: Sequence[int], spent: float) -> None:
        """Make a forked process the one that is asked for; whatever stands against it ends it before it begins."""
        try:
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # as nobody would hear how it ends
            if os.getppid() != self.process:
                os._exit(1)
            signal.pthread_sigmask(signal.SIG_BLOCK, HEARD)  # until `hkd.interrupt` hears them
            self.listener.close()
            os.close(self.workflow)
            for job in set(self.jobs.values()):
                os.close(job.watched)
                job.connection.close()
            os.setpgid(0, command["group"])
            os.chdir(command["folder"])
            for number, stream in enumerate(streams):
                os.dup2(stream, number)
            connection.settimeout(None)
            send(connection, {"process": os.getpid(), "group": os.getpgid(self.process)})
            receive(connection)  # until the one that asked has left the group: one of both hears each signal
            connection.close()
            _take_over(command, spent)
        except BaseException:
            os._exit(1)


class _Aside(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives torch, which is loaded, to whoever imports it.

    Until then `sys.modules` has none of it: a command that computes with torch is known by having loaded it.
    """

    def __init__(self) -> None:
        mine = [name for name in sys.modules if name.partition(".")[0] == "torch"]
        self.modules = {name: sys.modules.pop(name) for name in mine}

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        return spec_from_loader(name, self) if name == "torch" and self.modules else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        self.own = self.modules["torch"].__spec__
        return self.modules["torch"]

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self.own  # which importing has just replaced
        sys.modules.update(self.modules)
        self.modules = {}


def _take_over(command: dict[str, Any], spent: float) -> None:
    from hkd.store import records

    os.environ.clear()
    os.environ.update(command["environment"])
    os.umask(command["umask"])
    sys.argv, sys.path[:] = command["arguments"], command["path"]
    sys.modules["__main__"].__package__ = command["package"]  # by which typer names the program
    tempfile.tempdir = None  # by the environment
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        stream = _opened(number, getattr(sys, f"__{name}__"))
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    server = {"name": f"{os.getppid()}-{owner.born(os.getppid())}", "cpu_seconds": round(spent, 3)}
    records.process_start.update(cpu_seconds=command["spent"], server=server)


def _opened(number: int, null: io.TextIOWrapper) -> io.TextIOWrapper:
    """Return a standard stream as the interpreter opens it, who has opened the server's likewise, but of nothing."""
    direct = null.write_through
    raw = io.FileIO(number, "wb" if number else "rb", closefd=False)
    binary: Any = raw if direct and number else io.BufferedWriter(raw) if number else io.BufferedReader(raw)
    options = {"line_buffering": null.line_buffering or os.isatty(number), "write_through": direct}
    newline = "\n" if number else None
    return io.TextIOWrapper(binary, encoding=null.encoding, errors=null.errors, newline=newline, **options)


def main(listener: str, workflow: str, folder: str, *libraries: str) -> None:
    """Load libraries, serve, and in a forked process run the command."""
    own = identity(os.environ)  # before libraries change it
    for name in libraries:
        with suppress(ImportError):  # whoever needs it says so
            importlib.import_module(name)
    sys.meta_path.insert(0, _Aside())
    gc.collect()
    gc.freeze()  # or every collection in a forked process would copy what all share
    if Server(socket.socket(fileno=int(listener)), int(workflow), folder, own).serve():
        from hkd.__main__ import main as command

        try:
            command()
        except SystemExit as ended:  # to take down what all share would copy it: over a second, which no record tells
            threading._shutdown()  # type: ignore[attr-defined]  # as `multiprocessing` ends what it has forked
            atexit._run_exitfuncs()
            sys.stdout.flush(), sys.stderr.flush()
            os._exit(int(ended.code or 0))


if __name__ == "__main__":
    main(*sys.argv[1:])
