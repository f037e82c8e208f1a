"""Which partition of a SLURM cluster each job will go to, found before any is submitted, as the executor would."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

from hkd.settings.origins import ConfigError

LESS = "ask for less (resources: of the run's settings)"


def check_requests(workflow: Any) -> None:
    """Refuse a job that, at any of its attempts, no partition takes, or one with GPUs although it asks for none.

    A group is one job, which asks for what its members ask for together. The first would wait in the default
    partition's queue for ever, the second keep others from a GPU. Where every partition has GPUs, any may take it.

    Raises:
        ConfigError: naming the job, what it asks for and the limits.
    """
    if not hasattr(workflow.executor_settings, "partition_config"):
        return
    file = workflow.executor_settings.partition_config or os.environ.get("SNAKEMAKE_SLURM_PARTITIONS")
    if not file:
        return
    from snakemake_executor_plugin_slurm.partitions import read_partition_file

    partitions = read_partition_file(Path(file))
    for job in _submitted(workflow.dag):
        first = job.attempt
        try:
            for attempt in range(first, job.restart_times + 2):
                job.attempt = attempt
                if not job.resources.get("slurm_partition"):
                    _check_request(file, partitions, job)
        finally:
            job.attempt = first


def _submitted(dag: Any) -> list[Any]:
    """Return the jobs that will be submitted; of a group, the group."""
    jobs = [job for job in dag.needrun_jobs(exclude_finished=False) if not job.is_local]
    return list(dict.fromkeys(dag.get_job_group(job) or job for job in jobs))


def _named(job: Any) -> str:
    if job.is_group():
        return f"group {job.groupid} of {len(job)} jobs ({', '.join(sorted(job.rules))})"
    return f"{job.rule.name} ({', '.join(f'{key}={value}' for key, value in sorted(job.wildcards_dict.items()))})"


def _check_request(file: Path | str, partitions: list[Any], job: Any) -> None:
    """Refuse what a job asks for at its present attempt, if it leads nowhere or to the wrong partition."""
    from snakemake_executor_plugin_slurm.partitions import parse_gpu_requirements

    asked = ", ".join(f"{key}={job.resources.get(key, 0)}" for key in ("gpu", "mem_mb", "runtime"))
    who = f"{_named(job)}, which asks for {asked} at attempt {job.attempt}"
    taken = _best(partitions, job)
    if taken is None:
        raise ConfigError(
            f"{file}: no partition takes {who}; raise a limit there if the cluster has more, name a partition that "
            f"does, or {'put fewer jobs into it (group-components)' if job.is_group() else LESS}"
        )
    without = [one for one in partitions if one.limits.max_gpu == 0]
    if parse_gpu_requirements(job)[0] or taken in [one.name for one in without] or not without:
        return
    names = " or ".join(one.name for one in without)
    remedy = (
        f"state the limits of {fits}, for the tightest is taken, or name it (set-resources: slurm_partition)"
        if (fits := _best(without, job))
        else f"raise the limit of {names}, or lower the memory"
    )
    raise ConfigError(f"{file}: {taken}, which has GPUs, would take {who}; {remedy}")


def _best(partitions: list[Any], job: Any) -> str | None:
    """Return the partition that the executor would pick; what it says of it on the way is not for a reader."""
    from snakemake_executor_plugin_slurm.partitions import get_best_partition

    silent = logging.getLogger("hkd.partitions")
    silent.setLevel(logging.CRITICAL)
    found: str | None = get_best_partition(partitions, job, silent)
    return found
