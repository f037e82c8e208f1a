"""The smoke benchmark through a real SLURM: stopped, out of time, left by its controller, failing, of another user,
on two devices, as a group. What is made has the bytes of a local run.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import sys
import time

import pytest

from tests.accounts import two_accounts
from tests.slurm.conftest import Checkout

pytestmark = pytest.mark.slurm

NETWORK = "shapes8/extractors/metric/weights.safetensors"
TRAINED = "shapes8/methods/edm/seed0/weights.safetensors"
LONG = ("--config", "gpus=1", "set={training: {steps: 1500}}")  # half a minute or more, so that it can be met at work


def target(path: str) -> str:
    return f"results/smoke/{path}"


def wait_for(condition, what: str, seconds: float = 300.0):
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, f"no {what} within {seconds:.0f} s"
        time.sleep(0.5)
    return found


@pytest.fixture(scope="module")
def trained_here(cluster, tmp_path_factory):
    """The weights of a training that nothing disturbed."""
    checkout = Checkout(tmp_path_factory.mktemp("runs"), cluster)
    ran = checkout.local(*LONG, "--", target(TRAINED))
    assert ran.returncode == 0, ran.stdout
    return shown("local run", TRAINED, checkout.result(TRAINED))


@pytest.fixture
def at_work(new_checkout, cluster):
    """Submit the training; return checkout, controller and the job's number when it has saved its first state."""

    def start():
        checkout = new_checkout()
        prepared = checkout.local(*LONG, "--until", "prepare", "--", target(TRAINED))
        assert prepared.returncode == 0, prepared.stdout
        controller = checkout.submitted(*LONG, "--", target(TRAINED))
        state = checkout.folder / target("shapes8/methods/edm/seed0/checkpoints")
        wait_for(lambda: any(state.glob("*")), "state of the training")
        running = [job for job, *_ in cluster.jobs(state="RUNNING")]
        assert len(running) == 1
        return checkout, controller, running[0]

    return start


@pytest.fixture(scope="module")
def network_here(cluster, tmp_path_factory):
    """The weights of a feature network that was trained without SLURM."""
    checkout = Checkout(tmp_path_factory.mktemp("runs"), cluster)
    ran = checkout.local("--", target(NETWORK))
    assert ran.returncode == 0, ran.stdout
    return shown("local run", NETWORK, checkout.result(NETWORK))


def shown(where: str, path: str, content: bytes) -> bytes:
    """Print the hash of a result, for the log; return the result."""
    print(f"\n{hashlib.sha256(content).hexdigest()[:16]}  {path}  {where}", file=sys.stderr)
    return content


@pytest.mark.ci
def test_what_is_submitted_gives_the_bytes_of_a_local_run(new_checkout, network_here):
    submits = new_checkout()
    submitted = submits.submit("--config", "gpus=1", "--", target(NETWORK))
    assert submitted.returncode == 0, submitted.stdout
    assert shown("submitted", NETWORK, submits.result(NETWORK)) == network_here
    assert "Auto-selected partition 'gpu'" in submitted.stdout and "Auto-selected partition 'cpu'" in submitted.stdout


def went_on(checkout) -> bool:
    """Whether the training that finished had begun from a saved state; each attempt writes its log anew."""
    log = (checkout.folder / target("shapes8/methods/edm/seed0/logs/train.log")).read_text()
    return "going on from step" in log


# a preemption sends the job's processes a signal, as the last one does: the job requeues itself
@pytest.mark.parametrize(
    "disturbed, submissions", [("scancel", 2), ("scontrol requeue", 1), ("scancel --signal=TERM", 1)]
)
def test_a_training_that_is_stopped_by_the_cluster_goes_on_to_the_same_weights(
    at_work, trained_here, cluster, disturbed, submissions
):
    checkout, controller, job = at_work()
    cluster.say(*disturbed.split(), job)
    out, _ = controller.communicate(timeout=900)
    assert controller.returncode == 0, out
    assert shown(disturbed, TRAINED, checkout.result(TRAINED)) == trained_here and went_on(checkout)
    assert out.count("has been submitted with SLURM jobid") == submissions


def test_a_time_limit_puts_the_job_back_into_the_queue_and_costs_no_attempt(at_work, trained_here, cluster):
    checkout, controller, job = at_work()
    # SLURM warns two minutes ahead (`--signal` of the profile), which is now
    cluster.say("scontrol", "update", f"JobId={job}", "TimeLimit=2")
    wait_for(lambda: [job] in cluster.jobs("%i", state="PENDING"), "job that is back in the queue")
    cluster.say("scontrol", "update", f"JobId={job}", "TimeLimit=60")
    out, _ = controller.communicate(timeout=900)
    assert controller.returncode == 0, out
    assert shown("time limit", TRAINED, checkout.result(TRAINED)) == trained_here and went_on(checkout)
    assert out.count("has been submitted with SLURM jobid") == 1


