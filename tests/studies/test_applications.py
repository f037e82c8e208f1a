"""The digest of a study's output depends on the settings that define the output, and on no others."""

from __future__ import annotations

import pytest
from hkd.studies.applications import ApplicationPlan


@pytest.fixture
def digest(smoke_plan):
    return lambda name, **overrides: ApplicationPlan(smoke_plan(**overrides)).digest(name)


def test_the_number_of_samples_defines_the_quality_at_milestones_and_no_picture(digest):
    fewer = {"set": {"sampling": {"n_samples": 64}}}
    assert digest("stability", **fewer) != digest("stability")
    assert digest("stability", set={"sampling": {"batch": 16}}) == digest("stability")
    assert digest("editing", **fewer) == digest("editing")


def test_the_solver_defines_the_states_over_time_and_no_restoration(digest):
    coarse = {"set_trajectories": {"steps": 5}}
    assert digest("trajectories", **coarse) != digest("trajectories")
    assert digest("inpainting", **coarse) == digest("inpainting")
