"""A batch in parts has the gradient of the whole, for every method and both laws of its draws."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from hkd.training.parts import Part
from hkd.training.trainer import Trainer

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
METHODS = sorted(f"{path.parent.name}/{path.stem}" for g in ("methods", "ablations") for path in CONFIGS.glob(f"{g}/*"))
QUICK = {"methods/edm", "methods/hkd", "methods/dmd", "methods/ict", "methods/rf2pp", "methods/score_sde"}
BATCH = 8


def gradients(trainer: Trainer, batches, sizes: list[int]) -> dict[str, torch.Tensor]:
    """The gradient of every trained network from a batch in parts of these sizes, and the losses."""
    bounds = [sum(sizes[:k]) for k in range(len(sizes) + 1)]
    parts = [Part(low, (high - low) / BATCH, batches(1, slice(low, high))) for low, high in pairwise(bounds)]
    losses = trainer._gradients(parts, 1)
    found = {f"loss/{name}": loss for name, loss in losses.items()}
    for name in trainer.method.trains:
        found |= {
            f"{name}.{key}": p.grad.clone()
            for key, p in getattr(trainer.method, name).named_parameters()
            if p.grad is not None
        }
    return found


@pytest.mark.parametrize("law", ["stream", "image"])
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in METHODS]
)
def test_the_gradient_of_a_batch_is_that_of_its_parts(name, law, tiny_run, build, feed):
    run = tiny_run(name, training={"batch": BATCH, "draws": law}, network={"dropout": 0.0})
    method = build(run)
    if not method.trains or method.whole_batch:
        pytest.skip("nothing to cut up")
    trainer, batches = Trainer(method, run.training, seed=0), feed(run)
    method.train()
    whole = gradients(trainer, batches, [BATCH])
    assert len(whole) > len(method.trains)
    for sizes in ([4, 4], [3, 1, 4]):
        found = gradients(trainer, batches, sizes)
        assert found.keys() == whole.keys()
        for key, value in whole.items():
            assert_close(found[key], value, rtol=1e-4, atol=1e-5 * float(value.abs().max()) + 1e-9, msg=key)
