"""Before anything is submitted, each attempt of each job is held against the limits of the cluster's partitions."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest

from hkd.partitions import check_requests
from hkd.settings.origins import ConfigError

pytest.importorskip("snakemake_executor_plugin_slurm")

LIMITS = "cpu: {max_gpu: 0, max_mem_mb: 8000, max_runtime: 600}\n  gpu: {max_gpu: 8, max_runtime: 2880}"


class Job:
    """A job whose memory grows with its attempts, as those of the rules do."""

    rule, name, threads, is_local = SimpleNamespace(name="metrics"), "metrics", 1, False

    def __init__(self, retries: int, *, mem_mb: int = 4000, **asks: object) -> None:
        self.attempt, self.restart_times, self.wildcards_dict = 1, retries, {"method": "edm"}
        self._mem_mb, self._asks = mem_mb, asks

    @property
    def resources(self) -> dict[str, object]:
        return {"gpu": 0, "runtime": 60, "mem_mb": self._mem_mb * self.attempt, **self._asks}

    def is_group(self) -> bool:
        return False


class Group(Job):
    """Jobs that are submitted as one; Snakemake adds up what they ask for."""

    groupid = "pair"

    def __init__(self, *jobs: Job, **asks: int) -> None:
        super().__init__(0, **asks)
        self.jobs, self.rules = jobs, {job.rule.name for job in jobs}

    def is_group(self) -> bool:
        return True

    def __len__(self) -> int:
        return len(self.jobs)


@pytest.fixture
def check(tmp_path):
    def of(limits: str, job: Job) -> None:
        file = tmp_path / "partitions.yaml"
        file.write_text(f"partitions:\n  {limits}\n")
        members = list(getattr(job, "jobs", ()))
        group = {id(member): job for member in members}
        dag = SimpleNamespace(
            needrun_jobs=lambda exclude_finished: members or [job], get_job_group=lambda asked: group.get(id(asked))
        )
        check_requests(SimpleNamespace(executor_settings=SimpleNamespace(partition_config=str(file)), dag=dag))
        assert job.attempt == 1

    return of


def test_a_job_that_no_partition_takes_is_named_before_submission(check):
    limits = "cpu: {max_gpu: 0}\n  gpu: {max_gpu: 8, max_runtime: 60}"
    said = r"no partition takes metrics \(method=edm\).*gpu=1, mem_mb=4000, runtime=240 at attempt 1"
    with pytest.raises(ConfigError, match=said):
        check(limits, Job(0, gpu=1, runtime=240))
    check(limits, Job(0, gpu=1, runtime=60))
    assert logging.getLogger("hkd.partitions").level == logging.CRITICAL
    check_requests(SimpleNamespace(executor_settings=None))


def test_a_job_that_fits_nowhere_at_a_later_attempt_is_named_too(check):
    limits = "cpu: {max_gpu: 0, max_mem_mb: 8000}"
    check(limits, Job(1))
    with pytest.raises(ConfigError, match=r"no partition takes.*mem_mb=12000, runtime=60 at attempt 3"):
        check(limits, Job(2))


def test_a_job_without_a_gpu_goes_to_no_partition_that_has_some(check):
    with pytest.raises(ConfigError, match=r"gpu, which has GPUs, would take.*12000.*raise the limit of cpu, or lower"):
        check(LIMITS, Job(0, mem_mb=12000))
    check(LIMITS, Job(1))
    with pytest.raises(ConfigError, match=r"gpu=0, mem_mb=12000, runtime=60 at attempt 3; raise the limit of cpu"):
        check(LIMITS, Job(2))
    check(LIMITS, Job(2, gpu=1))
    check(LIMITS, Job(2, slurm_partition="gpu"))
    check("gpu: {max_gpu: 8}", Job(2))


def test_a_partition_without_gpus_that_is_less_tight_is_named(check):
    limits = "cpu: {max_gpu: 0}\n  gpu: {max_gpu: 8, max_runtime: 70, max_mem_mb: 5000}"
    with pytest.raises(ConfigError, match=r"gpu, which has GPUs.*state the limits of cpu"):
        check(limits, Job(0))


def test_what_a_group_asks_for_together_is_held_against_the_limits(check):
    limits = "cpu: {max_gpu: 0}\n  gpu: {max_gpu: 1}"
    each = [Job(0, gpu=1), Job(0, gpu=1)]
    for job in each:
        check(limits, job)
    check("cpu: {max_gpu: 0}\n  gpu: {max_gpu: 2}", Group(*each, gpu=2))
    said = r"no partition takes group pair of 2 jobs \(metrics\).*gpu=2,.*put fewer jobs into it \(group-components\)"
    with pytest.raises(ConfigError, match=said):
        check(limits, Group(*each, gpu=2))
