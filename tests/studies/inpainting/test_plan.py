"""What defines restored images and their figure, and what the figure says of them."""

from __future__ import annotations

import pytest

from hkd.settings.origins import ConfigError
from hkd.studies.inpainting.plan import FIGURE, RESTORED, settings, source

RUN = {"dataset": "shapes8", "method": "methods/hkd", "seed": 0}


@pytest.mark.parametrize(
    "changes, again",
    [
        ({"studies": {"inpainting": {"steps": 3}}}, {RESTORED, FIGURE}),
        ({"studies": {"inpainting": {"source": "generated"}}}, {RESTORED, FIGURE}),
        ({"studies": {"inpainting": {"shown": 1}}}, {FIGURE}),
        ({"benchmark": "another"}, {FIGURE}),  # its caption says so
        ({"set": {"sampling": {"n_samples": 64}}}, set()),
        ({"set_trajectories": {"steps": 5}}, set()),
    ],
)
def test_what_is_made_again(smoke_plan, changes, again):
    before, after = smoke_plan(), smoke_plan(**changes)
    works = {RESTORED: RUN, FIGURE: {}}
    assert {
        part for part, of in works.items() if part.work(before, **of).digest != part.work(after, **of).digest
    } == again


@pytest.mark.parametrize(
    "keys, expected",
    [
        ({}, "images of the held-out set"),
        ({"dataset": "cifar10"}, "images of the training set"),
        ({"source": "generated"}, "generated images"),
    ],
)
def test_the_caption_says_which_images_were_restored(smoke_plan, keys, expected):
    assert source(smoke_plan(studies={"inpainting": keys})) == expected


def test_a_study_without_masks_is_refused(smoke_plan):
    with pytest.raises(ConfigError, match="masks: state at least one"):
        settings(smoke_plan(studies={"inpainting": {"masks": []}}))
