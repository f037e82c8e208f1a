"""Closure errors vanish where they must, and the closure loss lowers them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from hkd.data.trajectories import Trajectories
from hkd.experiment.finished import base
from hkd.koopman.choices import KoopmanSettings
from hkd.koopman.closure_loss import closure_loss
from hkd.koopman.operator import KoopmanOperator
from hkd.plan.runs import HELD_OUT
from hkd.studies.interpretability.against_teacher import TeacherError, teacher_error
from hkd.studies.interpretability.closure import closure_error, closure_of_run, pooled
from hkd.studies.interpretability.starts import hkd_network

EPS, T = 0.002, 80.0


def trajectory(noise, sigmas):
    """States of N(0, 0.25) data, exact."""
    return torch.stack([noise * (0.25 + sigma**2) ** 0.5 for sigma in sigmas])


def test_the_start_of_a_trajectory_is_closed(make_net, noise):
    sigmas = [T, 2.0, EPS]
    error = closure_error(make_net(), trajectory(noise, sigmas), sigmas)
    assert error.latent.shape == (3, 4)
    assert_close(error.latent[0], torch.zeros(4, dtype=torch.float64))
    assert error.one_step[0] == 0
    assert (error.latent[1:] > 0).all()
    assert error.sigmas.tolist() == sigmas


class LinearWorld:
    """A made-up network that is exactly linear: latents are states, and A moves them as the trajectory does."""

    def __init__(self, rate):
        self.settings = KoopmanSettings(sigma_min=EPS, sigma_max=T, time_map="log_sigma")
        self.operator = KoopmanOperator(2, 8, 8)
        with torch.no_grad():
            self.operator.generator[:1].fill_(rate)

    def encode(self, x, sigma, labels=None):
        return [x]

    def evolve(self, latents, start, end):
        time = self.settings.time
        return [self.operator(z, time(end) - time(start)) for z in latents]

    def decode(self, latents, labels=None, **about):
        return latents[0]

    def __call__(self, x, sigma, labels=None):
        return self.decode(self.evolve(self.encode(x, sigma), sigma, EPS))


@pytest.mark.parametrize("rate, closed", [(0.3, True), (0.2, False)])
def test_an_exactly_linear_system_is_closed_and_its_states_are_accessible(rate, closed):
    """x(sigma) = x(eps) (sigma / eps)^0.3 is linear in the time ln(sigma / eps)."""
    clean = torch.randn(4, 2, 8, 8, generator=torch.Generator().manual_seed(3))
    sigmas = [T, 5.0, 0.5, EPS]
    states = torch.stack([clean * (sigma / EPS) ** 0.3 for sigma in sigmas])
    error = closure_error(LinearWorld(rate), states, sigmas)
    for found in (error.latent[:, 0], error.state, error.one_step):
        assert bool((found[1:] < 1e-5).all()) is closed
    assert_close(error.size, states.double().square().mean((1, 2, 3, 4)).sqrt())


def test_the_error_of_unmoved_latents_is_the_distance_that_the_encoding_moves(make_net, noise):
    error = closure_error(make_net(), trajectory(noise, [T, 2.0, EPS]), [T, 2.0, EPS])
    resting = closure_error(make_net(rates=0), trajectory(noise, [T, 2.0, EPS]), [T, 2.0, EPS])
    assert_close(error.still, resting.latent)


def test_pooled_errors_are_those_of_all_batches_together(make_net, noise):
    """Exactly so for latents whose size is the same in both batches; here for two copies of one batch."""
    net, sigmas = make_net(), [T, 2.0, EPS]
    states = trajectory(noise, sigmas)
    one, other = closure_error(net, states, sigmas), closure_error(net, -states, sigmas)
    both = closure_error(net, torch.cat((states, states), dim=1), sigmas)
    one, other = one._asdict(), other._asdict()
    assert_close(pooled([one, one])["latent"], both.latent, rtol=1e-5, atol=1e-6)
    mean = (one["state"].square() + other["state"].square()) / 2
    assert_close(pooled([one, other])["state"].square(), mean)
    assert pooled([one, other])["sigmas"].tolist() == sigmas


def test_an_operator_of_zero_is_closed_for_states_that_encode_alike(make_net, noise):
    """With a constant encoder embedding, x and c_in(x) alike give equal latents: nothing has to move."""
    net = make_net(rates=0, encoder_sigma="constant")
    sigmas = [T, 2.0, EPS]
    error = closure_error(net, trajectory(noise, sigmas), sigmas)
    assert_close(error.latent, torch.zeros(3, 4, dtype=torch.float64), rtol=0, atol=1e-5)


def test_decoding_along_the_way_gives_the_clean_image_when_nothing_moves(make_net, noise):
    net = make_net(rates=0)
    sigmas = [T, 2.0, EPS]
    states = trajectory(noise, sigmas)
    states[-1] = net(states[0], T).detach()
    error = closure_error(net, states, sigmas)
    assert_close(error.clean, torch.zeros(3, dtype=torch.float64), rtol=0, atol=1e-6)
    assert error.state[1] > 0.5


def test_a_decoder_told_the_time_gives_images_of_the_size_of_the_state(make_net, noise):
    raw, scaled = (make_net(decoder_sigma="latent_time", output_wrapper=kind) for kind in ("raw", "scaled"))
    levels = torch.tensor([80.0, 5.0, 0.5, EPS])
    with torch.no_grad():
        latents = raw.encode(noise, T)
        one, other = (net.decode(latents, latent_sigma=levels) for net in (raw, scaled))
    assert_close(other, one * (levels**2 + 0.25).sqrt()[:, None, None, None])
    assert_close(scaled.decode(latents), 0.5 * raw.decode(latents), rtol=1e-4, atol=1e-6)


def test_training_on_the_closure_loss_lowers_the_closure_error(make_net, noise):
    net = make_net(rates=0)
    states = trajectory(noise[:1], [T, EPS])
    before = closure_error(net, states, [T, EPS]).latent[-1].mean()
    optimiser = torch.optim.Adam(net.koopman_parameters(), lr=0.1)
    for _ in range(40):
        loss = closure_loss(net, states[0], T, states[1], EPS, norm="image")
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert closure_error(net, states, [T, EPS]).latent[-1].mean() < 0.5 * before


def test_the_target_of_the_loss_is_not_trained(make_net, noise):
    net = make_net()
    x = noise.clone().requires_grad_()
    closure_loss(net, T * noise, T, x, EPS, norm="image").backward()
    assert x.grad is None


CPU = torch.device("cpu")


@pytest.fixture
def edm(results, study_plan) -> Path:
    return Path(study_plan.base_weights("shapes8", "methods/edm"))


@pytest.fixture
def held_out(results, study_plan) -> Path:
    return Path(study_plan.layout.trajectories("shapes8", HELD_OUT))


def test_a_runs_errors_are_those_of_its_network_over_the_first_stored_trajectories(weights, edm, held_out):
    found = closure_of_run(weights, edm, held_out, CPU, most=3, batch=64)
    stored = Trajectories(held_out)
    batch, levels = stored.batch([0, 1, 2]), stored.sigmas[:-1].tolist()
    states = torch.stack([batch.state(k) for k in range(len(levels))])
    expected = closure_error(hkd_network(weights, CPU), states, levels)
    beside = teacher_error(hkd_network(weights, CPU), base(edm).one_step, states, levels)
    assert list(found)[:9] == ["n", "sigmas", "latents", "latent", "state", "clean", "one_step", "still", "size"]
    assert list(found)[9:] == list(TeacherError._fields)
    assert found["denoised"] == beside.denoised.tolist() and found["predicted"] == beside.predicted.tolist()
    assert (found["n"], found["sigmas"]) == (3, levels)
    assert found["latent"] == expected.latent.tolist() and found["size"] == expected.size.tolist()


def test_all_trajectories_there_are_pass_in_batches_that_can_be_watched(weights, edm, held_out):
    seen = []

    def watch(batches):
        seen.extend(len(indices) for indices in batches)
        return batches

    found = closure_of_run(weights, edm, held_out, CPU, most=100, batch=3, watch=watch)
    assert found["n"] == 8 and sum(seen) == 8 and max(seen) <= 3
