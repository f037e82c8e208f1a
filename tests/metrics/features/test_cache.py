"""A pass by chunks is the whole pass, and the cache finds features by content alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from hkd.metrics.features import cache as passes
from hkd.metrics.features.cache import FeatureCache, feature_chunks, split_halves
from hkd.metrics.features.extract import FunctionExtractor, extract
from hkd.metrics.features.inputs import MetricError
from hkd.metrics.measure import reference_arrays
from tests.fuzzed import COMPARED, refused
from tests.memory import allocated


@pytest.mark.parametrize("n", [63, 64, 65, 66, 128, 129, 301])
def test_chunks_hold_every_image_once_and_never_one_alone(
    real: np.ndarray, extractor: FunctionExtractor, monkeypatch: pytest.MonkeyPatch, n: int
) -> None:
    monkeypatch.setattr(passes, "CHUNK", 64)
    whole, chunks = extract(real[:n], extractor, "C", batch=32), []
    for start, (rows,) in feature_chunks(real[:n], extractor, "C", ["features"], batch=32):
        assert start == sum(map(len, chunks)) and 2 <= len(rows) <= 65
        chunks.append(rows)
    np.testing.assert_array_equal(np.concatenate(chunks), whole)


def test_a_constant_chunk_does_not_refuse_the_whole_set(
    real: np.ndarray, extractor: FunctionExtractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passes, "CHUNK", 64)
    black_first = np.concatenate((np.zeros_like(real[:64]), real[:64]))
    assert [start for start, _ in feature_chunks(black_first, extractor, "A", ["features"])] == [0, 64]


def test_a_network_that_fails_later_on_says_where(real: np.ndarray, extractor: FunctionExtractor) -> None:
    def failing(levels: torch.Tensor) -> torch.Tensor:
        return torch.where(levels.mean() == 0, torch.nan, 1.0) * extractor.function(levels)

    black_last = np.concatenate((real, real, real, real, np.zeros_like(real[:64])))
    with pytest.raises(MetricError, match=r"FD-tiny features from image 1024 on: 64 of 244 rows hold NaN"):
        list(feature_chunks(black_last, replace(extractor, function=failing), "A", ["features"], batch=4))


def test_memory_for_mean_and_covariance_does_not_grow_with_the_images(
    real: np.ndarray, extractor: FunctionExtractor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Images come from a mapped file, and of `fd_perceptual` alone no features are kept."""
    monkeypatch.setattr(passes, "CHUNK", 64)

    def measure(n: int) -> None:
        images = np.load(tmp_path / f"{n}.npy", mmap_mode="r")
        known = reference_arrays(images, {"own": extractor, "perceptual": wide(extractor)}, ["fd_perceptual"])
        assert known["perceptual_C_sigma"].shape == (192, 192) and "perceptual_C" not in known

    for n in (256, 1024, 4096):
        np.save(tmp_path / f"{n}.npy", np.tile(real[:256], (n // 256, 1, 1, 1)))
    measure(256)  # what is made once
    few, many = (allocated(partial(measure, n)) for n in (1024, 4096))
    assert many < 1.25 * few


def wide(extractor: FunctionExtractor) -> FunctionExtractor:
    """The extractor with its features twelve times over, so that features are most of what is in memory."""
    return replace(extractor, dim=192, function=lambda levels: extractor.function(levels).repeat(1, 12))


def test_the_cache_computes_once_and_only_for_the_same_content(
    real: np.ndarray, extractor: FunctionExtractor, tmp_path: Path
) -> None:
    calls = []

    def counted(levels: torch.Tensor) -> torch.Tensor:
        calls.append(len(levels))
        return extractor.function(levels)

    counting = replace(extractor, function=counted)
    cache = FeatureCache(tmp_path, "code")

    def features(images: np.ndarray, of: FunctionExtractor = counting, kind: str = "A") -> np.ndarray:
        return cache.layers(images, of, kind, ["features"])[0]

    first = features(real[:50])
    assert (first == extract(real[:50], extractor, "A")).all()
    assert (features(real[:50].copy()) == first).all()
    assert sum(calls) == 50
    changed = real[:50].copy()
    changed[3, 0, 0, 0] ^= 1
    features(changed)
    features(real[:50], kind="C")
    features(real[:50], replace(counting, digest="f" * 64))
    features(real[:50], replace(counting, name="FD-other"))
    assert sum(calls) == 250
    cache = FeatureCache(tmp_path, "other code")
    features(real[:50])
    assert sum(calls) == 300


def test_further_layers_come_from_one_pass_and_are_cached_too(
    real: np.ndarray, extractor: FunctionExtractor, tmp_path: Path
) -> None:
    calls = []

    def further(levels: torch.Tensor) -> dict[str, torch.Tensor]:
        calls.append(len(levels))
        return {"features": extractor.function(levels), "logits": 2 * extractor.function(levels)}

    layered, cache = replace(extractor, further=further), FeatureCache(tmp_path)
    first, logits = cache.layers(real[:50], layered, "A", ["features", "logits"])
    assert (logits == 2 * first).all()
    again = cache.layers(real[:50], layered, "A", ["logits", "features"])
    assert (again[0] == logits).all() and (again[1] == first).all()
    assert calls == [50]


@pytest.mark.parametrize("how", ["cut", "flipped"])
def test_a_damaged_entry_is_computed_again(
    real: np.ndarray, extractor: FunctionExtractor, tmp_path: Path, how: str, flip_byte: Callable[[Path], None]
) -> None:
    cache = FeatureCache(tmp_path)
    (first,) = cache.layers(real[:20], extractor, "A", ["features"])
    (entry,) = tmp_path.iterdir()
    whole = entry.read_bytes()
    if how == "cut":
        entry.write_bytes(whole[:-100])
    else:
        flip_byte(entry)
    assert (cache.layers(real[:20], extractor, "A", ["features"])[0] == first).all()
    assert entry.read_bytes() == whole


def test_halves_are_disjoint_and_equal_in_size(real: np.ndarray) -> None:
    a, b = split_halves(real, np.random.default_rng(0).permutation(len(real)))
    assert len(a) == len(b) == 150
    assert not {i.tobytes() for i in a} & {i.tobytes() for i in b}
    with pytest.raises(MetricError, match="3 images are too few"):
        split_halves(real[:3], np.arange(3))


@pytest.mark.parametrize("count", COMPARED)
def test_a_damaged_entry_is_made_again(tmp_path: Path, count: int) -> None:
    features = np.linspace(0, 1, 32, dtype=np.float32).reshape(8, 4)
    path = tmp_path / "entry.npz"
    FeatureCache._write(path, features)

    same = lambda found: found is None or np.array_equal(found, features)  # noqa: E731
    assert refused(path, lambda: FeatureCache._read(path, 8), count, (), same) == 0
    assert FeatureCache._read(path, 8) is not None and FeatureCache._read(path, 9) is None
