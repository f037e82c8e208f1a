"""Restoring images of the data set and the user's pictures: what comes out, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from tests.studies.single_run import saved


def test_known_pixels_of_a_picture_stay_and_missing_ones_change(hkd, tmp_path, picture):
    mask = np.zeros((8, 8), np.uint8)
    mask[4:, :4] = 255
    saved(tmp_path / "mask.png", mask)
    code, err = hkd(
        "inpaint", "--image", picture, "--mask", tmp_path / "mask.png", "--steps", 3, "--out", tmp_path / "i.png"
    )
    assert code == 0, err
    before, after = np.asarray(Image.open(picture)), np.asarray(Image.open(tmp_path / "i.png"))
    assert np.array_equal(before[mask == 0], after[mask == 0])
    assert not np.array_equal(before[mask == 255], after[mask == 255])


def test_the_study_changes_nothing_outside_of_any_mask(hkd, tmp_path):
    code, err = hkd("inpaint", "--steps", 3, "--out", tmp_path / "i.npz")
    assert code == 0, err
    facts = json.loads((tmp_path / "i.json").read_text())["restored"]
    assert {facts[mask]["largest_change_outside"] for mask in ("lower_half", "centre", "grid")} == {0.0}
    assert facts["colour"]["largest_change_of_luminance"] < 1e-5
    with np.load(tmp_path / "i.npz") as arrays:
        truth, missing = arrays["truth"].astype(float), arrays["centre/missing"]
        fill = arrays["centre/mean_fill"][..., missing].astype(float)
        assert np.abs(fill - truth[..., ~missing].mean(-1)[..., None]).max() < 1.0


def test_colours_keep_the_luminance_of_a_picture(hkd, tmp_path, picture):
    assert hkd("colourise", "--image", picture, "--steps", 3, "--out", tmp_path / "c.npz")[0] == 0
    facts = json.loads((tmp_path / "c.json").read_text())
    assert (facts["images"], facts["steps"]) == (1, 3)
    assert facts["colour"]["largest_change_of_luminance"] < 1e-5


def test_a_grey_picture_is_coloured_as_its_copy_of_three_equal_channels_is(hkd, tmp_path):
    grey = Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8) * 4)
    results = []
    for mode in ("L", "RGB"):
        grey.convert(mode).save(tmp_path / f"{mode}.png")
        code, err = hkd("colourise", "--image", tmp_path / f"{mode}.png", "--steps", 3, "--out", tmp_path / "c.npz")
        assert code == 0, err
        with np.load(tmp_path / "c.npz") as arrays:
            results.append({name: arrays[name] for name in arrays.files})
    assert all(np.array_equal(results[0][name], results[1][name]) for name in results[0])
    assert np.array_equal(results[0]["truth"][0, 0], np.asarray(grey))


def test_the_figure_says_whose_images_were_restored(hkd, tmp_path, files):
    code, err = hkd("inpaint", "--steps", 3, "--out", files.of("inpainting/inpainting.npz"))
    assert code == 0, err
    figure = ("figure inpainting", "--out", tmp_path / "inpainting.pdf")
    code, err = hkd(*figure)
    assert code == 1 and "its record says settings" in err, "of a plan with other settings"
    code, err = hkd(*figure, "--config", "studies.inpainting.steps=3")
    assert code == 0, err
    said = (tmp_path / "inpainting.md").read_text()
    assert "3 noise levels" in said and "the first images of the held-out set" in said


@pytest.mark.parametrize(
    "arguments, expected",
    [
        (("inpaint", "--steps", 0), "steps = 0 is not usable"),
        (("colourise", "--steps", 0), "steps = 0 is not usable"),
        (("inpaint", "--seed", 7), "run `hkd train`"),
        (("inpaint", "--expect-digest", "another"), "start snakemake again"),
    ],
)
def test_what_cannot_be_is_one_line_and_leaves_nothing(refused, arguments, expected):
    assert expected in refused(*arguments, "--out", "x.png")


@pytest.mark.parametrize(
    "array, expected",
    [
        (np.zeros((8, 8), np.uint8), "no pixel is white"),
        (np.full((8, 8), 255, np.uint8), "every pixel is white"),
        (np.full((8, 8), 128, np.uint8), "has the value 128"),
        (np.full((4, 4), 255, np.uint8), "4x4 pixels, the run's images have 8x8; resize it first, without smoothing"),
        (
            np.full((8, 8, 4), 254, np.uint8),
            'its opaque pixels are the missing ones, save image.convert("RGBA").getchannel("A") as the mask',
        ),
        (np.full((8, 8, 3), (255, 0, 0), np.uint8), "has the colour (255, 0, 0)"),
    ],
)
def test_a_mask_of_the_wrong_kind_is_named(refused, tmp_path, picture, array, expected):
    mask = saved(tmp_path / "mask.png", array)
    assert expected in refused("inpaint", "--image", picture, "--mask", mask, "--out", "x.png")


def test_neither_mask_nor_picture_is_written_over(hkd, tmp_path, picture):
    mask = saved(tmp_path / "mask.png", np.eye(8, dtype=np.uint8) * 255)
    kept = {path: path.read_bytes() for path in (mask, picture)}
    for command in (
        ("inpaint", "--mask", mask, "--out", mask),
        ("inpaint", "--out", picture),
        ("colourise", "--out", picture),
    ):
        code, err = hkd(*command, "--image", picture, "--steps", 2)
        assert code == 1 and "is read by this command, and would be lost" in err
    assert {path: path.read_bytes() for path in (mask, picture)} == kept
