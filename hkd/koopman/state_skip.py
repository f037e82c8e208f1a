"""What a clean image lacks of the state at a noise level: mostly the noise, which the encoded state carries."""

from __future__ import annotations

from torch import Tensor

from hkd.nets.precond import noise_levels

Sigma = Tensor | float


def with_skip(image: Tensor, x: Tensor, sigma: Sigma, to_sigma: Sigma) -> Tensor:
    """Return the state at noise level to_sigma on the straight line from the state x at sigma to a clean image.

    A teacher's trajectories are nearly straight where noise prevails: of the trajectory's own image this is near its
    state. At to_sigma = sigma it is x itself, and at 0 the image.

    Args:
        image, x: (B, C, H, W). sigma, to_sigma: a number or (B,) each.
    Source: ours; after c_skip of Karras et al. (2022), section 5: the share of the input that the noise level demands.
    """
    share = noise_levels(to_sigma, image.device) / noise_levels(sigma, image.device)
    return share * x.to(image.dtype) + (1 - share) * image
