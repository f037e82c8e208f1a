"""The time of an edit is void where places evolve on their own and the reference moves along, and only there."""

from __future__ import annotations

import math
import random

import pytest
from torch.testing import assert_close

from hkd.koopman.bands import bands
from hkd.studies.editing.blend import REGIONS, edit, reference_latents
from hkd.studies.editing.editing_time import levels_of, over_time
from hkd.studies.editing.time_verdict import MATTERS, NO_EDIT, VOID, verdict

EPS, T = 0.002, 80.0


def a_time(draw):
    """A noise level, uniform in its logarithm."""
    return math.exp(draw.uniform(math.log(EPS), math.log(T)))


def edited(net, noise, mid, *, region="lower_half", ratio=0.9, order="alpha", band=2, image=None):
    """Images edited at noise level `mid`, towards generated references, or ones that are encoded there from `image`."""
    index = bands(net.operators(), order, ascending=True)
    if image is None:
        reference = reference_latents(net, T * noise.flip(0), mid)
    else:
        reference = reference_latents(net, image, mid, noise=noise.flip(0))
    own = {"region": region, "index": index, "band": band, "sigma_mid": mid}
    return edit(net, T * noise, reference, ratios=[ratio], **own)[0]


@pytest.mark.parametrize("time_map", ["rho", "log_sigma"])
@pytest.mark.parametrize("case", range(12))
def test_edits_towards_generated_references_agree_whenever_they_are_made(make_net, noise, time_map, case):
    net, draw = make_net(time_map=time_map), random.Random(f"{time_map} {case}")
    asked = {
        "region": draw.choice(REGIONS),
        "ratio": draw.uniform(0.1, 1.0),
        "order": draw.choice(["alpha", "abs_alpha", "abs_eig"]),
        "band": draw.choice([0, 1, 2, None]),
    }
    first, second = (edited(net, noise, a_time(draw), **asked) for _ in range(2))
    assert_close(first, second, rtol=0, atol=1e-5)
    assert float((first - edited(net, noise, T, **{**asked, "ratio": 0.0})).abs().max()) > 1e-3  # something is edited


@pytest.mark.parametrize("case", range(4))
def test_edits_towards_references_that_are_encoded_depend_on_the_time(make_net, noise, case):
    net, draw = make_net(), random.Random(case)
    early, late = (edited(net, noise, mid, image=noise.clamp(-1, 1)) for mid in (draw.uniform(20, T), 0.1))
    assert float((early - late).abs().max()) > 1e-2


def test_edits_under_operators_that_couple_places_depend_on_the_time(make_net, noise):
    net = make_net(coupling="fourier")
    early, late = (edited(net, noise, mid) for mid in (T, EPS))
    assert float((early - late).abs().max()) > 1e-3
    everywhere = [edited(net, noise, mid, ratio=1.0, band=None, region="lower_half") for mid in (T, EPS)]
    assert float((everywhere[0] - everywhere[1]).abs().max()) > 1e-3  # a mask of places is enough


def measured(net, noise, **changes):
    index = bands(net.operators(), "alpha", ascending=True)
    own = {"ratio": 0.9, "region": "lower_half", "index": index, "band": 2, **changes}
    return over_time(
        net, T * noise, T, T * noise.flip(0), T, noise.clamp(-1, 1), noise.flip(1), levels_of(net, 4), **own
    )


def test_the_study_calls_the_time_void_in_the_papers_model_and_not_under_coupled_places(make_net, noise):
    still, coupled = (measured(make_net(coupling=coupling), noise) for coupling in ("none", "fourier"))
    assert (still["verdict"], coupled["verdict"]) == (VOID, MATTERS)
    assert still["levels"][0] == T and still["levels"][-1] == EPS and len(still["levels"]) == 4
    assert still["moved"][0] == 0.0 and max(still["moved"]) <= 1e-5 < 1e-2 < still["change"]
    assert max(still["encoded"]) > 1e-2


def test_an_edit_that_changes_nothing_says_nothing_of_its_time(make_net, noise):
    assert measured(make_net(), noise, ratio=0.0)["verdict"] == NO_EDIT
    assert verdict(0.0, 0.0) == NO_EDIT
    assert verdict(0.0009, 1.0) == VOID and verdict(0.0011, 1.0) == MATTERS


def test_levels_are_equally_spaced_in_mapped_time(make_net):
    net = make_net()
    spaced = [net.time(level) for level in levels_of(net, 5)]
    assert spaced == pytest.approx([net.time.span * k / 4 for k in (4, 3, 2, 1, 0)], abs=1e-6)
    assert levels_of(net, 2) == [T, EPS]
