"""A private cluster for the session, and copies of the checkout that submit to it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from tests import accounts
from tests.slurm.cluster import Cluster, missing_package

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("Snakefile", "hkd", "rules", "configs", "profiles")
PLUGIN = "snakemake-executor-plugin-slurm"
QUICK = ("--slurm-init-seconds-before-status-checks", "6", "--latency-wait", "5")
SUBMITS = ("--workflow-profile", "profiles/slurm", *QUICK)
ENDS = ("setpriv", "--pdeathsig", "KILL")  # a workflow whose SLURM is gone would wait for ever: it ends with its test


def lacking() -> str | None:
    """Return the package that these tests need and do not find."""
    return missing_package() or (None if importlib.util.find_spec(PLUGIN.replace("-", "_")) else PLUGIN)


def do_without(package: str) -> NoReturn:
    """Skip a test by the name of the package that it needs; fail it where everything was to be installed."""
    accounts.do_without(f"{package} is not installed")


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A running cluster. Its folder has a short name, for the path of a socket may have 107 characters."""
    if package := lacking():
        do_without(package)
    made = Cluster(Path(tempfile.mkdtemp(prefix="slurm-")))
    made.folder.chmod(0o755)  # other users submit too
    made.start()
    yield made
    made.stop()


class Checkout:
    """A copy of the checkout, whose workflow runs here or is submitted."""

    def __init__(self, folder: Path, cluster: Cluster) -> None:
        self.folder, self.cluster = folder, cluster
        for part in PARTS:
            source = ROOT / part
            copy = shutil.copytree if source.is_dir() else shutil.copy
            copy(source, folder / part)

    def submit(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the smoke benchmark through the cluster to its end."""
        return self._finished(self.submitted(*arguments))

    def submitted(self, *arguments: str) -> subprocess.Popen[str]:
        """Start the smoke benchmark, whose jobs go to the cluster."""
        return self._started(*SUBMITS, *arguments)

    def submit_as(self, account: accounts.Account, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the smoke benchmark of this checkout as another account, in a folder of its own, through the cluster."""
        told = self._told()
        told["PATH"] = os.pathsep.join((f"{self.cluster.folder}/bin", f"{account.folder}/venv/bin", "/usr/bin", "/bin"))
        benchmark = str(self.folder / "configs/benchmarks/smoke.yaml")
        where = ("-s", str(self.folder / "Snakefile"), "--directory", str(folder), "--configfile", benchmark)
        profile = ("--workflow-profile", str(self.folder / "profiles/slurm"), *QUICK)
        command = account.words(*ENDS, account.python, "-m", "snakemake", *where, *profile, *arguments, **told)
        pipe, text = subprocess.PIPE, subprocess.STDOUT
        return self._finished(subprocess.Popen(command, cwd=folder, stdout=pipe, stderr=text, text=True))

    def local(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the smoke benchmark on this machine to its end."""
        return self._finished(self._started("--cores", "1", *arguments))

    def result(self, path: str) -> bytes:
        """Return the bytes of a result."""
        return (self.folder / "results/smoke" / path).read_bytes()

    def _told(self) -> dict[str, str]:
        """What jobs are told: the GPUs are pretended, so that one that is given one computes on the CPU."""
        threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        slurm = str(self.cluster.folder / "slurm.conf")
        return {"PYTHONPATH": str(self.folder), "HKD_DEVICE": "auto", "SLURM_CONF": slurm, **threads}

    def _started(self, *arguments: str) -> subprocess.Popen[str]:
        environment = self.cluster.environment(**self._told())
        ours = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
        environment["PATH"] = f"{self.cluster.folder}/bin{os.pathsep}{ours}"
        command = [*ENDS, sys.executable, "-m", "snakemake", "--configfile", "configs/benchmarks/smoke.yaml"]
        pipe, text = subprocess.PIPE, subprocess.STDOUT
        return subprocess.Popen(
            [*command, *arguments], cwd=self.folder, env=environment, stdout=pipe, stderr=text, text=True
        )

    def _finished(self, started: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
        try:
            out, _ = started.communicate(timeout=900)
        except subprocess.TimeoutExpired:
            started.send_signal(signal.SIGKILL)
            raise
        return subprocess.CompletedProcess(started.args, started.returncode, out, "")


@pytest.fixture
def new_checkout(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Checkout]:
    """Return a fresh copy of the checkout."""
    return lambda: Checkout(tmp_path_factory.mktemp("submits"), cluster)
