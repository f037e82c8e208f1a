"""Inpainting and colourisation with a one-step map f(x, sigma) and no training.

Noise is added and removed in turn. In coordinates M in which the known part of the image is a set of entries, every
step puts the known entries back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Final, Literal

import torch
from torch import Tensor

OneStepMap = Callable[[Tensor, float], Tensor]
Randn = Callable[[Sequence[int]], Tensor]
"""Draws normal numbers (B, *shape) for a shape (C, H, W), one stream per image."""
MaskName = Literal["lower_half", "centre", "grid"]
LUMINANCE: Final = (0.2989, 0.5870, 0.1140)
"""Shares of red, green and blue in the grey value, ITU-R BT.601."""


def missing_pixels(name: MaskName, height: int, width: int) -> Tensor:
    """Return the mask (H, W), true where pixels are missing.

    `lower_half`; `centre`, a quarter of the image; `grid`, all but every second pixel of every second row.
    """
    y, x = torch.arange(height)[:, None], torch.arange(width)[None]
    masks = {
        "lower_half": (y >= height // 2).expand(height, width),
        "centre": ((4 * y - 2 * height + 2).abs() <= height) & ((4 * x - 2 * width + 2).abs() <= width),
        "grid": (y % 2 == 1) | (x % 2 == 1),
    }
    return masks[name].clone()


def mean_fill(known: Tensor, missing: Tensor) -> Tensor:
    """Return images whose missing pixels, mask (H, W), have the mean colour of the known ones: a trivial baseline."""
    colours = known[..., ~missing].mean(-1)[..., None, None]
    return torch.where(missing, colours, known)


def luminance(images: Tensor) -> Tensor:
    """Return the grey values (B, 1, H, W) of colour images (B, 3, H, W)."""
    return torch.einsum("bchw,c->bhw", images, images.new_tensor(LUMINANCE) / sum(LUMINANCE))[:, None]


def restore(
    f: OneStepMap,
    known: Tensor,
    missing: Tensor,
    sigmas: Sequence[float],
    randn: Randn,
    *,
    sigma_min: float,
    transform: Callable[[Tensor], Tensor] | None = None,
    inverse: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Return images (B, C, H, W) that agree with `known` wherever `missing` is 0 in transformed coordinates.

    Args:
        f: returns the clean image of a state x at noise level sigma, as `HKDNet` does.
        known: y, images in [-1, 1]; their missing entries are ignored.
        missing: Omega, 1 where an entry is to be generated, broadcast against M y.
        sigmas: descending noise levels; each costs one evaluation of f.
        randn: source of noise.
        transform, inverse: the invertible linear M and its inverse; the identity unless given.
    Raises:
        ValueError: for noise levels that do not descend, or lie below sigma_min.
    Source: Song et al. (2023), Algorithm 4, which HKD uses in Figure 6.
    """
    levels = list(sigmas)
    if not levels or levels[-1] < sigma_min or any(a <= b for a, b in pairwise(levels)):
        raise ValueError(f"sigmas: must descend and not fall below {sigma_min:g}, got {levels}.")
    to, back = transform or _identity, inverse or _identity
    missing = missing.to(known)
    fixed = to(known) * (1 - missing)

    def keep_known(x: Tensor) -> Tensor:
        return back(fixed + to(x) * missing)

    shape = tuple(known.shape[1:])
    x = back(fixed) + levels[0] * randn(shape).to(known)
    x = keep_known(f(x, levels[0]))
    for sigma in levels[1:]:
        # x counts as a state at sigma_min: variances add up to sigma^2
        x = x + (sigma**2 - sigma_min**2) ** 0.5 * randn(shape).to(known)
        x = keep_known(f(x, sigma))
    return x


def inpaint(
    f: OneStepMap, known: Tensor, missing: Tensor, sigmas: Sequence[float], randn: Randn, *, sigma_min: float
) -> Tensor:
    """Return images whose missing pixels, mask (H, W) or (B, 1, H, W), are generated to fit the others.

    Raises:
        ValueError: for a mask that is not the size of the images.
    """
    if tuple(missing.shape[-2:]) != tuple(known.shape[-2:]):
        raise ValueError(
            f"mask: size {tuple(missing.shape[-2:])}, but the images are {tuple(known.shape[-2:])}; resize it."
        )
    return restore(f, known, missing, sigmas, randn, sigma_min=sigma_min)


def colourise(f: OneStepMap, grey: Tensor, sigmas: Sequence[float], randn: Randn, *, sigma_min: float) -> Tensor:
    """Return colour images (B, 3, H, W) whose luminance is that of `grey` (B, 1 or 3, H, W), in [-1, 1].

    Raises:
        ValueError: for images of another number of channels.
    Source: Song et al. (2023), Appendix D: the first of three rotated channels is the luminance, and known.
    """
    if grey.shape[1] not in (1, 3):
        raise ValueError(f"grey: expected 1 or 3 channels, got {grey.shape[1]}; convert the image to grey or RGB.")
    rotation = luminance_rotation().to(grey)
    if grey.shape[1] == 3:
        grey = luminance(grey)
    missing = torch.tensor([0.0, 1.0, 1.0]).reshape(3, 1, 1)
    return restore(
        f,
        grey.expand(-1, 3, -1, -1),
        missing,
        sigmas,
        randn,
        sigma_min=sigma_min,
        transform=lambda x: torch.einsum("bchw,ck->bkhw", x, rotation),
        inverse=lambda x: torch.einsum("bkhw,ck->bchw", x, rotation),
    )


def luminance_rotation() -> Tensor:
    """Return the orthogonal Q (3, 3), float64, whose first column is the direction of luminance; M y = y Q.

    The other two columns are any orthonormal pair beside it, here from a QR factorisation.
    """
    basis = torch.eye(3, dtype=torch.float64)
    basis[:, 0] = torch.tensor(LUMINANCE, dtype=torch.float64)
    q, r = torch.linalg.qr(basis)
    return q * r.diagonal().sign()  # QR leaves the signs open: the first column must point along luminance, not against


def _identity(x: Tensor) -> Tensor:
    return x
