"""The memory of the host that jobs ask for, but for trainings: what they hold at a time, by the counts of their plan.

Images, features and trajectories are mapped from their files and written as they come, so that their number does not
count; what is mapped is given back when it is needed. Where a library or a formula wants all at once, that is counted.
"""

from __future__ import annotations

import math

from hkd.plan.counted import counts_of
from hkd.plan.passes import feature_outputs
from hkd.plan.runs import Plan
from hkd.plan.scores import OWN, extractor_names, scores
from hkd.settings.columns import NEIGHBOURS, SCORES, Score

PROCESS_MB = {"cpu": 1200, "cuda": 8000}  # choice: of torch and a batch; 0.87 GB is the most of a default's training
UNCOUNTED_MB = 4000  # choice: where nothing is counted
PUBLISHED_MB = 1000  # choice: of a batch of 64 within Inception on a CPU; 0.5 GB of anonymous memory were measured
PICTURE_MB = 1000  # of a picture of 64 megapixels with transparency, the largest that is decoded
EVALUATED = 0.3  # of what waits for a backward pass, an evaluation holds at the most; 0.03 to 0.27 were measured
NAMED = 1500  # bytes of an image that is prepared: its name, label and digests; 1.4 KB were measured
DIMENSIONS = 2048  # of Inception's features; the other published networks have fewer
COPIES = 3  # in float64 of the rows of a set, in numpy.cov: as given, less their mean, and its second factor
SQUARES = 12  # choice: matrices of D x D in a distance, of two covariances, their products and their spectrum
BLOCK = 1 << 14  # rows in float64 at a time, of hkd.metrics.scores
NEIGHBOUR_BLOCK = 2048  # rows whose distances to all others are held, of hkd.metrics.scores.precision_recall
CHUNK = 1024  # images whose features are held at a time, of hkd.metrics.features.cache
PIXELS_IN_A_CHUNK = 3  # bytes of each value of its images: as given, as a picture of a library, and for one of both
PER_OUTPUT = 8  # choice: values for each output of a convolution that is trained: normalised, activated, gradients
HELD_OUT = 2000  # images on which a feature network is tried at its end, of hkd.data.tasks


def preparing_mb(images: int, *, read: bool) -> int:
    """Return the memory (MB) for preparing so many images, which pass one at a time.

    Args:
        read: from pictures of others, of which one may be large.
    """
    return math.ceil(PROCESS_MB["cpu"] + (PICTURE_MB if read else 0) + NAMED * images / 1e6)


def evaluating_mb(plan: Plan, dataset: str, method: str, batch: int, held: float = 0.0) -> int:
    """Return the memory (MB) for evaluations of a run's network on so many images at a time.

    Args:
        held: bytes besides.
    """
    counts = counts_of(plan, dataset, method)
    if counts is None:
        return math.ceil(max(UNCOUNTED_MB, _process_mb(plan)) + held / 1e6)
    network = 0.0 if plan.gpus else EVALUATED * counts.kept * batch
    return math.ceil(_process_mb(plan) + (2 * counts.weights + network + held) / 1e6)


def passing_mb(plan: Plan, dataset: str, held: float = 0.0) -> int:
    """Return the memory (MB) for passing images through networks, a chunk at a time, and through the libraries.

    Args:
        held: bytes besides.
    """
    chunk = CHUNK * (PIXELS_IN_A_CHUNK * pixels(plan, dataset) + 2 * 4 * dimensions(plan, dataset))
    network = 0 if plan.gpus or not _through_published(plan, dataset) else PUBLISHED_MB
    return math.ceil(_process_mb(plan) + network + (chunk + held) / 1e6)


