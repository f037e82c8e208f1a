"""Which runs exist, what each needs and what names its settings: the run table behind the workflow.

Loads neither torch nor pandas, so that the workflow starts in a moment.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from hkd.plan.code import code_digest
from hkd.plan.rows import Row
from hkd.settings.merge import CONFIGS, RUN_GROUPS, Resolver, Study, loaded_profile, merged_profile
from hkd.settings.origins import ConfigError, Layers, Section, digest, nearest, read_yaml
from hkd.settings.sections import Dataset, Extractor, Run, Table, TrajectorySet
from hkd.settings.studies import SECTIONS
from hkd.store.paths import Layout
from hkd.store.published import BACKBONES, WEIGHTS, WeightFile, present
from hkd.store.shipped import shipped_digest

SOLVED_BY = ("hkd.diffusion.ode", "hkd.diffusion.schedules", "hkd.data.trajectories", "hkd.experiment.build")
DRAWN_BY = {"shapes": "hkd.data.shapes", "images": "hkd.data.sources"}
HELD_OUT = "edm-heldout"  # the trajectories that no method trains on
FIGURES = {"bars": "ablations", "samples": "samples"}
_NOT_TRAINING = ("title", "category", "sampling", "weights_folder", "resources")


class Plan:
    """The resolved profile and everything that follows from it.

    Raises:
        ConfigError: the profile, or any run in its tables, has settings that cannot be used.
    """

    def __init__(self, profile: Layers, configs: Path = CONFIGS) -> None:
        self._configs = configs
        self._settings = Resolver(profile, configs)
        self.profile = self._settings.profile
        self.layout = Layout(self.profile.results)

    @classmethod
    def load(cls, source: str, overrides: Mapping[str, Any] | None = None, configs: Path = CONFIGS) -> Plan:
        """Return the plan of a profile given as a YAML path or as the JSON text that the workflow hands on."""
        return cls(loaded_profile(source, overrides, configs), configs)

    @classmethod
    def of(cls, merged: Mapping[str, Any], configs: Path = CONFIGS) -> Plan:
        """Return the plan of a profile that was merged elsewhere."""
        return cls(merged_profile(merged, configs), configs)

    def check(self) -> Plan:
        """Check every run of every table, and return the plan.

        Raises:
            ConfigError: all that is wrong with the first run that is.
            ArtifactError: a published network that a training needs is absent.
        """
        self._check_names()
        for name, table in self.tables.items():
            self.extractor(table.dataset, "metric")
            for row in self.rows(name):
                if row.method:
                    run = self.run(table.dataset, row.method)
                    if run.sampling.n_samples < self.profile.samples_shown:
                        raise ConfigError(
                            f"samples_shown = {self.profile.samples_shown}, but {row.method} draws "
                            f"{run.sampling.n_samples} images; show fewer, or draw more (sampling.n_samples)"
                        )
                    if run.perceptual and run.perceptual_backbone == "cnn":
                        self.extractor(table.dataset, "perceptual")
                    if weights := self._backbone(run):  # said before hours of what comes before it
                        present(Path(run.weights_folder) / weights.filename, weights)
                    if run.feed.startswith("trajectories/"):
                        self.trajectory_set(table.dataset, run.feed.split("/")[1])
        return self

    def _check_names(self) -> None:
        """Refuse names in the profile that mean nothing: a mistyped row would silently not run."""
        methods = [path.stem for group in RUN_GROUPS for path in (self._configs / group).glob("*.yaml")]
        for name in self.profile.methods:
            if name not in methods:
                raise ConfigError(f"profile, methods: there is no method '{name}'. {nearest(name, methods)}")
        for section, given in (("trajectories", self.profile.trajectories), ("studies", self.profile.studies)):
            known = [path.stem for path in (self._configs / section).glob("*.yaml")]
            for name in given:
                if name not in known:
                    raise ConfigError(f"profile, {section}: there is no '{name}'. {nearest(name, known)}")
        for name in self.profile.studies:
            self.study(name, SECTIONS[name])
        for name in self.profile.trajectories:
            for table in self.tables.values():
                self.trajectory_set(table.dataset, name)
        for name, table in self.tables.items():
            printed = [item["run"] for item in self._printed(table)]
            for method in table.run or ():
                if method not in printed:
                    raise ConfigError(f"tables.{name}.run: '{method}' is no printed row. {nearest(method, printed)}")
        for method in self.profile.trajectory_errors:
            self.run(self.tables["table1"].dataset, method)

    # -- what there is -------------------------------------------------------------------------------------------

    @property
    def seeds(self) -> range:
        """Seeds of every row."""
        return range(self.profile.seeds)

    @cached_property
    def tables(self) -> dict[str, Table]:
        """Tables that this profile makes."""
        return dict(self.profile.tables)

    def table(self, name: str) -> Table:
        """Return the table `name`, or refuse with the nearest one."""
        if name not in self.tables:
            file = self._configs / f"{name}.yaml"
            remedy = f"{file} makes it: add --configfile {file}" if file.exists() else nearest(name, list(self.tables))
            raise ConfigError(f"table '{name}' is not in profile '{self.profile.profile}'. {remedy}")
        return self.tables[name]

    def rows(self, name: str) -> list[Row]:
        """Return the rows of a table in the paper's order, then our extra ones."""
        table = self.table(name)
        return [*self._reported_rows(table), *self._extra_rows(table)]

    def cells(self, name: str) -> Iterator[tuple[Row, list[str]]]:
        """Yield each row of a table with the metrics files, one per seed, that answer it."""
        dataset = self.table(name).dataset
        for row in self.rows(name):
            seeds = self.seeds if row.method else []
            yield row, [f"{self.layout.run(dataset, str(row.method), s)}/metrics/nfe{row.nfe}.json" for s in seeds]

    def metrics(self, name: str) -> list[str]:
        """Return every metrics file that a table needs."""
        return list(dict.fromkeys(path for _, paths in self.cells(name) for path in paths))

    def samples(self, name: str) -> list[str]:
        """Return the samples of the first seed of every row, for the figure that shows them side by side."""
        found = (paths[0] for _, paths in self.cells(name) if paths)
        return list(dict.fromkeys(p.replace("/metrics/", "/samples/").removesuffix("json") + "npz" for p in found))

    def table_digest(self, name: str) -> str:
        """Return the digest of what defines a table besides its metrics files."""
        return digest([self._printed_side(name), code_digest("hkd.report.tables")])

    def _printed_side(self, name: str) -> list[Any]:
        """Return what stands in a table or figure that was not measured: titles, printed rows, the paper."""
        table = self.table(name)
        titles = [self.run(table.dataset, row.method).title for row in self.rows(name) if row.method]
        rows = [vars(row) for row in self.rows(name)]
        paper = read_yaml(self._configs / f"reported/{table.reported}.yaml").values
        return [rows, titles, paper, self.dataset(table.dataset).title]

    def figure_digest(self, kind: str, table: str) -> str:
        """Return the digest of what defines a figure of a table besides the files that it draws."""
        code = code_digest(f"hkd.figures.{FIGURES[kind]}", "hkd.figures.save")
        return digest([self._printed_side(table), self.profile.samples_shown, code])

    def trajectory_errors(self) -> dict[str, list[str]]:
        """Return the files of errors over time, one per seed, of the methods that the profile asks for."""
        dataset = self.tables["table1"].dataset
        return {
            method: [f"{self.layout.run(dataset, method, s)}/metrics/trajectory_error.json" for s in self.seeds]
            for method in self.profile.trajectory_errors
        }

    # -- data sets -----------------------------------------------------------------------------------------------

    def dataset(self, name: str) -> Dataset:
        """Return the settings of a data set."""
        return self._settings.dataset(name)

    def data_digest(self, name: str) -> str:
        """Return the digest of what defines the images of a data set."""
        data = self.dataset(name).data
        return digest([data.model_dump(), code_digest(DRAWN_BY[data.kind]), self._source_listing(data.path)])

    def source_files(self, name: str) -> list[str]:
        """Return the file that a data set is made from, so that another content at the same path is noticed."""
        path = self.dataset(name).data.path
        return [path] if path and Path(path).is_file() else []

    def _source_listing(self, path: str | None) -> list[list[object]]:
        """Return names, sizes and times of a folder of images: what changes when its content does."""
        folder = Path(path) if path else None
        if folder is None or not folder.is_dir():
            return []
        files = sorted(p for p in folder.rglob("*") if p.is_file())
        return [[str(p.relative_to(folder)), p.stat().st_size, p.stat().st_mtime_ns] for p in files]

    def reference_split(self, name: str) -> str:
        """Return which split the metrics compare with: fresh images when procedural, else the training set."""
        return "reference" if self.dataset(name).data.reference else "train"

    def splits(self, name: str) -> list[str]:
        """Return the splits that `prepare` writes."""
        return ["train", "reference"] if self.dataset(name).data.reference else ["train"]

    def extractor(self, dataset: str, role: str) -> Extractor:
        """Return the settings of a feature network; `role` is metric or perceptual."""
        return self._settings.extractor(dataset, role)

    def extractor_needs(self, dataset: str, role: str) -> list[str]:
        """Return the files that the training of a feature network reads."""
        return (
            []
            if self.shipped(dataset, f"extractors/{role}")
            else [f"{self.layout.data(dataset, 'train')}/manifest.json"]
        )

    def extractor_digest(self, dataset: str, role: str) -> str:
        """Return the digest of what defines the weights of a feature network."""
        if shipped := self.shipped(dataset, f"extractors/{role}"):
            return digest(["shipped", shipped_digest(shipped)])
        settings = self.extractor(dataset, role).model_dump()
        return digest([settings | {"title": ""}, code_digest("hkd.data.tasks", "hkd.nets.cnn", "hkd.training.loop")])

    def trajectory_set(self, dataset: str, name: str) -> TrajectorySet:
        """Return the settings of a set of trajectories."""
        return self._settings.trajectory_set(dataset, name)

    def trajectory_teacher(self, dataset: str, name: str) -> str:
        """Return the weights whose probability-flow ODE a set of trajectories solves."""
        return self.base_weights(dataset, self.trajectory_set(dataset, name).teacher)

    def shards(self, dataset: str, name: str) -> list[str]:
        """Return the shards of a set of trajectories."""
        folder = self.layout.trajectories(dataset, name)
        return [f"{folder}/shard{number}.npy" for number in range(self.trajectory_set(dataset, name).shards)]

    def trajectory_digest(self, dataset: str, name: str) -> str:
        """Return the digest of what defines the trajectories."""
        spec = self.trajectory_set(dataset, name)
        code = list(SOLVED_BY)
        if spec.solver in ("sampler", "adaptive"):
            code.append(self.run(dataset, spec.teacher).target.rpartition(".")[0])
        return digest([spec.model_dump(exclude_defaults=True) | {"title": ""}, code_digest(*code)])

    # -- runs ----------------------------------------------------------------------------------------------------

    def run(self, dataset: str, method: str) -> Run:
        """Return the checked settings of a run. `method` is `group/name`, as in `methods/ecm`."""
        return self._settings.run(dataset, method)

    def run_layers(self, dataset: str, method: str) -> Layers:
        """Return the merged settings of a run with the origin of each value."""
        return self._settings.layers(dataset, method)

    def shipped(self, dataset: str, what: str) -> str | None:
        """Return the name of the shipped weights that answer `what` on this data set, or None: it is trained."""
        routes = {"methods": self.profile.teacher, "extractors": self.profile.extractors}
        if routes.get(what.split("/")[0]) != "shipped":
            return None
        return self.dataset(dataset).shipped.get(what)

    def route(self, dataset: str, method: str) -> str:
        """Return `shipped` or `train`: how the weights of a run come to be, or those that it samples untrained."""
        run = self.run(dataset, method)
        if run.init and not run.training.steps:
            return self.route(dataset, run.init)
        return "shipped" if self.shipped(dataset, method) else "train"

    def train_digest(self, dataset: str, method: str) -> str:
        """Return the digest of what defines the weights of a run: settings of other stages do not count."""
        run = self.run(dataset, method)
        settings = {k: v for k, v in run.model_dump().items() if k not in _NOT_TRAINING}
        if not run.training.milestones:
            del settings["training"]["milestones"]
        if shipped := self.shipped(dataset, method):
            # the network must still be built to read the weights, and the parameters still steer the sampler
            settings = {
                "shipped": shipped_digest(shipped),
                "network": settings["network"],
                "params": settings["params"],
            }
        elif (weights := self._backbone(run)) is not None:
            settings["perceptual_weights"] = weights.sha256
        return digest(settings)

    def _backbone(self, run: Run) -> WeightFile | None:
        """Return the published network of a perceptual loss; None of a run that has none, or whose the workflow trains.

        No input of the training: its digest says which file it must be, wherever that lies and whenever it was fetched.
        """
        name = BACKBONES.get(run.perceptual_backbone) if run.perceptual else None
        return WEIGHTS[name] if name else None

    def train_code(self, dataset: str, method: str) -> str:
        """Return the digest of the code that defines the weights of a run."""
        target = self.run(dataset, method).target.rpartition(".")[0]
        used = ["hkd.nets.presets"]
        if not self.shipped(dataset, method):
            used += ["hkd.training.loop", "hkd.experiment.build"]
            used += ["hkd.nets.cnn"] if self.run(dataset, method).perceptual else []
        return code_digest(target, *used)

    def sample_digest(self, dataset: str, method: str) -> str:
        """Return the digest of what defines the samples, besides weights, seed and nfe."""
        run = self.run(dataset, method)
        settings: list[Any] = [
            run.sampling.n_samples,
            code_digest(run.target.rpartition(".")[0], "hkd.experiment.build"),
        ]
        if run.params.get("corrector_norms") == "batch":
            settings.append(run.sampling.batch)  # of all samplers, the only one whose images depend on their batch
        return digest(settings)

    def needs(self, dataset: str, method: str) -> list[str]:
        """Return the files that the training of a run reads."""
        if self.shipped(dataset, method):
            return []
        run, layout = self.run(dataset, method), self.layout
        files = [f"{layout.data(dataset, 'train')}/manifest.json"]
        if run.feed.startswith("trajectories/"):
            files.append(f"{layout.trajectories(dataset, run.feed.split('/')[1])}/manifest.json")
        files += [self.base_weights(dataset, base) for base in (run.init, run.teacher) if base]
        if run.perceptual and run.perceptual_backbone == "cnn":
            files.append(layout.extractor(dataset, "perceptual"))
        return list(dict.fromkeys(files))

    def study(self, name: str, kind: type[Study]) -> Study:
        """Return the settings of a study of configs/studies, as the section `kind` of `hkd.settings.studies`."""
        return self._settings.study(name, kind)

    def study_digest(self, name: str, kind: type[Section], *modules: str) -> str:
        """Return the digest of a study's settings and of the modules that carry it out."""
        return digest([self.study(name, kind).model_dump(mode="json"), code_digest(*modules)])

    def metrics_code(self) -> str:
        """Return the digest of the code that turns images into numbers."""
        return code_digest(
            "hkd.studies.calibration.calibrate",
            "hkd.metrics.features.inception",
            "hkd.metrics.features.vit",
            "hkd.nets.cnn",
        )

    def gpus(self) -> int:
        """Return how many GPUs a job asks for: 0 on the CPU default."""
        return self.profile.gpus

    def base_weights(self, dataset: str, base: str) -> str:
        """Return the weights of a run that others start from: always its seed 0."""
        return f"{self.layout.run(dataset, base, 0)}/weights.safetensors"

    def _reported_rows(self, table: Table) -> list[Row]:
        rows = []
        for item in self._printed(table):
            asked = table.run is None or item["run"] in table.run
            method = item["run"] if asked and (self._configs / f"{item['run']}.yaml").exists() else None
            rows.append(Row(item["category"], item["method"], item["nfe"], method, item["fid"], item.get("note", "")))
        return rows

    def _printed(self, table: Table) -> list[dict[str, Any]]:
        path = self._configs / f"reported/{table.reported}.yaml"
        tables = read_yaml(path).values.get("tables", {})
        if table.rows not in tables:
            raise ConfigError(f"{path}: no table '{table.rows}'. {nearest(table.rows, list(tables))}")
        return list(tables[table.rows]["rows"])

    def _extra_rows(self, table: Table) -> list[Row]:
        rows = []
        for method in table.extra:
            run = self.run(table.dataset, method)
            rows += [Row(run.category, run.title, nfe, method, None) for nfe in run.sampling.nfe]
        return rows
