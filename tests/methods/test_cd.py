"""CD: a Heun step of the teacher, a fixed grid, a perceptual loss, and the student as its own target."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from hkd.data.image_set import ImageBatch
from hkd.draws import StreamDraws
from hkd.methods.consistency.cd import CD, heun_step
from hkd.methods.evaluations import EvaluationCounter
from hkd.seeding import stream
from tests.methods.stand_ins import Function, Squared

GRID = {"sigma_min": 0.002, "sigma_max": 80.0, "rho": 7.0}


def distilled(student, teacher, points):
    return CD(student=student, teacher=teacher, distance=Squared(), points=points, **GRID)


def test_the_grid_is_edms_with_eighteen_points():
    grid = distilled(torch.nn.Identity(), torch.nn.Identity(), 18).grid(18)
    assert_close(
        grid[[0, 1, 9, 16, 17]], torch.tensor([0.002, 0.007528, 3.2568, 57.586, 80.0]).double(), rtol=1e-4, atol=0
    )
    assert bool((grid.diff() > 0).all())


def test_the_teachers_step_follows_its_ode_to_second_order(gaussian):
    x = gaussian.sample(8, stream(0, "x")) + 2.0 * torch.randn((8, 3, 8, 8), generator=stream(0, "n")).double()
    t = torch.full((8,), 2.0, dtype=torch.float64)
    errors = []
    for gap in (0.4, 0.2, 0.1):
        exact = gaussian.solution(x, t, t - gap)
        errors.append(float((heun_step(gaussian, x, t, t - gap) - exact).abs().max()))
    assert errors[0] / errors[1] == pytest.approx(8, rel=0.3)  # one step's error is of third order
    assert errors[1] / errors[2] == pytest.approx(8, rel=0.2)


def test_the_exact_consistency_function_has_no_loss_in_the_limit_of_a_fine_grid(gaussian):
    exact = Function(lambda x, t, labels: gaussian.solution(x, t, 0.002))
    batch = ImageBatch(gaussian.sample(64, stream(0, "y")).float(), None)

    def loss(points):
        found = distilled(exact, gaussian, points).losses(batch, step=0, draws=StreamDraws(stream(0, "l")))
        return float(found["student"].detach())

    assert loss(160) < 1e-2 * loss(10) < 1.0
    identity = distilled(Function(lambda x, t, labels: x), gaussian, 160)
    assert float(identity.losses(batch, step=0, draws=StreamDraws(stream(0, "l")))["student"]) > 100 * loss(160)


def test_every_interval_weighs_one_whatever_its_gap():
    """A teacher of images that are all zero steps from x to x s/t, so that the loss of the identity is known."""
    identity = distilled(Function(lambda x, t, labels: x), Function(lambda x, t, labels: 0 * x), 18)
    batch = ImageBatch(torch.zeros(64, 3, 8, 8), None)
    found = float(identity.losses(batch, step=0, draws=StreamDraws(stream(0, "l")))["student"].detach())
    generator, grid = stream(0, "l"), identity.grid(18)
    n = torch.randint(17, (64,), generator=generator)
    noise = torch.randn(batch.clean.shape, generator=generator).double()
    gap = (grid[n + 1] - grid[n])[:, None, None, None]
    assert found == pytest.approx(float((gap * noise).square().sum(dim=(1, 2, 3)).mean()), rel=1e-4)


def test_the_cleaner_point_lies_on_the_teachers_trajectory_and_not_on_the_images():
    """A teacher of images that are all one, where the data are zero: its step leads from x to 1 + (x - 1) s/t."""
    identity = distilled(Function(lambda x, t, labels: x), Function(lambda x, t, labels: 0 * x + 1), 18)
    batch = ImageBatch(torch.zeros(64, 3, 8, 8), None)
    found = float(identity.losses(batch, step=0, draws=StreamDraws(stream(0, "l")))["student"].detach())
    generator, grid = stream(0, "l"), identity.grid(18)[:, None, None, None]
    n = torch.randint(17, (64,), generator=generator)
    x = grid[n + 1] * torch.randn(batch.clean.shape, generator=generator).double()
    gap = (x - 1) * (1 - grid[n] / grid[n + 1])
    assert found == pytest.approx(float(gap.square().sum(dim=(1, 2, 3)).mean()), rel=1e-4)


def test_the_target_is_the_student_itself_and_no_average_of_it(gaussian):
    method = distilled(Function(lambda x, t, labels: x), Function(lambda x, t, labels: 0 * x), 18)
    assert [name for name, _ in method.named_children()] == ["student", "teacher", "distance"]
    with EvaluationCounter([method.student]) as counter, EvaluationCounter([method.teacher]) as of_teacher:
        method.losses(ImageBatch(torch.zeros(4, 3, 8, 8), None), step=0, draws=StreamDraws(stream(0, "l")))
    assert (counter.counted, of_teacher.counted) == (8, 8)


def test_gradients_flow_through_the_noisier_point_only(gaussian):
    seen = []

    def f(x, t, labels):
        seen.append(torch.is_grad_enabled())
        return x

    distilled(Function(f), gaussian, 18).losses(
        ImageBatch(torch.zeros(4, 3, 8, 8), None), step=0, draws=StreamDraws(stream(0, "l"))
    )
    assert seen == [True, False]


def test_the_boundary_holds_and_one_evaluation_samples(tiny_run, trained, draw):
    method = trained(tiny_run("methods/cd"))
    x = torch.randn((2, 3, 8, 8), generator=stream(0, "x"))
    assert_close(method.student(x, 0.002), x)
    images = draw(method, [3, 4, 5], 1)
    assert_close(draw(method, [4], 1)[0], images[1], rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="samples with 1 network evaluations, not 2"):
        draw(method, [0], 2)


def test_the_student_starts_as_the_teacher_and_the_teacher_never_moves(tiny_run, build, trained):
    run = tiny_run("methods/cd")
    before, after = build(run), trained(run)
    assert_close(before.student.model.state_dict(), before.teacher.model.state_dict())
    assert_close(after.teacher.state_dict(), before.teacher.state_dict())
    moved = [
        not torch.equal(a, b) for a, b in zip(before.student.parameters(), after.student.parameters(), strict=True)
    ]
    assert any(moved)
    assert not any(key.startswith(("teacher", "distance")) for key in after.training_state())


@pytest.mark.parametrize("scale", ["embedded", "cpu", "paper"])
def test_the_defining_settings_of_cd_hold_at_every_scale(settings, scale):
    run = settings("cd", scale)
    assert run.training.optimizer.name == "radam"
    assert scale == "embedded" or run.training.optimizer.betas == (0.9, 0.999)
    assert (run.init, run.teacher, run.perceptual) == ("methods/edm_ve", "methods/edm_ve", True)
    assert run.init_weights == "raw"
    assert (run.network["preset"], run.network["precond"]) == ("ncsnpp", "consistency")
    assert run.target.endswith(".CD")
