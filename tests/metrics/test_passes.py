"""Streaming equals memory, to the bit, and the cache finds features by content alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from hkd.metrics.extractor import FunctionExtractor, extract
from hkd.metrics.inputs import MetricError
from hkd.metrics.moments import gaussian_of
from hkd.metrics.passes import FeatureCache, split_halves, stream_gaussians


def test_streamed_statistics_equal_those_in_memory(real: np.ndarray, extractor: FunctionExtractor) -> None:
    shards = (real[a:b] for a, b in ((0, 128), (128, 256), (256, 301)))
    streamed = stream_gaussians(shards, extractor, ["A", "C"], claimed=301)
    for name, gaussian in streamed.items():
        expected = gaussian_of(extract(real, extractor, name))
        np.testing.assert_allclose(gaussian.covariance, expected.covariance, rtol=1e-6, atol=1e-9)
        assert gaussian.n == 301


def test_a_missing_shard_is_noticed(real: np.ndarray, extractor: FunctionExtractor) -> None:
    with pytest.raises(MetricError, match="301 claimed, 200 arrived"):
        stream_gaussians([real[:200]], extractor, ["A"], claimed=301)


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


def test_further_layers_come_of_one_pass_and_are_kept_too(
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
def test_a_damaged_entry_is_made_anew(
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
