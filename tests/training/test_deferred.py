"""Steps whose losses are read later, as on a GPU, are the steps that are read at once."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from hkd.methods.base import Method
from hkd.settings.sections import Ema, Optimizer, Training
from hkd.training.nonfinite import Diverged
from hkd.training.trainer import Trainer

NAN, INF = math.nan, math.inf


class Scaled(Method):
    """Two networks; the batch is the factor of each one's loss."""

    trains = ("student", "fake")

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.student, self.fake = nn.Linear(4, 4), nn.Linear(4, 2)

    def losses(self, batch, *, step, draws):
        x = draws.normal((3, 4))
        return {"student": batch[0] * self.student(x).square().sum(), "fake": batch[1] * self.fake(x).square().sum()}


def trained(batches, *, immediate: bool, **changes) -> Trainer:
    optimizer = Optimizer(name=changes.pop("name"), lr=0.01, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.01)
    values = {"warmup_steps": 0, "schedule": "constant", "final_lr": 1.0, "flip": False, "clip": 1.0}
    ema = Ema(kind="constant", decay=0.9)
    settings = Training(**{**values, "steps": 300, "batch": 3, "optimizer": optimizer, "ema": ema, **changes})
    trainer = Trainer(Scaled(), settings, seed=0, immediate=immediate)
    for batch in batches:
        trainer.step(batch)
    trainer.read()
    return trainer


@pytest.mark.parametrize("nonfinite", ["skip", "zero"])
@pytest.mark.parametrize("name", ["adam", "adamw", "radam"])
def test_weights_averages_moments_and_counts_are_the_same_to_the_bit(name, nonfinite):
    """Through steps in which one network, the other or both are not finite, and one too large to have a norm."""
    batches = [(1.0, 1.0)] * 8
    batches[2], batches[4], batches[6] = (NAN, 1.0), (1.0, INF), (1e30, NAN)
    once, later = (trained(batches, immediate=immediate, name=name, nonfinite=nonfinite) for immediate in (True, False))
    assert later.progress.nonfinite == once.progress.nonfinite == [2, 4, 6]
    assert later.progress.nonfinite_steps == once.progress.nonfinite_steps == 3
    first, second = once.state(), later.state()
    assert first.keys() == second.keys()
    for key, value in first.items():
        assert torch.equal(value, second[key]), key


def test_too_many_are_found_when_they_are_read():
    with pytest.raises(Diverged, match="step 3: 4 of the last 300 steps were not finite"):
        trained([(NAN, 1.0)] * 6, immediate=False, name="adam")


def test_the_numbers_read_are_those_of_every_step():
    trainers = [trained([(1.0, 2.0), (2.0, 1.0)], immediate=i, name="adam") for i in (True, False)]
    first, second = (trainer.take_recent() for trainer in trainers)
    assert first == second and len(first) == 2 and first[0]["loss/student"] > 0
    assert trainers[1].take_recent() == []


@pytest.mark.slow
@pytest.mark.ci
def test_processes_that_read_later_find_out_together_that_they_diverged(tmp_path):
    """A process that alone knew would leave the others waiting for it."""
    from tests.training.test_ranks import finish, start

    process = start(tmp_path, 2, 60, 4, 600, "diverging")
    told = finish(process)
    assert process.returncode == 0, told
    assert {(tmp_path / f"diverged{rank}").read_text() for rank in (0, 1)} == {"10"}
