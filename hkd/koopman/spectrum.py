"""Spectra of operators and images: eigenvalues per level, their agreement between two runs, power over frequency."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final, Literal, NamedTuple, get_args

import torch
from torch import Tensor

from hkd.koopman.hierarchy import HKDNet

OrderBy = Literal["alpha", "abs_alpha", "abs_eig"]
ORDERS: Final[tuple[str, ...]] = get_args(OrderBy)


def spectra(net: HKDNet) -> dict[str, Tensor]:
    """Return the eigenvalues alpha + i·beta of every level, complex tensors of its modes, on the CPU.

    The other eigenvalue of each block is the conjugate. A discrete step dt has e^(eigenvalue·dt).
    """
    return {level: operator.eigenvalues().cpu() for level, operator in net.koopman.items()}  # type: ignore[operator]


def order_key(eigenvalues: Tensor, order_by: OrderBy) -> Tensor:
    """Return the number by which each mode is ordered.

    It is the real part of the eigenvalue (`alpha`), its absolute value (`abs_alpha`), or the absolute value of
    the eigenvalue (`abs_eig`).

    Raises:
        ValueError: for an unknown key.
    Source: HKD, section 4.2 and appendix B.2, which contradict each other; hence the choice.
    """
    if order_by == "alpha":
        return eigenvalues.real
    if order_by == "abs_alpha":
        return eigenvalues.real.abs()
    if order_by == "abs_eig":
        return eigenvalues.abs()
    raise ValueError(f"order_by: '{order_by}' is not one of {', '.join(ORDERS)}.")


def agreement(first: Mapping[str, Tensor], second: Mapping[str, Tensor], order_by: OrderBy) -> dict[str, float]:
    """Return for every level the rank correlation of two spectra, mode by mode: 1 if both order modes alike.

    A level whose operator is constant has no order, and yields nan.

    Raises:
        ValueError: unless both have the same levels and shapes.
    """
    shapes = [{level: tuple(values.shape) for level, values in spectrum.items()} for spectrum in (first, second)]
    if shapes[0] != shapes[1]:
        different = next(k for k in {**shapes[0], **shapes[1]} if shapes[0].get(k) != shapes[1].get(k))
        raise ValueError(
            f"level {different}: {shapes[0].get(different)} against {shapes[1].get(different)}; compare like with like."
        )
    return {
        level: rank_correlation(order_key(first[level], order_by), order_key(second[level], order_by))
        for level in first
    }


class AgreementTest(NamedTuple):
    """Whether two spectra order their modes alike, and how often chance alone would give as much.

    Attributes:
        levels: rank correlation of every level; nan where an operator is constant.
        mean: over the levels that have one; nan if none has.
        null: (draws,) means after the modes of one spectrum were shuffled inside every level.
        p_value: (1 + draws at least as large) / (1 + draws), which is never zero (Phipson and Smyth, 2010).
    """

    levels: dict[str, float]
    mean: float
    null: Tensor
    p_value: float


def agreement_test(
    first: Mapping[str, Tensor],
    second: Mapping[str, Tensor],
    order_by: OrderBy,
    *,
    generator: torch.Generator,
    draws: int = 100,
) -> AgreementTest:
    """Return the agreement of two spectra beside its permutation null.

    The null takes modes for independent; neighbouring places are not, so it is narrower than it should be.
    """
    levels = agreement(first, second, order_by)
    known = [level for level, value in levels.items() if not math.isnan(value)]
    if not known:
        return AgreementTest(levels, math.nan, torch.full((draws,), math.nan), 1.0)
    # between centred ranks of length 1 the rank correlation is a scalar product
    ranks = [[_standard_ranks(order_key(spectrum[level], order_by)) for level in known] for spectrum in (first, second)]
    null = torch.zeros(draws, dtype=torch.float64)
    for a, b in zip(*ranks, strict=True):
        for draw in range(draws):
            null[draw] += a @ b[torch.randperm(len(b), generator=generator)] / len(known)
    mean = sum(levels[level] for level in known) / len(known)
    return AgreementTest(levels, mean, null, (1 + int((null >= mean).sum())) / (1 + draws))


def rank_correlation(a: Tensor, b: Tensor) -> float:
    """Return Spearman's correlation of two tensors of equal size, ties at average ranks; nan if one is constant."""
    return float(_standard_ranks(a) @ _standard_ranks(b))


def radial_power_spectrum(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return frequencies (cycles per pixel) and the mean power of images (B, C, H, W) at each, both (n,), float64.

    Power is |FFT|^2 / (H·W) averaged over images, channels and all directions; rings are one cycle per image wide.
    The mean of each image counts as frequency 0. The power, weighted by the number of frequencies in each ring and
    averaged, is the mean square of the images (corners beyond half a cycle per pixel are the last ring).
    """
    height, width = images.shape[-2:]
    power = torch.fft.fft2(images.double(), norm="ortho").abs().square().mean((0, 1))
    ring, counts = frequency_rings(height, width)
    total = torch.zeros(len(counts), dtype=torch.float64).index_add_(0, ring.flatten(), power.flatten().cpu())
    return torch.arange(len(counts), dtype=torch.float64) / max(height, width), total / counts


def frequency_rings(height: int, width: int) -> tuple[Tensor, Tensor]:
    """Return the ring (H, W) to which each spatial frequency belongs, and the number of frequencies in each ring."""
    size = max(height, width)
    rows, columns = torch.fft.fftfreq(height) * size, torch.fft.fftfreq(width) * size
    ring = torch.hypot(rows[:, None], columns[None]).round().long().clamp(max=size // 2)
    return ring, torch.bincount(ring.flatten()).double()


def _standard_ranks(x: Tensor) -> Tensor:
    """Return the ranks, centred and of length 1; nan if all are equal."""
    centred = _ranks(x.flatten())
    centred = centred - centred.mean()
    return centred / centred.norm()


def _ranks(x: Tensor) -> Tensor:
    """Return the rank of every element, from 1; equal elements share the average of theirs."""
    _, inverse, counts = torch.unique(x.double(), return_inverse=True, return_counts=True)
    last = counts.cumsum(0).double()
    return (last - (counts - 1) / 2)[inverse]
