"""Which files the study of interpretability needs, and the digests of its parts. Loads no torch."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

from hkd.plan.code import code_digest
from hkd.plan.runs import HELD_OUT, Plan
from hkd.settings.origins import ConfigError, digest, nearest
from hkd.settings.studies import Interpretability, Spectrum

NAME = "interpretability"


@dataclass(frozen=True)
class Pair:
    """Two spectra to compare: of one run at two seeds, or of one seed from two initial operators."""

    run: str
    kind: str
    first: str
    second: str


class InterpretabilityPlan:
    """The lookups of the study within a plan."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.layout = plan, plan.layout
        self.dataset = plan.tables["table1"].dataset if "table1" in plan.tables else ""

    @property
    def study(self) -> Interpretability:
        """The checked settings."""
        return self.plan.study(NAME, Interpretability)

    @property
    def spectrum(self) -> Spectrum:
        """The checked settings of the bands."""
        return self.plan.study("spectrum", Spectrum)

    # -- files ---------------------------------------------------------------------------------------------------

    def spectra_file(self, seed: int = 0) -> str:
        """The analysis that the figure of the spectrum shows."""
        return f"{self._run(self.spectrum.run, seed)}/spectrum/spectrum.npz"

    def closure_files(self) -> dict[str, list[str]]:
        """Return the closure errors of every run, one file per seed."""
        return {run: self._files(run, f"{NAME}/closure.json") for run in self.study.closure}

    def factor_files(self) -> dict[str, dict[str, list[str]]]:
        """Return the tests of bands and factors of every run, by order, one file per seed."""
        orders = self.study.orders
        return {run: {o: self._files(run, f"{NAME}/factors-{o}.json") for o in orders} for run in self.study.factors}

    def agreement_file(self) -> str:
        """The agreement of spectra between seeds and initial operators."""
        return f"{self.layout.root}/{self.dataset}/{NAME}/agreement.json"

    def pairs(self) -> list[Pair]:
        """Return the spectra to compare, as weights files: all pairs of seeds, and both starts at each seed."""
        found, seeds = [], self.plan.seeds
        for run in self.study.spectra:
            weights = {seed: f"{self._run(run, seed)}/weights.safetensors" for seed in seeds}
            found += [Pair(run, "seeds", weights[a], weights[b]) for a, b in combinations(seeds, 2)]
            if other := self.study.initialisations.get(run):
                pairs = [(weights[seed], f"{self._run(other, seed)}/weights.safetensors") for seed in seeds]
                found += [Pair(run, "initial operators", *pair) for pair in pairs]
        return found

    def agreement_inputs(self) -> list[str]:
        """Return the weights of all runs whose spectra are compared."""
        return list(dict.fromkeys(path for pair in self.pairs() for path in (pair.first, pair.second)))

    def loss_files(self) -> dict[str, dict[str, list[str]]]:
        """Return metrics and errors over time, one file per seed, of the runs with and without the trajectory loss."""
        files = {"metrics": "metrics/nfe1.json", "errors": "metrics/trajectory_error.json"}
        return {run: {kind: self._files(run, file) for kind, file in files.items()} for run in self._loss_runs()}

    def inputs(self) -> list[str]:
        """Return every file that the table is made of."""
        files = [path for paths in self.closure_files().values() for path in paths]
        files += [path for orders in self.factor_files().values() for paths in orders.values() for path in paths]
        files += [path for kinds in self.loss_files().values() for paths in kinds.values() for path in paths]
        return [*files, self.agreement_file()]

    def trajectories(self) -> str:
        """The held-out trajectories."""
        return self.layout.trajectories(self.dataset, HELD_OUT)

    # -- digests: of the settings that each part reads, and of its code -----------------------------------------

    def spectrum_digest(self) -> str:
        """Return the digest of what defines an analysis, besides the weights."""
        settings = self.spectrum.model_dump(mode="json", exclude={"run", "shown", "batch"})
        return digest([settings, code_digest("hkd.studies.interpretability.bands_decoded", "hkd.experiment.build")])

    def closure_digest(self) -> str:
        """Return the digest of what defines closure errors, besides weights and trajectories."""
        study = self.study
        return digest(
            [
                study.trajectories,
                study.batch,
                code_digest("hkd.studies.interpretability.closure", "hkd.experiment.build"),
            ]
        )

    def factor_digest(self) -> str:
        """Return the digest of what defines the tests of bands and factors, besides weights."""
        settings = self.study.model_dump(mode="json", include={"pairs", "draws", "tolerance"})
        cuts = [self.spectrum.ascending, self.spectrum.edges]
        resize = self.plan.extractor(self.dataset, "metric").preprocessing
        code = (
            "hkd.studies.interpretability.bands_decoded",
            "hkd.studies.interpretability.factors",
            "hkd.studies.interpretability.reader",
            "hkd.experiment.build",
        )
        return digest([settings, cuts, resize, code_digest(*code, "hkd.metrics.features.preprocess")])

    def agreement_digest(self) -> str:
        """Return the digest of what defines the agreement, besides weights."""
        study = self.study
        settings = [study.orders, study.draws, [vars(pair) for pair in self.pairs()]]
        return digest([settings, code_digest("hkd.koopman.spectrum", "hkd.experiment.build")])

    def table_digest(self) -> str:
        """Return the digest of what defines the table, besides what it is made of."""
        return digest([*self._printed(), code_digest("hkd.studies.interpretability.findings")])

    def figure_digest(self) -> str:
        """Return the digest of what defines the figure, besides what it shows."""
        return digest([*self._printed(), code_digest("hkd.studies.interpretability.figure", "hkd.figures.save")])

    def spectrum_figure_digest(self) -> str:
        """Return the digest of what defines the figure of the spectrum, besides the arrays that it shows."""
        about = [self.title(self.spectrum.run), self.plan.dataset(self.dataset).title]
        return digest(
            [
                self.spectrum.model_dump(mode="json"),
                about,
                code_digest("hkd.studies.interpretability.spectrum_figure", "hkd.figures.save"),
            ]
        )

    def titles(self) -> dict[str, str]:
        """Return the titles of all runs that are named in the table."""
        study = self.study
        runs = (*study.closure, *study.spectra, *study.factors, *self._loss_runs())
        return {run: self.title(run) for run in runs}

    def title(self, run: str) -> str:
        """Return the title of a run."""
        return self.plan.run(self.dataset, run).title

    def check(self) -> InterpretabilityPlan:
        """Refuse runs that no config describes, and questions that name nothing to compare.

        Raises:
            ConfigError: naming the key.
        """
        study = self.study
        for key in ("closure", "spectra", "factors", "orders"):
            if not getattr(study, key):
                raise ConfigError(f"studies/{NAME}.yaml, {key}: is empty; name at least one")
        if self.spectrum.order_by not in study.orders:
            hint = nearest(self.spectrum.order_by, list(study.orders))
            raise ConfigError(
                f"studies/spectrum.yaml, order_by: '{self.spectrum.order_by}' is not among the orders of {NAME}. {hint}"
            )
        for key, compared in {"control": (study.control,), "initialisations": study.initialisations}.items():
            for run in compared:
                if run not in study.spectra:
                    hint = nearest(run, list(study.spectra))
                    raise ConfigError(f"studies/{NAME}.yaml, {key}: '{run}' is not among its spectra. {hint}")
        named = {"closure": study.closure, "spectra": study.spectra, "factors": study.factors}
        named["initialisations"] = (*study.initialisations, *study.initialisations.values())
        for key in ("trajectory_loss", "equal_steps", "equal_compute", "control"):
            named[key] = (getattr(study, key),)
        for key, runs in named.items():
            for run in runs:
                try:
                    self.plan.run(self.dataset, run)
                except ConfigError as error:
                    raise ConfigError(f"studies/{NAME}.yaml, {key}: '{run}' is no run ({error})") from None
        return self

    def _printed(self) -> list[object]:
        """Return what table and figure say besides what was measured."""
        about = [self.titles(), self.plan.dataset(self.dataset).title, self.spectrum.order_by]
        return [self.study.model_dump(mode="json"), *about, list(self.plan.seeds)]

    def _loss_runs(self) -> tuple[str, ...]:
        study = self.study
        return (study.trajectory_loss, study.equal_steps, study.equal_compute)

    def _run(self, run: str, seed: int) -> str:
        return self.layout.run(self.dataset, run, seed)

    def _files(self, run: str, file: str) -> list[str]:
        return [f"{self._run(run, seed)}/{file}" for seed in self.plan.seeds]
