"""HKD's loss: every choice that the paper leaves open is wired, and the laws are those it prints."""

from __future__ import annotations

import hashlib
from dataclasses import asdict

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from hkd.data.trajectories import Trajectories
from hkd.draws import StreamDraws
from hkd.koopman.closure_loss import closure_loss, latent_gap
from hkd.methods.hkd import LossSettings
from hkd.seeding import stream

NORMS = ("image", "batch")

BASE = {
    "time_map": "rho",
    "time_dist": "uniform_index",
    "time_states": "interp",
    "n_intermediate": 2,
    "lambda1_law": "constant",
    "lambda2": 0.3,
}


@pytest.fixture
def make(tiny_run, build):
    """HKD with the base's settings but for some, and an operator that moves."""

    def made(*, operator: float = 0.3, **params):
        method = build(tiny_run("methods/hkd", params={**BASE, **params})).eval()
        with torch.no_grad():
            for value in method.student.koopman_parameters():
                value.fill_(operator)
        return method

    return made


@pytest.fixture(scope="module")
def batch(trajectories):
    return Trajectories(trajectories).batch(np.arange(6))


def loss(method, batch, step: int = 1) -> float:
    with torch.no_grad():
        return float(method.losses(batch, step=step, draws=StreamDraws(stream(0, "train", step)))["student"])


def fingerprint(method, batch) -> str:
    """All that a setting may change: the loss, the parameters, how they are trained, and the images."""
    with torch.no_grad():
        images = method.sample(torch.randn((2, 3, 8, 8), generator=stream(0, "n")), labels=None, nfe=1, streams=None)
    parameters = [(name, tuple(p.shape), p.requires_grad) for name, p in method.student.named_parameters()]
    groups = [(len(group["params"]), group["lr_scale"]) for group in method.parameter_groups("student")]
    text = f"{loss(method, batch):.9e} {parameters} {groups} {images.flatten()[:9].tolist()}"
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture(scope="module")
def seen() -> dict[str, str]:
    return {}


CHOICES = [
    ("levels", "per_resolution"),
    ("levels", "bottleneck_only"),
    ("levels", "finest_only"),
    ("levels", "skips_dropped"),
    ("bottleneck_operator", "separate"),
    ("coupling", "fourier"),
    ("pairing", "adjacent"),
    ("time_map", "sigma_unit"),
    ("time_map", "log_sigma"),
    ("time_map", "log_unit"),
    ("encoder_sigma", "constant"),
    ("decoder_sigma", "sigma_max"),
    ("decoder_sigma", "same_as_input"),
    ("output_wrapper", "raw"),
    ("output_wrapper", "edm"),
    ("conditioning", "separate"),
    ("alpha_clamp", 0.05),
    ("alpha_bound", 0.2),
    ("radius_bound", 0.2),
    ("frozen", True),
    ("operator_lr_scale", 3.0),
    ("time_dist", "uniform_t"),
    ("time_dist", "uniform_log"),
    ("time_dist", "lognormal"),
    ("time_states", "grid"),
    ("time_draw", "per_batch"),
    ("time_support", "zero_to_T"),
    ("n_intermediate", 0),
    ("n_intermediate", 4),
    ("combine", "sum"),
    ("target_state", "x_0"),
    ("distance_form", "norms"),
    ("mse_reduction", "sum"),
    ("lambda1_law", "anneal"),
    ("lambda1_law", "zero"),
    ("lambda2", 1.0),
    ("closure_weight", 0.5),
    ("state_weight", 0.5),
    ("rho", 3.0),
    ("sigma_min", 0.01),
]


def test_the_closure_loss_moves_the_evolved_latents_and_never_their_targets():
    moved, there = (torch.randn(3, 4, 2, 2, requires_grad=True) for _ in range(2))
    for norm in ("image", "batch"):
        latent_gap([moved], [there], norm).backward()
    assert moved.grad is not None and there.grad is None


@pytest.mark.parametrize("key, value", CHOICES)
def test_every_choice_changes_loss_graph_or_image(make, batch, seen, key, value):
    before = seen.setdefault("base", fingerprint(make(), batch))
    assert fingerprint(make(**{key: value}), batch) != before


def test_the_literal_time_differs_too(make, batch):
    """In sigma-time the rates count 80 times as much, so the operator must be small."""
    assert loss(make(operator=0.004, time_map="sigma"), batch) != loss(make(operator=0.004), batch)


def test_a_fixed_batch_has_a_fixed_loss(make, batch):
    assert loss(make(), batch) == loss(make(), batch)