def statistics_bytes(plan: Plan, dataset: str, rows: int) -> float:
    """Return the bytes in which statistics of so many features are made, a set after the other: none that grow with
    them, but where the arithmetic of other programs, or nearest neighbours, need all rows at once."""
    found = [SCORES[name] for name in scores(plan, dataset)]
    kinds = {(SCORES[item.base] if item.base else item).kind for item in found}
    of_others = any(item.kind == "library" or _of_another_program(item) for item in found)
    each = dimensions(plan, dataset)
    whole = 8 * rows * each * (COPIES if of_others else 0)
    drawn = 4 * rows * each if any(item.base for item in found) or kinds & {"infinity", "infinity_error"} else 0
    near = 2 * 8 * rows * each + 3 * 8 * NEIGHBOUR_BLOCK * rows if kinds & set(NEIGHBOURS) else 0
    return SQUARES * 8 * each**2 + max(whole, drawn + near)


def scoring_mb(plan: Plan, dataset: str, rows: int) -> int:
    """Return the memory (MB) for making scores of features that are mapped: no network is loaded.

    Args:
        rows: of the largest set, a draw or the reference.
    """
    blocks = 2 * 8 * min(rows, BLOCK) * dimensions(plan, dataset)
    return math.ceil(PROCESS_MB["cpu"] + (blocks + statistics_bytes(plan, dataset, rows)) / 1e6)


def extractor_mb(plan: Plan, dataset: str, role: str) -> int:
    """Return the memory (MB) for the training of a feature network: its batch on a CPU, and the held-out images."""
    if plan.dataset(dataset).data.resolution is None:
        return UNCOUNTED_MB
    batch = (
        0.0
        if plan.gpus
        else 4 * PER_OUTPUT * feature_outputs(plan, dataset, role) * plan.extractor(dataset, role).batch
    )
    side = round((plan.dataset(dataset).data.resolution or 0) * plan.extractor(dataset, role).image_size_factor)
    held_out = 4 * HELD_OUT * (3 * 3 * max(side**2, pixels(plan, dataset) // 3))
    return math.ceil(_process_mb(plan) + (batch + held_out) / 1e6)


def pixels(plan: Plan, dataset: str) -> int:
    """Return how many values an image of a data set has; 0 where its size is not set."""
    return 3 * (plan.dataset(dataset).data.resolution or 0) ** 2


def dimensions(plan: Plan, dataset: str) -> int:
    """Return the dimensions of the features behind the scores on a data set, or more."""
    if _through_published(plan, dataset):
        return DIMENSIONS
    names = extractor_names(plan, dataset).values()
    return max(plan.extractor(dataset, name).features for name in names)


def _through_published(plan: Plan, dataset: str) -> bool:
    return any(name not in OWN for name in extractor_names(plan, dataset).values())


def _of_another_program(score: Score) -> bool:
    return score.kind == "distance" and score.implementation != "hkd"


def _process_mb(plan: Plan) -> int:
    return PROCESS_MB["cuda" if plan.gpus else "cpu"]


def quality_mb(plan: Plan, dataset: str, method: str, images: int) -> int:
    """Return the memory (MB) for images that a run makes in batches, holds together, and scores by their features."""
    made = 2 * images * pixels(plan, dataset)
    features = 2 * 4 * images * dimensions(plan, dataset) + SQUARES * 8 * dimensions(plan, dataset) ** 2
    batch = plan.run(dataset, method).sampling.batch
    return max(evaluating_mb(plan, dataset, method, batch, made), passing_mb(plan, dataset, made + features))


def halves_mb(plan: Plan, dataset: str, images: int, classes: int) -> int:
    """Return the memory (MB) for real images that are held against each other, half by half, in so many classes."""
    half = images / 2
    pictures = 3 * images * pixels(plan, dataset)  # all, and both halves; a damaged one takes the place of its own
    features = half * dimensions(plan, dataset) * (2 * 4 * classes + 8 * COPIES)
    return passing_mb(plan, dataset, pictures + features + SQUARES * 8 * dimensions(plan, dataset) ** 2)


def neighbours_mb(plan: Plan, dataset: str, training: int, block: int) -> int:
    """Return the memory (MB) for the nearest of so many training images to each of a block of others."""
    return passing_mb(plan, dataset, 8 * training * dimensions(plan, dataset) + 3 * 8 * block * training)
