"""Learning-rate laws against their formulas, and optimisers whose state survives being named."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import nn

from hkd.settings.sections import Ema, Optimizer, Training
from hkd.training.optim import Adaptive, learning_rate_factor, load_named_state, named_state, set_learning_rate
from tests.pretend_gpu import PretendGPU

ADAM = Optimizer(name="adam", lr=0.1, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.0)


def training(**changes) -> Training:
    settings = {
        "steps": 100,
        "batch": 4,
        "optimizer": ADAM,
        "warmup_steps": 0,
        "schedule": "constant",
        "final_lr": 0.0,
        "clip": None,
        "ema": Ema(kind="none"),
        "flip": False,
    }
    return Training(**{**settings, **changes})


def test_the_ramp_is_linear_from_zero():
    law = training(warmup_steps=10)
    assert [learning_rate_factor(law, k) for k in (0, 1, 5, 10, 50)] == pytest.approx([0, 0.1, 0.5, 1, 1])


def test_without_a_ramp_the_first_step_has_the_whole_rate():
    assert learning_rate_factor(training(), 0) == 1.0


def test_the_cosine_goes_from_one_to_its_end():
    law = training(schedule="cosine", final_lr=0.02)
    assert learning_rate_factor(law, 0) == pytest.approx(1.0)
    assert learning_rate_factor(law, 50) == pytest.approx(0.02 + 0.98 * 0.5)
    assert learning_rate_factor(law, 25) == pytest.approx(0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi / 4)))
    assert learning_rate_factor(law, 100) == pytest.approx(0.02)


def test_the_line_goes_from_one_to_its_end():
    law = training(schedule="linear", final_lr=0.1)
    assert [learning_rate_factor(law, k) for k in (0, 50, 100)] == pytest.approx([1.0, 0.55, 0.1])


def test_the_exponential_falls_by_the_same_factor_in_every_epoch():
    law = training(schedule="exponential", final_lr=0.95**20)  # 20 epochs of 5 steps
    assert [learning_rate_factor(law, 5 * epoch) for epoch in (0, 1, 2, 20)] == pytest.approx(
        [1, 0.95, 0.95**2, 0.95**20]
    )


def test_an_exponential_schedule_that_ends_at_zero_is_refused():
    with pytest.raises(ValueError, match="never reaches 'final_lr' 0"):
        training(schedule="exponential", final_lr=0.0)


@pytest.mark.parametrize("schedule", ["cosine", "linear", "exponential"])
def test_a_schedule_never_rises(schedule):
    law = training(schedule=schedule, final_lr=0.02)
    rates = [learning_rate_factor(law, k) for k in range(101)]
    assert all(later <= earlier for earlier, later in pairwise(rates))


def test_a_group_has_its_own_scale_of_the_rate():
    a, b = (nn.Parameter(torch.ones(2)) for _ in range(2))
    optim = Adaptive(ADAM, [{"params": [a], "lr_scale": 1.0}, {"params": [b], "lr_scale": 10.0}])
    assert set_learning_rate(optim, training(warmup_steps=10), 5, 0.1) == pytest.approx(0.05)
    assert [group["lr"] for group in optim.param_groups] == pytest.approx([0.05, 0.5])


@pytest.mark.parametrize(
    "name, kind", [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW), ("radam", torch.optim.RAdam)]
)
def test_steps_equal_those_of_torch_to_the_bit(name, kind):
    settings = Optimizer(name=name, lr=0.1, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.3)
    start = torch.randn(4, 3, 4, generator=torch.Generator().manual_seed(0))
    ours, theirs = ([nn.Parameter(v.clone()) for v in start] for _ in range(2))
    one = Adaptive(settings, [{"params": ours[:2], "lr_scale": 5.0}, {"params": iter(ours[2:])}])
    shared = {"betas": settings.betas, "eps": settings.eps, "weight_decay": settings.weight_decay, "foreach": True}
    other = kind([{"params": theirs[:2], "lr_scale": 5.0}, {"params": theirs[2:]}], lr=settings.lr, **shared)
    for k in range(9):
        for parameters, optim in ((ours, one), (theirs, other)):
            optim.zero_grad()
            used = parameters if k > 2 else parameters[1:]  # the first one joins later
            sum((p.sin() * (k + 1)).sum() for p in used).backward()
            for group in optim.param_groups:
                group["lr"] = 0.1 / (k + 1) * group.get("lr_scale", 1.0)
            optim.step()
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_the_first_step_of_adam_has_the_length_of_the_rate():
    weight = nn.Parameter(torch.tensor([1.0, 2.0]))
    optim = Adaptive(ADAM, [{"params": [weight]}])
    (weight * torch.tensor([3.0, -0.01])).sum().backward()
    optim.step()
    torch.testing.assert_close(weight.detach(), torch.tensor([0.9, 2.1]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["adam", "adamw", "radam"])
def test_an_optimiser_continues_from_its_named_state(name):
    settings = Optimizer(name=name, lr=0.01, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.1)

    def made(values):
        parameters = [nn.Parameter(v.clone()) for v in values]
        return parameters, Adaptive(settings, [{"params": parameters[:1]}, {"params": parameters[1:]}])

    def step(parameters, optim, k):
        optim.zero_grad()
        sum((p.sin() * (k + 1)).sum() for p in parameters).backward()
        optim.step()

    start = [torch.arange(3.0), torch.ones(2, 2)]
    whole, optim = made(start)
    for k in range(9):
        step(whole, optim, k)
        if k == 5:
            middle, kept = [p.detach().clone() for p in whole], named_state(optim)
            kept = {key: value.clone() for key, value in kept.items()}
    resumed, other = made(middle)
    load_named_state(other, kept)
    for k in range(6, 9):
        step(resumed, other, k)
    assert all(torch.equal(a, b) for a, b in zip(whole, resumed, strict=True))


@pytest.mark.parametrize("name", ["adam", "adamw", "radam"])
def test_on_a_gpu_a_step_is_the_same_one_and_the_host_reads_nothing(name):
    settings = Optimizer(name=name, lr=0.01, betas=(0.9, 0.95), eps=1e-6, weight_decay=0.1)
    start, found = [torch.arange(1.0, 4.0), torch.ones(2, 2)], []
    for device in ("cpu", "cuda"):
        with PretendGPU() as gpu:
            parameters = [nn.Parameter(value.clone().to(device)) for value in start]
            optim = Adaptive(settings, [{"params": parameters}])
            gpu.forget()
            for k in range(9):  # RAdam begins with five steps of another kind
                optim.zero_grad()
                sum((p.sin() * (k + 1)).sum() for p in parameters).backward()
                optim.step()
            assert not gpu.reads and not gpu.copies
            kept = {key: value.cpu() for key, value in named_state(optim).items()}
            found.append([*(p.detach().cpu() for p in parameters), *kept.values()])
            load_named_state(optim, kept)  # back to where each is used
            assert {value.device.type for value in named_state(optim).values()} == {device}
    for here, there in zip(*found, strict=True):
        torch.testing.assert_close(here, there, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("name", ["adam", "adamw", "radam"])
def test_a_step_that_is_skipped_on_the_device_changes_nothing(name, device):
    settings = Optimizer(name=name, lr=0.01, betas=(0.9, 0.95), eps=1e-6, weight_decay=0.1)
    with PretendGPU() as gpu:
        weight = nn.Parameter(torch.arange(1.0, 4.0).to(device))
        optim = Adaptive(settings, [{"params": [weight]}])
        flags = [torch.full((), flag, device=device) for flag in (False, True)]
        (weight * weight).sum().backward()
        optim.step(flags[0])
        before = [weight.detach().clone(), *(value.clone() for value in named_state(optim).values())]
        gpu.forget()
        weight.grad.fill_(math.nan)
        optim.step(flags[1])
        assert not gpu.reads and not gpu.copies
        after = [weight.detach(), *named_state(optim).values()]
        assert all(torch.equal(a.cpu(), b.cpu()) for a, b in zip(before, after, strict=True))
        assert float(before[0].cpu()[0]) != 1.0  # the step that was not skipped was made
