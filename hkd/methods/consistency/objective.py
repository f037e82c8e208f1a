"""What CD, CT, iCT and ECM share: two points of one trajectory, one gradient.

The network at the noisier point is pulled towards the network at the cleaner one, which is held fixed. Both
passes see the same dropout mask, otherwise the mask's noise drowns the small gap between the points.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Consistency = Callable[[Tensor, Tensor], Tensor]


def consistency_pair(
    online: Consistency, target: Consistency, noisier: tuple[Tensor, Tensor], cleaner: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """Return f(x_t, t) with gradient and f⁻(x_r, r) without, evaluated under one dropout mask.

    Args:
        online, target: f and f⁻, called with images (B, C, H, W) and noise levels (B,).
        noisier, cleaner: (x_t, t) and (x_r, r).
    """
    state = _random_state(noisier[0].device)
    prediction = online(*noisier)
    _set_random_state(state, noisier[0].device)
    with torch.no_grad():
        fixed = target(*cleaner)
    return prediction, fixed


def _random_state(device: torch.device) -> Tensor:
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()


def _set_random_state(state: Tensor, device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.set_rng_state(state, device)
    else:
        torch.set_rng_state(state)
