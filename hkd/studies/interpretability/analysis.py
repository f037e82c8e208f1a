"""The spectrum of a finished run as arrays: its analysis along the run's own samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hkd.data.image_set import to_uint8
from hkd.koopman.bands import Substitute
from hkd.koopman.spectrum import OrderBy
from hkd.studies.interpretability.bands_decoded import SpectralAnalysis, groups_over_time, spectral_analysis
from hkd.studies.interpretability.starts import start


def spectrum_of_run(
    weights: Path,
    seed: int,
    to: torch.device,
    *,
    images: int,
    order_by: OrderBy,
    ascending: bool,
    edges: Sequence[float],
    times: int,
    substitutes: Sequence[Substitute],
    groups: int,
    moments: int,
    batch: int,
    tick: Callable[[], object] = lambda: None,
) -> dict[str, np.ndarray]:
    """Return the stored form of the analysis of a run's spectrum, along the samples of one seed.

    Args:
        weights: of the run, with its config beside them.
        images: samples that are decoded; `groups`, `moments`: see `groups_over_time`; the other settings are those of
            `spectral_analysis`.
    """
    net, x, labels = start(weights, images, seed, to)
    found = spectral_analysis(
        net,
        x,
        labels,
        order_by=order_by,
        ascending=ascending,
        edges=edges,
        times=times,
        substitutes=substitutes,
        batch=batch,
        tick=tick,
    )
    sigmas, shown = groups_over_time(net, x, labels, groups=groups, moments=moments, batch=batch)
    in_time = {
        "groups/sigmas": sigmas.numpy(),
        "groups/images": to_uint8(shown.flatten(0, 2)).unflatten(0, shown.shape[:3]).cpu().numpy(),
    }
    return {**as_arrays(found, net.time.span), **in_time}


def as_arrays(found: SpectralAnalysis, span: float) -> dict[str, np.ndarray]:
    """Return an analysis as named arrays: images and numbers of bands as bytes.

    Args:
        span: mapped time from T to eps, by which eigenvalues become exponents over the whole way.
    """
    arrays: dict[str, np.ndarray | Tensor] = {
        **{f"eigenvalues/{level}": values for level, values in found.eigenvalues.items()},
        **{f"bands/{level}": numbers.byte() for level, numbers in found.bands.items()},
        "span": np.array(span),
        "sigmas": found.sigmas,
        "latents": np.array(found.latents),
        "energy": found.energy,
        "images": to_uint8(found.images),
        "frequencies": found.frequencies,
        "power": found.power,
    }
    for kind, part in found.substituted.items():
        arrays[f"{kind}/images"] = to_uint8(part.images.flatten(0, 1)).unflatten(0, part.images.shape[:2])
        arrays[f"{kind}/power"] = part.power
        arrays[f"{kind}/contribution"] = part.contribution
        arrays[f"{kind}/leave_one_out"] = part.leave_one_out
    return {name: value if isinstance(value, np.ndarray) else value.cpu().numpy() for name, value in arrays.items()}
