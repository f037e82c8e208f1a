"""Two statements of the paper's theory, on generators and data whose dynamics are known.

Proposition C.1: a diagonalisable real generator is, up to a similarity, one of 2 x 2 blocks, and the similarity can be
absorbed by linear layers around it. It holds where all eigenvalues come in conjugate pairs; two different real
eigenvalues need a block each, and so twice the channels.

The error bound: err_HKD <= err_one-step + O(kappa), where kappa is the error of the operator and falls as N^(-1/2).
"""

from __future__ import annotations

import math
from itertools import count

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from hkd.koopman.evolution import evolve
from hkd.koopman.operator import KoopmanOperator
from hkd.seeding import stream

K, DT = 3, -0.7
SEEDS = range(8)


def generator_of_pairs(seed):
    """A dense, non-normal real generator (2K, 2K) without real eigenvalues, drawn until there is one."""
    for attempt in count():
        draw = torch.randn(2, 2 * K, 2 * K, generator=stream(seed, "generator", attempt), dtype=torch.float64)
        found = draw[0] - draw[0].T + 0.4 * draw[1]  # rotation dominates, so most draws will do
        if torch.linalg.eigvals(found).imag.abs().min() > 0.1:
            return found


def block_form(generator):
    """alpha, beta (K,) and P (2K, 2K) with generator = P blocks P^-1, the channels k and k + K of block k.

    From G (p + iq) = (a + ib)(p + iq): G q = a q + b p and G p = -b q + a p, so q and p span block [[a, -b], [b, a]].
    """
    values, vectors = torch.linalg.eig(generator)
    upper = values.imag > 0
    return values[upper].real, values[upper].imag, torch.cat((vectors[:, upper].imag, vectors[:, upper].real), dim=1)


def blocks(alpha, beta):
    """The dense matrix (2K, 2K) of the blocks."""
    a, b = torch.diag(alpha), torch.diag(beta)
    return torch.cat((torch.cat((a, -b), 1), torch.cat((b, a), 1)))


