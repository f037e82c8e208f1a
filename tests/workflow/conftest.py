"""A checkout to experiment with, and the workflow's graph built in this process."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hkd.plan import code
from hkd.settings import signatures
from hkd.store import source
from hkd.store.artifacts import load_weights

ROOT = Path(__file__).resolve().parents[2]
Key = tuple[str, tuple[tuple[str, str], ...]]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the checkout, to be edited."""
    return copy_checkout(tmp_path)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """A checkout that is run without interruption, as far as tests ask for it."""
    return Workflow(tmp_path_factory.mktemp("finished"))


@pytest.fixture
def new_workflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Workflow]]:
    """Return a fresh copy of the checkout, whose processes end with the test."""
    made: list[Workflow] = []

    def build() -> Workflow:
        made.append(Workflow(tmp_path_factory.mktemp("workflow")))
        return made[-1]

    yield build
    for workflow in made:
        workflow.stop()


@pytest.fixture
def own_source(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Read code digests from the copy; call it after an edit."""
    monkeypatch.setattr(source, "PACKAGE", checkout / "hkd")
    _forget()
    yield _forget
    _forget()


@pytest.fixture(scope="session")
def smoke_graph(tmp_path_factory: pytest.TempPathFactory) -> Graph:
    """The whole graph of the smoke benchmark, in a copy that nobody edits."""
    folder = copy_checkout(tmp_path_factory.mktemp("unedited"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(source, "PACKAGE", folder / "hkd")
        _forget()
        made = Graph(folder, "smoke", (), {})
    _forget()
    return made


def _forget() -> None:
    """Read the package's files anew."""
    for cached in (source.module_file, signatures._tree, code.code_digest, code.closure, code._text, code._imports):
        cached.cache_clear()


@pytest.fixture
def graph(checkout: Path, own_source: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Graph]:
    """Build the whole graph of a benchmark in the copy, without running anything."""
    monkeypatch.chdir(checkout)

    def built(benchmark: str = "smoke", targets: tuple[str, ...] = (), **config: Any) -> Graph:
        own_source()
        return Graph(checkout, benchmark, targets, config)

    return built


def copy_checkout(folder: Path) -> Path:
    """Copy what a run needs: settings, rules, profiles and the package."""
    for name in ("configs", "rules", "profiles", "hkd", "workflow"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "Snakefile", folder)
    return folder


class Workflow:
    """Real runs of the smoke benchmark in a copy of the checkout."""

    def __init__(self, folder: Path) -> None:
        self.folder = copy_checkout(folder)
        self.results = folder / "results/smoke"
        self._started: list[subprocess.Popen[str]] = []

    def start(self, *targets: str, options: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        """Start Snakemake in a process group of its own, as a terminal does."""
        command = [sys.executable, "-m", "snakemake", "--cores", "2", "--configfile", "configs/benchmarks/smoke.yaml"]
        environment = {**os.environ, "PYTHONPATH": str(self.folder), "HKD_CHECKPOINT_SECONDS": "0.5"}
        with (self.folder / "log").open("a") as log:
            process = subprocess.Popen(
                [*command, *options, "--", *targets],
                cwd=self.folder,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                text=True,
            )
        self._started.append(process)
        return process

    def stop(self) -> None:
        """End what still runs."""
        for process in self._started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def run(self, *targets: str) -> str:
        """Run to the end and return what was printed."""
        before = len(self.log())
        status = self.start(*targets).wait(1800)
        assert status == 0, self.log()[before:][-4000:]
        return self.log()[before:]

    def log(self) -> str:
        """All that was printed so far."""
        path = self.folder / "log"
        return path.read_text() if path.exists() else ""

    def contents(self) -> dict[str, Any]:
        """Every result, without times: arrays and tensors to the bit, tables and metrics in their measured parts."""
        found: dict[str, Any] = {}
        for path in sorted(self.results.rglob("*")):
            name = str(path.relative_to(self.results))
            if path.suffix == ".npz" or (path.suffix == ".npy" and "parts" not in name):
                loaded = np.load(path, allow_pickle=False)
                arrays = dict(loaded) if path.suffix == ".npz" else {"": loaded}
                found |= {f"{name}:{key}": (str(a.dtype), a.shape, a.tobytes()) for key, a in arrays.items()}
            elif path.suffix == ".safetensors" and "checkpoints" not in name:
                found |= {f"{name}:{key}": value.tolist() for key, value in load_weights(path).items()}
            elif path.parent.name == "metrics" and path.name.startswith("nfe") and not name.endswith("record.json"):
                found[name] = json.loads(path.read_text())["metrics"]
            elif path.name in ("stability.json", "editing.json", "inpainting.json"):
                found[name] = json.loads(path.read_text())
            elif path.name.startswith("table") and path.suffix == ".csv":
                with path.open(newline="") as file:
                    rows = list(csv.DictReader(file))
                found[name] = [{key: cell for key, cell in row.items() if "seconds" not in key} for row in rows]
        return found


class Graph:
    """All jobs of a workflow.

    Snakemake 9 has no public way to read its graph: `_workflow`, `_prepare_dag` and `_build_dag` are private. When
    they change, read the output of `snakemake -n --forceall --printshellcmds` here instead.
    """

    def __init__(self, workdir: Path, benchmark: str, targets: tuple[str, ...], config: dict[str, Any]) -> None:
        from snakemake import api
        from snakemake.settings import types as settings
        from snakemake.settings.enums import Quietness

        with api.SnakemakeApi(settings.OutputSettings(quiet={Quietness.ALL})) as made:
            files = [workdir / f"configs/benchmarks/{benchmark}.yaml"]
            workflow = made.workflow(
                resource_settings=settings.ResourceSettings(cores=2),
                config_settings=settings.ConfigSettings(config=config, configfiles=files),
                storage_settings=settings.StorageSettings(),
                workflow_settings=settings.WorkflowSettings(),
                snakefile=workdir / "Snakefile",
                workdir=workdir,
            )
            workflow.dag(dag_settings=settings.DAGSettings(targets=set(targets)))
            inner = workflow._workflow
            inner._prepare_dag(forceall=True, ignore_incomplete=True, lock_warn_only=True)
            inner._build_dag()
            jobs = list(inner.dag.jobs)
            self.params = {key_of(job): dict(job.params.items()) for job in jobs}
            self.commands = {key_of(job): job.rule.shellcmd for job in jobs}
            self.inputs = {key_of(job): sorted(map(str, job.input)) for job in jobs}
            self.outputs = {key_of(job): sorted(map(str, job.output)) for job in jobs}
            self.resources = {key_of(job): dict(job.resources.items()) for job in jobs}

    def of(self, rule: str) -> list[dict[str, str]]:
        """The wildcards of every job of a rule."""
        return [dict(wildcards) for name, wildcards in self.params if name == rule]

    def makers(self, path: str) -> list[Key]:
        """The jobs that write a file."""
        return [key for key, files in self.outputs.items() if path in files]

    def upstream(self, path: str) -> set[str]:
        """The rules that a file is made by, all the way down."""
        found, queue = set(), [path]
        while queue:
            for key in self.makers(queue.pop()):
                if key not in found:
                    found.add(key)
                    queue.extend(self.inputs[key])
        return {rule for rule, _ in found}

    def changed(self, other: Graph) -> set[Key]:
        """The jobs whose own params, command or inputs differ: what Snakemake would rerun first."""
        keys = self.params.keys() | other.params.keys()
        parts = ("params", "commands", "inputs")
        return {k for k in keys if any(getattr(self, p).get(k) != getattr(other, p).get(k) for p in parts)}


def key_of(job: Any) -> Key:
    return (job.rule.name, tuple(sorted((k, str(v)) for k, v in job.wildcards_dict.items())))
