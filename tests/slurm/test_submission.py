"""The smoke benchmark through a real SLURM: submitted, cancelled, requeued, left by its controller, on two devices."""

from __future__ import annotations

import json
import os
import signal
import time

import pytest

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
    return checkout.result(TRAINED)


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


@pytest.mark.ci
def test_what_is_submitted_gives_the_bytes_of_a_local_run(new_checkout, cluster):
    submits, runs = new_checkout(), new_checkout()
    submitted = submits.submit("--config", "gpus=1", "--", target(NETWORK))
    assert submitted.returncode == 0, submitted.stdout
    local = runs.local("--", target(NETWORK))
    assert local.returncode == 0, local.stdout
    assert submits.result(NETWORK) == runs.result(NETWORK)
    assert "Auto-selected partition 'gpu'" in submitted.stdout and "Auto-selected partition 'cpu'" in submitted.stdout


def went_on(checkout) -> bool:
    """Whether the training that finished had begun from a saved state; each attempt writes its log anew."""
    log = (checkout.folder / target("shapes8/methods/edm/seed0/logs/train.log")).read_text()
    return "going on from step" in log


# a time limit or a preemption sends the job's processes a signal ahead, as the last one does: the job requeues itself
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
    assert checkout.result(TRAINED) == trained_here and went_on(checkout)
    assert out.count("has been submitted with SLURM jobid") == submissions


def test_after_the_controllers_death_the_same_command_ends_in_the_same_weights(at_work, trained_here, cluster):
    checkout, controller, job = at_work()
    os.kill(controller.pid, signal.SIGKILL)
    controller.communicate()
    assert [job] == [found for found, *_ in cluster.jobs(state="RUNNING")], "its job runs on"
    again = checkout.submit(*LONG, "--", target(TRAINED))
    assert again.returncode == 0, again.stdout
    assert f"job {job} of a workflow that died" in again.stdout and "waiting for them" in again.stdout
    assert again.stdout.count("has been submitted with SLURM jobid") == 0, "its job is adopted"
    assert checkout.result(TRAINED) == trained_here


def test_two_trainings_at_once_have_a_device_each(new_checkout, cluster):
    checkout = new_checkout()
    others = [f"shapes8/methods/{name}/seed0/weights.safetensors" for name in ("edm", "edm_ve")]
    submitted = checkout.submit(*LONG, "--", *(target(path) for path in others))
    assert submitted.returncode == 0, submitted.stdout
    records = [json.loads(checkout.result(f"{path}.record.json")) for path in others]
    assert sorted(record["visible_devices"] for record in records) == ["0", "1"]
