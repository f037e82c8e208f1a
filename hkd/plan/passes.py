"""What passing images through feature networks costs: which networks scores look through, and how often."""

from __future__ import annotations

from collections.abc import Callable

from hkd.plan.counted import resolution
from hkd.plan.runs import Plan
from hkd.plan.scores import OWN, extractor_names, scores
from hkd.settings.columns import SCORES, split_view, views_of

INCEPTION = 11.426e9  # operations of an image's way through Inception, counted on hkd.metrics.features.inception
# What takes as long at the rate of the networks trained here, 7.8 ms an image on a thread of configs/cpu.yaml: of
# EfficientNet's own 0.253e9 operations, convolutions of single channels, a CPU makes fewer a second.
EFFNET = 0.63e9


def seen(plan: Plan, dataset: str, trained: Callable[[str], float]) -> float:
    """Return the operations of an image's way through every network of a data set's scores, and every library.

    Args:
        trained: operations of a network that is trained here, by its role.
    """
    names = scores(plan, dataset)
    files = extractor_names(plan, dataset)
    passes: dict[str, set[str]] = {}
    for view in views_of(names):
        network, kind, _ = split_view(view)
        passes.setdefault(network, set()).add(kind)
    through = {network: float(len(kinds)) for network, kinds in passes.items()}
    libraries = [name for name in names if SCORES[name].kind == "library"]
    through["own"] = through.get("own", 0.0) + len(libraries)
    return sum(count * _network(files[network], trained) for network, count in through.items())


def _network(name: str, trained: Callable[[str], float]) -> float:
    if name in OWN:
        return trained(name)
    return EFFNET if "effnet" in name else INCEPTION if "inception" in name else 0.0


def feature_outputs(plan: Plan, dataset: str, role: str) -> float:
    """Return how many numbers the convolutions of such a network put out for an image."""
    return float(sum(b * side**2 for _, _, b, side in _convolutions(plan, dataset, role)))


def feature_operations(plan: Plan, dataset: str, role: str) -> float:
    """Return the operations of an image's way through a feature network that is trained here (`hkd.nets.cnn`)."""
    own = plan.extractor(dataset, role)
    convolutions = sum(kernel**2 * a * b * side**2 for kernel, a, b, side in _convolutions(plan, dataset, role))
    return 2.0 * (convolutions + 4 * own.width * 9 * own.features)


def _convolutions(plan: Plan, dataset: str, role: str) -> list[tuple[int, int, int, int]]:
    """Return kernel, channels in and out, and side of the outputs, of every convolution of such a network."""
    own = plan.extractor(dataset, role)
    width, side = own.width, round(resolution(plan, dataset) * own.image_size_factor)
    layers = [(3, 3, width, 0), (4, width, 2 * width, 1), (3, 2 * width, 2 * width, 1)]
    layers += [(4, 2 * width, 4 * width, 2), (3, 4 * width, 4 * width, 2)]
    return [(kernel, a, b, side // 2**halved) for kernel, a, b, halved in layers]
