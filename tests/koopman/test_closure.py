"""Closure errors vanish where they must, and the closure loss lowers them."""

from __future__ import annotations

import torch
from torch.testing import assert_close

from hkd.koopman.closure import closure_error, closure_loss

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


def test_training_on_the_closure_loss_lowers_the_closure_error(make_net, noise):
    net = make_net(rates=0)
    states = trajectory(noise[:1], [T, EPS])
    before = closure_error(net, states, [T, EPS]).latent[-1].mean()
    optimiser = torch.optim.Adam(net.koopman_parameters(), lr=0.1)
    for _ in range(40):
        loss = closure_loss(net, states[0], T, states[1], EPS)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert closure_error(net, states, [T, EPS]).latent[-1].mean() < 0.5 * before


def test_the_target_of_the_loss_is_not_trained(make_net, noise):
    net = make_net()
    x = noise.clone().requires_grad_()
    closure_loss(net, T * noise, T, x, EPS).backward()
    assert x.grad is None
