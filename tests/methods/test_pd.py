"""PD: two steps of the teacher in one of the student, the truncated weight, and stages that halve."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from hkd.data.image_set import ImageBatch
from hkd.draws import StreamDraws
from hkd.methods.distillation.pd import PD, Stage, stages, truncated_snr
from hkd.seeding import ImageStreams, stream
from tests.methods.stand_ins import Function

GRID = {"sigma_min": 0.002, "sigma_max": 80.0, "rho": 7.0}


def halving(student, total=750000, first=4096, steps=50000, teacher=None):
    stages = {"total_steps": total, "first_segments": first, "stage_steps": steps}
    return PD(student=student, teacher=teacher or torch.nn.Module(), **stages, **GRID)


def test_stages_halve_from_4096_to_one():
    found = stages(750000, 4096, 50000)
    assert [stage.segments for stage in found] == [4096 >> k for k in range(13)]
    assert found[0] == Stage(4096, 0, 50000) and found[-2] == Stage(2, 550000, 650000)
    assert found[-1] == Stage(1, 650000, 750000)
    with pytest.raises(ValueError, match="first_segments = 6: expected a power of two"):
        stages(10, 6, 2)


def test_one_step_with_the_target_lands_where_two_steps_of_the_teacher_do(gaussian):
    method, t = halving(gaussian), torch.tensor([80.0, 5.0, 0.3]).double()
    middle, s = 0.6 * t, 0.2 * t
    x = gaussian.sample(3, stream(0, "x")) + t[:, None, None, None] * torch.randn(
        (3, 3, 8, 8), generator=stream(0, "n")
    )
    target = method.target(x, t, middle, s, None)
    one = x + (s / t - 1)[:, None, None, None] * (x - target)
    two = x + ((middle - t) / t)[:, None, None, None] * (x - gaussian(x, t))
    two = two + ((s - middle) / middle)[:, None, None, None] * (two - gaussian(two, middle))
    assert_close(one, two)


def test_the_target_is_a_mean_of_the_teachers_two_images(gaussian):
    """The same target in another form: weights sum to 1, so that it cannot leave the range of the images."""
    method, t = halving(gaussian), torch.tensor([2.0]).double()
    middle, s, x = torch.tensor([1.5]).double(), torch.tensor([0.7]).double(), torch.randn((1, 3, 8, 8)).double()
    first = gaussian(x, t)
    second = gaussian(x + (middle / t - 1)[:, None, None, None] * (x - first), middle)
    weight = float((s / middle) * (1 - middle / t) / (1 - s / t))
    assert_close(method.target(x, t, middle, s, None), weight * first + (1 - weight) * second)


def test_the_weight_is_the_signal_to_noise_ratio_but_at_least_one():
    assert_close(truncated_snr(torch.tensor([0.1, 0.5, 1.0, 80.0])), torch.tensor([100.0, 4.0, 1.0, 1.0]))


def test_the_loss_carries_the_weight():
    wrong = Function(lambda x, t, labels: torch.ones_like(x))
    method = halving(wrong, total=10, first=4, steps=2)
    method.teacher = Function(lambda x, t, labels: torch.zeros_like(x)).requires_grad_(False)
    loss = method.losses(ImageBatch(torch.zeros(4096, 3, 2, 2), None), step=0, draws=StreamDraws(stream(0, "l")))[
        "student"
    ]
    levels = method.levels(torch.arange(4), 4)
    assert_close(levels[0].item(), 80.0)
    assert float(loss.detach()) == pytest.approx(float(truncated_snr(levels).mean()), rel=0.02)


def test_half_points_of_a_grid_are_points_of_the_next_finer_one():
    method = halving(torch.nn.Identity())
    i = torch.arange(8)
    assert_close(method.levels(i + 0.5, 8), method.levels(2 * i + 1, 16))
    assert_close(method.levels(torch.tensor([8]), 8), torch.tensor([0.002]).double())


def test_the_student_starts_raw_and_its_first_teacher_is_the_averaged_base():
    raw, averaged = (torch.nn.Linear(2, 2) for _ in range(2))
    method = halving(torch.nn.Linear(2, 2), teacher=averaged)
    method.initialise("student", raw.state_dict())
    assert_close(method.student.state_dict(), raw.state_dict(), rtol=0, atol=0)
    assert_close(method.teacher.state_dict(), averaged.state_dict(), rtol=0, atol=0)
    assert not torch.equal(method.student.weight, method.teacher.weight)
    assert method.teacher is not averaged  # which stays as it is when the student takes its place
    alone = halving(torch.nn.Linear(2, 2))
    alone.initialise("student", raw.state_dict())
    assert_close(alone.teacher.state_dict(), raw.state_dict(), rtol=0, atol=0)


def test_the_student_becomes_the_teacher_at_each_stage_and_only_then(tiny_run, build, feed):
    from hkd.training.trainer import Trainer

    run = tiny_run("methods/pd", params={"first_segments": 2, "stage_steps": 1}, training={"warmup_steps": 0})
    trainer, batches = Trainer(build(run), run.training, seed=0), feed(run)
    method = trainer.method.train()
    assert_close(method.teacher.state_dict(), method.student.state_dict())
    trainer.step(batches(0))
    assert not all(
        torch.equal(a, b) for a, b in zip(method.teacher.parameters(), method.student.parameters(), strict=True)
    )
    trainer.step(batches(1))  # the second of two steps with two segments
    assert_close(method.teacher.state_dict(), method.student.state_dict())
    assert not method.teacher.training and any(key.startswith("teacher.") for key in method.training_state())
    assert not any(p.requires_grad for p in method.teacher.parameters())
    assert not trainer.optimizers["student"].state  # a fresh optimiser in every stage
    trainer.step(batches(2))
    assert {int(moments["step"]) for moments in trainer.optimizers["student"].state.values()} == {1}
    fresh = build(run)
    fresh.load_training_state(method.training_state())
    assert_close(fresh.teacher.state_dict(), method.teacher.state_dict())


def test_the_rate_falls_to_zero_in_every_stage():
    method = halving(torch.nn.Identity(), total=300, first=8, steps=50)
    factors = [method.rate_factor(step) for step in (0, 25, 49, 50, 100, 199, 200, 299)]
    assert factors == pytest.approx([1, 0.5, 0.02, 1, 1, 0.01, 1, 0.01])


def test_a_sample_is_the_state_of_eulers_step_to_the_smallest_level(draw):
    half = Function(lambda x, t, labels: 0.5 * x / 80.0)  # D(x; 80)
    noise = ImageStreams(0, [3, 4]).randn((3, 8, 8))
    expected = 0.5 * noise + (0.002 / 80) * (80 * noise - 0.5 * noise)
    assert_close(draw(halving(half), [3, 4], 1), expected, rtol=1e-6, atol=1e-6)
    assert float((expected - 0.5 * noise).abs().max()) > 1e-3  # which D alone is not


def test_one_evaluation_samples(tiny_run, trained, draw):
    method = trained(tiny_run("methods/pd"))
    assert_close(draw(method, [4], 1)[0], draw(method, [3, 4, 5], 1)[1], rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="not 2"):
        draw(method, [0], 2)


@pytest.mark.parametrize("scale", ["embedded", "cpu", "paper"])
def test_the_defining_settings_of_pd_hold_at_every_scale(settings, scale):
    run = settings("pd", scale)
    assert (run.init, run.init_weights, run.teacher) == ("methods/edm_ve", "raw", "methods/edm_ve")
    assert (run.perceptual, run.feed) == (False, "images")
    assert (run.network["preset"], run.network["precond"]) == ("ncsnpp", "edm")
    assert (run.training.optimizer.name, run.training.ema.kind, run.training.schedule) == ("adam", "none", "constant")
    found = stages(run.training.steps, run.params["first_segments"], run.params["stage_steps"])
    assert len(found) >= 4 and found[-1].end == run.training.steps and found[-1].segments == 1
    lengths = [stage.end - stage.begin for stage in found]
    assert lengths[:-2] == [run.params["stage_steps"]] * (len(found) - 2)
    assert lengths[-2:] == [2 * run.params["stage_steps"]] * 2
