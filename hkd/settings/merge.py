"""From settings files to checked settings.

Settings of a run are merged in this order, later wins: the bodies of base, data set, method (parents first) and its
`per_dataset` section; then the `scales` sections of the same files; then the profile's `set` and `methods`. Those of
trajectories and extractors: their own files, then the profile's `set_trajectories` or `set_extractors`, then its
`trajectories`. Those of studies: their own files, then the profile's `studies.{name}`. Those of a run of the ambiguity
audit: the centre's, then the study's `set`, then the variation's. Those of a run of the matched comparison: the
method's, then the study's `set`, then its line in the study's `methods`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import create_model

from hkd.nets.presets import NetworkConfig
from hkd.settings.origins import ConfigError, Layers, Section, check, from_mapping, nearest, read_yaml
from hkd.settings.sections import PARTS, Dataset, Extractor, Profile, Run, Scale, TrajectorySet
from hkd.settings.signatures import constructor_arguments
from hkd.settings.studies import Ambiguity, Budget

CONFIGS = Path("configs")
DEFAULT = "embedded"  # the profile that the Snakefile starts from
RUN_GROUPS = ("methods", "ablations")
AUDIT = "audit"  # the group of runs that the study `ambiguity` makes; they have no files of their own
BUDGET = "budget"  # likewise, of the study `budget`
Study = TypeVar("Study", bound=Section)
_META = ("inherits", "scales", "per_dataset")
_ABSENT = object()


class Resolver:
    """The settings of everything that a profile names.

    Attributes:
        profile: the checked profile.
    Raises:
        ConfigError: settings that cannot be used.
    """

    def __init__(self, profile: Layers, configs: Path) -> None:
        self._configs, self._profile_layers = configs, profile
        self.profile: Profile = check(Profile, profile)
        self._runs: dict[tuple[str, str], Run] = {}
        self._datasets: dict[str, Dataset] = {}

    def dataset(self, name: str) -> Dataset:
        """Return the settings of a data set; the profile's `source` is the path of one made of images."""
        if name not in self._datasets:
            self._datasets[name] = self._read_dataset(name)
        return self._datasets[name]

    def run(self, dataset: str, method: str) -> Run:
        """Return the checked settings of a run. `method` is `group/name`, as in `methods/ecm`."""
        if (dataset, method) not in self._runs:
            layers = self.layers(dataset, method)
            run = check(Run, layers)
            run = run.model_copy(update={"params": self._checked_params(run, layers)})
            self._check_network(layers)
            self._check_augmentation(run, layers)
            self._runs[dataset, method] = run
        return self._runs[dataset, method]

    def extractor(self, dataset: str, role: str) -> Extractor:
        """Return the settings of a feature network; `role` is metric or perceptual."""
        return check(Extractor, self.layers(dataset, f"extractors/{role}"))

    def trajectory_set(self, dataset: str, name: str) -> TrajectorySet:
        """Return the settings of a set of trajectories."""
        return check(TrajectorySet, self.layers(dataset, f"trajectories/{name}"))

    def study(self, name: str, kind: type[Study]) -> Study:
        """Return the settings of a study: its file in configs/studies, then the profile's `studies.{name}`."""
        return check(kind, self._study_layers(name))

    def layers(self, dataset: str, name: str) -> Layers:
        """Return the merged settings of `group/name` on a data set, with the origin of each value."""
        if name.split("/")[0] == AUDIT:
            return self._audit_layers(dataset, name.split("/")[1])
        if name.split("/")[0] == BUDGET:
            return self._budget_layers(dataset, name.split("/")[1])
        method = name.split("/")[0] in RUN_GROUPS
        scale = self.profile.scale
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
            merged.put(self._profile_layers.pick("set"))
            merged.put(self._profile_layers.pick("methods", name.split("/")[1]))
        else:
            group, _, own = name.partition("/")
            merged.put(self._profile_layers.pick(f"set_{group}"))
            if group == "trajectories":
                merged.put(self._profile_layers.pick(group, own))
        return merged

    def _study_layers(self, name: str) -> Layers:
        layers = read_yaml(self._configs / f"studies/{name}.yaml")
        return layers.put(self._profile_layers.pick("studies", name))

    def _audit_layers(self, dataset: str, name: str) -> Layers:
        """Return the settings of an arm of the ambiguity audit: the centre, or one of its variations."""
        study, layers = self.study("ambiguity", Ambiguity), self._study_layers("ambiguity")
        merged = self.layers(dataset, study.centre).put(layers.pick("set"))
        if name == "centre":
            return merged
        known = [other for other, variation in study.variations.items() if variation.set]
        if name not in known:
            raise ConfigError(f"{AUDIT}/{name}: the study 'ambiguity' runs no such variation. {nearest(name, known)}")
        for step in (study.variations[name].against, name):
            merged.put(layers.pick("variations", step, "set"))
        return merged

    def _budget_layers(self, dataset: str, name: str) -> Layers:
        """Return the settings of a method in the matched comparison."""
        known = self.study("budget", Budget).methods
        if name not in known:
            raise ConfigError(
                f"{BUDGET}/{name}: the study 'budget' compares no such method. {nearest(name, list(known))}"
            )
        layers = self._study_layers("budget")
        merged = self.layers(dataset, f"methods/{name}").put(layers.pick("set"))
        return merged.put(layers.pick("methods", name))

    def _chain(self, name: str) -> list[Layers]:
        file = read_yaml(self._configs / f"{name}.yaml")
        self._check_sections(file)
        parent = file.values.get("inherits")
        return [*(self._chain(str(parent)) if parent else []), file]

    def _check_sections(self, file: Layers) -> None:
        """Refuse a scale or a data set that does not exist: its section would silently never apply."""
        datasets = [path.stem for path in (self._configs / "datasets").glob("*.yaml")]
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

    def _checked_params(self, run: Run, layers: Layers) -> dict[str, Any]:
        """Return `params` as the types of the target's constructor, before anything is loaded or trained."""
        taken = {k: t for k, t in constructor_arguments(run.target).items() if k not in PARTS}
        fields: dict[str, Any] = {name: (kind, ...) for name, kind in taken.items()}
        model = create_model("params", __base__=Section, **fields)
        return check(model, _Named(layers.pick("params"), layers)).model_dump()

    def _check_network(self, layers: Layers) -> None:
        section = layers.pick("network")
        known = [field.name for field in fields(NetworkConfig)]
        for key in section.values:
            if key not in known:
                where = layers.origin(("network", key))
                raise ConfigError(f"{where}: unknown key 'network.{key}'. {nearest(key, known)}")
        required = [f.name for f in fields(NetworkConfig) if f.default is MISSING and f.name not in section.values]
        if required:
            where = layers.origin(("network",))
            lines = [f"{where}: key 'network.{key}' is missing; add it, or choose another scale" for key in required]
            raise ConfigError("\n".join(lines))
        try:
            network = NetworkConfig(**section.values)
        except (TypeError, ValueError) as error:
            key = str(error).split(":")[0].removeprefix("network.")
            raise ConfigError(f"{layers.origin(('network', key))}: {error}") from None
        stated = layers.pick("params").values.get("sigma_data", network.sigma_data)
        if stated != network.sigma_data:
            raise ConfigError(
                f"{layers.origin(('params', 'sigma_data'))}: params.sigma_data is {stated}, but the network is built "
                f"with network.sigma_data {network.sigma_data}; make them equal"
            )

    def _check_augmentation(self, run: Run, layers: Layers) -> None:
        if run.params.get("augment") and run.training.flip:
            raise ConfigError(
                f"{layers.origin(('training', 'flip'))}: training.flip is true, but params.augment "
                f"{run.params['augment']:g} mirrors images already and tells the network; set training.flip to false"
            )

    def _read_dataset(self, name: str) -> Dataset:
        layers = read_yaml(self._configs / f"datasets/{name}.yaml").without("run", "scales")
        if self.profile.source and layers.values.get("data", {}).get("kind") == "images":
            layers.put(from_mapping({"data": {"path": self.profile.source}}, "--config source"))
        return check(Dataset, layers)


