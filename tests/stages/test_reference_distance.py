"""A built reference beside a published file, from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from hkd.cli import Commands
from hkd.metrics.features.inputs import MetricError
from hkd.plan.runs import Plan
from hkd.stages import reference_distance
from tests.recorded import recorded

EXTRACTOR = {"name": "FD-tiny", "input_size": 24, "dim": 3, "digest": "e" * 64, "value_map": "own"}


@pytest.fixture
def built(tmp_path: Path) -> np.ndarray:
    """Features of a reference of 50 images, stored where the benchmark looks for them."""
    rows = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    plan = Plan.load("configs/benchmarks/embedded.yaml", {"results": f"{tmp_path}/results"})
    path = Path(plan.layout.reference("shapes16"))
    path.parent.mkdir(parents=True)
    texts = {"eyes": json.dumps({"own": EXTRACTOR}), "images_digest": "d" * 64, "split": "train"}
    np.savez(path, own_A=rows, n=np.array(50), **{key: np.array(text) for key, text in texts.items()})
    recorded(plan, path)
    return rows.astype(np.float64)


def distance_to(file: Path, tmp_path: Path):
    root = f"results={tmp_path}/results"
    commands = Commands()
    reference_distance.register(commands)
    return CliRunner().invoke(commands.app, ["reference-distance", "shapes16", str(file), "--config", root])


def test_a_shifted_mean_is_the_whole_distance(built: np.ndarray, tmp_path: Path) -> None:
    """Equal covariances, means 0.3 apart on one axis: the distance is 0.09."""
    file = tmp_path / "shapes-train.npz"
    np.savez(file, mu=built.mean(axis=0) + np.array([0.3, 0.0, 0.0]), sigma=np.cov(built, rowvar=False))
    result = distance_to(file, tmp_path)
    assert result.exit_code == 0, result.output
    content = json.loads((tmp_path / "results/shapes16/reference/distance-shapes-train.json").read_text())
    assert content["frechet"]["distance"] == pytest.approx(0.09, rel=1e-9)
    assert content["largest_mean_difference"] == pytest.approx(0.3)
    assert (content["n_built"], content["n_published"], content["preprocessing"]) == (50, None, "A")


def test_a_file_of_another_dimension_or_class_is_refused(built: np.ndarray, tmp_path: Path) -> None:
    np.savez(tmp_path / "wide.npz", mu=np.zeros(4), sigma=np.eye(4))
    with pytest.raises(MetricError, match="dimension 4 where 3 is due"):
        raise distance_to(tmp_path / "wide.npz", tmp_path).exception
    np.savez(tmp_path / "shapes_clean_train.npz", mu=np.zeros(3), sigma=np.eye(3))
    with pytest.raises(MetricError, match="holds no 'own_C'; it was made for other columns"):
        raise distance_to(tmp_path / "shapes_clean_train.npz", tmp_path).exception
