"""Editing samples and the user's pictures with a finished run: what comes out, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from tests.studies.single_run import saved


def test_an_edit_starts_from_the_sample_and_ratio_zero_is_the_unedited_image(hkd, tmp_path, samples):
    code, err = hkd("edit", "--out", tmp_path / "e.npz", "--ratio", 0, "--ratio", 0.9)
    assert code == 0, err
    with np.load(tmp_path / "e.npz") as arrays:
        original, edited = arrays["original"].astype(int), arrays["edited"].astype(int)
    assert np.abs(original - samples).max() <= 1
    assert np.array_equal(edited[0], original)
    facts = json.loads((tmp_path / "e.json").read_text())
    assert set(facts["edited"]["0"]["l2"].values()) >= {0.0}
    assert (tmp_path / "e.npz.record.json").exists() and (tmp_path / "e.json.record.json").exists()


def test_a_picture_is_edited_towards_itself_without_effect(hkd, tmp_path, picture):
    own = ("--image", picture, "--mid", 0.5, "--ratio", 0.9)
    code, err = hkd("edit", *own, "--reference", picture, "--out", tmp_path / "e.npz")
    assert code == 0, err
    with np.load(tmp_path / "e.npz") as arrays:
        assert np.array_equal(arrays["source"][0], np.asarray(Image.open(picture)).transpose(2, 0, 1))
        noise_apart = np.abs(arrays["control"].astype(int) - arrays["original"].astype(int))
    assert hkd("edit", *own, "--out", tmp_path / "f.npz")[0] == 0
    with np.load(tmp_path / "f.npz") as arrays:
        other = np.abs(arrays["control"].astype(int) - arrays["original"].astype(int))
    assert noise_apart.mean() < other.mean()


def test_no_picture_and_no_file_of_the_users_is_lost_and_what_was_written_may_be_written_again(hkd, tmp_path, picture):
    before = picture.read_bytes()
    for option in ("--image", "--reference"):
        code, err = hkd("edit", option, picture, "--ratio", 0.5, "--out", picture)
        assert code == 1 and "is read by this command" in err and picture.read_bytes() == before
    (tmp_path / "notes.json").write_text("mine")
    code, err = hkd("edit", "--ratio", 0.5, "--out", tmp_path / "notes.png")
    assert code == 1 and "notes.json: is there, and no record says" in err
    assert (tmp_path / "notes.json").read_text() == "mine" and not (tmp_path / "notes.png").exists()
    for _ in range(2):
        code, err = hkd("edit", "--ratio", 0.5, "--out", tmp_path / "e.png")
        assert code == 0, err


def test_a_figure_takes_no_other_files_place(hkd, tmp_path, files):
    assert hkd("edit", "--out", files.of("editing/editing.npz"))[0] == 0
    (tmp_path / "report.md").write_text("mine")
    code, err = hkd("figure editing", "--out", tmp_path / "report.pdf")
    assert code == 1 and "report.md: is there, and no record says" in err
    assert (tmp_path / "report.md").read_text() == "mine" and not (tmp_path / "report.pdf").exists()
    for _ in range(2):
        code, err = hkd("figure editing", "--out", tmp_path / "editing.pdf")
        assert code == 0, err


def test_a_png_shows_one_tile_per_ratio(hkd, tmp_path, picture):
    assert hkd("edit", "--image", picture, "--ratio", 0.2, "--ratio", 0.5, "--out", tmp_path / "e.png")[0] == 0
    assert Image.open(tmp_path / "e.png").size == (16, 8)


def test_the_figure_is_drawn_of_what_the_edit_left(hkd, tmp_path, files):
    code, err = hkd("edit", "--out", files.of("editing/editing.npz"))
    assert code == 0, err
    code, err = hkd("figure editing", "--out", tmp_path / "editing.pdf")
    assert code == 0, err
    said = (tmp_path / "editing.md").read_text()
    assert "benchmark smoke, averaged weights" in said and "means over 2 images" in said
    assert "Intervening at the midpoint is void" in said
    record = json.loads((tmp_path / "editing.pdf.record.json").read_text())
    assert set(map(str, (files.weights, files.of("editing/editing.npz")))) <= record["inputs"].keys()


@pytest.mark.parametrize(
    "arguments, expected",
    [
        (("--ratio", 1.5), "ratios"),
        (("--region", "left"), "region = 'left'"),
        (("--mid", 100), "mid = 100: the run knows noise levels from 0.002 to 80"),
        (("--index", 1, "--image", "x.png"), "give one of them"),
        (("--reference-index", 0, "--reference", "x.png"), "--reference and --reference-index: give one of them"),
        (("--index", 99999, "--config", "studies.editing.source=dataset"), "image 99999 is not in 0.."),
        (("--image", "nowhere.png"), "nowhere.png: no such file"),
        (("--seed", 7), "run `hkd train`"),
        (("--expect-digest", "another"), "start snakemake again"),
    ],
)
def test_what_cannot_be_is_one_line_and_leaves_nothing(refused, arguments, expected):
    assert expected in refused("edit", *arguments, "--out", "x.png")


def test_an_output_of_another_kind_is_refused_before_anything_is_computed(refused):
    assert "expected .png (a picture) or .npz (arrays)" in refused("edit", "--out", "x.jpg")


@pytest.mark.parametrize(
    "name, array, expected",
    [
        ("deep.png", np.zeros((8, 8), np.uint16), "more than 8 bits, expected 8; save it with 8"),
        ("large.png", np.zeros((16, 16, 3), np.uint8), "16x16 pixels, the run's images have 8x8"),
        (
            "alpha.png",
            np.zeros((8, 8, 4), np.uint8),
            "pixels of it are transparent; lay it on a background",
        ),
        ("half.npy", np.linspace(0, 1, 192).reshape(3, 8, 8), "none below -0.1, which may be meant for [0, 1]"),
        ("bytes.npy", np.full((3, 8, 8), 200.0), "values from 200.0 to 200.0, expected floats in [-1, 1]"),
        ("whole.npy", np.zeros((3, 8, 8), np.int64), "int64, expected one array of uint8"),
        ("flat.npy", np.zeros((8, 8), np.uint8), "shape (8, 8), expected (3, H, W)"),
        ("nan.npy", np.full((3, 8, 8), np.nan), "NaN in 192 of its 192 values, expected floats"),
    ],
)
def test_a_picture_of_the_wrong_kind_is_named(refused, tmp_path, name, array, expected):
    err = refused("edit", "--image", saved(tmp_path / name, array), "--out", "x.png")
    assert expected in err and name in err
