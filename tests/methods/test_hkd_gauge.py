"""The loss leaves the spectrum free: E'(x, t) = exp(B (s(t) - s(eps))) E(x, t) with A' = A + B makes the same images.

B is any operator of the same blocks. It cancels in exp((s(eps) - s(t)) A') E'(x, t), which is all that the loss and the
samples see, so neither tells A from A + B. What is decoded on the way from T to eps is another matter.
"""

from __future__ import annotations

import copy

import pytest
import torch
from torch.testing import assert_close

from hkd.draws import StreamDraws
from hkd.koopman.spectrum import agreement, spectra
from hkd.seeding import stream


@pytest.fixture(scope="module")
def method(tiny_run, trained):
    """HKD after twenty steps of training."""
    run = tiny_run("methods/hkd", training={"steps": 20, "optimizer": {"lr": 3e-3}})
    return trained(run, steps=20)


def gauged(net, size=1.0):
    """The network with A + B in place of A, and B in its encoder; B has exponents of about `size` over s(T)."""
    shift, moved = copy.deepcopy(net), copy.deepcopy(net)
    with torch.no_grad():
        for number, level in enumerate(net.koopman):
            b = torch.randn(net.koopman[level].generator.shape, generator=stream(0, "gauge", number))
            shift.koopman[level].generator.copy_(size * b / net.time.span)
            moved.koopman[level].generator.add_(shift.koopman[level].generator)
    encode, eps = moved.encode, net.settings.sigma_min
    moved.encode = lambda x, sigma, labels=None: shift.evolve(encode(x, sigma, labels), eps, sigma)
    return moved


def states(net):
    return torch.randn((6, 3, 8, 8), generator=stream(1, "states"))


@pytest.mark.parametrize("sigma", [80.0, 9.0, torch.tensor([80.0, 20.0, 3.0, 0.5, 0.1, 0.01])])
def test_another_spectrum_makes_the_same_images(method, sigma):
    net = method.student
    assert max(level.max_abs_alpha for level in net.diagnostics().values()) > 1e-3  # training has moved A
    other, x = gauged(net), states(net) * torch.as_tensor(sigma).reshape(-1, 1, 1, 1)
    with torch.no_grad():
        assert_close(other(x, sigma), net(x, sigma), rtol=0, atol=1e-4)
    ranks = agreement(spectra(net), spectra(other), "alpha")
    assert max(abs(value) for value in ranks.values()) < 0.5 and abs(sum(ranks.values()) / len(ranks)) < 0.2


def test_the_loss_is_the_same_too(method, tiny_run, feed):
    batch, other = feed(tiny_run("methods/hkd"))(0), copy.deepcopy(method)
    other.student = gauged(method.student)
    with torch.no_grad():
        ours, theirs = (one.losses(batch, step=0, draws=StreamDraws(stream(0, "times"))) for one in (method, other))
    assert_close(theirs["student"], ours["student"], rtol=1e-4, atol=1e-5)


def test_what_is_decoded_on_the_way_is_not_the_same(method):
    net = method.student
    x = 80.0 * states(net)
    with torch.no_grad():
        ours, theirs = (one.trajectory(x, [9.0, 0.002]) for one in (net, gauged(net)))
    assert_close(theirs[1], ours[1], rtol=0, atol=1e-4)
    assert float((theirs[0] - ours[0]).abs().max()) > 0.01
