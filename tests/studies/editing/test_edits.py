"""Which images are edited and towards which, and what an edit and its controls blend."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hkd.koopman.bands import TERTILES
from hkd.settings.origins import ConfigError
from hkd.studies.editing.edits import Edit, Subjects, edited, in_a_row

ASKED = Edit("lower_half", (0.0, 0.9), 0.9, "alpha", True, TERTILES, 2, None, 3)


def distance(images, other):
    return (images - other).abs().mean((1, 2, 3))


@pytest.mark.parametrize(
    "given, numbers, others",
    [
        ({}, [0, 1, 2], [3, 4, 5]),
        ({"index": 7}, [7], [8]),
        ({"reference_index": 9}, [0, 1, 2], [9, 9, 9]),
        ({"index": 7, "reference_index": 9}, [7], [9]),
        ({"files": ("a.png", "b.png")}, [0, 1], [2, 3]),
        ({"files": ("a.png", "b.png"), "reference_index": 5}, [0, 1], [5, 5]),
    ],
)
def test_images_are_edited_towards_those_that_follow_unless_one_is_named(given, numbers, others):
    pictured = Subjects(3, None, **given)
    assert (pictured.numbers(), pictured.others()) == (numbers, others)


def test_the_pictures_of_the_user_are_edited_towards_generated_ones_whatever_the_source(finished_run, picture, results):
    folder = str(results / "shapes8/data/reference")
    assert Subjects(2, folder, files=(picture,)).targets(finished_run) is None
    assert Subjects(2, folder).targets(finished_run).shape == (2, 3, 8, 8)
    twice = Subjects(2, folder, files=(picture, picture), reference=picture)
    assert twice.targets(finished_run).equal(twice.images(finished_run))


def test_controls_blend_as_many_modes_at_random_and_all_of_them(finished_run):
    arrays, facts = edited(finished_run, ASKED, Subjects(2, None), distance)
    assert np.array_equal(arrays["edited"][0], arrays["original"]), "ratio 0 blends nothing"
    kinds = [arrays["original"], arrays["edited"][1], arrays["random"], arrays["control"]]
    assert len({kind.tobytes() for kind in kinds}) == 4
    assert list(facts["edited"]) == ["0", "0.9", "all_modes", "random_modes"]
    assert facts["mid"] == finished_run.net.time.middle()
    assert len(facts["time"]["levels"]) == 3 and facts["time"]["verdict"] == "void"
    inside = {name: of["l2"]["inside_to_original"] for name, of in facts["edited"].items()}
    assert inside["0"] == 0 < inside["0.9"] < inside["all_modes"]
    assert arrays["region"][4:].all() and not arrays["region"][:4].any()


def test_an_edit_towards_itself_changes_nothing(finished_run):
    pictured = Subjects(1, None, index=3, reference_index=3)
    arrays, facts = edited(finished_run, ASKED, pictured, distance)
    assert np.abs(arrays["control"].astype(int) - arrays["original"]).max() <= 1
    assert facts["reference_to_original"]["l2"]["inside_to_original"] < 1e-4


def test_an_image_is_edited_alike_alone_and_among_others(finished_run):
    together, _ = edited(finished_run, ASKED, Subjects(2, None, reference_index=5), distance)
    alone, _ = edited(finished_run, ASKED, Subjects(1, None, index=1, reference_index=5), distance)
    assert np.abs(together["edited"][:, 1:].astype(int) - alone["edited"]).max() <= 1


def test_real_images_are_kept_beside_their_edits(finished_run, results):
    arrays, _ = edited(finished_run, ASKED, Subjects(2, str(results / "shapes8/data/reference")), distance)
    stored = np.load(results / "shapes8/data/reference/images.npy")[:2]
    assert np.array_equal(arrays["source"], stored)


def test_a_noise_level_that_the_run_does_not_know_is_refused(finished_run):
    with pytest.raises(ConfigError, match=r"studies\.editing\.mid = 100: the run knows noise levels from 0\.002 to 80"):
        edited(finished_run, replace(ASKED, mid=100.0), Subjects(1, None), distance)


def test_a_row_of_pictures_goes_ratio_by_ratio():
    images = np.arange(2 * 3).reshape(2, 3, 1, 1, 1).astype(np.uint8) * np.ones((1, 1, 3, 2, 2), np.uint8)
    assert in_a_row({"edited": images})[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4, 5]