def test_a_job_that_must_fail_says_why_and_the_mended_input_is_tried_anew(new_checkout, trained_here):
    checkout = new_checkout()
    prepared = checkout.local(*LONG, "--until", "prepare", "--", target(TRAINED))
    assert prepared.returncode == 0, prepared.stdout
    data = max((checkout.folder / target("shapes8/data/train")).iterdir(), key=lambda path: path.stat().st_size)
    whole = data.read_bytes()
    middle = len(whole) // 2
    write_in_place(data, whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
    failed = checkout.submit(*LONG, "--", target(TRAINED))
    assert failed.returncode == 1
    assert re.search(rf"hkd: .*{data.name}: damaged", failed.stdout), failed.stdout[-4000:]
    assert failed.stdout.count("has been submitted with SLURM jobid") == 3, "each further attempt leaves at once"
    write_in_place(data, whole)
    mended = checkout.submit(*LONG, "--", target(TRAINED))
    assert mended.returncode == 0, mended.stdout
    assert shown("failed before", TRAINED, checkout.result(TRAINED)) == trained_here


def write_in_place(path, content: bytes) -> None:
    """Change a file's bytes as a disk would: its time stays."""
    about = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))


@pytest.mark.ci
def test_another_user_submits_from_a_checkout_that_is_not_theirs(new_checkout, cluster, network_here):
    with two_accounts() as (_, ben, _):
        shared = ben.folder / "shared"
        shared.mkdir()
        checkout, mine = Checkout(shared, cluster), ben.folder / ben.name
        before = {path: path.stat().st_mtime_ns for path in shared.rglob("*")}
        ran = checkout.submit_as(ben, mine, "--config", "gpus=1", "results=my results", "--", f"my results/{NETWORK}")
        assert ran.returncode == 0, ran.stdout
        made = mine / "my results" / NETWORK
        assert made.owner() == ben.name
        assert shown("another user", NETWORK, made.read_bytes()) == network_here
        assert {path: path.stat().st_mtime_ns for path in shared.rglob("*")} == before
        assert {user for user, *_ in cluster.jobs("%u")} >= {ben.name}


def test_after_the_controllers_death_the_same_command_ends_in_the_same_weights(at_work, trained_here, cluster):
    checkout, controller, job = at_work()
    os.kill(controller.pid, signal.SIGKILL)
    controller.communicate()
    assert [job] == [found for found, *_ in cluster.jobs(state="RUNNING")], "its job runs on"
    again = checkout.submit(*LONG, "--", target(TRAINED))
    assert again.returncode == 0, again.stdout
    assert f"job {job} of a workflow that died" in again.stdout and "waiting for them" in again.stdout
    assert again.stdout.count("has been submitted with SLURM jobid") == 0, "its job is adopted"
    assert shown("controller killed", TRAINED, checkout.result(TRAINED)) == trained_here


def test_two_trainings_at_once_have_a_device_each(new_checkout, cluster):
    checkout = new_checkout()
    others = [f"shapes8/methods/{name}/seed0/weights.safetensors" for name in ("edm", "edm_ve")]
    submitted = checkout.submit(*LONG, "--", *(target(path) for path in others))
    assert submitted.returncode == 0, submitted.stdout
    records = [json.loads(checkout.result(f"{path}.record.json")) for path in others]
    assert sorted(record["visible_devices"] for record in records) == ["0", "1"]


def test_trainings_of_one_group_run_at_once_with_a_device_each(new_checkout, cluster, trained_here):
    checkout = new_checkout()
    others = [f"shapes8/methods/{name}/seed0/weights.safetensors" for name in ("edm", "edm_ve")]
    together = ("--groups", "train=pair", "--group-components", "pair=2")
    submitted = checkout.submit(*together, *LONG, "--", *(target(path) for path in others))
    assert submitted.returncode == 0, submitted.stdout
    records = [json.loads(checkout.result(f"{path}.record.json")) for path in others]
    # each takes the first device that is free: of two that run one after the other, both take the first
    assert sorted(record["visible_devices"] for record in records) == ["0", "1"]
    assert shown("in a group", TRAINED, checkout.result(TRAINED)) == trained_here
