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
# whose latents grow by exp((eps - T) A) over a range of 80, and rounding in the encoder with them
STEEP = {
    f"ablations/abl_{name}" for name in ("closure_loss", "operator_init", "encoder_constant", "encoder_constant_init")
}
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
def test_the_gradient_of_a_batch_is_that_of_its_parts(name, law, tiny_run, build, feed, request):
    if name == "methods/hkd_cond":
        request.applymarker(pytest.mark.xfail(reason="not explained yet: 2 % apart with draws from a stream"))
    run = tiny_run(name, training={"batch": BATCH, "draws": law}, network={"dropout": 0.0})
    method = build(run)
    if not method.trains or method.whole_batch:
        pytest.skip("nothing to cut up")
    trainer, batches = Trainer(method, run.training, seed=0), feed(run)
    method.train()
    whole = gradients(trainer, batches, [BATCH])
    assert len(whole) > len(method.trains)
    bound = 2e-3 if name in STEEP else 2e-5
    for sizes in ([4, 4], [3, 1, 4]):
        found = gradients(trainer, batches, sizes)
        assert found.keys() == whole.keys()
        for name in trainer.method.trains:
            assert_close(found[f"loss/{name}"], whole[f"loss/{name}"], rtol=bound, atol=1e-7)
            # of the network as a whole: some weights, as the bias of keys, have no gradient but rounding
            ours, theirs = (
                torch.cat([value.flatten() for key, value in one.items() if key.startswith(f"{name}.")])
                for one in (found, whole)
            )
            assert float((ours - theirs).norm() / theirs.norm().clamp(min=1e-12)) < bound
