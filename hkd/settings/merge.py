"""From settings files to checked settings.

Settings of a run are merged in this order, later wins: the bodies of base, data set, method (parents first) and its
`per_dataset` section; then the `scales` sections of the same files; then the benchmark's `set` and `methods`. Of `set`
a run that learns from nothing takes no number of steps. Those of trajectories and extractors: their own files, then
the benchmark's `set_trajectories` or `set_extractors`, then its `trajectories`. Those of data sets: their own file,
then the benchmark's `data`. Those of studies: their own file, then the benchmark's `studies.{name}`. Those of runs
that only a study trains: see its `plan.py`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml

from hkd.settings.benchmark import Benchmark
from hkd.settings.fitting import checked_run
from hkd.settings.origins import ConfigError, Layers, Section, check, from_mapping, nearest, read_yaml, stems
from hkd.settings.sections import Dataset, Extractor, Run, Scale, TrajectorySet
from hkd.settings.yaml_text import TextError, from_json, spelled_out
from hkd.store.source import PACKAGE

BENCHMARKS = "benchmarks"  # the folder of benchmarks within configs
RELEASE = PACKAGE / "release"  # the workflow that a wheel carries; a checkout has none


def _configs() -> Path:
    """Return the folder of settings: the one that a workflow names to its jobs, or the first that there is.

    That is the one here, the release's, and that of the checkout which the package lies in: results may be elsewhere.
    """
    if named := os.environ.get("HKD_CONFIGS"):
        return Path(named)
    known = (Path("configs"), RELEASE / "configs", PACKAGE.parent / "configs")
    return next((folder for folder in known if (folder / BENCHMARKS).is_dir()), known[0])


CONFIGS = _configs()
DEFAULT = "embedded"  # the benchmark that the Snakefile starts from
RUN_GROUPS = ("methods", "ablations")
SHIPPED = "shipped"  # the group of students with shipped weights: `shipped/ecm` stands beside `methods/ecm`
FILE_GROUPS = ("extractors", "trajectories")
Study = TypeVar("Study", bound=Section)
StudyRuns = Callable[["Resolver", str, str], Layers]
_META = ("inherits", "scales", "per_dataset")
_ABSENT = object()


class Resolver:
    """The settings of everything that a benchmark names.

    Args:
        groups: of runs that only a study trains: group -> (resolver, data set, name) -> settings; None for others.
    Attributes:
        benchmark: the checked benchmark.
    Raises:
        ConfigError: settings that cannot be used.
    """

    def __init__(self, benchmark: Layers, configs: Path, groups: Callable[[str], StudyRuns | None]) -> None:
        _refuse_old_names(benchmark)
        self._configs, self._layers, self._groups = configs, benchmark, groups
        self.benchmark: Benchmark = check(Benchmark, benchmark)
        self._runs: dict[tuple[str, str], Run] = {}
        self._datasets: dict[str, Dataset] = {}

    def dataset(self, name: str) -> Dataset:
        """Return the settings of a data set: its file, `source` where it is the only one of images, then `data`."""
        if name not in self._datasets:
            self._datasets[name] = self._read_dataset(name)
        return self._datasets[name]

    def reads_files(self, name: str) -> bool:
        """Return whether a data set is made from files of the user's."""
        return reads_files(read_yaml(self._configs / f"datasets/{name}.yaml"))

    def run(self, dataset: str, method: str) -> Run:
        """Return the checked settings of a run. `method` is `group/name`, as in `methods/ecm`."""
        if (dataset, method) not in self._runs:
            self._runs[dataset, method] = checked_run(self.layers(dataset, method))
        return self._runs[dataset, method]

    def extractor(self, dataset: str, role: str) -> Extractor:
        """Return the settings of a feature network; `role` is metric or perceptual."""
        return check(Extractor, self.layers(dataset, f"extractors/{role}"))

    def trajectory_set(self, dataset: str, name: str) -> TrajectorySet:
        """Return the settings of a set of trajectories."""
        return check(TrajectorySet, self.layers(dataset, f"trajectories/{name}"))

    def study(self, name: str, kind: type[Study]) -> Study:
        """Return the settings of a study: its file in configs/studies, then the benchmark's `studies.{name}`."""
        return check(kind, self.study_layers(name))

    def layers(self, dataset: str, name: str) -> Layers:
        """Return the merged settings of `group/name` on a data set, with the origin of each value."""
        group, _, own = name.partition("/")
        method = group in RUN_GROUPS
        if not method and group not in FILE_GROUPS:
            if runs := self._groups(group):
                return runs(self, dataset, own)
            raise ConfigError(f"'{name}' is no method: methods are those of {' and '.join(RUN_GROUPS)}")
        scale = self.benchmark.scale
        chain = self._chain(name)
        if method:
            files = [read_yaml(self._configs / "base.yaml"), self._dataset_run(dataset), *chain]
        else:
            files = chain
        merged = Layers()
        for file in files:
            merged.put(file.without(*_META))
        for file in chain:
            merged.put(file.pick("per_dataset", dataset))
        for file in files:
            merged.put(file.pick("scales", scale))
        if method:
            merged.put(self._set(merged))
            merged.put(self._layers.pick("methods", own))
        else:
            merged.put(self._layers.pick(f"set_{group}"))
            if group == "trajectories":
                merged.put(self._layers.pick(group, own))
        return merged

    def _set(self, run: Layers) -> Layers:
        """Return the benchmark's settings of all runs; their length is none of those that learn from nothing."""
        found = self._layers.pick("set")
        training = found.values.get("training")
        # what is no number of steps stays, and is refused
        if run.values.get("feed") == "none" and isinstance(training, dict) and isinstance(training.get("steps"), int):
            del training["steps"]
        return found

    def study_layers(self, name: str) -> Layers:
        """Return the merged settings of a study, with the origin of each value."""
        layers = read_yaml(self._configs / f"studies/{name}.yaml")
        return layers.put(self._layers.pick("studies", name))

    def _chain(self, name: str) -> list[Layers]:
        file = read_yaml(self._configs / f"{name}.yaml")
        self._check_sections(file)
        parent = file.values.get("inherits")
        return [*(self._chain(str(parent)) if parent else []), file]

    def _check_sections(self, file: Layers) -> None:
        """Refuse a scale or a data set that does not exist: its section would silently never apply."""
        datasets = stems(self._configs / "datasets")
        for section, known in (("scales", list(get_args(Scale))), ("per_dataset", datasets)):
            for key in file.pick(section).values:
                if key not in known:
                    where = file.origin((section, key))
                    raise ConfigError(f"{where}: unknown key '{section}.{key}'. {nearest(key, known)}")

    def _dataset_run(self, dataset: str) -> Layers:
        """The part of a data set's file that speaks of runs: its `run` section as body, its `scales`."""
        file = read_yaml(self._configs / f"datasets/{dataset}.yaml")
        body = file.pick("run")
        scales = file.pick("scales")
        nested = Layers({"scales": scales.values}, {("scales", *p): w for p, w in scales.origins.items()})
        return body.put(nested)

    def _read_dataset(self, name: str) -> Dataset:
        layers = read_yaml(self._configs / f"datasets/{name}.yaml").without("run", "scales")
        if self.benchmark.source and reads_files(layers):
            self._check_source_is_clear()
            layers.put(from_mapping({"data": {"path": self.benchmark.source}}, "--config source"))
        own = self._layers.pick("data", name)
        if "path" in own.values and not reads_files(layers):
            raise ConfigError(
                f"{own.origin(('path',))}: data.{name}.path: '{name}' is drawn, not read from files; take the key out, "
                "or name a data set of files, as in data.images.path"
            )
        return check(Dataset, layers.put(nested("data", own)))

    def _check_source_is_clear(self) -> None:
        """Refuse `source` where it could mean the images of more than one data set."""
        used = sorted({table.dataset for table in self.benchmark.tables.values()} | {self.benchmark.dataset})
        files = self._configs / "datasets"
        named = [name for name in used if reads_files(read_yaml(files / f"{name}.yaml"))]
        if len(named) > 1:
            raise ConfigError(
                f"source = {self.benchmark.source!r}: this benchmark has images of {' and '.join(named)}; name the "
                f"path of each instead: --config data.{named[0]}.path=PATH (for Snakemake: "
                f"--config 'data={{{named[0]}: {{path: PATH}}}}')"
            )


