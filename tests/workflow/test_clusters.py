"""Profiles of PBS, Grid Engine and LSF ask for what the rules ask for, and read a job's end as it was."""

from __future__ import annotations

import os
import re
import subprocess
from types import SimpleNamespace

import pytest
import yaml

from hkd import interrupt
from hkd.plan.stages import STAGES
from hkd.store.refusals import ArtifactError
from hkd.workflow import Rules

GONE = "echo 'Following jobs do not exist: 7' >&2; exit 1"
CLUSTERS = ("pbs", "sge", "lsf", "kubernetes")


def profile(root, name: str) -> dict:
    return yaml.safe_load((root / f"profiles/{name}/config.yaml").read_text())


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """Put programs of a pretend cluster first; each is a line of shell."""

    def make(**scripts: str) -> None:
        for name, script in scripts.items():
            (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
            (tmp_path / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    return make


def submitted(root, name: str, gpu: int, folder) -> str:
    """The words that a profile's command hands to `qsub`."""
    asked = SimpleNamespace(mem_mb=4000, runtime=90, gpu=gpu, queue="workq")
    command = profile(root, name)["cluster-generic-submit-cmd"].format(rule="train", threads=2, resources=asked)
    return subprocess.run([*["bash", "-c"], f"{command} job.sh"], cwd=folder, capture_output=True, text=True).stdout


def test_pbs_is_asked_for_what_the_rule_asks_for(root, programs, tmp_path):
    programs(qsub='echo "$@"')
    said = submitted(root, "pbs", 1, tmp_path)
    assert "-l select=1:ncpus=2:mem=4000mb:ngpus=1 -l walltime=5400" in said and said.endswith("job.sh\n")


@pytest.mark.parametrize("gpu", [0, 1])
def test_grid_engine_is_asked_for_what_the_rule_asks_for(root, programs, tmp_path, gpu):
    programs(qsub='echo "$@"')
    said = submitted(root, "sge", gpu, tmp_path)
    assert "-pe smp 2 -l h_vmem=4000M -l h_rt=5400" in said and ("-l gpu=1" in said) == bool(gpu)


def status(root, name: str, folder=None) -> str:
    ran = subprocess.run([root / f"profiles/{name}/status.sh", "7"], capture_output=True, text=True, cwd=folder)
    return ran.stdout.strip()


@pytest.mark.parametrize(
    ("qstat", "expected"),
    [
        ("printf '    job_state = R\\n'", "running"),
        ("printf '    job_state = Q\\n'", "running"),
        ("printf '    job_state = F\\n    Exit_status = 0\\n'", "success"),
        ("printf '    job_state = F\\n    Exit_status = 85\\n'", "failed"),
        ("echo 'qstat: Unknown Job Id 7.server' >&2; exit 153", "failed"),
        ("echo 'qstat: cannot connect to server' >&2; exit 111", "running"),
        ("echo >>tries; [ $(wc -l <tries) -eq 3 ] || exit 1; printf 'job_state = F\\nExit_status = 0\\n'", "success"),
    ],
)
def test_the_end_of_a_pbs_job_is_read(root, programs, tmp_path, qstat, expected):
    programs(qstat=qstat, sleep="exit 0")
    assert status(root, "pbs", tmp_path) == expected


@pytest.mark.parametrize(
    ("qstat", "qacct", "expected"),
    [
        ("exit 0", "exit 1", "running"),
        (GONE, "exit 1", "running"),
        (GONE, "printf 'failed       0\\nexit_status  0\\n'", "success"),
        (GONE, "printf 'failed       0\\nexit_status  85\\n'", "failed"),
        (GONE, "printf 'failed       37 : qmaster enforced h_rt\\nexit_status  0\\n'", "failed"),
        ("echo 'error: unable to contact qmaster' >&2; exit 1", "exit 1", "running"),
    ],
)
def test_the_end_of_a_grid_engine_job_is_read(root, programs, tmp_path, qstat, qacct, expected):
    programs(qstat=qstat, qacct=qacct)
    assert status(root, "sge", tmp_path) == expected


def test_a_grid_engine_job_of_which_nothing_is_known_does_not_run_for_ever(root, programs, tmp_path):
    programs(qstat=GONE, qacct="exit 1")
    assert status(root, "sge", tmp_path) == "running"
    left = tmp_path / ".snakemake/sge/7.left"
    os.utime(left, (left.stat().st_mtime - 700,) * 2)
    assert status(root, "sge", tmp_path) == "failed"
    programs(qstat="exit 0")
    assert status(root, "sge", tmp_path) == "running" and not left.exists()


@pytest.mark.parametrize("number", ["SLURM_JOB_ID", "PBS_JOBID", "JOB_ID", "LSB_JOBID"])
def test_a_job_of_any_cluster_leaves_while_another_writes_and_one_of_this_machine_waits(tmp_path, monkeypatch, number):
    for name in interrupt.JOB_NUMBERS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(interrupt, "PATIENCE", 0.0)
    monkeypatch.setattr(interrupt.time, "sleep", lambda seconds: interrupt.ask())
    with interrupt.only_writer(tmp_path):
        with pytest.raises(interrupt.Interrupted), interrupt.graceful(), interrupt.only_writer(tmp_path):
            pytest.fail("two writers")
        interrupt.reset()
        monkeypatch.setenv(number, "7")
        with pytest.raises(ArtifactError, match="this job leaves"), interrupt.only_writer(tmp_path):
            pytest.fail("two writers")


def test_lsf_asks_for_gpus_where_stages_do(root, smoke_plan):
    asked = profile(root, "lsf")["set-resources"]
    rules = Rules(smoke_plan(gpus=1))
    values = {"dataset": "shapes8", "group": "methods", "method": "edm", "seed": "0", "nfe": "35", "role": "metric",
              "split": "train", "trajectories": "edm-heun", "shard": "0"}  # fmt: skip
    needs = {}
    for name, stage in STAGES.items():
        if not stage.local:
            fields = set(re.findall(r"\{(\w+)\}", " ".join(rules.outputs(name).values())))
            wildcards = {key: value for key, value in values.items() if key in fields}
            needs[name] = rules.resources(name)["gpu"](wildcards)
    assert {name for name, gpu in needs.items() if gpu} == asked.keys()


@pytest.mark.parametrize("name", CLUSTERS)
def test_a_profile_is_of_its_executor_and_kubernetes_says_that_it_is_untested(root, name):
    text = (root / f"profiles/{name}/config.yaml").read_text()
    assert yaml.safe_load(text)["retries"] == 2
    assert ("UNTESTED" in text) == (name == "kubernetes")
