"""A command that is forked is the command that was asked for: what it says, how it ends, and who may end it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from hkd import forkserver, handover, launch
from hkd.plan.runs import Plan

WORKFLOW = """
import os, sys
from hkd import forkserver, handover
forkserver.start(sys.argv[1], sys.argv[2:])
print(os.environ.get(handover.SOCKET), flush=True)
sys.stdin.read()
"""
# a library that the server loads: what a forked process does in the place of a command of `hkd`
DOUBLE = """
import json, os, signal, sys, time
import hkd.__main__
from hkd import interrupt
def tell():
    os.umask(mask := os.umask(0))
    told = os.getcwd(), dict(os.environ), mask, sys.argv[1:], sys.path, os.getpgid(0), os.listdir("/proc/self/fd")
    print(json.dumps(told))
    print("aside", file=sys.stderr)
    return 7
def wait():
    print(os.getpid(), flush=True)
    time.sleep(60)
def graceful():
    with interrupt.graceful():
        print(os.getpid(), flush=True)
        while not interrupt.requested():
            time.sleep(0.01)
        time.sleep(0.3)  # in which a second request would end it unsaved
        print("saved", flush=True)
        raise interrupt.Interrupted
def aborted():
    os.abort()
def fault():
    raise KeyError("within")
def aside():
    before = "torch" in sys.modules, "torch.nn" in sys.modules, sys.modules.keys() & {"numpy"}
    from torch.nn import functional
    import torch
    same = functional is torch.nn.functional
    print(*before, "torch" in sys.modules, torch.__spec__.name, torch.ones(3).sum().item(), same)
    print(torch.get_num_threads(), len(os.listdir("/proc/self/task")) <= 2)
    return 0
