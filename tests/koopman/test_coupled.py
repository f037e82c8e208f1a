"""The operator in the Fourier domain is a circular convolution's exponential."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from hkd.koopman.coupled import FourierOperator


def operator(size, seed=0, scale=0.5):
    made = FourierOperator(2, *size).double()
    with torch.no_grad():
        made.generator.copy_(scale * torch.randn(2, *size, generator=torch.Generator().manual_seed(seed)))
    return made


def dense_generator(made, size):
    """A of one channel as a dense matrix, from the response of dz/dt to every unit impulse."""
    pixels = size[0] * size[1]
    z = torch.eye(pixels, dtype=torch.float64).reshape(pixels, 1, *size).expand(-1, 2, -1, -1)
    alpha, beta = made.rates()
    rate = torch.fft.irfft2(torch.fft.rfft2(z) * torch.complex(alpha, beta), s=size)
    return rate.reshape(pixels, 2, pixels).permute(1, 2, 0).detach()


@pytest.mark.parametrize("size", [(4, 4), (3, 5), (6, 3)])
@pytest.mark.parametrize("dt", [-0.9, 0.4])
def test_evolution_is_the_exponential_of_a_dense_real_matrix(size, dt):
    made = operator(size)
    z = torch.randn(3, 2, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    expected = torch.einsum("cij,bcj->bci", torch.linalg.matrix_exp(dense_generator(made, size) * dt), z.flatten(2))
    assert_close(made(z, dt).flatten(2).detach(), expected)


def test_every_spectrum_with_the_symmetry_can_be_reached():
    """A travelling wave: the pattern moves by whole pixels, and comes back after the width of the level."""
    made = operator((4, 6), scale=0)
    frequency = 2 * torch.pi * torch.fft.fftfreq(6, dtype=torch.float64)
    frequency[3] = 0  # the frequency of alternate pixels has no direction
    with torch.no_grad():
        made.generator.copy_(-frequency.expand(2, 4, 6))
    z = torch.randn(1, 2, 4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    spectrum = torch.fft.rfft2(z)
    spectrum[..., 3] = 0
    z = torch.fft.irfft2(spectrum, s=(4, 6))
    assert_close(made(z, 2.0).detach(), z.roll(2, -1))
    assert_close(made(z, 6.0).detach(), z)


def test_gradients_agree_with_finite_differences():
    made = operator((3, 4))
    z = torch.randn(2, 2, 3, 4, dtype=torch.float64, requires_grad=True)
    dt = torch.tensor([-0.5, 0.7], dtype=torch.float64)

    def flow(z, generator):
        return torch.func.functional_call(made, {"generator": generator}, (z, dt))

    assert torch.autograd.gradcheck(flow, (z, made.generator.detach().requires_grad_()))
