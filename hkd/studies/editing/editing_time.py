"""Does it matter at which time latents are blended? In the paper's own model it does not, and this measures it.

A acts on each place and each pair of channels alone. Keeping some places and some pairs, P, is diagonal in the same
blocks, so P exp(A dt) = exp(A dt) P, and for latents w of a reference that are moved along with those of the image, z,

    exp(A (eps - t)) [z_t + r P (w_t - z_t)] = z_eps + r P (w_eps - z_eps)        for every t.

Two things break it: an operator that couples places, which no mask of places commutes with, and a reference that is
encoded at t, whose latents are those of another state at every t.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from hkd.koopman.bands import BandIndex
from hkd.koopman.hierarchy import HKDNet
from hkd.studies.editing.blend import Region, edit, reference_latents
from hkd.studies.editing.time_verdict import verdict


def levels_of(net: HKDNet, count: int) -> list[float]:
    """Return noise levels from T to eps, equally spaced in the time in which A is constant."""
    span, inner = net.time.span, range(1, count - 1)
    between = [float(net.time.inverse(span * (1 - k / (count - 1)))) for k in inner]
    return [net.settings.sigma_max, *between, net.settings.sigma_min]


@torch.no_grad()
def over_time(
    net: HKDNet,
    x: Tensor,
    sigma: float,
    reference: Tensor,
    reference_sigma: float,
    image: Tensor,
    noise: Tensor,
    levels: Sequence[float],
    *,
    ratio: float,
    region: Region,
    index: BandIndex,
    band: int,
    class_labels: Tensor | None = None,
) -> dict[str, Any]:
    """Return how much one edit depends on the noise level at which latents are blended.

    Args:
        x, sigma: what is edited, and its noise level.
        reference, reference_sigma: a state of the reference, whose latents are moved to each level.
        image, noise: the reference's image and unit noise, from which it is encoded anew at each level.
    Returns:
        `levels`; `change`, the largest by the edit at the first level; `moved` and `encoded`, at each level the largest
        difference of the edited images from those at the first, with either kind of reference; `verdict`.
    """
    start = net.encode(reference, reference_sigma, class_labels)

    def edited(latents: Sequence[Tensor], level: float, share: float = ratio) -> Tensor:
        return edit(
            net,
            x,
            latents,
            ratios=[share],
            region=region,
            index=index,
            band=band,
            sigma_mid=level,
            sigma=sigma,
            class_labels=class_labels,
        )[0]

    moved, encoded = [], []
    for level in levels:
        moved.append(edited(net.evolve(start, reference_sigma, level), level))
        latents = reference_latents(net, image, level, noise=noise, class_labels=class_labels)
        encoded.append(edited(latents, level))
    change = _largest(moved[0], edited(start, reference_sigma, 0.0))
    far = [_largest(one, moved[0]) for one in moved]
    return {
        "levels": list(levels),
        "change": change,
        "moved": far,
        "encoded": [_largest(one, encoded[0]) for one in encoded],
        "verdict": verdict(max(far), change),
    }


def _largest(images: Tensor, other: Tensor) -> float:
    return float((images - other).abs().max())
