"""Factors are predicted in their own units, and only by networks that were trained for them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hkd.data.kinds import shapes
from hkd.store.refusals import ArtifactError
from hkd.studies.interpretability.factors import difference
from hkd.studies.interpretability.reader import FactorReader, comparable

HEADS = {name: factor.outputs for name, factor in shapes.FACTORS.items()}
TRUTH = shapes.factors(0, "heldout", range(6))


class Knowing(torch.nn.Module):
    """A network that knows the answers; it keeps the levels that it was shown."""

    def forward(self, levels):
        self.levels = levels
        found = {}
        for name, factor in shapes.FACTORS.items():
            answer = torch.from_numpy(factor.encode(TRUTH[name]))
            found[name] = torch.nn.functional.one_hot(answer, 4) if factor.kind == "categorical" else answer.float()
        return found


def test_predictions_are_the_factors_in_their_own_units():
    network = Knowing()
    images = torch.linspace(-1.2, 1.2, 6 * 3 * 64).reshape(6, 3, 8, 8)
    found = FactorReader(network, HEADS, size=8, resize=lambda x, size: x)(images)
    expected = np.stack([TRUTH[name] for name in shapes.FACTORS], axis=1)
    assert found.numpy() == pytest.approx(expected, abs=1e-5)
    assert float(network.levels.min()) == 0 and float(network.levels.max()) == 255  # as bytes would be
    assert torch.equal(network.levels, network.levels.round())


def test_a_network_trained_for_another_task_is_refused():
    with pytest.raises(ArtifactError, match="predicts label, not the factors of procedural images"):
        FactorReader(torch.nn.Identity(), {"label": 10}, size=8, resize=lambda x, size: x)


def test_values_are_compared_by_the_kind_of_their_factor():
    factors = {factor.name: factor for factor in comparable(0.1)}
    assert list(factors) == list(shapes.FACTORS)
    assert factors["class"].kind == "class"
    assert factors["size"].tolerance == pytest.approx(0.1 * (0.32 - 0.20))
    near = difference(torch.tensor([0.98]), torch.tensor([0.02]), factors["background_hue"])
    assert float(near) == pytest.approx(0.04)  # the short way round
