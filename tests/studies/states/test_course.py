"""States over time: noise levels, what is compared with what, and where an encoding starts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from hkd.data.image_set import to_uint8
from hkd.diffusion.ode import solve
from hkd.experiment.finished import base
from hkd.experiment.solve import state_levels
from hkd.settings.origins import ConfigError
from hkd.store.paths import Layout
from hkd.studies.states.course import beside_teacher, decoded, in_a_row, levels_of, shown_levels


@pytest.fixture
def spec(study_plan):
    return study_plan().trajectory_set("shapes8", "edm-heun")


@pytest.fixture
def shown_teacher(results):
    return Path(Layout(str(results)).run("shapes8", "methods/edm", 0).weights)


@pytest.mark.parametrize("count", [2, 3, 1000])
def test_shown_levels_have_both_ends_and_no_more_than_there_are(spec, count):
    grid = state_levels(spec)[:-1].tolist()
    levels = shown_levels(spec, count)
    assert levels[0] == grid[0] and levels[-1] == grid[-1]
    assert len(levels) == min(count, len(grid)) and set(levels) <= set(grid)


def test_a_set_that_keeps_its_ends_alone_is_refused(study_plan):
    with pytest.raises(ConfigError, match="keep = ends in the set 'EDM pairs'; name one that keeps all states"):
        shown_levels(study_plan().trajectory_set("shapes8", "edm-pairs"), 3)


def test_levels_are_numbers_between_commas():
    assert levels_of("80,10, 0.002") == [80.0, 10.0, 0.002]
    with pytest.raises(ConfigError, match="--times 80;1: expected noise levels between commas"):
        levels_of("80;1")


def test_states_are_the_teachers_and_errors_are_held_against_its_state_at_the_lowest_level(
    finished_run, shown_teacher, spec
):
    levels = shown_levels(spec, 3)
    arrays, facts = beside_teacher(finished_run, shown_teacher, spec, [0, 1], levels)
    network = base(shown_teacher)
    denoiser = getattr(network, network.samples_with[0])
    noise = finished_run.noise([0, 1])
    states = solve(lambda x, sigma: denoiser(x, sigma, None), noise, state_levels(spec), spec.solver).transpose(0, 1)
    clean = states[-2]
    with torch.no_grad():
        predicted = finished_run.net(states[0], levels[0])
    assert np.array_equal(arrays["predictions"][0], to_uint8(predicted).numpy())
    expected = (predicted - clean).square().mean().sqrt()
    assert facts["predictions_to_x_eps"][0] == pytest.approx(float(expected), rel=1e-5)
    assert {name: len(facts[name]) for name in facts if "_to_" in name} == dict.fromkeys(
        ("predictions_to_x_eps", "denoised_to_x_eps", "decoded_to_x_eps", "decoded_to_denoised"), 3
    )
    scale = 0.5 / (0.25 + levels[0] ** 2) ** 0.5  # to the contrast of images
    assert np.array_equal(arrays["states"][0], to_uint8(states[0] * scale).numpy())


def test_a_generated_image_is_encoded_at_the_highest_level_and_a_picture_at_the_lowest(finished_run, picture):
    net, levels = finished_run.net, [10.0, 0.002]
    high = net.settings.sigma_max * finished_run.noise([4])
    image = finished_run.pictures([picture])
    with torch.no_grad():
        generated = net.trajectory(high, levels, None, sigma=net.settings.sigma_max)
        mine = net.trajectory(image + 0.002 * finished_run.noise([0]), levels, None, sigma=0.002)
        at = net.trajectory(image + 3.0 * finished_run.noise([0]), levels, None, sigma=3.0)
    for found, (numbers, files, level) in (
        (generated, ([4], (), None)),
        (mine, ([0], (picture,), None)),
        (at, ([0], (picture,), 3.0)),
    ):
        arrays, facts = decoded(finished_run, numbers, files, level, levels)
        assert np.array_equal(arrays["decoded"], to_uint8(found.flatten(0, 1)).unflatten(0, found.shape[:2]).numpy())
        assert facts == {"images": 1, "sigmas": levels}


@pytest.mark.parametrize("levels, at, expected", [([100.0], None, "--times = 100"), ([1.0], 1e-4, "--at = 0.0001")])
def test_noise_levels_that_the_run_does_not_know_are_refused(finished_run, picture, levels, at, expected):
    with pytest.raises(ConfigError, match=f"{expected}: the run knows noise levels from 0.002 to 80"):
        decoded(finished_run, [0], [picture], at, levels)


def test_a_row_of_pictures_goes_image_by_image():
    images = np.arange(2 * 3).reshape(2, 3, 1, 1, 1).astype(np.uint8) * np.ones((1, 1, 3, 2, 2), np.uint8)
    assert in_a_row({"decoded": images})[:, 0, 0, 0].tolist() == [0, 3, 1, 4, 2, 5]
