"""What a stage is, and one piece of its work: files, what defines them, what they ask of the machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from hkd.plan.code import code_digest
from hkd.plan.runs import Plan
from hkd.settings.origins import ConfigError, digest
from hkd.store.paths import record_of
from hkd.store.refusals import ArtifactError

Inputs = Mapping[str, str | Sequence[str]]


MADE_BY = {  # the command behind an input of this name
    "images": "prepare",
    "extractors": "extractor",
    "extractor": "extractor",
    "perceptual": "extractor",
    "grader": "extractor",
    "shards": "trajectories",
    "trajectories": "trajectories",
    "init": "train",
    "teacher": "train",
    "weights": "train",
    "config": "train",
    "milestones": "train",
    "samples": "sample",
    "features": "features",
    "reference": "reference",
    "metrics": "metrics",
    "errors": "trajectory-error",
    "curves": "budget-curve",
    "runs": "stability",
    "closure": "closure",
    "factors": "band-factors",
    "agreement": "agreement",
    "courses": "spectrum-courses",
    "known": "known-rates",
    "readings": "readings",
}


NOT_EVALUATED = ("prepare", "extractor", "train")  # commands whose results no precision of an evaluation changes


@dataclass(frozen=True)
class Files:
    """What a stage leaves, as paths; with wildcards in place of values, the patterns of its rule.

    Attributes:
        outputs: by name.
        log: of the job, without its suffix.
        recorded: which of the outputs have a record beside them that the workflow knows of.
        folders: which of them are folders.
        beside: which of them are read together with any other.
    """

    outputs: Mapping[str, str]
    log: str
    recorded: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()

    def declared(self) -> dict[str, str]:
        """Return outputs and records by name, as a rule declares them."""
        records = {f"{name}_record": record_of(self.outputs[name]) for name in self.recorded}
        return {**self.outputs, **records}


@dataclass(frozen=True)
class Needs:
    """What a job asks of the machine: GPUs, memory (MB), time (minutes). A light one runs beside the workflow."""

    mem_mb: int = 1000
    minutes: int = 30
    gpu: int = 0
    threads: int = 1


@dataclass(frozen=True)
class Definition:
    """What defines the results of a stage, and what it needs.

    Attributes:
        inputs: files, by the name that the command knows them by.
        settings: all values that they depend on, besides inputs and seed; goes into the record.
        code: modules of the library that make them.
        needs: of the job.
        follows_code: whether a change of the code makes finished results again.
        spare: names of inputs that a command by hand may do without, so that its record need not name them.
        watched: what else makes results again when it changes, but is no setting that a reader could ask for.
        on_the_way: the settings that states on the way depend on, where these are not all; see `hkd.plan.lengths`.
    """

    inputs: Inputs
    settings: Any
    code: tuple[str, ...] = ()
    needs: Needs = field(default_factory=Needs)
    follows_code: bool = True
    spare: tuple[str, ...] = ()
    watched: Any = None
    on_the_way: Any = None

    @cached_property
    def settings_digest(self) -> str:
        """What names the settings."""
        return digest(self.settings)


@dataclass(frozen=True)
class Work:
    """One piece of work of a stage: its files, what defines them, and the values that name it (`seed`, say)."""

    stage: str
    command: str
    files: Files
    definition: Definition
    plan: Plan = field(repr=False, compare=False)
    of: Mapping[str, str] = field(default_factory=dict)

    @property
    def outputs(self) -> Mapping[str, str]:
        """Paths of the results, by name."""
        return self.files.outputs

    def out(self, name: str = "") -> Path:
        """Return the path of a result; of the first, unless it is named."""
        return Path(self.outputs[name] if name else next(iter(self.outputs.values())))

    def input(self, name: str) -> Path:
        """Return the path of a single input."""
        path = self.definition.inputs[name]
        assert isinstance(path, str)
        return Path(path)

    def inputs(self, *names: str) -> list[str]:
        """Return the paths of all inputs, or of those that are named, each once."""
        chosen = [self.definition.inputs[name] for name in names or self.definition.inputs]
        paths = [path for one in chosen for path in ([one] if isinstance(one, str) else one)]
        return list(dict.fromkeys(paths))

    @property
    def settings(self) -> Any:
        """Values that the results depend on."""
        return self.definition.settings

    @property
    def settings_digest(self) -> str:
        """What names those values, with the precision of the evaluation where it is not the default."""
        precision = self.plan.benchmark.compute.evaluation
        if precision == "fp32" or self.command in NOT_EVALUATED:
            return self.definition.settings_digest
        return digest([self.definition.settings, {"evaluation": precision}])

    @cached_property
    def code(self) -> str:
        """What names the code that makes the results; empty where none does."""
        return code_digest(*self.definition.code) if self.definition.code else ""

    @cached_property
    def digest(self) -> str:
        """What the workflow compares: another one makes the results again."""
        parts = [self.settings_digest, self.code if self.definition.follows_code else ""]
        return digest(parts if self.definition.watched is None else [*parts, self.definition.watched])

    @cached_property
    def states_digest(self) -> str:
        """What names the states on the way to the results: work of another digest may go on from the same ones."""
        if self.definition.on_the_way is None:
            return self.digest
        return digest([digest(self.definition.on_the_way), self.code if self.definition.follows_code else ""])

    def check_inputs(self, *names: str) -> Work:
        """Return the work, if everything that it reads is there, or those inputs that are named.

        Raises:
            ArtifactError: a file is missing; the message names the command that makes it.
        """
        for name in names or self.definition.inputs:
            for path in self.inputs(name):
                try:
                    Path(path).stat()
                except FileNotFoundError:
                    command = f"`hkd {MADE_BY[name]}`, or " if name in MADE_BY else ""
                    again = f"run {command}`snakemake --cores all {path}`"
                    raise ArtifactError(f"{path}: missing; {again}") from None
                except NotADirectoryError:
                    raise ArtifactError(f"{path}: a file stands where a folder should be; move it away") from None
        return self

    def expect(self, expected: str | None, code: str | None = None) -> Work:
        """Return the work, unless settings or code are not those that the workflow was planned with.

        Raises:
            ConfigError: they changed while the job waited, or another benchmark was named.
        """
        for found, planned in ((self.digest, expected), (self.code, code)):
            if planned is not None and found != planned:
                raise ConfigError(
                    f"{self.stage} of {self.out()}: digest {found}, the workflow planned {planned}; files changed "
                    "meanwhile or another benchmark was named: start snakemake again"
                )
        return self


@dataclass(frozen=True)
class Stage:
    """A stage, or a part of a study.

    Attributes:
        name: of its rule.
        files: layout, and a value for every wildcard -> what it leaves; values that are left out stay wildcards.
        defined: plan, and the same values -> what defines it.
        local: whether it is so light that it runs beside the workflow, not as a job of a cluster.
        command: of `hkd`, that does it; the name of the stage unless given.
        resumes: whether an attempt goes on where the last one was stopped.
    """

    name: str
    files: Callable[..., Files]
    defined: Callable[..., Definition]
    local: bool = False
    command: str = ""
    resumes: bool = False

    def work(self, plan: Plan, **values: Any) -> Work:
        """Return the work of one set of values."""
        command = self.command or self.name.replace("_", "-")
        of = {name: str(value) for name, value in values.items()}
        return Work(self.name, command, self.files(plan.layout, **values), self.defined(plan, **values), plan, of)