def reads_files(dataset: Layers) -> bool:
    """Return whether a data set is made from files of the user's: it then has the key `data.path`."""
    return "path" in dataset.values.get("data", {})


def nested(key: str, layers: Layers) -> Layers:
    """Return layers as the section `key` of a larger file."""
    return Layers({key: layers.values}, {(key, *path): where for path, where in layers.origins.items()})


def benchmark_layers(path: Path, configs: Path = CONFIGS) -> Layers:
    """Return a benchmark with all that it inherits.

    It makes the tables that it states, each laid over its parent's of that name; one that states none makes its
    parent's.

    Raises:
        ConfigError: a file is missing or no benchmark, or two inherit each other.
    """
    return _inherited(path, configs, ())


def _inherited(path: Path, configs: Path, children: tuple[Path, ...]) -> Layers:
    file = read_yaml(path)
    if moved := file.values.get("moved"):
        raise ConfigError(f"{path}: moved to {moved}; name that file")
    _refuse_old_names(file)
    parent = file.values.get("inherits")
    if not parent:
        return file
    if path in children:
        circle = " inherits ".join(str(child) for child in (*children[children.index(path) :], path))
        raise ConfigError(f"{file.origin(('inherits',))}: {circle}; take one `inherits` out")
    beside = path.parent / f"{parent}.yaml"
    above = beside if beside.exists() else configs / BENCHMARKS / f"{parent}.yaml"
    return _over(_inherited(above, configs, (*children, path)), file)


