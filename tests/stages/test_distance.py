"""Images from elsewhere are scored as samples are, and the two ports of Inception are held against each other."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from hkd.cli import Commands
from hkd.data import DataError
from hkd.data.image_set import write_image_set
from hkd.data.kinds import shapes
from hkd.experiment import extractors, network_scores
from hkd.metrics.features import ports as library
from hkd.metrics.measure import measure, reference_arrays
from hkd.plan.runs import Plan
from hkd.plan.scores import published
from hkd.settings.columns import scores_of
from hkd.stages import distance, ports
from hkd.store import published as store
from hkd.store.published import WEIGHTS
from hkd.store.refusals import ArtifactError
from tests.metrics.stand_ins import tiny_extractor
from tests.recorded import recorded

SMOKE, FID = (f"configs/benchmarks/{name}.yaml" for name in ("smoke", "cifar10_fid"))
COLUMNS = ["fid_own", "fdn", "kid", "precision"]


@pytest.fixture
def call(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Call a command on the smoke benchmark, whose real images are there and whose network is a tiny one."""
    monkeypatch.chdir(root)
    monkeypatch.setattr(extractors, "extractors", lambda *unused: {"own": tiny_extractor()})
    tables = {name: {"run": [], "extra": [], "columns": COLUMNS} for name in ("table1", "table3")}
    overrides = {"results": str(tmp_path / "results"), "tables": tables}
    plan = Plan.load(SMOKE, overrides)
    values = shapes.factors(0, "train", range(60))
    real = shapes.render(values, 8)
    write_image_set(
        plan.layout.data("shapes8", plan.reference_split("shapes8")),
        zip(real, values["class"].tolist(), strict=True),
        count=60,
        resolution=8,
        channels=3,
        label_dim=len(shapes.CLASSES),
    )
    known, network = Path(plan.layout.reference("shapes8")), Path(plan.layout.extractor("shapes8", "metric"))
    for path in (known, network):
        path.parent.mkdir(parents=True)
    network.write_bytes(b"stands for the tiny one's weights")
    np.savez(known, **reference_arrays(real, {"own": tiny_extractor()}, scores_of(COLUMNS), split="train"))
    recorded(plan, Path(plan.layout.data("shapes8", plan.reference_split("shapes8")).manifest), network, known)
    options = [f"--config={key}={json.dumps(value)}" for key, value in overrides.items()]
    commands = Commands()
    distance.register(commands)
    ports.register(commands)
    return lambda *words: CliRunner().invoke(commands.app, [*words, "--benchmark", SMOKE, *options])


def written(tmp_path: Path, name: str) -> dict:
    """The only file of that pattern beside the reference."""
    (found,) = (p for p in (tmp_path / "results/shapes8/reference").glob(name) if not p.match("*.record.json"))
    return json.loads(found.read_text())


@pytest.mark.parametrize("form", ["folder", "npz", "adm"])
def test_images_from_elsewhere_have_the_scores_of_samples(call, tmp_path: Path, form: str) -> None:
    images = shapes.images(1, "heldout", range(40), 8)
    path = tmp_path / ("theirs" if form == "folder" else f"{form}.npz")
    if form == "folder":
        path.mkdir()
        for i, image in enumerate(images):
            Image.fromarray(image.transpose(1, 2, 0)).save(path / f"{i:03}.png")
    else:
        np.savez(path, **({"images": images} if form == "npz" else {"arr_0": images.transpose(0, 2, 3, 1)}))
    result = call("distance", str(path), "shapes8", "--n", "40")
    assert result.exit_code == 0, result.exception
    found = written(tmp_path, f"scores-{path.name}-*.json")
    known = reference_arrays(
        shapes.images(0, "train", range(60), 8), {"own": tiny_extractor()}, scores_of(COLUMNS), split="train"
    )
    expected = measure(images, known, {"own": tiny_extractor()}, COLUMNS)["scores"]
    assert found["scores"] == pytest.approx(expected, rel=1e-9)
    assert (found["metric"], found["n_generated"]) == ("FD-tiny", 40)
    assert all(name in result.output for name in COLUMNS)


