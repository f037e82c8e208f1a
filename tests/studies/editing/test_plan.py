"""What defines an edit and its figure, and what they read."""

from __future__ import annotations

import pytest

from hkd.settings.origins import ConfigError
from hkd.studies.editing.plan import EDITED, FIGURE, settings

RUN = {"dataset": "shapes8", "method": "methods/hkd", "seed": 0}


@pytest.mark.parametrize(
    "changes, again",
    [
        ({"studies": {"editing": {"band": 0}}}, {EDITED, FIGURE}),
        ({"studies": {"editing": {"times": 3}}}, {EDITED, FIGURE}),
        ({"studies": {"editing": {"shown": 1}}}, {FIGURE}),
        ({"studies": {"editing": {"run": "ablations/abl_no_traj"}}}, {FIGURE}),
        ({"benchmark": "another"}, {FIGURE}),  # its caption says so
        ({"set": {"sampling": {"n_samples": 64}}}, set()),
        ({"set_trajectories": {"steps": 5}}, set()),
    ],
)
def test_what_is_made_again(smoke_plan, changes, again):
    before, after = smoke_plan(), smoke_plan(**changes)
    works = {EDITED: RUN, FIGURE: {}}
    assert {
        part for part, of in works.items() if part.work(before, **of).digest != part.work(after, **of).digest
    } == again


def test_the_figure_reads_the_studys_run_on_the_studys_data_set(smoke_plan):
    own = {"editing": {"dataset": "shapes16", "run": "ablations/abl_no_traj"}}
    plan = smoke_plan(studies=own)
    folder = plan.layout.run("shapes16", "ablations/abl_no_traj", 0)
    assert FIGURE.work(plan).inputs() == [
        folder.of("editing/editing.npz"),
        folder.of("editing/editing.json"),
        folder.weights,
    ]


@pytest.mark.parametrize(
    "keys, expected",
    [({"ratios": []}, "ratios: state at least one"), ({"band": 3}, "band 3: 2 edges make the bands 0 to 2")],
)
def test_settings_that_contradict_each_other_are_refused(smoke_plan, keys, expected):
    with pytest.raises(ConfigError, match=expected):
        settings(smoke_plan(studies={"editing": keys}))
