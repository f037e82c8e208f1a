"""The diagram's numbers are those of the networks: the paper's sizes, counted from models without memory."""

from __future__ import annotations

import pytest

from hkd.experiment.build import untrained_network
from hkd.plan.runs import Plan
from hkd.studies.framework.outline import outline


@pytest.mark.parametrize(
    "dataset, operators, total", [("cifar10", 1_589_248, 57_323_139), ("ffhq64", 4_210_688, 66_016_259)]
)
def test_the_full_size_networks_have_the_known_sizes(root, dataset, operators, total):
    plan = Plan.load(str(root / "configs/benchmarks/embedded.yaml"), {"scale": "paper"}, root / "configs")
    found = outline(untrained_network(plan.run(dataset, "methods/hkd"), plan.dataset(dataset).data))
    assert (found.operator_parameters, found.total) == (operators, total)
    assert sum(level.operator_parameters for level in found.levels) == operators
    parts = found.encoder_parameters + found.operator_parameters + found.decoder_parameters + found.embedding_parameters
    assert parts == total
    assert found.levels[-1].decoder.startswith("8x8_block0") and found.levels[0].decoder.endswith("_block4")