@pytest.mark.parametrize(
    ("name", "kept"),
    [("a\nb", "a_b"), ("n" * 245, "n" * 180), ("猫" * 80, "猫" * 60), ("\udcff", "_"), ("\x1b[2J", "_[2J")],
    ids=["newline", "long", "letters", "bytes", "control"],
)
def test_scores_are_written_whatever_a_folder_is_called(call, tmp_path: Path, name: str, kept: str) -> None:
    (tmp_path / name).mkdir()
    for i, image in enumerate(shapes.images(1, "heldout", range(10), 8)):
        Image.fromarray(image.transpose(1, 2, 0)).save(tmp_path / name / f"{i}.png")
    result = call("distance", str(tmp_path / name), "shapes8")
    assert result.exit_code == 0, result.exception
    assert written(tmp_path, f"scores-{kept.replace('[', '[[]')}-????????.json")["images"] == str(tmp_path / name)
    assert f"protocols in {tmp_path}/results/shapes8/reference/scores-{kept}-" in result.stdout.splitlines()[-1]


def test_images_of_another_size_or_number_are_refused(call, tmp_path: Path) -> None:
    np.save(tmp_path / "large.npy", shapes.images(1, "heldout", range(9), 16))
    with pytest.raises(ArtifactError, match=r"large\.npy: 16 x 16 pixels, shapes8 has 8 x 8"):
        raise call("distance", str(tmp_path / "large.npy"), "shapes8").exception
    with pytest.raises(DataError, match="50000 images claimed, 9 found"):
        raise call("distance", str(tmp_path / "large.npy"), "shapes8", "--n", "50000").exception
    with pytest.raises(DataError, match="no such file or folder"):
        raise call("distance", str(tmp_path / "nothing"), "shapes8").exception


@pytest.mark.parametrize(("factor", "same"), [(1.0, True), (1.0001, True), (1.001, False)])
def test_two_ports_are_one_network_if_their_features_are(
    call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, factor: float, same: bool
) -> None:
    ours = tiny_extractor()
    theirs = replace(ours, function=lambda levels: factor * ours(levels))
    (tmp_path / "weights").write_bytes(b"")
    monkeypatch.setattr(store, "locate", lambda name, folder: folder / "weights")
    monkeypatch.setattr(library, "published_inception", lambda path, device: ours)
    monkeypatch.setattr(library, "torchscript_inception", lambda path, device: theirs)
    result = call("inception-ports", "shapes8", "--n", "20", "--folder", str(tmp_path))
    assert result.exit_code == (0 if same else 1), result.exception
    found = written(tmp_path, "inception-ports.json")
    assert (found["n"], found["same"]) == (20, same)
    assert found["relative_l2"] == pytest.approx(1 - 1 / factor, abs=1e-6)
    assert ("NOT the same network" in result.output) != same


def test_an_absent_port_names_its_command(call, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="run `hkd fetch inception`"):
        raise call("inception-ports", "shapes8", "--folder", str(tmp_path)).exception


def test_an_absent_backbone_of_diversity_is_refused_as_that_of_a_training_is(tmp_path: Path, root: Path, monkeypatch):
    monkeypatch.chdir(root)
    empty = published(Plan.load(FID), "inception").model_copy(update={"folder": str(tmp_path)})
    monkeypatch.setattr(network_scores, "published", lambda *unused: empty)
    plan = Plan.load(FID, {"tables": {"table1": {"columns": ["lpips_diversity"]}}})
    with pytest.raises(ArtifactError, match=r"run `hkd fetch lpips-alex`") as found:
        extractors.networks_beside(plan, "cifar10")
    assert WEIGHTS["lpips-alex"].sha256 in str(found.value)
