"""ECM: the levels r(t) of its stages, one dropout mask for both points, and the terms of the loss."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from hkd.data.image_set import ImageBatch
from hkd.draws import StreamDraws
from hkd.methods.consistency.ecm import ECM, nearer_level
from hkd.methods.consistency.objective import consistency_pair
from hkd.seeding import stream

LAW = {"q": 2.0, "k": 8.0, "b": 1.0}
R = {
    0.1: [0, 0, None, None, None, None, None, None],
    1.0: [0, 0.2121, 0.6061, 0.8030, 0.9015, 0.9508, 0.9754, 0.9877],
    10.0: [4.998, 7.499, 8.750, 9.375, 9.687, 9.844, 9.922, 9.961],
    80.0: [40, 60, 70, 75, 77.5, 78.75, 79.375, 79.688],
}


@pytest.mark.parametrize("t", R)
def test_r_has_its_published_values(t):
    for stage, expected in enumerate(R[t]):
        if expected is not None:
            found = nearer_level(torch.tensor([t], dtype=torch.float64), stage=stage, **LAW)
            assert float(found) == pytest.approx(expected, rel=2e-4, abs=1e-9)


def test_the_gap_shrinks_from_stage_to_stage_and_never_closes():
    t = torch.logspace(-2, 1.9, 40, dtype=torch.float64)
    before = torch.zeros_like(t)
    for stage in range(16):
        r = nearer_level(t, stage=stage, **LAW)
        assert bool((r >= before).all()) and bool((r < t).all()) and bool((r >= 0).all())
        before = r


@pytest.fixture
def tuned(tiny_run, build):
    """ECM from a tiny base, with dropout."""
    run = tiny_run("methods/ecm", network={"dropout": 0.5})
    return build(run).train()


@pytest.fixture
def points():
    generator = stream(0, "points")
    return torch.randn((4, 3, 8, 8), generator=generator), torch.rand(4, generator=generator) + 0.5


def test_both_points_see_one_dropout_mask(tuned, points):
    prediction, fixed = consistency_pair(tuned.student, tuned.student, points, points)
    assert torch.equal(prediction, fixed)


def test_two_dropout_masks_alone_would_make_a_distance(tuned, points):
    torch.manual_seed(0)
    assert float((tuned.student(*points) - tuned.student(*points)).abs().max()) > 1e-3


def test_the_next_call_has_another_mask(tuned, points):
    first, _ = consistency_pair(tuned.student, tuned.student, points, points)
    second, _ = consistency_pair(tuned.student, tuned.student, points, points)
    assert not torch.equal(first, second)


def test_the_gradient_flows_through_the_noisier_point_alone(tuned, points):
    prediction, fixed = consistency_pair(tuned.student, tuned.student, points, points)
    assert prediction.requires_grad and not fixed.requires_grad


class Scale(nn.Module):
    """f(x, sigma) = w x, whose loss can be written down."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(0.7))

    def forward(self, x, sigma, labels=None):
        return self.weight * x


def ecm(student: nn.Module, **changes) -> ECM:
    values = {
        "p_mean": -1.1, "p_std": 2.0, **LAW, "c": 0.0, "stage_steps": 10,
        "sigma_data": 0.5, "sigma_max": 80.0, "evaluation_sigma_min": 0.003,
    }  # fmt: skip
    return ECM(student=student, **{**values, **changes})


@pytest.mark.parametrize("step, stage", [(0, 0), (9, 0), (10, 1), (75, 7)])
@pytest.mark.parametrize("c", [0.0, 0.03])
def test_the_loss_is_the_distance_over_the_gap(step, stage, c):
    clean = torch.rand((16, 3, 8, 8), generator=stream(0, "clean")) * 2 - 1
    found = ecm(Scale(), c=c).losses(ImageBatch(clean, None), step=step, draws=StreamDraws(stream(0, "train", 5)))[
        "student"
    ]
    generator = stream(0, "train", 5)
    t = (-1.1 + 2.0 * torch.randn(16, generator=generator)).exp()
    noise = torch.randn(clean.shape, generator=generator)
    r = nearer_level(t, stage=stage, **LAW)
    terms = []
    for i in range(16):
        prediction = 0.7 * (clean[i] + t[i] * noise[i])
        target = 0.7 * (clean[i] + r[i] * noise[i]) if r[i] > 0 else clean[i]
        distance = ((prediction - target).square().sum() + c**2).sqrt() - c
        terms.append(distance / (t[i] - r[i]))
    assert float(found.detach()) == pytest.approx(float(torch.stack(terms).mean()), rel=1e-4)


def test_where_r_is_zero_the_target_is_the_clean_image():
    """At stage 0 and t below about 1, r = 0: the diffusion loss, so that tuning starts from what the base knows."""
    clean = torch.rand((8, 3, 8, 8), generator=stream(0, "clean")) * 2 - 1

    class Perfect(nn.Module):
        def forward(self, x, sigma, labels=None):
            return clean.clone().requires_grad_()

    method = ecm(Perfect(), p_mean=-5.0, p_std=0.1)
    assert float(method.losses(ImageBatch(clean, None), step=0, draws=StreamDraws(stream(0, "t", 0)))["student"]) < 1e-4


def test_the_loss_is_finite_though_the_target_is_evaluated_at_zero(tuned, points):
    batch = ImageBatch(points[0].clamp(-1, 1), None)
    value = tuned.losses(batch, step=0, draws=StreamDraws(stream(0, "train", 0)))["student"]
    value.backward()
    assert bool(torch.isfinite(value)) and all(
        bool(torch.isfinite(p.grad).all()) for p in tuned.parameters() if p.grad is not None
    )


def test_the_evaluated_function_is_the_identity_at_its_smallest_level(tuned):
    from hkd.nets.precond import ConsistencyPrecond

    x = torch.randn((2, 3, 8, 8), generator=stream(0, "x"))
    f = ConsistencyPrecond(tuned.student.model.eval(), 0.5, 0.003)
    assert_close(f(x, 0.003), x, rtol=1e-5, atol=1e-6)
    assert_close(tuned.one_step(x, 0.003, None), x, rtol=1e-5, atol=1e-6)
    assert float((tuned.student(x, 0.003) - x).detach().abs().max()) > 1e-5  # as it is trained, it is not


@pytest.mark.parametrize("nfe", [0, 2])
def test_more_than_one_evaluation_is_refused(tuned, nfe):
    with pytest.raises(ValueError, match=f"ECM samples with 1 network evaluations, not {nfe}"):
        tuned.sample(torch.zeros(1, 3, 8, 8), labels=None, nfe=nfe, streams=None)


@pytest.mark.parametrize("scale", ["embedded", "cpu", "paper"])
def test_the_defining_settings_of_ecm_hold_at_every_scale(settings, scale):
    run = settings("ecm", scale)
    assert (run.init, run.teacher, run.perceptual, run.feed) == ("methods/edm", None, False, "images")
    assert (run.network["preset"], run.network["precond"]) == ("ddpmpp", "edm")
    assert run.training.optimizer.name == "radam"
    assert scale == "embedded" or run.training.optimizer.betas == (0.9, 0.999)
    law = {**LAW, "c": 0.0, "p_mean": -1.1, "p_std": 2.0, "evaluation_sigma_min": 0.003}
    assert law.items() <= run.params.items()
    assert run.training.steps >= 4 * run.params["stage_steps"]  # the gap shrinks, stage by stage
