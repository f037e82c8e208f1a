"""How alike two trainings order the modes of their operators, at each of the steps at which both kept their weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hkd.experiment.build import method
from hkd.experiment.finished import load
from hkd.experiment.record import read_run
from hkd.koopman.hierarchy import HKDNet
from hkd.koopman.spectrum import OrderBy, agreement_test, spectra
from hkd.seeding import stream
from hkd.store.refusals import ArtifactError
from hkd.training.milestones import kept_milestones

Spectrum = dict[str, Tensor]
MEASURES = ("modes", "places")
"""Mode by mode, which needs channels that mean the same in both; and by place, the mean over channels, which does not:
networks that started from different draws have their channels in an order of their own."""


Course = tuple[Sequence[int], Sequence[Spectrum]]
"""The steps at which a training kept its weights, and the spectra there."""


def course_of_run(config: Path, milestones: Path) -> Course:
    """Return the steps at which a finished training kept its weights, and the spectra there.

    Raises:
        ArtifactError: it is no run of HKD, or kept no weights.
    """
    run, shape, about = read_run(config)
    built = method(run, shape, seed=about["seed"], parts=None)
    net = getattr(built, "student", None)
    if not isinstance(net, HKDNet):
        raise ArtifactError(f"{config}: is no run of HKD, and has no spectrum; compare runs of methods/hkd")
    kept, found = kept_milestones(milestones), []
    for weights in kept.weights:
        load(built, weights)
        found.append(spectra(net))
    return kept.steps, found


def lines(
    pairs: Sequence[tuple[str, Any, Any]], courses: Mapping[Any, Course], *, orders: Sequence[OrderBy], draws: int
) -> list[dict[str, Any]]:
    """Return a line for every comparison, measure and order.

    Args:
        pairs: kind, and the two trainings by their key in `courses`.
        draws: permutations, from a stream of each comparison's own.
    """
    found = []
    for number, (kind, a, b) in enumerate(pairs):
        for measure in MEASURES:
            for order in orders:
                draw = stream(number, "courses")
                test = _over_time(courses[a], courses[b], measure, order, draw, draws)
                found.append({"kind": kind, "runs": [a, b], "measure": measure, "order_by": order, **test})
    return found


def every_pair(kind: str, courses: Mapping[Any, Course]) -> list[tuple[str, Any, Any]]:
    """Return the comparison of each training with each other."""
    return [(kind, a, b) for a, b in combinations(courses, 2)]


def _over_time(
    a: Course, b: Course, measure: str, order: OrderBy, draw: torch.Generator, draws: int
) -> dict[str, list[Any]]:
    """Return the agreement of two trainings at every step, beside what shuffled modes or places reach.

    Where an operator is still constant there is no order, and the agreement is None.

    Raises:
        ArtifactError: they kept their weights at different steps.
    """
    if list(a[0]) != list(b[0]):
        raise ArtifactError(f"milestones: steps {list(a[0])} against {list(b[0])}; train both with the same milestones")
    pairs = zip(a[1], b[1], strict=True)
    tests = [agreement_test(_seen(x, measure), _seen(y, measure), order, generator=draw, draws=draws) for x, y in pairs]
    known = [not math.isnan(test.mean) for test in tests]
    return {
        "steps": list(a[0]),
        "agreement": [test.mean if k else None for test, k in zip(tests, known, strict=True)],
        "null": [float(np.quantile(test.null, 0.95)) if k else None for test, k in zip(tests, known, strict=True)],
        "p_value": [test.p_value for test in tests],
    }


def _seen(spectrum: Spectrum, measure: str) -> Spectrum:
    if measure == "modes":
        return spectrum
    return {level: torch.complex(v.real.mean(0), v.imag.mean(0)) for level, v in spectrum.items()}