def profile_layers(path: Path) -> Layers:
    """Return a profile with what it inherits."""
    file = read_yaml(path)
    parent = file.values.get("inherits")
    if not parent:
        return file
    return profile_layers(path.parent / f"{parent}.yaml").put(file)


def loaded_profile(source: str, overrides: Mapping[str, Any] | None, configs: Path) -> Layers:
    """Return a profile given as a YAML path, or as the JSON text that the workflow hands on, with overrides on top."""
    if source.lstrip().startswith("{"):
        try:
            layers = merged_profile(json.loads(source), configs)
        except json.JSONDecodeError as error:
            raise ConfigError(f"profile given as text: not valid JSON ({error})") from None
    else:
        layers = profile_layers(Path(source))
    return layers.put(from_mapping(overrides or {}, "--config"))


def merged_profile(merged: Mapping[str, Any], configs: Path) -> Layers:
    """Return a profile that Snakemake merged: values that its file holds keep their origin there.

    Snakemake lays a profile over the default one and knows of no parent between them, so that is put in here. Of a
    profile outside `configs`, a value that repeats the default's against a parent's cannot be told from the default's.
    """
    file = configs / f"{merged.get('profile')}.yaml"
    known = profile_layers(file) if file.exists() else Layers()
    layers = from_mapping(merged, "--config")
    parent = merged.get("inherits")
    if parent and parent != DEFAULT:
        own = read_yaml(file) if file.exists() else Layers()
        below = profile_layers(configs / f"{parent}.yaml")
        layers = below.put(own).put(_changed(layers, read_yaml(configs / f"{DEFAULT}.yaml").put(own)))
    same = {path: known.origins[path] for path in layers.origins if _at(known, path) == _at(layers, path)}
    layers.origins.update(same)
    return layers


def _changed(layers: Layers, known: Layers) -> Layers:
    """Return the values of `layers` that `known` does not hold."""
    found = Layers()
    for path, where in layers.origins.items():
        value = _at(layers, path)
        if value != _at(known, path):
            for key in reversed(path):
                value = {key: value}
            found.put(Layers(value, {path: where}))
    return found


class _Named(Layers):
    """The `params` section, whose errors name the key within the whole file."""

    def __init__(self, section: Layers, whole: Layers) -> None:
        super().__init__(section.values, section.origins)
        self._whole = whole

    def origin(self, path: tuple[str, ...]) -> str:
        return self._whole.origin(("params", *path))


def _at(layers: Layers, path: tuple[str, ...]) -> Any:
    """Return the value at a path that was written as a leaf, or a mark that equals nothing else."""
    node: Any = layers.values
    for key in path:
        node = node.get(key, _ABSENT) if isinstance(node, Mapping) else _ABSENT
    return node if path in layers.origins else _ABSENT
