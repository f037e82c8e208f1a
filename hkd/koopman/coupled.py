"""A generator that couples places: every spatial frequency of every channel has its own growth rate and frequency.

A circular convolution commutes with shifts and is diagonal in the 2-D Fourier domain, so its exponential is a
multiplication there: as closed as the block-diagonal form, and with as many parameters. What is given up is the
dependence of A on the place and the mixing of two channels; what is gained are travelling and spreading patterns.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hkd.koopman import piecewise
from hkd.koopman.bounds import Bounds, Rates
from hkd.koopman.operator import LevelOperator

SPECTRA = 6
"""Numbers for every mode of an image: two each of the multiplier, of the spectrum, and of their product."""


class FourierOperator(LevelOperator):
    """exp(A·dt) z = irfft2(e^((alpha + i·beta) dt) rfft2(z)), channel by channel; modes are (C, H, W // 2 + 1).

    For real z the eigenvalue of frequency -k must be the conjugate of that of k. `generator` p (C, H, W) is any
    real array: alpha(k) = (p(k) + p(-k)) / 2 is its even part and beta(k) = (p(k) - p(-k)) / 2 its odd part, so the
    symmetry holds by construction and C·H·W parameters are exactly as many as such a spectrum has degrees of
    freedom, and as many as the block-diagonal operator has.

    Source: ours, for the question that HKD leaves open: whether places evolve independently.
    """

    def __init__(
        self,
        channels: int,
        height: int,
        width: int,
        *,
        name: str = "level",
        span: float = 1.0,
        bounds: Bounds = Bounds(),  # noqa: B008 (immutable)
        frozen: bool = False,
    ) -> None:
        super().__init__((channels, height, width), name=name, span=span, bounds=bounds, frozen=frozen)

    def energy(self, z: Tensor) -> Tensor:
        width = z.shape[-1]
        size = torch.fft.rfft2(_exact(z), norm="ortho").abs().square()
        # rfft2 keeps one of each conjugate pair, which therefore counts twice; only the columns of
        # frequency 0 and, for an even width, of half a cycle per pixel hold both k and -k
        twice = size.new_full((size.shape[-1],), 2.0)
        twice[0] = 1.0
        if width % 2 == 0:
            twice[-1] = 1.0
        return size * twice

    def project(self, z: Tensor, keep: Tensor) -> Tensor:
        """Return z with every frequency zeroed where `keep` (C, H, W // 2 + 1), made symmetric, is false.

        In the columns that hold both k and -k a mode stays if either of the two is kept.
        """
        spectrum = torch.fft.rfft2(_exact(z)) * _symmetric(keep, z.shape[-1])
        return torch.fft.irfft2(spectrum, s=z.shape[-2:]).to(z.dtype)

    def _raw_rates(self, generator: Tensor) -> Rates:
        mirrored = _mirror(generator)
        half = slice(0, generator.shape[-1] // 2 + 1)
        return Rates((generator + mirrored)[..., half] / 2, (generator - mirrored)[..., half] / 2)

    def _evolve(self, z: Tensor, rates: Rates, dt: Tensor) -> Tensor:
        with torch.autocast(z.device.type, enabled=False):  # float32 or better throughout
            dt = dt.reshape(-1, 1, 1, 1)
            # channels are independent of one another
            each = SPECTRA * len(z) * rates.alpha[:1].numel() * rates.alpha.element_size()
            parts = [
                _filtered(z[:, k].to(rates.alpha.dtype), rates.alpha[k], rates.beta[k], dt).to(z.dtype)
                for k in piecewise.slices(z.shape[1], each)
            ]
            return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)


def _filtered(z: Tensor, alpha: Tensor, beta: Tensor, dt: Tensor) -> Tensor:
    growth, angle = torch.exp(alpha * dt), beta * dt
    multiplier = torch.complex(growth * torch.cos(angle), growth * torch.sin(angle))
    return torch.fft.irfft2(torch.fft.rfft2(z) * multiplier, s=z.shape[-2:])


def _mirror(x: Tensor) -> Tensor:
    """Return x at frequency -k: both spatial axes reversed, with frequency 0 in place."""
    return x.flip((-2, -1)).roll((1, 1), (-2, -1))


def _exact(z: Tensor) -> Tensor:
    """Return z as float32 or better."""
    return z.to(torch.promote_types(z.dtype, torch.float32))


def _symmetric(keep: Tensor, width: int) -> Tensor:
    """Return the mask with k and -k alike in the columns 0 and width / 2, which contain both."""
    keep = keep.clone()
    for column in {0, width // 2} if width % 2 == 0 else {0}:
        line = keep[..., column]
        keep[..., column] = line | line.flip(-1).roll(1, -1)
    return keep