hkd.__main__._command = lambda: globals()[sys.argv[1]]()
"""


class Workflow:
    """A process that has started a fork server for its jobs, in a session of its own."""

    def __init__(self, folder: Path, *libraries: str) -> None:
        self.folder = folder
        (folder / "double.py").write_text(DOUBLE)
        (folder / "environment.sh").write_text("export TOLD=1\n")
        self.environment = {**os.environ, "PYTHONPATH": f"{Path(__file__).parents[1]}:{folder}", "TMPDIR": str(folder)}
        self.environment |= {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMEXPR")}
        command = [sys.executable, "-c", WORKFLOW, str(folder / "environment.sh"), *libraries]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=self.environment
        )
        assert self.process.stdout
        self.socket = self.process.stdout.readline().strip()

    def start(self, *arguments: str, **options) -> subprocess.Popen[str]:
        """Start a command as the workflow starts its jobs."""
        environment = {**self.environment, handover.SOCKET: self.socket, **options.pop("env", {})}
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen([sys.executable, "-m", "hkd", *arguments], env=environment, **streams, **options)

    def run(self, *arguments: str, **options) -> tuple[int, str, str]:
        """Run a command to its end: its code, what it prints and what it prints beside."""
        process = self.start(*arguments, **options)
        printed = process.communicate(timeout=60)
        return process.returncode, *printed

    def left(self) -> list[str]:
        """Return what lies in the folder for temporary files."""
        return [path.name for path in self.folder.glob("hkd-*")]

    def end(self) -> None:
        """End as a workflow does."""
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait(20)


@pytest.fixture(scope="module")
def doubled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workflow]:
    """A server whose forked processes do what the double of the command line says."""
    made = Workflow(tmp_path_factory.mktemp("doubled"), "double")
    yield made
    made.end()


@pytest.fixture
def workflow(tmp_path: Path) -> Iterator[Callable[..., Workflow]]:
    made: list[Workflow] = []

    def build(*libraries: str) -> Workflow:
        made.append(Workflow(tmp_path, *libraries))
        return made[-1]

    yield build
    for one in made:
        one.end()


def gone(process: int, seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if "\nState:\tZ" in Path(f"/proc/{process}/status").read_text():
                return True
        except OSError:
            return True
        time.sleep(0.02)
    return False


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workflow]:
    """A server of real commands."""
    made = Workflow(tmp_path_factory.mktemp("plain"), "typer")
    yield made
    made.end()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(("config", "show", "methods/ecm"), 0), (("config", "show", "methods/nope"), 1), (("config", "show", "--no"), 2)],
    ids=["0", "1", "2"],
)
def test_a_command_says_the_same_and_ends_with_the_same_code_as_one_that_was_started(plain, root, arguments, code):
    cold = subprocess.run(
        [sys.executable, "-m", "hkd", *arguments], cwd=root, capture_output=True, text=True, env=plain.environment
    )
    forked = plain.run(*arguments, cwd=root)
    assert forked == (cold.returncode, cold.stdout, cold.stderr)
    assert cold.returncode == code


def test_a_forked_process_has_folder_environment_umask_arguments_and_group_of_who_asks(doubled, tmp_path):
    told = {"ONLY_HERE": "\udcff\u00e9", "TMPDIR": "/nowhere"}
    before = os.umask(0o027)
    try:
        code, out, err = doubled.run("tell", "a b", "", cwd=tmp_path, env=told)
    finally:
        os.umask(before)
    folder, environment, mask, arguments, path, group, descriptors = json.loads(out)
    assert (code, err, folder, mask, arguments) == (7, "aside\n", str(tmp_path), 0o027, ["tell", "a b", ""])
    due = {**doubled.environment, **told}
    assert {name: value for name, value in environment.items() if name != "LC_CTYPE"} == due
    assert path[0] == str(tmp_path) and group == os.getpgid(0)
    assert len(descriptors) == 4  # three streams, and the folder of the list itself


def test_a_fault_is_told_as_by_a_process_that_was_started(doubled):
    code, out, err = doubled.run("fault")
    assert code == 70 and out == "" and err.startswith("Traceback") and err.endswith("KeyError: 'within'\n")


def test_a_process_that_dies_by_a_signal_ends_who_asked_by_the_same(doubled):
    assert doubled.run("aborted")[0] == -signal.SIGABRT
    process = doubled.start("wait")
    os.kill(int(process.stdout.readline()), signal.SIGKILL)
    assert process.wait(10) == -signal.SIGKILL


def test_who_asked_is_killed_and_takes_the_forked_process_along(doubled):
    process = doubled.start("wait")
    forked = int(process.stdout.readline())
    process.kill()
    assert gone(forked)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
@pytest.mark.parametrize("whom", ["alone", "group", "forked"])
def test_a_request_to_stop_is_heard_once_whoever_gets_it(doubled, number, whom):
    process = doubled.start("graceful", process_group=0)
    forked = int(process.stdout.readline())
    send = {"alone": lambda: process.send_signal(number), "group": lambda: os.killpg(process.pid, number)}
    send.get(whom, lambda: os.kill(forked, number))()
    out, err = process.communicate(timeout=10)
    assert (process.returncode, out) == (85, "saved\n") and "stopped on request" in err
    assert gone(forked)


def test_the_death_of_the_workflow_is_heard_once(doubled):
    workflow = subprocess.Popen(["sleep", "60"])
    process = doubled.start("graceful", env={"HKD_WORKFLOW_PID": str(workflow.pid)})
    process.stdout.readline()
    workflow.kill()
    workflow.wait()
    assert process.communicate(timeout=10)[0] == "saved\n" and process.returncode == 85


@pytest.mark.parametrize("changed", ["OMP_NUM_THREADS", "PYTHONHASHSEED"])
def test_what_is_read_at_a_start_must_be_the_same_or_the_command_starts_by_itself(doubled, changed):
    code, _, err = doubled.run("tell", env={changed: "3"})
    assert code == 2 and "tell" in err  # the real command line, which has no such command


def test_a_command_in_another_session_starts_by_itself(doubled):
    assert doubled.run("tell", start_new_session=True)[0] == 2


@pytest.mark.parametrize(
    "sent", [b"", b"\0", b"\xff\xff\xff\xff", b"\0\0\0\2[]", b"\0\0\0\2{}", b'\0\0\0\x09{"a": 1} ']
)
def test_a_message_that_is_none_is_refused_and_the_next_is_heard(doubled, sent):
    with socket.socket(socket.AF_UNIX) as other:
        other.connect(doubled.socket)
        other.sendall(sent)
        other.shutdown(socket.SHUT_WR)
        other.settimeout(10)
        with pytest.raises((ConnectionResetError, ValueError)):
            handover.receive(other)
    assert doubled.run("tell")[0] == 7


def test_a_socket_of_another_user_is_refused(monkeypatch):
    one, other = socket.socketpair()
    with one, other:
        handover.check_user(one)
        monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
        with pytest.raises(PermissionError):
            handover.check_user(one)


def test_a_server_that_is_gone_is_done_without(workflow):
    own = workflow()
    server = int(Path(f"/proc/{own.process.pid}/task/{own.process.pid}/children").read_text())
    os.kill(server, signal.SIGKILL)
    assert gone(server)
    code, _, err = own.run("tell")
    assert code == 2 and "tell" in err
    own.end()
    assert own.left() == []


def test_a_server_that_is_killed_takes_its_processes_along_and_the_command_may_be_tried_again(workflow):
    own = workflow("double")
    process = own.start("wait")
    forked = int(process.stdout.readline())
    server = int(Path(f"/proc/{own.process.pid}/task/{own.process.pid}/children").read_text())
    os.kill(server, signal.SIGKILL)
    assert "fork server was killed" in process.communicate(timeout=10)[1] and process.returncode == 75
    assert gone(forked)


@pytest.mark.parametrize("killed", [False, True])
def test_the_server_and_its_folder_end_with_the_workflow_however_it_ends(workflow, killed):
    own = workflow("double")
    process = own.start("graceful")
    forked = int(process.stdout.readline())
    assert own.left() and oct((own.folder / own.left()[0]).stat().st_mode)[-3:] == "700"
    server = int(Path(f"/proc/{own.process.pid}/task/{own.process.pid}/children").read_text())
    own.process.kill() if killed else own.process.stdin.close()
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=10)[0] == "saved\n"
    assert gone(forked) and gone(server) and own.left() == []


def test_torch_is_there_for_who_imports_it_and_not_before(workflow):
    code, out, err = workflow("torch", "numpy", "double").run("aside")
    assert (code, err) == (0, "")
    assert out == "False False {'numpy'} True torch 3.0 True\n1 True\n"


@pytest.mark.parametrize(
    ("config", "of", "expected"),
    [
        ({}, {}, True),
        ({"fork_server": False}, {}, False),
        ({"gpus": 1}, {}, False),
        ({}, {"jobs": launch.WORTH - 1}, False),
        ({}, {"local_exec": False}, False),  # jobs are submitted
        ({}, {"is_main_process": False}, False),  # within a job
        ({}, {"touch": True}, False),
        ({}, {"device": "cuda"}, False),
    ],
)
def test_a_server_is_started_for_enough_jobs_here_unless_it_is_refused(root, monkeypatch, config, of, expected):
    started = []
    monkeypatch.setattr(forkserver, "start", lambda *arguments: started.append(arguments))
    monkeypatch.setenv("HKD_DEVICE", of.get("device", "cpu"))
    monkeypatch.setenv(handover.SOCKET, "of a workflow that runs this one")
    dag = SimpleNamespace(needrun_jobs=lambda exclude_finished: range(of.get("jobs", launch.WORTH)))
    state = {"local_exec": True, "is_main_process": True, "touch": False, "dag": dag} | of
    plan = Plan.load(str(root / "configs/benchmarks/embedded.yaml"), config, configs=root / "configs")
    launch._start_server(SimpleNamespace(**state), plan, "environment.sh")
    assert bool(started) == expected and handover.SOCKET not in os.environ
    assert not started or "torch_fidelity.metric_fid" in started[0][1]


def test_where_no_socket_can_be_made_jobs_start_by_themselves(monkeypatch, tmp_path):
    (long := tmp_path / ("a" * 120)).mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    monkeypatch.delenv(handover.SOCKET, raising=False)
    forkserver.start("environment.sh", [])
    assert handover.SOCKET not in os.environ and list(long.iterdir()) == []


def test_a_record_tells_of_the_start_and_of_the_server(monkeypatch, tmp_path):
    from hkd.store import records

    monkeypatch.setattr(records, "process_start", {"cpu_seconds": 2.0, "server": {"name": "1-a", "cpu_seconds": 3.0}})
    (tmp_path / "result").write_text("")
    found = records.Record("test").write(tmp_path / "result")["process_start"]
    assert found["server"] == {"name": "1-a", "cpu_seconds": 3.0} and found["cpu_seconds"] > 2.0
