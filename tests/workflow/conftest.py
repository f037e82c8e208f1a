"""A checkout to experiment with, and the workflow's graph built in this process."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hkd import source

ROOT = Path(__file__).resolve().parents[2]
Key = tuple[str, tuple[tuple[str, str], ...]]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what a run needs: settings, rules, profiles and the package."""
    for name in ("configs", "rules", "profiles", "hkd"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "Snakefile", tmp_path)
    return tmp_path


@pytest.fixture
def own_source(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Read code digests from the copy; call it after an edit."""

    def forget() -> None:
        for cached in (source._file, source._tree, source._module_digest, source._imports):
            cached.cache_clear()

    monkeypatch.setattr(source, "PACKAGE", checkout / "hkd")
    forget()
    yield forget
    forget()


@pytest.fixture
def graph(checkout: Path, own_source: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Graph]:
    """Build the whole graph of a profile in the copy, without running anything."""
    monkeypatch.chdir(checkout)

    def built(profile: str = "smoke", targets: tuple[str, ...] = (), **config: Any) -> Graph:
        own_source()
        return Graph(checkout, profile, targets, config)

    return built


class Graph:
    """All jobs of a workflow.

    Snakemake 9 has no public way to read its graph: `_workflow`, `_prepare_dag` and `_build_dag` are private. When
    they change, read the output of `snakemake -n --forceall --printshellcmds` here instead.
    """

    def __init__(self, workdir: Path, profile: str, targets: tuple[str, ...], config: dict[str, Any]) -> None:
        from snakemake import api
        from snakemake.settings import types as settings
        from snakemake.settings.enums import Quietness

        with api.SnakemakeApi(settings.OutputSettings(quiet={Quietness.ALL})) as made:
            files = [workdir / f"configs/{profile}.yaml"]
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
