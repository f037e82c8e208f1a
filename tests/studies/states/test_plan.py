"""What defines the states over time and their figure, and what they read."""

from __future__ import annotations

import pytest

from hkd.studies.states.plan import FIGURE, STATES

RUN = {"dataset": "shapes8", "method": "methods/hkd", "seed": 0}


@pytest.mark.parametrize(
    "changes, again",
    [
        ({"set_trajectories": {"steps": 5}}, {STATES}),
        ({"trajectories": {"edm-heun": {"seed": 77}}}, set()),  # of its noises; those of the study are the run's
        ({"trajectories": {"edm-heun": {"chunk": 1}}}, set()),
        ({"studies": {"trajectories": {"levels": 3}}}, {STATES, FIGURE}),
        ({"studies": {"trajectories": {"shown": 1}}}, {FIGURE}),
        ({"benchmark": "another"}, {FIGURE}),  # its caption says so
        ({"set": {"sampling": {"n_samples": 64}}}, set()),
    ],
)
def test_what_is_made_again(smoke_plan, changes, again):
    before, after = smoke_plan(), smoke_plan(**changes)
    works = {STATES: RUN, FIGURE: {}}
    assert {
        part for part, of in works.items() if part.work(before, **of).digest != part.work(after, **of).digest
    } == again


def test_the_teacher_of_the_set_is_an_input(smoke_plan):
    plan = smoke_plan()
    assert STATES.work(plan, **RUN).input("teacher").as_posix() == plan.layout.run("shapes8", "methods/edm", 0).weights
    codes = STATES.work(plan, **RUN).definition.code
    assert {"hkd.methods.multistep.edm", "hkd.methods.hkd", "hkd.studies.states.course"} <= set(codes)
