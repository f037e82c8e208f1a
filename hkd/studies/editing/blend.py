"""One-step editing: blend chosen modes of a generated image, in a region, with those of a reference.

z_mid = exp((s_mid - s_T) A) E(x_T);   z_mid[B, region] <- (1 - r) z_mid + r z_ref;   D(exp(-s_mid A) z_mid)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Literal, NamedTuple, get_args

import torch
from torch import Tensor

from hkd.koopman.bands import BandIndex, Operators
from hkd.koopman.hierarchy import HKDNet

Region = Literal["lower_left_triangle", "lower_half", "lower_left_quadrant"]
REGIONS: Final[tuple[str, ...]] = get_args(Region)
RATIOS: Final = (0.1, 0.2, 0.5, 0.8, 0.9)
"""The blending ratios of the paper's Figure 5."""


class EditMetrics(NamedTuple):
    """Root mean square pixel differences (B,) of an edited image, inside and outside of the region.

    A local edit moves towards the reference inside, and stays at the original outside.
    """

    inside_to_original: Tensor
    inside_to_reference: Tensor
    outside_to_original: Tensor
    outside_to_reference: Tensor


def region_mask(region: Region, height: int, width: int) -> Tensor:
    """Return the boolean mask (H, W) of a region on one level's grid; places are judged by their centres.

    Raises:
        ValueError: for an unknown region.
    Source: HKD, Figure 5: its caption says lower left, the text lower half; hence the choice.
    """
    y, x = (torch.arange(height) + 0.5) / height, (torch.arange(width) + 0.5) / width
    below, left = (y >= 0.5)[:, None].expand(height, width), (x < 0.5)[None].expand(height, width)
    masks = {
        "lower_left_triangle": y[:, None] >= x[None],
        "lower_half": below,
        "lower_left_quadrant": below & left,
    }
    if region not in masks:
        raise ValueError(f"region: '{region}' is not one of {', '.join(REGIONS)}.")
    return masks[region].clone()


def blend(
    operators: Operators,
    latents: Sequence[Tensor],
    reference: Sequence[Tensor],
    *,
    ratio: float,
    region: Region,
    index: BandIndex | None = None,
    band: int | None = None,
) -> list[Tensor]:
    """Return (1 - r) z + r z_ref within the region and the band, and z elsewhere.

    Args:
        index, band: the bands and the one to blend; None blends all, the frequency-agnostic control. A latent
            without an operator is blended only then.
    Raises:
        ValueError: for a ratio outside [0, 1], a band without bands, or an unknown region.
    Source: HKD, section 4.3 (one-step editing).
    """
    if not 0 <= ratio <= 1:
        raise ValueError(f"ratio: must lie in [0, 1], got {ratio}.")
    if band is not None and index is None:
        raise ValueError(f"band: {band} needs the bands of the spectrum; pass `index`.")
    out = []
    for i, (operator, z, z_ref) in enumerate(zip(operators, latents, reference, strict=True)):
        change = z_ref - z  # (1 - r) z + r z_ref = z + r (z_ref - z), of which band and region are taken
        if band is not None and index is not None:
            which = index[i]
            change = (
                torch.zeros_like(z) if operator is None or which is None else operator.project(change, which == band)
            )
        out.append(z + ratio * region_mask(region, *z.shape[-2:]).to(z) * change)
    return out


@torch.no_grad()
def reference_latents(
    net: HKDNet, reference: Tensor, sigma_mid: float, *, noise: Tensor | None = None, class_labels: Tensor | None = None
) -> list[Tensor]:
    """Return the latents of a reference at sigma_mid.

    Args:
        reference: with `noise`, a real image y in [-1, 1], encoded as y + sigma_mid n; without, the state x_T of a
            generated one, whose latents are moved from T to sigma_mid.
    Source: ours; HKD does not state where the reference's latents come from.
    """
    if noise is not None:
        return net.encode(reference + sigma_mid * noise, sigma_mid, class_labels)
    sigma_max = net.settings.sigma_max
    return net.evolve(net.encode(reference, sigma_max, class_labels), sigma_max, sigma_mid)


@torch.no_grad()
def edit(
    net: HKDNet,
    x: Tensor,
    reference: Sequence[Tensor],
    *,
    ratios: Sequence[float] = RATIOS,
    region: Region = "lower_left_triangle",
    index: BandIndex | None = None,
    band: int | None = None,
    sigma_mid: float | None = None,
    sigma: float | None = None,
    class_labels: Tensor | None = None,
) -> Tensor:
    """Return the edited images (R, B, C, H, W), one per ratio, from one encoding of x.

    Args:
        x: (B, C, H, W) states at noise level `sigma`, T unless given: T n, or a real image y + sigma n.
        reference: latents at sigma_mid, from `reference_latents`.
        sigma_mid: where latents are blended, half way through mapped time unless given.
    Source: HKD, section 4.3 and Figure 5.
    """
    start = net.settings.sigma_max if sigma is None else sigma
    middle = net.time.middle() if sigma_mid is None else sigma_mid
    latents = net.evolve(net.encode(x, start, class_labels), start, middle)
    images = []
    for ratio in ratios:
        mixed = blend(net.operators(), latents, reference, ratio=ratio, region=region, index=index, band=band)
        clean = net.evolve(mixed, middle, net.settings.sigma_min)
        images.append(net.decode(clean, class_labels, x=x, sigma=start))
    return torch.stack(images)


def edit_metrics(edited: Tensor, original: Tensor, reference: Tensor, region: Region) -> EditMetrics:
    """Return the distances of edited images to original and reference, inside and outside of the region."""
    inside = region_mask(region, *edited.shape[-2:]).to(edited.device)
    return EditMetrics(
        *(
            (edited - other)[..., where].square().mean((-2, -1)).sqrt()
            for where in (inside, ~inside)
            for other in (original, reference)
        )
    )


def regional_distance(
    distance: Callable[[Tensor, Tensor], Tensor], edited: Tensor, other: Tensor, region: Region, *, inside: bool
) -> Tensor:
    """Return a perceptual distance (B,) of the part inside or outside of the region, with the rest made equal."""
    mask = region_mask(region, *edited.shape[-2:]).to(edited.device)
    return distance(torch.where(mask if inside else ~mask, edited, other), other)


def compare(
    distance: Callable[[Tensor, Tensor], Tensor], edited: Tensor, original: Tensor, reference: Tensor, region: Region
) -> dict[str, dict[str, float]]:
    """Return mean distances of edited images to original and reference, in pixels (`l2`) and by `distance`.

    Keys are `l2` and `perceptual`, and below them the names of `EditMetrics`.
    """
    pixels = edit_metrics(edited, original, reference, region)
    perceptual = {
        f"{where}_to_{name}": regional_distance(distance, edited, other, region, inside=where == "inside")
        for where in ("inside", "outside")
        for name, other in (("original", original), ("reference", reference))
    }
    measured = {"l2": pixels._asdict(), "perceptual": perceptual}
    return {kind: {name: float(value.mean()) for name, value in of.items()} for kind, of in measured.items()}
