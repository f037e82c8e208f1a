"""On data whose rates are known, operators end at them if the encoder leaves them alone, and only then."""

from __future__ import annotations

import math

import pytest
import torch
from torch.testing import assert_close

from hkd.koopman.timemap import TimeMap
from hkd.studies.determined.courses import every_pair, lines
from hkd.studies.determined.known_rates import LEVEL, Known, fit_of, fitted, true_exponents, variances
from hkd.studies.determined.table import Decision, rows

KNOWN = Known(channels=4, resolution=3, variance=(0.05, 4.0), kept=(5, 240), start=1.0, lr=0.08, batch=24)
TIME = TimeMap("rho", sigma_min=0.002, sigma_max=80.0)


def test_the_true_exponent_is_the_growth_of_the_scaled_state():
    v = torch.tensor([0.01, 0.25, 4.0], dtype=torch.float64)
    expected = [math.log(math.sqrt((u + 6400) / 6400.25) / math.sqrt((u + 4e-6) / 0.250004)) for u in v.tolist()]
    assert_close(true_exponents(v, TIME), torch.tensor(expected, dtype=torch.float64))
    drawn = variances(8, 5, 0.01, 4.0)
    assert drawn.shape == (4, 5, 5) and 0.01 <= float(drawn.min()) < 0.05 and 1.0 < float(drawn.max()) <= 4.0


@pytest.fixture(scope="module")
def decided():
    """Decisions and fits of both arms, from the measures of the study."""
    found = {}
    for free in (False, True):
        every = [fitted(KNOWN, TIME, seed, free=free) for seed in range(3)]
        courses = {seed: (KNOWN.kept, course) for seed, (course, _) in enumerate(every)}
        measured = lines(every_pair("control", courses), courses, orders=["alpha"], draws=100)
        found[free] = rows(measured, ["control"], ["alpha"], above=0.9), fit_of(KNOWN, TIME, every), every[:2]
    return found


@pytest.mark.slow
@pytest.mark.ci
def test_the_measure_says_that_known_rates_are_determined(decided):
    (modes, _), fit, both = decided[False]
    assert modes["decision"] == Decision.DETERMINED
    assert float(modes["first"]) < 0.6 < 0.9 < float(modes["last"])
    assert min(fit["rank_with_truth"]) > 0.95
    exponents = torch.stack([exponents for _, exponents in both])
    assert float((exponents - true_exponents(KNOWN.variances(), TIME)).abs().median()) < 0.15


@pytest.mark.slow
@pytest.mark.ci
def test_an_encoder_with_rates_of_its_own_leaves_only_the_difference_determined(decided):
    (modes, _), fit, both = decided[True]
    assert modes["decision"] != Decision.DETERMINED and float(modes["last"]) < 0.8
    images = torch.stack([exponents for _, exponents in both])
    assert float((images[0] - images[1]).abs().median()) < 0.2
    spectra = torch.stack([course[-1][LEVEL].real * TIME.span for course, _ in both])
    assert float((spectra[0] - spectra[1]).abs().median()) > 2 * float((images[0] - images[1]).abs().median())
    assert max(fit["rank_with_truth"]) < 0.95