def _over(parent: Layers, child: Layers) -> Layers:
    """Return a benchmark laid over its parent."""
    stated = child.values.get("tables")
    merged = parent.put(child)
    if isinstance(stated, Mapping) and stated:
        for name in [name for name in merged.values["tables"] if name not in stated]:
            del merged.values["tables"][name]
            merged.origins = {path: where for path, where in merged.origins.items() if path[:2] != ("tables", name)}
    return merged


def loaded_benchmark(source: str, overrides: Mapping[str, Any] | None, configs: Path) -> Layers:
    """Return a benchmark, given as a YAML path or as the JSON text that the workflow hands on, under overrides."""
    if source.lstrip().startswith("{"):
        try:
            found = from_json(source)
        except TextError as error:
            raise ConfigError(f"benchmark given as text: {error.why}") from None
        layers = _from_json(found, configs)
    else:
        layers = benchmark_layers(Path(source), configs)
    return layers.put(from_mapping(overrides or {}, "--config"))


def _from_json(found: Mapping[str, Any], configs: Path) -> Layers:
    """Return a benchmark that the workflow handed on, or the content of a file, with all that it inherits."""
    if found.keys() == {"values", "origins"}:
        try:
            return Layers(
                dict(found["values"]), {tuple(map(str, path)): str(where) for path, where in found["origins"]}
            )
        except (TypeError, ValueError):
            raise ConfigError("benchmark given as text: not what a workflow hands on; name its file instead") from None
    own = from_mapping(found, "benchmark given as text")
    parent = own.values.get("inherits")
    return _over(benchmark_layers(configs / BENCHMARKS / f"{parent}.yaml", configs), own) if parent else own


def handed_on(layers: Layers) -> str:
    """Return a benchmark as JSON text, for the jobs of a workflow: values, and where each was written."""
    origins = [[list(path), where] for path, where in sorted(layers.origins.items())]
    return json.dumps({"values": layers.values, "origins": origins})


def merged_benchmark(merged: Mapping[str, Any], files: Sequence[Path], configs: Path) -> Layers:
    """Return the benchmark of a workflow.

    Snakemake lays the files of `--configfile` over the default benchmark, key by key, and the values of `--config` over
    that; it knows of no parents between them. What differs from the files alone is therefore what `--config` said, and
    is laid over the last file with all that it inherits.

    Args:
        merged: Snakemake's config.
        files: of `--configfile`, in order; without any, the default benchmark.
    """
    default = configs / BENCHMARKS / f"{DEFAULT}.yaml"
    read = from_mapping({}, "")
    for file in (default, *files):
        read_yaml(file)  # within bounds, first
        read.put(from_mapping(yaml.safe_load(file.read_text(encoding="utf-8")) or {}, ""))
    layers = benchmark_layers(files[0] if files else default, configs)
    for file in files[1:]:
        layers = _over(layers, benchmark_layers(file, configs))
    return layers.put(_changed(from_mapping(merged, "--config"), read))


def _changed(layers: Layers, known: Layers) -> Layers:
    """Return the values of `layers` that `known` does not hold."""
    found = Layers()
    for path, where in layers.origins.items():
        value = _at(layers, path)
        if value != _at(known, path):
            value = _spelled_out(value, path)  # Snakemake leaves the numbers inside of a value as text
            for key in reversed(path):
                value = {key: value}
            found.put(Layers(value, {path: where}))
    return found


def _spelled_out(value: Any, path: tuple[str, ...]) -> Any:
    try:
        return spelled_out(value)
    except TextError as error:
        raise ConfigError(f"--config: {'.'.join(path)} {error.why}") from None


def _refuse_old_names(benchmark: Layers) -> None:
    """Refuse the names of earlier versions, with the new ones, and a parent that is named too late to be read."""
    if benchmark.origins.get(("inherits",)) == "--config":
        raise ConfigError("--config: inherits: a benchmark names its parent in its own file; name it by --benchmark")
    for old, new in (("profile", "benchmark"), ("moved_profile", "")):
        if old in benchmark.values:
            where, value = benchmark.origin((old,)), benchmark.values[old]
            remedy = f"key '{old}' is now '{new}'" if new else f"this profile moved; say --workflow-profile {value}"
            raise ConfigError(f"{where}: {remedy}; what configs/benchmarks holds is called a benchmark")


def _at(layers: Layers, path: tuple[str, ...]) -> Any:
    """Return the value at a path that was written as a leaf, or a mark that equals nothing else."""
    node: Any = layers.values
    for key in path:
        node = node.get(key, _ABSENT) if isinstance(node, Mapping) else _ABSENT
    return node if path in layers.origins else _ABSENT
