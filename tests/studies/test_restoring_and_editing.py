"""Editing, restoring and decoding the user's pictures with a finished run: results and refusals."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from hkd import __main__ as entry
from hkd import interrupt
from hkd.data.image_set import ImageShape, to_uint8
from hkd.experiment import build as experiment
from hkd.experiment.record import run_document
from hkd.experiment.sample import sample_images
from hkd.seeding import stream
from hkd.settings.origins import to_yaml
from hkd.store.artifacts import save_weights, write_text

SHAPE = ImageShape(resolution=8, channels=3, label_dim=0)


@pytest.fixture(scope="module")
def results(tmp_path_factory, tiny_run, teacher, perceptual, images):
    """A results folder with a moved HKD run, its teacher, its perceptual network and its images."""
    root = tmp_path_factory.mktemp("results")
    run = tiny_run("methods/hkd")
    built = experiment.method(run, SHAPE, seed=0, parts=None)
    state = {}
    for number, (name, value) in enumerate(built.artefact().items()):
        state[name] = value + 0.1 * torch.randn(value.shape, generator=stream(1, "moved", number))
    folder = root / "shapes8/methods/hkd/seed0"
    write_text(folder / "config.yaml", to_yaml(run_document(run, SHAPE, dataset="shapes8", seed=0)))
    save_weights(folder / "weights.safetensors", state)
    shutil.copytree(teacher.parent, root / "shapes8/methods/edm/seed0")
    (root / "shapes8/extractors").mkdir()
    shutil.copytree(perceptual.parent, root / "shapes8/extractors/perceptual")
    shutil.copytree(images, root / "shapes8/data/reference")
    return root


@pytest.fixture
def hkd(monkeypatch, root, capsys, results):
    monkeypatch.chdir(root)
    monkeypatch.delenv("HKD_PROFILE", raising=False)
    interrupt.reset()

    def run(command, *arguments):
        shared = ["--profile", "configs/smoke.yaml", "--config", f"results={results}", "--device", "cpu"]
        studies = ("editing", "inpainting", "trajectories")
        small = [f"studies.{name}.{key}=2" for name in studies for key in ("images", "shown")]
        words = [command, "shapes8", "methods/hkd", *map(str, arguments), *shared]
        monkeypatch.setattr("sys.argv", ["hkd", *words, *(w for s in small for w in ("--config", s))])
        code = entry._run()
        return code, capsys.readouterr().err

    return run


@pytest.fixture
def picture(tmp_path):
    """A picture of 8 pixels, as PNG and as an array."""
    pixels = (np.arange(8 * 8 * 3).reshape(8, 8, 3) % 256).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "mine.png")
    np.save(tmp_path / "mine.npy", pixels)
    return tmp_path / "mine.png"


@pytest.fixture
def samples(results, tiny_run):
    """The one-step samples of the run."""
    built = experiment.base(results / "shapes8/methods/hkd/seed0/weights.safetensors")
    run = tiny_run("methods/hkd")
    images = sample_images(built, run, SHAPE, range(2), seed=0, nfe=1, to=torch.device("cpu"))
    return to_uint8(images).numpy().astype(int)


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
    code, err = hkd("edit", "--image", picture, "--reference", picture, "--mid", 0.5, "--ratio", 0.9, "--out",
                    tmp_path / "e.npz")  # fmt: skip
    assert code == 0, err
    with np.load(tmp_path / "e.npz") as arrays:
        assert np.array_equal(arrays["source"][0], np.asarray(Image.open(picture)).transpose(2, 0, 1))
        noise_apart = np.abs(arrays["control"].astype(int) - arrays["original"].astype(int))
    code, _ = hkd("edit", "--image", picture, "--mid", 0.5, "--ratio", 0.9, "--out", tmp_path / "f.npz")
    with np.load(tmp_path / "f.npz") as arrays:
        other = np.abs(arrays["control"].astype(int) - arrays["original"].astype(int))
    assert noise_apart.mean() < other.mean()


def test_a_png_shows_one_tile_per_ratio(hkd, tmp_path, picture):
    assert hkd("edit", "--image", picture, "--ratio", 0.2, "--ratio", 0.5, "--out", tmp_path / "e.png")[0] == 0
    assert Image.open(tmp_path / "e.png").size == (16, 8)


def test_known_pixels_of_a_picture_stay_and_missing_ones_change(hkd, tmp_path, picture):
    mask = np.zeros((8, 8), np.uint8)
    mask[4:, :4] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    code, err = hkd(
        "inpaint", "--image", picture, "--mask", tmp_path / "mask.png", "--steps", 3, "--out", tmp_path / "i.png"
    )
    assert code == 0, err
    before, after = np.asarray(Image.open(picture)), np.asarray(Image.open(tmp_path / "i.png"))
    assert np.array_equal(before[mask == 0], after[mask == 0])
    assert not np.array_equal(before[mask == 255], after[mask == 255])


def test_the_study_of_inpainting_changes_nothing_outside_of_any_mask(hkd, tmp_path):
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
    assert json.loads((tmp_path / "c.json").read_text())["colour"]["largest_change_of_luminance"] < 1e-5


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


def test_a_picture_is_decoded_at_any_times_from_one_encoding(hkd, tmp_path, picture):
    code, err = hkd("trajectory", "--image", picture, "--times", "10,1,0.002", "--out", tmp_path / "t.png")
    assert code == 0, err
    assert Image.open(tmp_path / "t.png").size == (24, 8)


@pytest.mark.parametrize(
    "arguments, expected",
    [
        (("edit", "--ratio", 1.5, "--out", "x.png"), "ratios"),
        (("edit", "--region", "left", "--out", "x.png"), "region = 'left'"),
        (("edit", "--mid", 100, "--out", "x.png"), "mid = 100: the run knows noise levels from 0.002 to 80"),
        (("edit", "--out", "x.jpg"), "expected .png"),
        (("edit", "--index", 1, "--image", "x.png", "--out", "x.png"), "give one of them"),
        (("trajectory", "--times", "100,1", "--out", "x.png"), "--times = 100"),
        (("trajectory", "--times", "soon", "--out", "x.png"), "expected noise levels between commas"),
        (("trajectory", "--at", 1, "--out", "x.png"), "--at 1: is where a picture is encoded; give it with --image"),
        (("inpaint", "--steps", 0, "--out", "x.png"), "steps = 0 is not usable"),
        (("colourise", "--steps", 0, "--out", "x.png"), "steps = 0 is not usable"),
        (
            ("edit", "--index", 99999, "--config", "studies.editing.source=dataset", "--out", "x.png"),
            "image 99999 is not in 0..",
        ),
        (("inpaint", "--seed", 7, "--out", "x.png"), "run `hkd train`"),
        (("edit", "--image", "nowhere.png", "--out", "x.png"), "nowhere.png: no such file"),
    ],
)
def test_an_impossible_request_is_refused_in_one_line_without_output(hkd, tmp_path, monkeypatch, arguments, expected):
    words = [str(tmp_path / w) if str(w).startswith("x.") else w for w in arguments]
    code, err = hkd(*words)
    assert code == 1
    assert len(err.strip().splitlines()) == 1 and expected in err and "Traceback" not in err
    assert not list(tmp_path.glob("x.*"))


def saved(path, array):
    np.save(path, array) if path.suffix == ".npy" else Image.fromarray(array).save(path)
    return path


@pytest.mark.parametrize(
    "name, array, expected",
    [
        ("grey.png", np.zeros((8, 8), np.uint8), "mode L, expected mode RGB"),
        ("large.png", np.zeros((16, 16, 3), np.uint8), "16x16 pixels, the run's images have 8x8"),
        ("alpha.png", np.zeros((8, 8, 4), np.uint8), "mode RGBA, expected mode RGB"),
        ("bytes.npy", np.full((3, 8, 8), 200.0), "values from 200 to 200, expected floats in [-1, 1]"),
        ("whole.npy", np.zeros((3, 8, 8), np.int64), "int64, expected one array of uint8"),
        ("flat.npy", np.zeros((8, 8), np.uint8), "shape (8, 8), expected (3, H, W)"),
        ("nan.npy", np.full((3, 8, 8), np.nan), "expected floats in [-1, 1]"),
    ],
)
def test_a_picture_of_the_wrong_kind_is_named(hkd, tmp_path, name, array, expected):
    code, err = hkd("edit", "--image", saved(tmp_path / name, array), "--out", tmp_path / "out.png")
    assert code == 1 and expected in err and name in err
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize(
    "array, expected",
    [
        (np.zeros((8, 8), np.uint8), "no pixel is white"),
        (np.full((8, 8), 255, np.uint8), "every pixel is white"),
        (np.full((8, 8), 128, np.uint8), "has the value 128"),
        (np.full((4, 4), 255, np.uint8), "4x4 pixels"),
        (np.full((8, 8, 3), 255, np.uint8), "mode RGB, expected mode L"),
    ],
)
def test_a_mask_of_the_wrong_kind_is_named(hkd, tmp_path, picture, array, expected):
    code, err = hkd(
        "inpaint", "--image", picture, "--mask", saved(tmp_path / "mask.png", array), "--out", tmp_path / "o.png"
    )
    assert code == 1 and expected in err
