"""What a test run started ends with it, also when it is killed: daemons, what these orphaned, and nothing else."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from tests.slurm.cluster import missing_package
from tests.slurm.conftest import do_without
from tests.slurm.keeper import descendants

KEEPER = Path(__file__).with_name("keeper.py")
# one process that ends, having left another in a session of its own; and one that hears no request
ORPHANS = "setsid sleep 9871 & (trap '' TERM; while :; do sleep 0.2; done) & exit 0"


def gone(pids: list[int], seconds: float = 30.0) -> bool:
    until = time.monotonic() + seconds
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def wait_for(condition, seconds: float = 60.0):
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, "waited too long"
        time.sleep(0.05)
    return found


def names_of(pids: list[int]) -> list[str]:
    """What the kernel calls processes; nothing of those that have ended."""
    paths = [Path(f"/proc/{pid}/comm") for pid in pids]
    return [path.read_text().strip() for path in paths if path.exists()]


HOLDER = """
import subprocess, sys, time
kept = subprocess.Popen([sys.executable, sys.argv[1], sys.argv[2], "1"], stdin=-1, stdout=-1, text=True)
kept.stdin.write(sys.argv[3] + "\\n"); kept.stdin.flush()
kept.stdout.readline()
print(kept.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.slow
@pytest.mark.ci
def test_what_a_killed_test_run_started_ends_with_it_and_its_folder_goes(tmp_path):
    folder, bystander = tmp_path / "kept", subprocess.Popen(["sleep", "9872"])
    folder.mkdir()
    asked = json.dumps({"command": ["sh", "-c", ORPHANS], "log": str(folder / "log")})
    words = [sys.executable, "-c", HOLDER, str(KEEPER), str(folder), asked]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as holder:
        keeper = int(holder.stdout.readline())
        started = wait_for(lambda: len(found := descendants(keeper)) >= 3 and found)
        assert not gone(started, seconds=0.3)
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    try:
        assert gone([keeper, *started]) and not folder.exists()
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


STARTS = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from cluster import Cluster
cluster = Cluster(Path(sys.argv[1]))
cluster.start()
print(cluster.say("sbatch", "--output=/dev/null", "--wrap", "setsid sleep 9873 & sleep 9874"), flush=True)
while "R" not in [word for job in cluster.jobs("%t") for word in job]:
    time.sleep(0.2)
print("running", flush=True)
time.sleep(600)
"""


@pytest.mark.slurm
@pytest.mark.ci
def test_a_killed_test_run_leaves_no_daemon_and_no_job(tmp_path_factory):
    if package := missing_package():
        do_without(package)
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    words = [sys.executable, "-c", STARTS, str(folder), str(KEEPER.parent)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as run:
        assert "Submitted batch job" in run.stdout.readline()
        wait_for(lambda: run.stdout.readline().strip() == "running")
        wait_for(lambda: len([name for name in names_of(descendants(run.pid)) if name == "sleep"]) == 2)
        started = descendants(run.pid)
        assert {"munged", "slurmctld", "slurmd", "slurmstepd", "sleep"} <= set(names_of(started))
        run.send_signal(signal.SIGKILL)
    assert gone(started) and not folder.exists()


@pytest.mark.slurm
@pytest.mark.ci
def test_a_cluster_that_is_started_by_hand_says_how_to_use_it_and_ends_on_request():
    if package := missing_package():
        do_without(package)
    # as a shell starts a command in the background: Ctrl-C is not for it, and `kill -INT` is all the same
    command = ["sh", "-c", "trap '' INT; exec \"$@\"", "sh", sys.executable, str(KEEPER.with_name("cluster.py"))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout.readline().startswith("In another terminal")
        export = run.stdout.readline()
        run.stdout.readline()
        said = subprocess.run(["sh", "-c", f"{export}sinfo -h -o %T"], capture_output=True, text=True)
        started = descendants(run.pid)
        run.send_signal(signal.SIGINT)
    assert set(said.stdout.split()) == {"idle"}, said.stderr
    assert gone(started) and run.returncode == 0
