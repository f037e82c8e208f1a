"""Decoding one encoding over time, beside the teacher or alone: what comes out, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image


def test_the_last_state_of_a_trajectory_is_the_sample(hkd, tmp_path, samples):
    code, err = hkd("trajectory", "--out", tmp_path / "t.npz")
    assert code == 0, err
    facts = json.loads((tmp_path / "t.json").read_text())
    assert facts["sigmas"][0] == pytest.approx(80) and facts["sigmas"][-1] == pytest.approx(0.002)
    with np.load(tmp_path / "t.npz") as arrays:
        assert np.abs(arrays["decoded"][-1].astype(int) - samples).max() <= 1
        assert np.abs(arrays["predictions"][0].astype(int) - samples).max() <= 1
        assert {name: arrays[name].shape[:2] for name in arrays} == dict.fromkeys(
            ("states", "denoised", "predictions", "decoded"), (len(facts["sigmas"]), 2)
        )


def test_a_picture_is_decoded_at_any_times_from_one_encoding(hkd, tmp_path, picture, files):
    code, err = hkd("trajectory", "--image", picture, "--times", "10,1,0.002", "--out", tmp_path / "t.png")
    assert code == 0, err
    assert Image.open(tmp_path / "t.png").size == (24, 8)
    record = json.loads((tmp_path / "t.png.record.json").read_text())
    assert list(record["inputs"]) == [files.weights], "no teacher is asked"


def test_the_figure_is_drawn_of_what_was_stored(hkd, tmp_path, files):
    code, err = hkd("trajectory", "--out", files.of("trajectories/states.npz"))
    assert code == 0, err
    code, err = hkd("figure trajectories", "--out", tmp_path / "trajectories.pdf")
    assert code == 0, err
    said = (tmp_path / "trajectories.md").read_text()
    assert "benchmark smoke, averaged weights" in said and "over 2 trajectories" in said


@pytest.mark.parametrize(
    "arguments, expected",
    [
        (("--times", "100,1"), "--times = 100"),
        (("--times", "soon"), "expected noise levels between commas"),
        (("--at", 1), "--at 1: is where a picture is encoded; give it with --image"),
        (("--index", 0, "--image", "x.png"), "--image and --index: give one of them"),
        (("--seed", 7), "run `hkd train`"),
        (("--config", "studies.trajectories.trajectories=edm-pairs"), "name one that keeps all states"),
    ],
)
def test_what_cannot_be_is_one_line_and_leaves_nothing(refused, arguments, expected):
    assert expected in refused("trajectory", *arguments, "--out", "x.png")
