"""What networks cost, as counted on the meta device and kept in configs/counted.json: no plan has to load torch for it.

An entry is named by a digest of all that the numbers depend on: the method, its network and parameters, the perceptual
distance, the teacher's network and the images' shape. `hkd plan` counts what is not there; with --count it is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

from hkd.plan.runs import Plan
from hkd.settings.origins import ConfigError, digest
from hkd.settings.sections import Run, TrajectorySet
from hkd.settings.signatures import asks_for_the_grader
from hkd.store import bounded
from hkd.store.atomic import write_json
from hkd.store.lines import reason, shortened
from hkd.store.refusals import ArtifactError

FILE = "counted.json"
CLASSES = 10  # choice: of conditional networks, which the plan knows nothing of; an embedding of classes costs nothing
MAX_BYTES = 4 << 20
ADAPTIVE = 127  # source: Liu, Gong and Liu (2023), Table 1: mean evaluations of RK45 for the 1-flow; not counted here
NO_COST = ("total_steps", "stage_steps", "lambda1_law", "lambda2", "augment")


@dataclass(frozen=True)
class Counts:
    """What a method costs, for one image.

    Attributes:
        step: operations of a training step, forwards and backwards, for one image of its batch.
        kept, fixed: bytes that wait for the backward pass, for one image and whatever their number.
        forward: operations of one evaluation of the network that makes images.
        weights: bytes of all networks of a training; trained: of those that it trains; sampled: that make images.
    """

    step: float
    kept: float
    fixed: float
    forward: float
    weights: float
    trained: float
    sampled: float


def resolution(plan: Plan, dataset: str) -> int:
    """Return the side of a data set's images.

    Raises:
        ConfigError: its settings do not say.
    """
    side = plan.dataset(dataset).data.resolution
    if side is None:
        raise ConfigError(f"data set '{dataset}': its resolution is not set, and costs follow from it; say "
                          f"--config data.{dataset}.resolution=32")  # fmt: skip
    return side


def meaning(plan: Plan, dataset: str, method: str) -> list[Any]:
    """Return all that the costs of a run depend on."""
    run = plan.run(dataset, method)
    teacher = meaning_of_network(plan.run(dataset, run.teacher)) if run.teacher else None
    distance: list[Any] | None = None
    if run.perceptual:
        own = plan.extractor(dataset, "perceptual") if run.perceptual_backbone == "cnn" else None
        size = [own.width, own.features, own.image_size_factor] if own else None
        distance = [run.perceptual_backbone, run.perceptual_resize, size]
    if asks_for_the_grader(run.target):
        grader = plan.extractor(dataset, "metric")
        distance = ["grader", grader.width, grader.features, grader.image_size_factor]
    params = {key: value for key, value in run.params.items() if key not in NO_COST}
    one_step = 1 in run.sampling.nfe
    kind = run.feed.split("/")[0]
    return [resolution(plan, dataset), meaning_of_network(run), params, distance, teacher, kind, one_step]


def meaning_of_network(run: Run) -> list[Any]:
    """Return what the network of a run is made of."""
    return [run.target, run.network, run.conditional]


def name_of(plan: Plan, dataset: str, method: str) -> str:
    """Return what names the counts of a run."""
    return digest(meaning(plan, dataset, method))


def known(configs: Path) -> dict[str, Counts]:
    """Return all counts that are kept.

    Raises:
        ArtifactError: the file is damaged.
    """
    return dict(_read(configs / FILE))


def counts_of(plan: Plan, dataset: str, method: str) -> Counts | None:
    """Return the counts of a run that are kept; None where there are none, or the size of the images is not set."""
    if plan.dataset(dataset).data.resolution is None:
        return None
    return known(plan.configs).get(name_of(plan, dataset, method))


def evaluations(spec: TrajectorySet) -> int:
    """Return how many evaluations a trajectory takes."""
    if spec.solver == "adaptive":
        return ADAPTIVE
    assert spec.steps
    return 2 * spec.steps - 1 if spec.solver == "heun" else spec.steps


def states(spec: TrajectorySet) -> int:
    """Return how many states are kept of a trajectory."""
    return {"all": (spec.steps or 1) + 1, "ends": 2, "x0+seed": 1}[spec.keep]


@cache
def _read(path: Path) -> Mapping[str, Counts]:
    names = {field.name for field in fields(Counts)}
    try:
        found = bounded.parse_json(bounded.read_bytes(path, MAX_BYTES))
        entries = {key: {k: _count(v) for k, v in value.items() if k in names} for key, value in found.items()}
        return {key: Counts(**value) for key, value in entries.items()}
    except FileNotFoundError:
        return {}
    except (OSError, bounded.Damaged, AttributeError, TypeError, ValueError) as error:
        raise ArtifactError(
            f"{path}: holds no counts ({reason(error)}); restore it, or delete it and `hkd plan --count`"
        ) from None


def _count(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise ValueError(f"{shortened(repr(value))} is no count")
    return float(value)


def keep(configs: Path, counted: Mapping[str, Counts], about: Mapping[str, str]) -> None:
    """Keep counts in place of older ones of the same runs; `about` says in words of which run each is."""
    path = configs / FILE
    try:
        there = bounded.parse_json(bounded.read_bytes(path, MAX_BYTES))
    except (OSError, bounded.Damaged):
        there = {}
    renewed = {about[key] for key in counted}
    held = {key: value for key, value in there.items() if value.get("of") not in renewed}
    new = {key: {"of": about[key], **asdict(value)} for key, value in counted.items()}
    write_json(path, dict(sorted({**held, **new}.items(), key=lambda item: (item[1]["of"], item[0]))))
    _read.cache_clear()
