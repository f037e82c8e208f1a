"""The resolved benchmark and what its names mean: data sets, networks, trajectories, runs, studies.

Loads neither torch nor pandas, so that the workflow starts in a moment. What each stage reads, leaves and is defined
by is in `hkd.plan.stages`; the rows of tables are in `hkd.plan.rows`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from hkd.plan.bases import Bases
from hkd.plan.bases import named_base as named_base
from hkd.plan.students import student_settings
from hkd.plan.study import Study, find
from hkd.settings.benchmark import Benchmark, Table
from hkd.settings.merge import CONFIGS, RUN_GROUPS, SHIPPED, Resolver, StudyRuns, loaded_benchmark, merged_benchmark
from hkd.settings.origins import ConfigError, Layers, Section, nearest
from hkd.settings.sections import Dataset, Extractor, Run, TrajectorySet
from hkd.store.packaged import EFFNET, PackagedFile
from hkd.store.paths import Layout
from hkd.store.published import BACKBONES, WEIGHTS, WeightFile

HELD_OUT = "edm-heldout"  # the trajectories that no method trains on
Settings = TypeVar("Settings", bound=Section)


class Start(NamedTuple):
    """The run that a training starts from (group/name), which of its weights, and which its source would take."""

    base: str
    weights: str
    source: str


class Plan:
    """The resolved benchmark and everything that follows from its settings.

    Raises:
        ConfigError: the benchmark, or any run that is asked of it, has settings that cannot be used.
    """

    def __init__(self, benchmark: Layers, configs: Path = CONFIGS) -> None:
        self.configs, self.layers = configs, benchmark
        self._settings = Resolver(benchmark, configs, self._study_runs)
        self._bases = Bases(self._settings, configs)
        self._sets: dict[tuple[str, str], TrajectorySet] = {}
        self.benchmark: Benchmark = self._settings.benchmark
        self.layout = Layout(self.benchmark.results, self.benchmark.figures)

    @classmethod
    def load(
        cls,
        source: str,
        overrides: Mapping[str, Any] | None = None,
        configs: Path = CONFIGS,
        options: Layers | None = None,
    ) -> Plan:
        """Return the plan of a benchmark given as a YAML path or as the JSON text that the workflow hands on.

        `overrides` are those of `--config`; over them lie the keys that other `options` of a command set.
        """
        return cls(loaded_benchmark(source, overrides, configs).put(options or Layers()), configs)

    @classmethod
    def of(cls, merged: Mapping[str, Any], files: Sequence[Path] = (), configs: Path = CONFIGS) -> Plan:
        """Return the plan of a benchmark that Snakemake merged of files and `--config`."""
        return cls(merged_benchmark(merged, files, configs), configs)

    @cached_property
    def studies(self) -> Mapping[str, Study]:
        """Every study there is, by name; found when the first is asked for, which most commands never do."""
        return find()

    def _study_runs(self, group: str) -> StudyRuns | None:
        if group == SHIPPED:
            return student_settings
        study = self.studies.get(group)
        return study.runs if study else None

    @property
    def seeds(self) -> range:
        """Seeds of every row."""
        return range(self.benchmark.seeds)

    @property
    def gpus(self) -> int:
        """How many GPUs a job asks for that is no training: 1, or 0 on the CPU default."""
        return min(self.benchmark.gpus, 1)

    def shares(self, run: Run) -> list[int]:
        """Return in how many equal shares processes with a GPU each may take a run's batch: 1, and up to all GPUs."""
        most = min(max(self.benchmark.gpus, 1), run.resources.gpus or run.training.batch, run.training.batch)
        return [n for n in range(1, most + 1) if run.training.batch % n == 0]

    @cached_property
    def tables(self) -> dict[str, Table]:
        """Tables that this benchmark makes."""
        return dict(self.benchmark.tables)

    def table(self, name: str) -> Table:
        """Return the table `name`, or refuse with the nearest one."""
        if name not in self.tables:
            file = self.configs / f"benchmarks/{name}.yaml"
            remedy = (
                f"{file} makes it: add --configfile {file}"
                if file.exists()
                else f"{nearest(name, list(self.tables))} Its tables: {', '.join(self.tables)}"
            )
            raise ConfigError(f"table '{name}' is not in benchmark '{self.benchmark.benchmark}'. {remedy}")
        return self.tables[name]

    # -- data sets -----------------------------------------------------------------------------------------------

    def dataset(self, name: str) -> Dataset:
        """Return the settings of a data set."""
        return self._settings.dataset(name)

    def reads_files(self, name: str) -> bool:
        """Return whether a data set is made from files of the user's."""
        return self._settings.reads_files(name)

    def reference_split(self, name: str) -> str:
        """Return which split the metrics compare with: fresh images when procedural, else the training set."""
        return "reference" if self.dataset(name).data.reference else "train"

    def splits(self, name: str) -> list[str]:
        """Return the splits that `prepare` writes."""
        return ["train", "reference"] if self.dataset(name).data.reference else ["train"]

    def extractor(self, dataset: str, role: str) -> Extractor:
        """Return the settings of a feature network; `role` is metric or perceptual."""
        return self._settings.extractor(dataset, role)

    def trajectory_set(self, dataset: str, name: str) -> TrajectorySet:
        """Return the settings of a set of trajectories, whose teacher is found to exist."""
        if (dataset, name) not in self._sets:  # a set has thousands of shards, each of which asks
            found = self._settings.trajectory_set(dataset, name)
            self._bases.check_set(dataset, name)
            self._sets[dataset, name] = found
        return self._sets[dataset, name]

    def learned_from(self, dataset: str, method: str) -> dict[str, Any]:
        """Return the settings of the trajectories that a run learns from, as JSON values; none if from images."""
        kind, _, name = self.run(dataset, method).feed.partition("/")
        return self.trajectory_set(dataset, name).model_dump(mode="json") if kind == "trajectories" else {}

    # -- runs ----------------------------------------------------------------------------------------------------

    def run(self, dataset: str, method: str) -> Run:
        """Return the checked settings of a run whose bases exist. `method` is `group/name`, or a base."""
        name = named_base(method)[0]
        found = self._settings.run(dataset, name)
        if not name.startswith(f"{SHIPPED}/"):  # what a shipped student started from was there when it was trained
            self._bases.check(dataset, name)
        return found

    def run_layers(self, dataset: str, method: str) -> Layers:
        """Return the merged settings of a run with the origin of each value."""
        return self._settings.layers(dataset, method)

    def title(self, dataset: str, method: str) -> str:
        """Return the title of a run."""
        return self.run(dataset, method).title

    def base_weights(self, dataset: str, base: str) -> str:
        """Return the weights of a run that others start from: its seed 0, unless the base names another."""
        return self.layout.run(dataset, *named_base(base)).weights

    def start(self, dataset: str, method: str) -> Start | None:
        """Return which weights of which run a run starts from, or None: from fresh ones.

        Of shipped and released runs there are averaged weights alone, so that they stand in for the raw ones.
        """
        run = self.run(dataset, method)
        if not run.init:
            return None
        there = "averaged" if self.given(dataset, run.init) else run.init_weights
        return Start(run.init, there, run.init_weights)

    def shipped(self, dataset: str, what: str) -> str | None:
        """Return the name of the shipped weights that answer `what` on this data set, or None: it is trained."""
        if what.startswith(f"{SHIPPED}/"):
            return self.dataset(dataset).students.get(f"methods/{what.partition('/')[2]}")
        routes = {"methods": self.benchmark.teacher, "extractors": self.benchmark.extractors}
        if routes.get(what.split("/")[0]) != "shipped":
            return None
        return self.dataset(dataset).shipped.get(what)

    def student(self, dataset: str, method: str) -> str:
        """Return the run with shipped weights that takes a row of `method`, or `method` itself: it is trained."""
        known = self.dataset(dataset).students
        if self.benchmark.students == "train" or self.released(dataset, method) or method not in known:
            return method
        return f"{SHIPPED}/{method.partition('/')[2]}"

    def released(self, dataset: str, method: str) -> str | None:
        """Return the file of imported weights that answers a run or a base on this data set, or None."""
        return self.benchmark.released.get(dataset, {}).get(named_base(method)[0])

    def given(self, dataset: str, method: str) -> str | None:
        """Return the weights that stand for the training of a run or a base: released or shipped ones, or None."""
        return self.released(dataset, method) or self.shipped(dataset, method)

    def route(self, dataset: str, method: str) -> str:
        """Return how the weights of a run come to be, or those that it samples untrained.

        `released` by others, `shipped` with the package, or `train`.
        """
        run = self.run(dataset, method)
        if run.init and not run.training.steps:
            return self.route(dataset, run.init)
        if self.released(dataset, method):
            return "released"
        return "shipped" if self.shipped(dataset, method) else "train"

    def backbone(self, run: Run) -> WeightFile | PackagedFile | None:
        """Return the published network of a perceptual loss; None where there is none, or where it is trained here.

        No input of the training: its digest says which file it must be, wherever that lies and whenever it was fetched.
        """
        name = BACKBONES.get(run.perceptual_backbone) if run.perceptual else None
        if run.perceptual and run.perceptual_backbone == "effnet":
            return EFFNET
        return WEIGHTS[name] if name else None

    def trajectory_errors(self) -> dict[str, list[str]]:
        """Return the files of errors over time, one per seed, of the methods that the benchmark asks for."""
        dataset = self.study_dataset()
        return {
            method: [self.layout.run(dataset, method, seed).trajectory_error for seed in self.seeds]
            for method in self.benchmark.trajectory_errors
        }

    def may_diverge(self, method: str) -> bool:
        """Return whether the divergence of a run, given as group/name, is a result.

        That of an arm of a study may be one, and that of a row of which its table says so.
        """
        group = method.split("/")[0]
        if group in (*RUN_GROUPS, SHIPPED):
            return any(method in table.may_diverge for table in self.tables.values())
        return self.studies[group].results_of_divergence

    # -- studies -------------------------------------------------------------------------------------------------

    def study(self, name: str, kind: type[Settings]) -> Settings:
        """Return the settings of a study, as its section `kind`: its file in configs/studies, then the benchmark's."""
        return self._settings.study(name, kind)

    def study_dataset(self, own: str | None = None) -> str:
        """Return the data set of a study: the one that its section names, else the benchmark's."""
        return own or self.benchmark.dataset
