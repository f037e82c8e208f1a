"""A test of whether bands carry factors: one band is swapped between two images, and the factors that follow counted.

    W[band, factor] = share of pairs in which the factor, measured in the decoded swap, is the donor's
    separation      = mean over factors of (largest - median over bands of W)
    specialisation  = the separation of W less the mean of each band over factors

A band with more of the latents' energy moves more of every factor. This alone gives a separation, though the bands do
not divide the factors among them; specialisation is the part of the separation without this effect.

Both are compared with two others: with bands whose modes are shuffled so that each keeps its size and its energy inside
every latent (the null), and with swaps of whole resolutions (the positive control). The rule was fixed before looking:
bands carry factors if the permutation p-value of the separation is below 0.05.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Literal, NamedTuple

import torch
from torch import Tensor

from hkd.koopman.bands import BandIndex, Decode, Operators, band_shares, matched, swap, swap_energies

SIGNIFICANCE: Final = 0.05
MIN_DRAWS: Final = 100
Read = Callable[[Tensor], Tensor]
"""Returns the values of the factors (B, F) in images (B, C, H, W)."""
Exchange = Callable[[Sequence[Tensor], Sequence[Tensor], int], list[Tensor]]
"""Returns the hosts' latents with one band taken from the donors."""


class Factor(NamedTuple):
    """How values of one factor are compared: on a line, on a circle of a period, or as classes.

    Attributes:
        tolerance: pairs whose host and donor lie closer than this, or share the class, are not counted.
    """

    name: str
    kind: Literal["linear", "circular", "class"]
    period: float = 1.0
    tolerance: float = 0.0


class BandFactors(NamedTuple):
    """The result of the test.

    Attributes:
        weights: W (bands, factors); nan where no pair differs in the factor.
        separation, specialisation: of W.
        null, specialisation_null: (draws,) the same under permutation.
        p_value, specialisation_p_value: (1 + draws at least as large) / (1 + draws).
        control: W (resolutions, factors) of swapping whole resolutions.
        control_separation, control_specialisation: of that.
        carries: the decision, p_value < 0.05.
        energy, null_energy: (bands,) share of each band in what all swaps change, and its mean under permutation.
    """

    weights: Tensor
    separation: float
    null: Tensor
    p_value: float
    specialisation: float
    specialisation_null: Tensor
    specialisation_p_value: float
    control: Tensor
    control_separation: float
    control_specialisation: float
    carries: bool
    energy: Tensor
    null_energy: Tensor


@torch.no_grad()
def band_factor_test(
    operators: Operators,
    hosts: Sequence[Tensor],
    donors: Sequence[Tensor],
    index: BandIndex,
    n: int,
    decode: Decode,
    read: Read,
    factors: Sequence[Factor],
    *,
    generator: torch.Generator,
    draws: int = MIN_DRAWS,
) -> BandFactors:
    """Return which factors follow which band, with the permutation null and the swap of resolutions beside it.

    Args:
        hosts, donors: latents of two batches of images, at the time for which `decode` is made.
        index, n: the bands and their number.
        generator: draws the permutations.
    Raises:
        ValueError: for fewer than 100 draws, whose p-value would be too coarse for the rule.
    """
    if draws < MIN_DRAWS:
        raise ValueError(f"draws: need at least {MIN_DRAWS} permutations for a p-value, got {draws}.")
    readings = read(decode(hosts)), read(decode(donors))

    def weights_of(exchange: Exchange, count: int) -> Tensor:
        swapped = [read(decode(exchange(hosts, donors, band))) for band in range(count)]
        return torch.stack([follows(*readings, reading, factors) for reading in swapped])

    def by_band(which: BandIndex) -> Exchange:
        return lambda host, donor, band: swap(operators, host, donor, which, band)

    weights = weights_of(by_band(index), n)
    energies = swap_energies(operators, hosts, donors)
    nulls = [matched(index, energies, generator) for _ in range(draws)]
    shuffled = [weights_of(by_band(null), n) for null in nulls]
    control = weights_of(swap_resolution, len(resolutions(hosts)))
    found = []
    for score in (separation, specialisation):
        observed, null = score(weights), torch.tensor([score(w) for w in shuffled])
        p_value = (1 + int((~(null < observed)).sum())) / (1 + draws)  # a score that is nan is never significant
        found.append((observed, null, p_value))
    scores = separation(control), specialisation(control)
    shares = torch.stack([band_shares(null, energies, n) for null in nulls]).mean(0)
    energy = band_shares(index, energies, n), shares
    return BandFactors(weights, *found[0], *found[1], control, *scores, found[0][2] < SIGNIFICANCE, *energy)


def follows(host: Tensor, donor: Tensor, swapped: Tensor, factors: Sequence[Factor]) -> Tensor:
    """Return for every factor the share of pairs whose swapped image has it nearer to the donor's than the host's.

    Pairs whose host and donor do not differ in a factor do not count for it; ties count as staying with the host.

    Args:
        host, donor, swapped: values (B, F) of the factors.
    """
    shares = []
    for i, factor in enumerate(factors):
        apart = difference(host[:, i], donor[:, i], factor) > factor.tolerance
        nearer = difference(swapped[:, i], donor[:, i], factor) < difference(swapped[:, i], host[:, i], factor)
        shares.append(nearer[apart].double().mean())
    return torch.stack(shares)


def difference(a: Tensor, b: Tensor, factor: Factor) -> Tensor:
    """Return the distance between values of one factor; between classes it is 0 or 1."""
    if factor.kind == "class":
        return (a.round() != b.round()).double()
    distance = (a - b).abs().double()
    if factor.kind == "linear":
        return distance
    around = distance.remainder(factor.period)
    return torch.minimum(around, factor.period - around)


def separation(weights: Tensor) -> float:
    """Return the mean over factors of (max - median over bands); factors without pairs are left out.

    The median of an even number of bands is the mean of the middle two.
    """
    known = weights[:, ~weights.isnan().any(0)]
    if known.shape[1] == 0:
        return float("nan")
    return float((known.amax(0) - known.quantile(0.5, dim=0)).mean())


def specialisation(weights: Tensor) -> float:
    """Return the separation of W less the mean of each band over factors, in which a band's size does not count."""
    return separation(weights - weights.nanmean(1, keepdim=True))


def resolutions(latents: Sequence[Tensor]) -> list[int]:
    """Return the distinct heights of the latents, finest first."""
    return sorted({z.shape[-2] for z in latents}, reverse=True)


def swap_resolution(hosts: Sequence[Tensor], donors: Sequence[Tensor], which: int) -> list[Tensor]:
    """Return the hosts' latents with all those of one resolution, by its number in `resolutions`, from the donors."""
    height = resolutions(hosts)[which]
    return [donor if donor.shape[-2] == height else host for host, donor in zip(hosts, donors, strict=True)]
