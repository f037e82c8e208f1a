"""The partition that the executor picks for the jobs of every rule: a GPU for those that ask, and for no other."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest

from tests.slurm.conftest import PLUGIN, do_without, lacking

pytestmark = [pytest.mark.slurm, pytest.mark.ci]


LIMITS = """partitions:
  cpu: {max_gpu: 0, max_mem_mb: 48000, max_runtime: 1440}
  gpu: {max_gpu: 8, max_runtime: 2880}
"""


@pytest.fixture(params=["as shipped", "with limits"])
def partitions(root, request, tmp_path):
    if lacking() == PLUGIN:
        do_without(PLUGIN)
    from snakemake_executor_plugin_slurm import partitions

    file = root / "profiles/slurm/partitions.yaml"
    if request.param == "with limits":
        file = tmp_path / "partitions.yaml"
        file.write_text(LIMITS)
    listed = partitions.read_partition_file(file)
    return lambda job: partitions.get_best_partition(listed, job, logging.getLogger("test"))


def asked(root, gpus: int, folder) -> dict[str, dict[str, int]]:
    """What the jobs of each rule ask for, as a dry run of everything prints it.

    Its results are to lie in a new folder: in a checkout whose default is made, some rules have no job left.
    """
    config = [f"gpus={gpus}", f"results={folder}/results", f"figures={folder}/figures"]
    command = [sys.executable, "-m", "snakemake", "-n", "--cores", "8", "--config", *config, "--"]
    ran = subprocess.run([*command, "tables", "figures"], cwd=root, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    found: dict[str, dict[str, int]] = {}
    rule = ""
    for line in (ran.stdout + ran.stderr).splitlines():
        if match := re.match(r"(?:local)?rule (\w+):", line):
            rule = match[1]
        elif line.strip().startswith("resources:"):
            found[rule] = {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)(?:,|$)", line)}
    return found


@pytest.mark.parametrize("gpus", [0, 1])
def test_who_asks_for_a_gpu_goes_where_there_is_one_and_nobody_else(root, partitions, gpus, tmp_path):
    jobs = asked(root, gpus, tmp_path)
    assert {"prepare", "train", "shard", "sample", "features", "metrics", "table"} <= jobs.keys()
    assert any(resources.get("gpu", 0) for resources in jobs.values()) == bool(gpus)
    for rule, resources in jobs.items():
        job = SimpleNamespace(name=rule, threads=1, resources=resources)
        assert partitions(job) == ("gpu" if resources.get("gpu", 0) else "cpu"), rule
