"""Which files editing, restoration, states over time and stability need and leave, and their digests. No torch."""

from __future__ import annotations

from hkd.plan.code import code_digest
from hkd.plan.runs import Plan
from hkd.settings.merge import CONFIGS
from hkd.settings.origins import ConfigError, digest, read_yaml
from hkd.settings.studies import Editing, Inpainting, Stability, StatesOverTime
from hkd.studies.stability.table import PrintedRow

CARRIED_OUT_BY = {
    "editing": "hkd.studies.editing.blend",
    "inpainting": "hkd.studies.inpainting.restore",
    "trajectories": "hkd.diffusion.ode",
    "stability": "hkd.metrics.measure",
}
DRAWN_IN = {"editing": "editing", "inpainting": "inpainting", "trajectories": "states", "stability": "stability"}
LEAVES = {
    "editing": "editing/editing.npz",
    "inpainting": "inpainting/inpainting.npz",
    "trajectories": "trajectories/states.npz",
    "stability": "metrics/stability.json",
}


class ApplicationPlan:
    """The lookups of these studies within a plan."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.layout = plan, plan.layout
        self.dataset = plan.tables["table1"].dataset if "table1" in plan.tables else ""

    @property
    def editing(self) -> Editing:
        """The checked settings of editing."""
        return self.plan.study("editing", Editing)

    @property
    def inpainting(self) -> Inpainting:
        """The checked settings of inpainting and colourisation."""
        return self.plan.study("inpainting", Inpainting)

    @property
    def states(self) -> StatesOverTime:
        """The checked settings of states over time."""
        return self.plan.study("trajectories", StatesOverTime)

    @property
    def stability(self) -> Stability:
        """The checked settings of stability."""
        return self.plan.study("stability", Stability)

    def digest(self, name: str) -> str:
        """Return the digest of a study's settings, of those it takes from elsewhere, and of the code."""
        settings: list[object] = [self._settings(name).model_dump()]
        if name == "stability":
            run = self.run_of(name)
            nfe = self.plan.run(self.dataset, run).sampling.nfe[0]
            settings += [self.plan.sample_digest(self.dataset, run), nfe]
        if name == "trajectories":
            settings.append(self.plan.trajectory_digest(self.dataset, self.states.trajectories))
        return digest([*settings, code_digest(CARRIED_OUT_BY[name], "hkd.experiment.build")])

    def file(self, name: str, seed: int = 0) -> str:
        """Return what a study leaves of the run that its figure shows."""
        return f"{self.layout.run(self.dataset, self.run_of(name), seed)}/{LEAVES[name]}"

    def stability_files(self) -> list[str]:
        """Return the qualities over training of the run, one file per seed."""
        return [self.file("stability", seed) for seed in self.plan.seeds]

    def images(self, dataset: str) -> str:
        """Return the folder of the images that restoration starts from: held-out ones where there are any."""
        return self.layout.data(dataset, self.plan.reference_split(dataset))

    def teacher(self, dataset: str) -> str:
        """Return the weights whose trajectories are shown."""
        return self.plan.trajectory_teacher(dataset, self.states.trajectories)

    def printed(self) -> list[PrintedRow]:
        """Return what the paper printed of its stability, in its order."""
        path = CONFIGS / f"reported/{self.plan.table('table1').reported}.yaml"
        table = read_yaml(path).values.get("tables", {}).get("table5")
        return [PrintedRow(**row) for row in table["rows"]] if table else []

    def stability_digest(self) -> str:
        """Return the digest of what defines the table of stability besides its inputs."""
        printed = [vars(row) for row in self.printed()]
        return digest([printed, self.stability.model_dump(), code_digest("hkd.studies.stability.table")])

    def figure_digest(self, name: str) -> str:
        """Return the digest of what defines a figure besides the files that it draws."""
        code = code_digest(f"hkd.studies.{DRAWN_IN[name]}.figure", "hkd.figures.save")
        shown: list[object] = [self.plan.dataset(self.dataset).title, code]
        return digest([*shown, self._settings(name).model_dump()])

    def framework_digest(self, dataset: str, method: str) -> str:
        """Return the digest of what defines the diagram of a run's network."""
        run, code = (
            self.plan.run(dataset, method),
            code_digest("hkd.studies.framework.figure", "hkd.studies.framework.outline"),
        )
        return digest([run.title, run.network, run.params, self.plan.dataset(dataset).model_dump(), code])

    def run_of(self, name: str) -> str:
        """Return the run that a study's figure shows."""
        return self._settings(name).run

    def _settings(self, name: str) -> Editing | Inpainting | StatesOverTime | Stability:
        if name == "editing":
            return self.editing
        if name == "inpainting":
            return self.inpainting
        return self.states if name == "trajectories" else self.stability


def check_levels(name: str, levels: list[float], low: float, high: float) -> None:
    """Refuse noise levels outside of those between which a run moves.

    Raises:
        ConfigError: naming the first.
    """
    for level in levels:
        if not low * (1 - 1e-5) <= level <= high * (1 + 1e-5):
            raise ConfigError(f"{name} = {level:g}: the run knows noise levels from {low:g} to {high:g} alone")
