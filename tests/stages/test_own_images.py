"""Preparing and scoring images of one's own by the command line: what is read, said and refused."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hkd import __main__ as entry
from hkd import interrupt
from hkd.data.decoding import encode_png
from hkd.seeding import numpy_stream
from hkd.store.artifacts import read_json, weights_about
from hkd.store.records import record_path
from tests.data.pictures_made import GREEN, RED, folder, packed


@pytest.fixture
def hkd(monkeypatch, root, tmp_path, capsys):
    """Run a command on a source as the entry point does; return exit code and what it says beside the output."""
    monkeypatch.chdir(root)
    interrupt.reset()

    def run(command: str, source: Path, *options: str) -> tuple[int, str]:
        settings = [f"source={source}", f"results={tmp_path / 'results'}", "set_extractors={steps: 4, batch: 8}"]
        configs = [word for setting in settings for word in ("--config", setting)]
        benchmark = ["--benchmark", "configs/benchmarks/own_plain.yaml"]
        monkeypatch.setattr(sys, "argv", ["hkd", *command.split(), *benchmark, *configs, *options])
        code = entry._run()
        return code, capsys.readouterr().err

    return run


def manifest(tmp_path: Path) -> dict:
    return read_json(tmp_path / "results/images/data/train/manifest.json", "prepare")


def one_line(code: int, err: str) -> str:
    assert code == 1 and err.startswith("hkd: ") and err.count("\n") == 1, err
    return err


def test_what_is_left_out_is_said_and_kept_in_the_manifest(hkd, tmp_path):
    files = {"0.png": RED, "1": GREEN, "notes.txt": b"", ".ipynb_checkpoints/0.png": RED, "bad.png": b""}
    source = folder(tmp_path / "set", files)
    assert "bad.png: " in one_line(*hkd("prepare images", source))
    code, err = hkd("prepare images", source, "--skip-unreadable")
    assert code == 0 and len(err.splitlines()) == 3
    for line in (
        "left out as hidden or copies: .ipynb_checkpoints 1",
        "left out: .txt 1",
        "skipped as unreadable, first",
    ):
        assert line in err
    made = manifest(tmp_path)
    assert made["count"] == 2 and made["label_dim"] == 0 and len(made["remarks"]) == 3


def test_names_of_classes_stand_in_the_manifest(hkd, tmp_path):
    source = packed(tmp_path / "set.zip", {f"data/{k}/0.png": RED for k in (10, 9, 1)})
    code, err = hkd("prepare images", source, "--config", "data.images.class_folders=true")
    assert code == 0 and "3 classes, the folders in data: 1, 9, 10" in err
    assert manifest(tmp_path)["class_names"] == ["1", "9", "10"]
    labels = np.load(tmp_path / "results/images/data/train/labels.npy")
    assert labels.tolist() == [0, 2, 1]  # of data/1, data/10, data/9


def test_names_of_classes_are_said_once(hkd, tmp_path):
    for name, place, said in (
        ("set", "", "7 classes: 0, 1, 2, 3, 4, ... (2 more)"),
        ("wrapped", "data/", "7 classes, the folders in data: 0, 1, 2, 3, 4, ... (2 more)"),
    ):
        source = packed(tmp_path / f"{name}.zip", {f"{place}{k}/0.png": RED for k in range(7)})
        assert hkd("prepare images", source, "--config", "data.images.class_folders=true") == (0, f"{source}: {said}\n")


def test_a_good_source_is_prepared_in_silence(hkd, tmp_path):
    source = packed(tmp_path / "set.zip", {"0.png": RED, "dataset.json": b'{"labels": [["0.png", 0]]}'})
    assert hkd("prepare images", source) == (0, "")
    assert not {"remarks", "class_names"} & manifest(tmp_path).keys()


def test_drawn_data_sets_have_nothing_to_skip(hkd, tmp_path):
    said = one_line(*hkd("prepare shapes8 --skip-unreadable", tmp_path))
    assert "is drawn, not read from files" in said


@pytest.mark.parametrize("name", ["set.npz", "set.tar.gz", "cifar-10-batches-py", "one.png"])
def test_sources_that_are_none_say_what_to_give(hkd, tmp_path, name):
    import tarfile

    folder(tmp_path / "cifar-10-batches-py", {f"data_batch_{k}": b"x" for k in range(1, 6)})
    pictures = folder(tmp_path / "pictures", {"0.png": RED, "1.png": GREEN})
    with tarfile.open(tmp_path / "set.tar.gz", "w:gz") as archive:
        archive.add(pictures, "pictures")
    np.savez(tmp_path / "set.npz", images=np.zeros((2, 8, 8, 3), np.uint8))
    (tmp_path / "one.png").write_bytes(RED)
    expected = {
        "set.npz": "an array file is not accepted",
        "set.tar.gz": "a tar of pictures is not read; unpack it",
        "cifar-10-batches-py": "cifar-10-batches-py, data_batch_1: damaged",
        "one.png": "a single picture; put pictures into a folder",
    }
    assert expected[name] in one_line(*hkd("prepare images", tmp_path / name))


def test_a_network_for_one_class_learns_rotations_and_is_called_so(hkd, tmp_path):
    pixels = numpy_stream(0, "pixels").integers(0, 256, (20, 3, 8, 8)).astype(np.uint8)
    files = {f"{k:02}.png": encode_png(image) for k, image in enumerate(pixels)}
    labels = json.dumps({"labels": [[name, 0] for name in files]}).encode()
    source = folder(tmp_path / "set", {**files, "dataset.json": labels})
    assert hkd("prepare images", source)[0] == 0
    code, err = hkd("extractor images metric", source)
    weights = tmp_path / "results/images/extractors/metric/weights.safetensors"
    assert code == 0 and weights_about(weights)["name"] == "FD-rotation-cnn"
    assert "below the bar of 0.5: numbers made with it are marked" in err
    assert read_json(record_path(weights), "extractor")["skill"] == weights_about(weights)["skill"] < 0.5


def test_a_single_picture_and_copies_of_one_are_named(hkd, tmp_path):
    source = folder(tmp_path / "one", {"0.png": RED})
    assert hkd("prepare images", source)[0] == 0
    assert "a single image, from which no network learns" in hkd("extractor images metric", source)[1]
    mixed = encode_png(numpy_stream(0, "pixels").integers(0, 256, (3, 8, 8)).astype(np.uint8))
    source = folder(tmp_path / "copies", {f"{k}.png": mixed for k in range(4)})
    for command in ("prepare images", "extractor images metric"):
        assert hkd(command, source)[0] == 0
    assert "all 4 are copies of one, and have no covariance" in hkd("reference images", source)[1]


NAMES = ["a b;c", "`touch ran`", 'a"; touch ran; "', "a'b", "#x", "~", "$(shell touch ran)", "a$HOME", "$$x", "x$"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("target", "figures", "commands"),
    [("own", "own", 2), ("cifar10-cpu", "cifar10_cpu", 2), ("readme-cifar10", "cifar10_cpu", 3)],
)
def test_make_hands_on_the_name_of_a_source_as_it_is(tmp_path, target, figures, commands, name):
    """Neither make nor a shell reads it: each command has it in one word."""
    root, tools = Path(__file__).resolve().parents[2], tmp_path / "tools/bin"
    tools.mkdir(parents=True)
    for tool in ("hkd", "snakemake"):
        (tools / tool).write_text(f"#!{sys.executable}\nimport sys\nprint(ascii(sys.argv[1:]))\n")
        (tools / tool).chmod(0o755)
    for stamp in (".installed", ".installed-photos"):
        (tools.parent / stamp).touch()
    command = ["make", "-s", "-f", root / "Makefile", target, f"VENV={tools.parent}", f"SOURCE={name}"]
    drawn = tmp_path / "paper_figures" / figures
    drawn.mkdir(parents=True)
    (drawn / "nearest.md").write_text("- done\n")
    for file in ("pyproject.toml", "constraints.txt"):
        (tmp_path / file).touch()
        os.utime(tmp_path / file, (0, 0))
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    calls = [ast.literal_eval(line) for line in found.stdout.splitlines() if line.startswith("[")]
    assert len(calls) == commands and all(f"source={name}" in call for call in calls)
    assert not (tmp_path / "ran").exists()


def test_too_few_images_for_a_column_are_refused_before_anything_is_trained(hkd, tmp_path):
    source = folder(tmp_path / "set", {f"{k}.png": RED for k in range(64)})
    columns = ("--config", "tables={table1: {columns: [fdn, fd_effnet64]}}")
    said = one_line(*hkd("prepare images", source, *columns))
    assert "set: 64 images, and the column fd_effnet64 needs more than 64" in said and "tables.NAME.columns" in said
    assert not record_path(tmp_path / "results/images/data/train/manifest.json").exists()
    (source / "64.png").write_bytes(RED)
    assert hkd("prepare images", source, *columns) == (0, "")
