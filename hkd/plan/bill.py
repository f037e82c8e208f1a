"""What each job of a graph costs: operations by precision, bytes on disk and on the device."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from hkd.plan.counted import Counts, evaluations, resolution, states
from hkd.plan.graph import Graph
from hkd.plan.passes import seen
from hkd.plan.runs import HELD_OUT, Plan
from hkd.plan.scores import scores
from hkd.plan.work import Work
from hkd.settings.columns import views_of

SLACK, USED = 1.3, 0.9  # as in hkd.training.costs, which counts on the device itself

CountsOf = Callable[[str, str], Counts]
FeatureOperations = Callable[[str, str], float]


@dataclass(frozen=True)
class Cost:
    """What a job costs.

    Attributes:
        operations: floating-point operations by kind: `train`, `evaluate` or `features`, whose precisions differ.
        disk: bytes of its results.
        device: bytes that it needs at least on a device, one image at a time.
        owner: the row, set or data set that it is of, to which its cost is put down.
        counted: whether it is of a stage whose operations are counted. Those of transformers (DINOv2, CLIP) are not.
    """

    operations: Mapping[str, float] = field(default_factory=dict)
    disk: float = 0.0
    device: float = 0.0
    owner: str = ""
    counted: bool = True


class Bill:
    """The costs of jobs.

    Args:
        counts: (data set, run) -> what the run costs for one image.
        features: (data set, role) -> operations of an image's way through a network that is trained here.
    """

    def __init__(self, plan: Plan, counts: CountsOf, features: FeatureOperations) -> None:
        self._plan, self._counts, self._trained_network = plan, counts, features
        self._made: dict[str, Callable[..., Cost]] = {
            "prepare": self._prepare,
            "extractor": self._extractor,
            "train": self._train,
            "shard": self._shard,
            "sample": self._sample,
            "reference": self._reference,
            "features": self._features,
            "stability": self._stability,
            "trajectory_error": self._errors,
            "closure": self._errors,
        }

    def of(self, work: Work) -> Cost:
        """Return the cost of a job."""
        made = self._made.get(work.stage)
        if made is None:
            return Cost(owner=_owner(work), counted=False)
        return replace(made(**work.of), owner=_owner(work))

    # -- stages ------------------------------------------------------------------------------------------------------

    def _prepare(self, dataset: str, split: str) -> Cost:
        data = self._plan.dataset(dataset).data
        count = (data.reference if split == "reference" else data.count) or 0
        return Cost(disk=count * self._pixels(dataset))

    def _extractor(self, dataset: str, role: str) -> Cost:
        if self._plan.shipped(dataset, f"extractors/{role}"):
            return Cost()
        settings = self._plan.extractor(dataset, role)
        return Cost({"features": 3 * settings.steps * settings.batch * self._trained_network(dataset, role)})

    def _train(self, dataset: str, method: str, seed: str) -> Cost:
        plan, run = self._plan, self._plan.run(dataset, method)
        if plan.route(dataset, method) != "train" or not run.training.steps:
            return Cost(disk=self._counts(dataset, method).sampled if run.training.steps else 0.0)
        counts = self._counts(dataset, method)
        operations = counts.step * run.training.batch * run.training.steps
        # averaged and raw weights, averages on the way, and two states with moments and averages
        disk = counts.sampled * (2 + len(run.training.milestones)) + 2 * 4 * counts.trained
        return Cost({"train": operations}, disk, device_need(counts))

    def _shard(self, dataset: str, trajectories: str, shard: str) -> Cost:
        spec = self._plan.trajectory_set(dataset, trajectories)
        images = spec.count / spec.shards
        counts = self._counts(dataset, spec.teacher.partition("@")[0])
        return Cost(
            {"evaluate": images * evaluations(spec) * counts.forward},
            images * states(spec) * self._pixels(dataset) * 2,
            counts.sampled,
        )

    def _sample(self, dataset: str, method: str, seed: str, nfe: str, weights: str = "ema") -> Cost:
        images, counts = self._plan.run(dataset, method).sampling.n_samples, self._counts(dataset, method)
        return Cost({"evaluate": images * int(nfe) * counts.forward}, images * self._pixels(dataset), counts.sampled)

    def _reference(self, dataset: str) -> Cost:
        data = self._plan.dataset(dataset).data
        return self._seen(dataset, (data.reference or data.count) or 0)

    def _features(self, dataset: str, method: str, seed: str, nfe: str) -> Cost:
        return self._seen(dataset, self._plan.run(dataset, method).sampling.n_samples)

    def _stability(self, dataset: str, method: str, seed: str) -> Cost:
        run, counts = self._plan.run(dataset, method), self._counts(dataset, method)
        images = 2 * len(run.training.milestones) * run.sampling.n_samples  # of averaged and of raw weights
        seen = self._seen(dataset, images).operations
        return Cost({"evaluate": images * run.sampling.nfe[0] * counts.forward, **seen})

    def _errors(self, dataset: str, method: str, seed: str) -> Cost:
        spec = self._plan.trajectory_set(dataset, HELD_OUT)
        compared = max(states(spec), 2)  # noise that is drawn again is a state too
        return Cost({"evaluate": spec.count * compared * self._counts(dataset, method).forward})

    # -- parts -------------------------------------------------------------------------------------------------------

    def _seen(self, dataset: str, images: int) -> Cost:
        """Return the cost of passing images through every network of a data set's scores, and every library."""
        disk = sum(4 * 2048 * images for _ in views_of(scores(self._plan, dataset)))
        each = seen(self._plan, dataset, lambda role: self._trained_network(dataset, role))
        return Cost({"features": images * each}, disk)

    def _pixels(self, dataset: str) -> float:
        return 3.0 * resolution(self._plan, dataset) ** 2


def device_need(counts: Counts) -> float:
    """Return the bytes that a training needs on a device with one image at a time, by the rule of the loop."""
    return counts.weights + (7 * counts.trained + SLACK * (counts.fixed + counts.kept)) / USED


def images_at_a_time(counts: Counts, memory: float) -> int:
    """Return how many images of a batch a device of so many bytes holds at a time; 0: not even one."""
    left = (USED * (memory - counts.weights) - 7 * counts.trained) / SLACK - counts.fixed
    return max(int(left / counts.kept), 0) if counts.kept else 0


def _owner(work: Work) -> str:
    of = work.of
    if "method" in of:
        return f"{of['dataset']}/{of['method']}"
    if "trajectories" in of:
        return f"{of['dataset']}/trajectories/{of['trajectories']}"
    return of.get("dataset", "")


def counted_runs(plan: Plan, graph: Graph) -> list[tuple[str, str]]:
    """Return data set and run (group/name) of all that a graph trains, samples or solves with, each once."""
    found: dict[tuple[str, str], None] = {}
    for work in graph.jobs.values():
        of = work.of
        if "method" in of:
            found[of["dataset"], of["method"]] = None
        elif "trajectories" in of:
            found[of["dataset"], plan.trajectory_set(of["dataset"], of["trajectories"]).teacher.partition("@")[0]] = (
                None
            )
    return list(found)
