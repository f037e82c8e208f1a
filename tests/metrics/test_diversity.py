"""Diversity is the mean over pairs of different images, and LPIPS takes a local backbone or refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from hkd.metrics.diversity import diversity, lpips_distance, lpips_with_backbone
from hkd.metrics.inputs import MetricError


def squared(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return (a - b).square().mean(dim=(1, 2, 3))


def test_equal_images_have_none(real: np.ndarray) -> None:
    assert diversity(np.repeat(real[:1], 20, axis=0), squared, pairs=50).mean == 0.0


def test_it_is_the_mean_over_pairs_whatever_the_batch(real: np.ndarray) -> None:
    score = diversity(real, squared, pairs=3000)
    unit = real.astype(float).reshape(len(real), -1) / 127.5 - 1
    expected = 2 * unit.var(axis=0, ddof=1).mean()
    assert score.mean == pytest.approx(expected, abs=4 * score.standard_error)
    assert diversity(real, squared, pairs=3000, batch=7).mean == pytest.approx(score.mean, rel=1e-6)


def test_two_images_are_compared_with_each_other() -> None:
    pair = np.stack((np.zeros((3, 4, 4), np.uint8), np.full((3, 4, 4), 255, np.uint8)))
    assert diversity(pair, squared, pairs=10).mean == pytest.approx(4.0)


def test_a_distance_that_fails_is_refused(real: np.ndarray) -> None:
    with pytest.raises(MetricError, match="not finite"):
        diversity(real, lambda a, b: squared(a, b) * float("nan"), pairs=10)


def test_lpips_takes_a_whole_backbone_from_a_state_dict() -> None:
    pytest.importorskip("lpips")
    from torchvision.models import alexnet

    state = alexnet(weights=None).state_dict()
    model = lpips_with_backbone("alex", state)
    images = torch.rand(2, 3, 32, 32) * 2 - 1
    assert model(images, images).abs().max() == 0
    assert model.net.state_dict()["slice1.0.weight"].equal(state["features.0.weight"])
    with pytest.raises(MetricError, match="the file is not torchvision's alex"):
        lpips_with_backbone("alex", {key: state[key] for key in list(state)[:4]})


def test_an_absent_backbone_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(MetricError, match=r"alexnet-owt-7be5be79.pth: weights .* absent; run `hkd fetch lpips-alex`"):
        lpips_distance("alex", tmp_path)
