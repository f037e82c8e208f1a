"""CT: neighbours with one noise, an averaged target network, and the laws N(k) and mu(k)."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from hkd.draws import StreamDraws
from hkd.methods.consistency.ct import CT, grid_points, target_decay
from hkd.plan.runs import Plan
from hkd.seeding import stream
from hkd.settings.origins import ConfigError
from tests.methods.stand_ins import Function, Squared

LAW = {"s0": 2, "s1": 150}
GRID = {"sigma_min": 0.002, "sigma_max": 80.0, "rho": 7.0}


@pytest.mark.parametrize(
    ("step", "points"), [(0, 2), (1000, 6), (10000, 17), (100000, 54), (200000, 76), (400000, 107), (800000, 151)]
)
def test_the_number_of_points_is_the_papers(step, points):
    assert grid_points(step, 800000, **LAW) == points


@pytest.mark.parametrize(("step", "mu"), [(0, 0.9), (100000, 0.99611), (400000, 0.99803), (800000, 0.99861)])
def test_over_the_points_the_decay_of_the_target_is_the_papers(step, mu):
    points = grid_points(step, 800000, **LAW)
    assert target_decay(points, s0=2, mu0=0.9, over="points") == pytest.approx(mu, abs=5e-6)


@pytest.mark.parametrize(("step", "points"), [(0, 2), (1000, 6), (100000, 54), (800000, 151)])
def test_over_the_intervals_the_decay_of_the_target_is_the_official_codes(step, points):
    found = target_decay(grid_points(step, 800000, **LAW), s0=2, mu0=0.9, over="intervals")
    assert found == pytest.approx(0.9 ** (2 / (points - 1)), rel=1e-12)  # 0.81 at the start, where the paper has 0.9


def trainer_of(student):
    law = {"mu0": 0.9, "decay_over": "intervals", **LAW}
    return CT(student=student, distance=Squared(), total_steps=800, **law, **GRID)


def test_what_the_decay_divides_by_is_one_of_two(root):
    overrides = {"methods": {"ct": {"params": {"decay_over": "steps"}}}}
    plan = Plan.load(str(root / "configs/benchmarks/embedded.yaml"), overrides, root / "configs")
    with pytest.raises(ConfigError, match=r"decay_over.*'intervals' or 'points'"):
        plan.run("shapes16", "methods/ct")


def test_on_a_single_image_the_exact_consistency_function_has_no_loss(single_image):
    image = single_image.clean[:1]
    exact = Function(lambda x, t, labels: image + (x - image) * (0.002 / t)[:, None, None, None])
    loss = trainer_of(exact).losses(single_image, step=400, draws=StreamDraws(stream(0, "l")))["student"]
    assert float(loss) < 1e-10  # fails unless both points share image and noise
    identity = trainer_of(Function(lambda x, t, labels: x))
    assert float(identity.losses(single_image, step=400, draws=StreamDraws(stream(0, "l")))["student"]) > 1e-2


def test_every_interval_weighs_one_whatever_its_gap(single_image):
    """With ECM's or iCT's weight, one over the gap, the wide intervals would not dominate as they do here."""
    identity, step = trainer_of(Function(lambda x, t, labels: x)), 400
    found = float(identity.losses(single_image, step=step, draws=StreamDraws(stream(0, "l")))["student"].detach())
    generator, grid = stream(0, "l"), identity.grid(grid_points(step, 800, **LAW))
    n = torch.randint(len(grid) - 1, (16,), generator=generator)
    noise = torch.randn(single_image.clean.shape, generator=generator).double()
    gap = (grid[n + 1] - grid[n])[:, None, None, None]
    assert found == pytest.approx(float((gap * noise).square().sum(dim=(1, 2, 3)).mean()), rel=1e-4)


@pytest.mark.parametrize(("over", "less"), [("intervals", 1), ("points", 0)])
def test_the_target_is_a_running_average_with_the_decay_of_its_step(tiny_run, build, over, less):
    method = build(tiny_run("methods/ct", training={"steps": 100}, params={"decay_over": over}))
    assert_close(method.target.state_dict(), method.student.state_dict())
    start = [p.clone() for p in method.target.parameters()]
    with torch.no_grad():
        for p in method.student.parameters():
            p.add_(1.0)
    method.after_step(31)
    mu = 0.9 ** (2 / (grid_points(30, 100, s0=2, s1=10) - less))
    for was, now in zip(start, method.target.parameters(), strict=True):
        assert_close(now, mu * was + (1 - mu) * (was + 1.0))
        assert not now.requires_grad


def test_the_target_network_makes_the_target(tiny_run, build, feed):
    run = tiny_run("methods/ct")
    method, batch = build(run), feed(run)(0)
    same = float(method.losses(batch, step=3, draws=StreamDraws(stream(0, "l")))["student"])
    with torch.no_grad():
        for p in method.target.parameters():
            p.add_(0.1 * torch.randn(p.shape, generator=stream(0, "p", p.numel())))
    assert float(method.losses(batch, step=3, draws=StreamDraws(stream(0, "l")))["student"]) != pytest.approx(
        same, rel=1e-3
    )


def test_a_resumed_training_keeps_its_target(tiny_run, trained, build):
    run = tiny_run("methods/ct")
    method, fresh = trained(run), build(run)
    fresh.load_training_state(method.training_state())
    assert_close(fresh.target.state_dict(), method.target.state_dict())
    assert not all(
        torch.equal(a, b) for a, b in zip(method.target.parameters(), method.student.parameters(), strict=True)
    )


def test_one_evaluation_samples(tiny_run, trained, draw):
    method = trained(tiny_run("methods/ct"))
    assert_close(draw(method, [4], 1)[0], draw(method, [3, 4, 5], 1)[1], rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="not 2"):
        draw(method, [0], 2)


@pytest.mark.parametrize("scale", ["embedded", "cpu", "paper"])
def test_the_defining_settings_of_ct_hold_at_every_scale(settings, scale):
    run = settings("ct", scale)
    assert run.training.optimizer.name == "radam" and run.params["decay_over"] == "intervals"
    assert scale == "embedded" or run.training.optimizer.betas == (0.9, 0.999)
    assert (run.init, run.teacher, run.perceptual) == (None, None, True)
    assert (run.network["preset"], run.network["precond"]) == ("ncsnpp", "consistency")
    assert (run.params["s0"], run.params["mu0"]) == (2, 0.9)
    assert run.network.get("fourier_scale", 16.0) == 16.0