def test_every_parameter_of_the_config_is_tried_here(tiny_run):
    untried = set(tiny_run("methods/hkd").params) - {key for key, _ in CHOICES} - set(BASE)
    assert untried == {"sigma_max", "operator_init", "closure_norm"}  # of the last two, the tests of start and gap


# -- the distance ----------------------------------------------------------------------------------------------------


def test_lambda1_falls_over_three_decades(make):
    method = make(lambda1_law="anneal")
    total = method.total_steps
    assert [method.lambda1(step) for step in (0, total // 2, total)] == pytest.approx([1, 10**-1.5, 1e-3])
    assert {make(lambda1_law="constant").lambda1(step) for step in (0, total)} == {1.0}


def test_a_choice_that_the_loss_does_not_know_is_refused(make):
    known = asdict(make().loss)
    assert LossSettings(**known) == make().loss
    with pytest.raises(ValueError, match="combine: 'max' is not one of mean_plus_recon, sum"):
        LossSettings(**{**known, "combine": "max"})


def test_the_loss_is_the_term_at_T_plus_the_mean_of_the_others(make, batch):
    one, other = make(combine="mean_plus_recon"), make(combine="sum")
    terminal = loss(make(n_intermediate=0), batch)
    assert loss(one, batch) - terminal == pytest.approx((loss(other, batch) - terminal) / 2, rel=1e-4)


def test_terminal_only_is_the_ablation_without_the_trajectory_loss(make, batch, tiny_run, build):
    method = make(n_intermediate=0)
    target, features = batch.near_clean, method.distance.features(batch.near_clean)
    with torch.no_grad():
        image = method.student(batch.state(0), 80.0)
        expected = (image - target).square().mean() + 0.3 * method.distance(image, features).mean()
    assert loss(method, batch) == pytest.approx(float(expected), rel=1e-5)

    ablation = build(tiny_run("ablations/abl_no_traj")).eval()
    full = build(tiny_run("methods/hkd", params={"n_intermediate": 0})).eval()
    assert loss(ablation, batch) == loss(full, batch)


def test_mse_only_sees_no_perceptual_distance(tiny_run, build, batch):
    method = build(tiny_run("ablations/abl_mse_only", params={"n_intermediate": 0})).eval()
    assert method.distance is None
    with torch.no_grad():
        expected = (method.student(batch.state(0), 80.0) - batch.near_clean).square().mean()
    assert loss(method, batch) == pytest.approx(float(expected), rel=1e-5)


def test_the_sum_over_pixels_is_the_mean_times_their_number(make, batch):
    mean, total = (make(mse_reduction=how, lambda2=0.0) for how in ("mean", "sum"))
    assert loss(total, batch) == pytest.approx(3 * 8 * 8 * loss(mean, batch), rel=1e-4)


def test_the_operator_has_its_own_rate(make):
    network, operators = make(operator_lr_scale=10.0).parameter_groups("student")
    assert (network["lr_scale"], operators["lr_scale"]) == (1.0, 10.0)
    assert {id(p) for p in operators["params"]}.isdisjoint({id(p) for p in network["params"]})


def test_a_frozen_operator_stays_zero_and_has_no_group(tiny_run, build):
    method = build(tiny_run("ablations/abl_no_koopman"))
    assert len(method.parameter_groups("student")) == 1
    assert all(not bool(p.any()) and not p.requires_grad for p in method.student.koopman_parameters())


def test_training_starts_with_an_operator_that_does_nothing(tiny_run, build, batch):
    method = build(tiny_run("methods/hkd")).eval()
    assert all(not bool(p.any()) for p in method.student.koopman_parameters())
    x = batch.state(0)
    latents = method.student.encode(x, 80.0)
    assert all(torch.equal(a, b) for a, b in zip(latents, method.student.evolve(latents, 80.0, 0.002), strict=True))


def test_a_start_at_random_has_the_spread_that_was_asked_for(tiny_run, build):
    method = build(tiny_run("ablations/abl_operator_init", params={"operator_init": 0.2, "time_map": "sigma"}))
    rates = torch.cat([p.detach().flatten() for p in method.student.koopman_parameters()]) * method.student.time.span
    assert float(rates.std()) == pytest.approx(0.2, rel=0.05) and abs(float(rates.mean())) < 0.02
    other = build(tiny_run("ablations/abl_operator_init", params={"operator_init": 0.2, "time_map": "sigma"}), seed=7)
    pairs = zip(method.student.koopman_parameters(), other.student.koopman_parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


# -- what the paper does not ask for ---------------------------------------------------------------------------------


def test_the_closure_term_is_the_closure_loss_between_T_and_the_intermediate_state(make, batch):
    method = make(closure_weight=0.5, n_intermediate=1)
    x, sigma = method.times.state(batch, StreamDraws(stream(0, "train", 1)))
    with torch.no_grad():
        gap = closure_loss(method.student, batch.state(0), 80.0, x, sigma, norm="image")
    without = loss(make(n_intermediate=1), batch)
    assert loss(method, batch) - without == pytest.approx(0.5 * float(gap), rel=1e-4)


def test_the_state_term_vanishes_for_a_decoder_that_returns_the_state(make, batch, monkeypatch):
    method = make(state_weight=1.0, n_intermediate=2, decoder_sigma="latent_time")
    generator = StreamDraws(stream(0, "train", 1))
    drawn = [method.times.state(batch, generator) for _ in range(2)]
    decode, told = method.student.decode, []

    def exact(latents, labels=None, *, latent_sigma=None, **about):
        image = decode(latents, labels, latent_sigma=latent_sigma, **about)
        for k, (x, sigma) in enumerate(drawn):
            if isinstance(latent_sigma, torch.Tensor) and torch.equal(sigma, latent_sigma):
                told.append(k)
                return x
        return image

    monkeypatch.setattr(method.student, "decode", exact)
    assert loss(method, batch) == pytest.approx(loss(make(n_intermediate=2, decoder_sigma="latent_time"), batch))
    assert told == [0, 1]


def test_the_state_term_is_relative_to_the_size_of_the_state(make, batch, monkeypatch):
    """A decoder that always returns zero is wrong by about 1 at every noise level."""
    method = make(state_weight=1.0, n_intermediate=4, decoder_sigma="latent_time")
    decode = method.student.decode

    def nothing(latents, labels=None, *, latent_sigma=None, **about):
        image = decode(latents, labels, latent_sigma=latent_sigma, **about)
        return image if isinstance(latent_sigma, float) else torch.zeros_like(image)

    monkeypatch.setattr(method.student, "decode", nothing)
    added = loss(method, batch) - loss(make(n_intermediate=4, decoder_sigma="latent_time"), batch)
    assert added == pytest.approx(1.0, abs=0.3)


def test_the_gap_of_images_is_the_mean_of_theirs_and_that_of_a_batch_is_weighted_by_their_size(make):
    moved, there = torch.randn(2, 4, 2, 3, 3, generator=stream(0, "gap")).double()
    there[0] *= 10
    each = torch.stack([latent_gap([a], [b], "batch") for a, b in zip(moved.split(1), there.split(1), strict=True)])
    assert_close(latent_gap([moved], [there], "image"), each.mean())
    sizes = there.square().sum(dim=(1, 2, 3))
    assert_close(latent_gap([moved], [there], "batch"), (each * sizes).sum() / sizes.sum())
    said = [make(closure_weight=w, closure_norm=n, n_intermediate=1).whole_batch for w in (0.0, 0.5) for n in NORMS]
    assert said == [False, False, False, True]


@pytest.mark.parametrize("key", ["closure_weight", "state_weight"])
def test_a_term_between_the_ends_needs_states_there(make, key):
    with pytest.raises(ValueError, match=f"{key}: 0.5 needs intermediate states"):
        make(**{key: 0.5}, n_intermediate=0)


def test_numbers_worth_logging_are_finite(make):
    facts = make().diagnostics()
    assert facts["max_abs_alpha"] == pytest.approx(0.3) and np.isfinite(facts["max_exponent"])


EMBEDDED_READINGS = {"time_map", "operator_lr_scale", "time_dist", "time_states", "n_intermediate"}
READINGS = {"embedded": EMBEDDED_READINGS, "cpu": EMBEDDED_READINGS | {"lambda1_law", "lambda2"}}


@pytest.mark.parametrize("scale", list(READINGS))
def test_what_makes_it_hkd_holds_at_every_scale_but_for_some_parameters(settings, scale):
    paper, run = settings("hkd"), settings("hkd", scale)
    assert {key for key, value in run.params.items() if value != paper.params[key]} == READINGS[scale]
    for key in ("target", "feed", "init", "teacher", "perceptual"):
        assert getattr(run, key) == getattr(paper, key), key
    assert {key: run.network[key] for key in ("preset", "precond")} == {"preset": "ddpmpp", "precond": "edm"}
    assert run.training.optimizer.name == "adam"
