"""Published layouts load, damaged ones are refused, and two references can be compared."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hkd.metrics import references
from hkd.metrics.features.extract import FunctionExtractor, extract
from hkd.metrics.features.inputs import MetricError
from hkd.metrics.references import Reference, held_against, load_reference, reference_distance
from hkd.metrics.scores.moments import gaussian_of
from hkd.metrics.scoring import FeatureSet
from tests.fuzzed import COMPARED, refused

STATISTICS = {"mu": np.arange(4.0), "sigma": np.diag([1.0, 2.0, 3.0, 4.0])}


def test_a_reference_has_distance_zero_to_itself_and_other_classes_are_noticed(
    real: np.ndarray, extractor: FunctionExtractor, tmp_path: Path
) -> None:
    built = {}
    for kind in ("A", "C"):
        side = gaussian_of(extract(real, extractor, kind))
        built[kind] = Reference(side, kind, extractor.name, extractor.digest, "train", "d" * 64)
    np.savez(tmp_path / "shapes_clean_train.npz", mu=built["C"].gaussian.mean, sigma=built["C"].gaussian.covariance)
    published = load_reference(tmp_path / "shapes_clean_train.npz", dim=16)
    same = reference_distance(built["C"], published)
    assert same.frechet.fdn < 1e-8 and same.same_class and same.largest_mean_difference == 0
    other = reference_distance(built["A"], published)
    assert other.frechet.fdn > 1e-3 and not other.same_class


@pytest.mark.parametrize(
    ("name", "layout", "kind"),
    [
        ("cifar10-32x32.npz", None, "A"),
        ("cifar10_clean_train_32.npz", None, "C"),
        ("cifar10_legacy_pytorch_train_32.npz", None, "B"),
        ("cifar10_legacy_tensorflow_train_32.npz", None, "A"),
        ("fid_stats_cifar10_train.npz", "ttur", "A"),
    ],
)
def test_published_layouts_load(tmp_path: Path, name: str, layout: str | None, kind: str) -> None:
    np.savez(tmp_path / name, **STATISTICS)
    loaded = load_reference(tmp_path / name, layout=layout)
    assert loaded.preprocessing == kind
    assert loaded.gaussian.n == 0
    assert loaded.split == ("train" if "train" in name else "")


def test_spatial_statistics_and_images_of_adm_files_are_ignored(tmp_path: Path) -> None:
    extra = {"mu_s": np.zeros(2), "sigma_s": np.eye(2), "arr_0": np.zeros((5, 8, 8, 3), np.uint8)}
    np.savez(tmp_path / "adm.npz", **STATISTICS, **extra)
    assert load_reference(tmp_path / "adm.npz", layout="adm").gaussian.dim == 4


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"mu": STATISTICS["mu"]}, "no sigma"),
        ({"feats": np.zeros((3, 4))}, "KID features, not FID statistics"),
        ({**STATISTICS, "mu": np.zeros(3)}, "do not belong together"),
        ({**STATISTICS, "sigma": np.triu(np.ones((4, 4)))}, "no covariance"),
        ({**STATISTICS, "mu": np.full(4, np.nan)}, "NaN"),
        # every variance is positive, and yet no images have this covariance
        ({**STATISTICS, "sigma": np.eye(4) + 1.5 * (1 - np.eye(4))}, "no covariance .it has negative eigenvalues"),
    ],
)
def test_bad_references_are_refused(tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(MetricError, match=f"bad.npz: .*{message}"):
        load_reference(tmp_path / "bad.npz")


@pytest.mark.parametrize("images", [3, 40])
def test_a_covariance_in_float32_or_of_few_images_is_one(tmp_path: Path, images: int) -> None:
    rows = np.random.default_rng(0).normal(size=(images, 16)) * np.logspace(0, 3, 16)
    np.savez(tmp_path / "a.npz", mu=rows.mean(axis=0), sigma=np.cov(rows, rowvar=False).astype(np.float32))
    assert load_reference(tmp_path / "a.npz").gaussian.dim == 16


def test_other_files_and_dimensions_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(tmp_path / "ref.npz", **STATISTICS)
    with pytest.raises(MetricError, match="dimension 4 where 2048 is due; it is of another extractor"):
        load_reference(tmp_path / "ref.npz", dim=2048)
    monkeypatch.setattr(references, "LARGEST", 3)
    with pytest.raises(MetricError, match=r"ref\.npz: dimension 4, above 3"):
        load_reference(tmp_path / "ref.npz")
    with pytest.raises(MetricError, match="no such reference; build one"):
        load_reference(tmp_path / "absent.npz")
    (tmp_path / "ref.pkl").write_bytes(b"x")
    with pytest.raises(MetricError, match="pickled ones can run code"):
        load_reference(tmp_path / "ref.pkl")
    (tmp_path / "cut.npz").write_bytes((tmp_path / "ref.npz").read_bytes()[:200])
    with pytest.raises(MetricError, match="not a readable npz file"):
        load_reference(tmp_path / "cut.npz")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"mu": np.array(["a"] * 4)}, "mu holds <U1, no real numbers"),
        ({"sigma": np.eye(4, dtype=complex)}, "sigma holds complex128, no real numbers"),
        ({"n": np.array("many")}, "n holds <U4, no real numbers"),
        ({"n": np.arange(3)}, "n is no number of images"),
        ({"n": np.array(-1)}, "n is no number of images"),
        ({"mu": np.zeros(0), "sigma": np.zeros((0, 0))}, "do not belong together"),
        ({"mu": np.array([None] * 4, object)}, "Python objects or records"),
    ],
)
def test_statistics_of_other_types_are_refused(tmp_path: Path, change: dict[str, np.ndarray], expected: str) -> None:
    np.savez(tmp_path / "a.npz", **(STATISTICS | change))
    with pytest.raises(MetricError, match=f"a.npz: .*{expected}.*again"):
        load_reference(tmp_path / "a.npz")


@pytest.mark.parametrize("count", COMPARED)
@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_a_damaged_reference_is_refused_in_one_line(tmp_path: Path, write: Callable[..., None], count: int) -> None:
    write(tmp_path / "a.npz", **STATISTICS, n=np.array(50))
    good = load_reference(tmp_path / "a.npz").gaussian

    def same(found: Reference) -> bool:
        return found.gaussian.n == good.n and all(
            np.array_equal(getattr(found.gaussian, name), getattr(good, name)) for name in ("mean", "covariance")
        )

    read = lambda: load_reference(tmp_path / "a.npz")  # noqa: E731
    assert refused(tmp_path / "a.npz", read, count, MetricError, same) > count // 2


def feature_set(rows: np.ndarray) -> FeatureSet:
    facts = {"name": "FD-tiny", "input_size": 24, "dim": rows.shape[1], "digest": "e" * 64, "value_map": "own"}
    texts = {"eyes": json.dumps({"own": facts}), "images_digest": "d" * 64, "split": "train"}
    return FeatureSet({"own_A": rows, "n": np.array(len(rows)), **{k: np.array(v) for k, v in texts.items()}}, "x")


def test_a_built_reference_is_held_against_published_statistics(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(60, 3))
    side = feature_set(rows)
    own, other = tmp_path / "own-32x32.npz", tmp_path / "other-64x64.npz"
    np.savez(own, mu=rows.mean(axis=0), sigma=np.cov(rows, rowvar=False))
    np.savez(other, mu=rows.mean(axis=0) + np.array([1.0, 0.0, 0.0]), sigma=np.cov(rows, rowvar=False))
    facts = held_against(side, own, layout=None, within=0.01)
    assert facts["file"] == "own-32x32.npz" and abs(facts["distance"]) < 1e-9
    with pytest.raises(MetricError, match=r"other-64x64.npz: 1 from the 60 images .* where 0.01 is the most; .*within"):
        held_against(side, other, layout=None, within=0.01)
    assert held_against(side, other, layout="edm", within=1.5)["largest_mean"] == pytest.approx(1.0)
