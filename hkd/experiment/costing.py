"""What the jobs of a graph cost: the counts that are kept, those that are missing, and the speed of a machine."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from pathlib import Path

from hkd.plan.bill import counted_runs
from hkd.plan.counted import Counts, keep, known, name_of
from hkd.plan.graph import Graph
from hkd.plan.passes import feature_operations
from hkd.plan.runs import Plan
from hkd.plan.speed import Speed, of_card, of_probe
from hkd.settings.origins import ConfigError

COUNTING = "hkd.experiment.counting"  # loads torch, which a plan whose counts are kept need not
PROBING = "hkd.experiment.probing"
PATIENCE = 2.0  # seconds after which somebody who waits is told on what


class Counted:
    """The counts of all runs of a graph.

    Args:
        kept: whether what had to be counted is kept, in place of older counts of the same runs.
    """

    def __init__(self, plan: Plan, graph: Graph, *, kept: bool = False) -> None:
        self._plan, self._keeps = plan, kept
        self._kept = known(plan.configs)
        self.runs = counted_runs(plan, graph)

    def prepare(self, say: Callable[[str], None]) -> None:
        """Count what is not kept, and say so every two seconds."""
        new: dict[str, Counts] = {}
        about: dict[str, str] = {}
        last = time.monotonic()
        for number, (dataset, method) in enumerate(self.runs):
            name = name_of(self._plan, dataset, method)
            about[name] = f"{dataset} {method} ({self._plan.benchmark.scale})"
            if name not in self._kept:
                if time.monotonic() - last > PATIENCE:
                    say(f"counting {method} on {dataset}: {number} of {len(self.runs)}")
                    last = time.monotonic()
                new[name] = self._kept[name] = importlib.import_module(COUNTING).counts(self._plan, dataset, method)
        if self._keeps and new:
            keep(self._plan.configs, new, about)

    def of(self, dataset: str, method: str) -> Counts:
        """Return the counts of a run."""
        return self._kept[name_of(self._plan, dataset, method)]

    def features(self, dataset: str, role: str) -> float:
        """Return the operations of an image's way through a feature network that is trained here."""
        return feature_operations(self._plan, dataset, role)


def step_operations(plan: Plan, dataset: str, method: str, *, count: bool) -> float | None:
    """Return the operations of a run's training step for one image, as they are kept or counted; None of neither.

    Args:
        count: whether what is not kept is counted, which takes a moment.
    """
    try:
        kept = known(plan.configs).get(name_of(plan, dataset, method))
        found = importlib.import_module(COUNTING).counts(plan, dataset, method) if count and kept is None else kept
    except ConfigError:  # of images whose size no setting says
        return None
    return found.step if found else None


def speed_of(
    plan: Plan, counted: Counted, *, card: str | None, mfu: float | None, probe: bool, probe_file: Path | None
) -> Speed:
    """Return the speed that options ask for.

    Raises:
        ConfigError: they exclude each other, or there is no such card.
    """
    asked = [name for name, given in (("--card", card), ("--probe", probe), ("--probe-file", probe_file)) if given]
    if len(asked) > 1 or (mfu and asked != ["--card"]):
        raise ConfigError(
            f"{' and '.join(asked) or '--mfu'}: name one of --card (with --mfu), --probe and --probe-file"
        )
    if card:
        return of_card(card, plan.benchmark.compute, mfu)
    if probe_file:
        return of_probe(probe_file, plan.benchmark.compute, _edm_step(plan, counted))
    if probe:
        trained = [run for run in counted.runs if plan.route(*run) == "train" and plan.run(*run).training.steps]
        try:
            found: Speed = importlib.import_module(PROBING).probed(plan, trained)
        except ValueError as error:
            raise ConfigError(f"--probe: {error}") from None
        return found
    raise ConfigError("say on what: --card h100 (and --mfu, or it is assumed), --probe of this CPU, or --probe-file")


def _edm_step(plan: Plan, counted: Counted) -> float:
    """Return the operations of EDM's full-size step for one image, which is what `make test-gpu` times."""
    full = Plan.load(str(plan.configs / "benchmarks/cifar10.yaml"), configs=plan.configs)
    kept = known(plan.configs).get(name_of(full, "cifar10", "methods/edm"))
    if kept is None:
        kept = importlib.import_module(COUNTING).counts(full, "cifar10", "methods/edm")
    step: float = kept.step
    return step