def evolved(z, alpha, beta, dt=DT):
    """exp(A dt) of vectors z (B, 2K), by the operator's closed form."""
    places = z[:, :, None, None]
    return evolve(places, alpha[:, None, None], beta[:, None, None], torch.tensor(dt, dtype=z.dtype))[..., 0, 0]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_generator_of_conjugate_pairs_is_similar_to_its_block_form(seed):
    generator = generator_of_pairs(seed)
    alpha, beta, similar = block_form(generator)
    assert_close(torch.linalg.solve(similar, generator @ similar), blocks(alpha, beta), rtol=1e-9, atol=1e-9)
    z = torch.randn(5, 2 * K, generator=stream(seed, "latents"), dtype=torch.float64)
    expected = z @ torch.linalg.matrix_exp(generator * DT).T
    assert_close(evolved(torch.linalg.solve(similar, z.T).T, alpha, beta) @ similar.T, expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("seed", SEEDS)
def test_linear_layers_around_the_operator_absorb_the_similarity(seed):
    generator = generator_of_pairs(seed)
    alpha, beta, similar = block_form(generator)
    encoder, decoder, x = (
        torch.randn(shape, generator=stream(seed, "layers", k), dtype=torch.float64)
        for k, shape in enumerate(((2 * K, 4), (4, 2 * K), (5, 4)))
    )
    dense = x @ encoder.T @ torch.linalg.matrix_exp(generator * DT).T @ decoder.T
    ours = evolved(x @ torch.linalg.solve(similar, encoder).T, alpha, beta) @ (decoder @ similar).T
    assert_close(ours, dense, rtol=1e-8, atol=1e-8)


def test_different_real_eigenvalues_are_in_no_block_but_in_one_each_on_twice_the_channels():
    draw = torch.randn(2 * K, 2 * K, generator=stream(0, "real"), dtype=torch.float64)
    rates = torch.linspace(-1, 1, 2 * K, dtype=torch.float64)
    generator = draw @ torch.diag(rates) @ torch.linalg.inv(draw)
    # tr^2 - 4 det, which no similarity changes, is never positive for what a block does to two channels in DT, and is
    # for what two different real values do
    for alpha, beta in torch.randn(100, 2, 1, generator=stream(1, "real"), dtype=torch.float64):
        assert discriminant(evolved(torch.eye(2, dtype=torch.float64), alpha, beta)) <= 1e-12
    assert discriminant(torch.linalg.matrix_exp(torch.diag(rates[:2]) * DT)) > 0.05
    z = torch.randn(5, 2 * K, generator=stream(2, "real"), dtype=torch.float64)
    lifted = torch.cat((torch.linalg.solve(draw, z.T).T, torch.zeros_like(z)), dim=1)
    moved = evolved(lifted, rates, torch.zeros_like(rates))[:, : 2 * K] @ draw.T
    assert_close(moved, z @ torch.linalg.matrix_exp(generator * DT).T, rtol=1e-8, atol=1e-8)


def discriminant(matrix):
    """tr^2 - 4 det of a matrix (2, 2)."""
    return float(matrix.trace() ** 2 - 4 * torch.linalg.det(matrix))


# -- the error bound ---------------------------------------------------------------------------------------------------

STEP, MISFIT, TEACHER = -1.0, 0.05, 0.1  # a unit of mapped time towards the data; errors of the decoder, the teacher
SIZES = (50, 200, 800, 3200)


def known():
    """The operator of the data: two blocks at one place."""
    operator = KoopmanOperator(4, 1, 1)
    with torch.no_grad():
        operator.generator.copy_(torch.tensor([0.8, -0.3, 1.1, 0.4])[:, None, None])
    return operator


def fitted(z, ends):
    """The operator that fits pairs of latents (N, 4, 1, 1) best: by block the least-squares multiplier, and its log."""
    start, end = (torch.complex(*part.double().chunk(2, dim=1)) for part in (z, ends))
    rates = ((start.conj() * end).sum(0) / start.abs().square().sum(0)).log() / STEP
    operator = KoopmanOperator(4, 1, 1)
    with torch.no_grad():
        operator.generator.copy_(torch.cat((rates.real, rates.imag)))
    return operator


def distance(one, other):
    """Spectral norm of the difference of two operators over STEP, by block |exp(lambda STEP) - exp(lambda' STEP)|.

    It is computed of their eigenvalues, not by moving latents, so that the bound below says that both belong together.
    """
    first, second = (torch.exp(operator.eigenvalues().detach() * STEP) for operator in (one, other))
    return float((first - second).abs().max())


def errors(n, seed):
    """kappa, the one-step error, HKD's error and what kappa is multiplied by, fitted to n trajectories.

    Their latents obey the known dynamics, but for an error of the teacher's at their ends. The decoder has a misfit of
    its own, which is all that is left with the true operator.
    """
    truth, basis = known(), torch.linalg.qr(torch.randn(4, 4, generator=stream(0, "decoder"))).Q
    z, test = (torch.randn(m, 4, 1, 1, generator=stream(seed, name)) for m, name in ((n, "train"), (1000, "test")))
    with torch.no_grad():
        noise = TEACHER * torch.randn(n, 4, 1, 1, generator=stream(seed, "teacher"))
        learned = fitted(z, truth(z, STEP) + noise)
        right, found = truth(test, STEP)[..., 0, 0], learned(test, STEP)[..., 0, 0]
        kappa = distance(learned, truth)
    image, decoder = right @ basis.T, (1 + MISFIT) * basis  # the decoder's Lipschitz constant is 1 + MISFIT

    def rms(difference):
        return float(difference.square().sum(1).mean().sqrt())

    reach = (1 + MISFIT) * rms(test[..., 0, 0])
    return kappa, rms(right @ decoder.T - image), rms(found @ decoder.T - image), reach


def test_the_error_is_at_most_that_of_one_step_and_a_multiple_of_kappa():
    shares = []
    for n in SIZES:
        for seed in range(10):
            kappa, one_step, whole, reach = errors(n, seed)
            shares.append((whole - one_step) / (reach * kappa))
    assert max(shares) <= 1
    assert max(shares) > 0.7, "no bound that would hold of any operator"


def test_kappa_falls_as_one_over_the_root_of_the_number_of_trajectories():
    means = [float(np.mean([errors(n, seed)[0] for seed in range(30)])) for n in SIZES]
    slope = np.polyfit(np.log(SIZES), np.log(means), 1)[0]
    assert slope == pytest.approx(-0.5, abs=0.06)


def test_with_many_trajectories_only_the_error_of_one_step_is_left():
    kappa, one_step, whole, _ = errors(100_000, 0)
    assert kappa < 2e-3 and whole == pytest.approx(one_step, rel=0.02)
    assert one_step == pytest.approx(MISFIT * rms_of_ends(), rel=0.1)


def rms_of_ends():
    """Root mean square size of the latents' ends: each block has two values of variance e^(2 alpha STEP)."""
    alpha = (0.8, -0.3)
    return math.sqrt(sum(2 * math.exp(2 * a * STEP) for a in alpha))
