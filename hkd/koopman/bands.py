"""Bands of a spectrum: which modes belong to each, latents restricted to one, and what each adds to the image.

Modes are sorted within every level, over all places and channel pairs. Latents without an operator have no modes:
they belong to no band, and pass every projection unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Literal

import torch
from torch import Tensor

from hkd.koopman.operator import LevelOperator
from hkd.koopman.spectrum import OrderBy, order_key

Operators = Sequence[LevelOperator | None]
BandIndex = list[Tensor | None]
"""For every latent the band (modes...) of each of its modes, 0 the first; None for a latent without an operator."""
Decode = Callable[[Sequence[Tensor]], Tensor]
Substitute = Literal["zero", "mean"]
TERTILES = (1 / 3, 2 / 3)


def band_of(eigenvalues: Tensor, order_by: OrderBy, *, ascending: bool, edges: Sequence[float] = TERTILES) -> Tensor:
    """Return the band, an integer like `eigenvalues`, of every mode of one level.

    Args:
        edges: increasing shares in (0, 1) at which the order is cut; n edges make n + 1 bands.
    Equal modes share a band, so an operator that is still zero lies in band 0 as a whole.

    Raises:
        ValueError: for edges that do not increase within (0, 1).
    Source: HKD, section 4.2 and Figure 4; the cuts are not stated there, tertiles are ours.
    """
    if any(not low < high for low, high in zip([0.0, *edges], [*edges, 1.0], strict=True)):
        raise ValueError(f"edges: must increase within (0, 1), got {list(edges)}.")
    key = order_key(eigenvalues, order_by).flatten().contiguous()
    key = key if ascending else -key
    # searchsorted counts the modes strictly before each mode, so equal modes get the same share
    share = torch.searchsorted(key.sort().values, key) / key.numel()
    return torch.bucketize(share, torch.tensor(edges, device=share.device), right=True).reshape(eigenvalues.shape)


def bands(operators: Operators, order_by: OrderBy, *, ascending: bool, edges: Sequence[float] = TERTILES) -> BandIndex:
    """Return the bands of every latent's modes, sorted per level."""
    return [
        None if operator is None else band_of(operator.eigenvalues(), order_by, ascending=ascending, edges=edges)
        for operator in operators
    ]


def permuted(index: BandIndex, generator: torch.Generator) -> BandIndex:
    """Return bands of the same sizes with their modes shuffled inside every latent: the null of a band's meaning."""
    return [
        None if band is None else band.flatten()[torch.randperm(band.numel(), generator=generator)].reshape(band.shape)
        for band in index
    ]


def matched(
    index: BandIndex, energies: Sequence[Tensor | None], generator: torch.Generator, tolerance: float = 0.02
) -> BandIndex:
    """Return shuffled bands with the sizes of `index` inside every latent, and its energies as far as exchanges reach.

    A band that carries more energy changes more of an image whatever its modes mean; this null has the same of both.
    Modes are exchanged between two bands until every band is within `tolerance`, or no exchange that is tried brings
    two nearer. No exchange raises the sum of squared differences. Where one band holds the strongest modes alone, none
    but itself has its energy, and the null keeps a difference.

    Args:
        energies: (modes...) of every latent, not negative; None for one without bands.
        tolerance: largest difference from a band's energy, relative to it; smaller ones are left.
    """
    found: BandIndex = []
    for band, energy in zip(permuted(index, generator), energies, strict=True):
        if band is None or energy is None:
            found.append(None)
            continue
        wanted = _band_energies(index[len(found)].flatten(), energy.flatten())  # type: ignore[union-attr]
        found.append(_balanced(band.flatten(), energy.flatten().double(), wanted, generator, tolerance).view_as(band))
    return found


def swap_energies(operators: Operators, hosts: Sequence[Tensor], donors: Sequence[Tensor]) -> list[Tensor | None]:
    """Return for every latent the mean squared size (modes...) of what swapping each of its modes changes."""
    return [
        None if operator is None else operator.energy(donor - host).mean(0)
        for operator, host, donor in zip(operators, hosts, donors, strict=True)
    ]


def band_shares(index: BandIndex, energies: Sequence[Tensor | None], n: int) -> Tensor:
    """Return the share (n,) of each band in the energy of all latents that have bands, float64."""
    total = torch.zeros(n, dtype=torch.float64)
    for band, energy in zip(index, energies, strict=True):
        if band is not None and energy is not None:
            own = _band_energies(band.flatten(), energy.flatten())
            total[: len(own)] += own.cpu()
    return total / total.sum()


def project(
    operators: Operators,
    latents: Sequence[Tensor],
    index: BandIndex,
    keep: int | Sequence[int],
    substitute: Substitute = "zero",
) -> list[Tensor]:
    """Return P_B z: latents with all modes outside the bands `keep` replaced by zero, or by the mean of the batch.

    Zeros lie outside of what a decoder with normalisation layers was trained on; the mean is the gentler variant.

    Raises:
        ValueError: for an unknown substitute.
    Source: HKD, section 4.2 ("zero the rest"); the mean is ours.
    """
    if substitute not in ("zero", "mean"):
        raise ValueError(f"substitute: '{substitute}' is not one of zero, mean.")
    kept = torch.tensor([keep] if isinstance(keep, int) else list(keep))
    out = []
    for operator, z, band in zip(operators, latents, index, strict=True):
        if operator is None or band is None:
            out.append(z)
            continue
        mask = torch.isin(band, kept.to(band.device))
        # projecting the difference from the centre puts the centre into every mode that is left out
        centre = z.mean(0, keepdim=True) if substitute == "mean" else torch.zeros_like(z[:1])
        out.append(centre + operator.project(z - centre, mask))
    return out


def swap(
    operators: Operators, hosts: Sequence[Tensor], donors: Sequence[Tensor], index: BandIndex, band: int
) -> list[Tensor]:
    """Return the hosts' latents with the modes of one band taken from the donors."""
    out = []
    for operator, host, donor, which in zip(operators, hosts, donors, index, strict=True):
        if operator is None or which is None:
            out.append(host)
        else:
            out.append(host + operator.project(donor - host, which == band))
    return out


def energy_shares(
    operators: Operators, latents: Sequence[Tensor], index: BandIndex, steps: Sequence[float], n: int
) -> list[Tensor]:
    """Return for every latent the share (S, n) of each band in its energy after each step of mapped time.

    CE_B(t) = sum over B of e^(2 alpha (s(t) - s(T))) |z_T|^2 over the same sum over all modes, averaged over the
    batch. A latent without an operator yields nan.

    Args:
        latents: z_T.
        steps: s(t) - s(T) for every t, thus not positive.
    Source: our definition (a) of the cumulative effect, for which HKD gives no formula.
    """
    shares = []
    for operator, z, band in zip(operators, latents, index, strict=True):
        if operator is None or band is None:
            shares.append(torch.full((len(steps), n), torch.nan))
            continue
        energy, alpha = operator.energy(z), operator.rates().alpha
        curves = []
        for step in steps:
            # the rotation by beta keeps the size of a block, so alpha alone moves its energy
            size = (energy * torch.exp(2 * alpha * step)).flatten(1)
            members = torch.nn.functional.one_hot(band.flatten(), n).to(size.dtype)
            curves.append(((size @ members) / size.sum(1, keepdim=True)).mean(0))
        shares.append(torch.stack(curves).detach())
    return shares


def decoded_contributions(
    operators: Operators,
    states: Sequence[Sequence[Tensor]],
    index: BandIndex,
    decode: Decode,
    n: int,
    substitute: Substitute = "zero",
) -> Tensor:
    """Return the share (S, n) of each of n bands in the decoded image, at S states of a trajectory.

    It is |D(P_B z_t) - D(P_0 z_t)|^2 divided by its sum over bands; P_0 keeps no band.

    Args:
        states: the latents z_t, one set per time.
    Source: our definition (b) of the cumulative effect.
    """
    rows = []
    for latents in states:
        # a decoder with biases makes an image of no band at all, which belongs to none of them
        empty = decode(project(operators, latents, index, [], substitute))
        parts = [decode(project(operators, latents, index, band, substitute)) for band in range(n)]
        rows.append(torch.stack([(part - empty).square().flatten(1).sum(1) for part in parts], dim=-1))
    sizes = torch.stack(rows)
    return (sizes / sizes.sum(-1, keepdim=True)).mean(1)


def leave_one_out(
    operators: Operators,
    states: Sequence[Sequence[Tensor]],
    index: BandIndex,
    decode: Decode,
    n: int,
    substitute: Substitute = "zero",
) -> Tensor:
    """Return how much the decoded image changes without each of n bands, summed up to each of S states, (S, n).

    The change at time t is the mean over pixels of |D(z_t) - D((1 - P_B) z_t)|^2.

    Args:
        states: the latents z_t from T down to eps, in this order.
    Source: our definition (c) of the cumulative effect.
    """
    rows = []
    for latents in states:
        whole = decode(latents)
        rest = [decode(project(operators, latents, index, _without(band, n), substitute)) for band in range(n)]
        rows.append(torch.stack([(whole - part).square().mean() for part in rest]))
    return torch.stack(rows).cumsum(0)


def _without(band: int, n: int) -> list[int]:
    return [other for other in range(n) if other != band]


def _band_energies(band: Tensor, energy: Tensor) -> Tensor:
    """Return the energy of each band (largest band + 1,) of one latent, float64."""
    total = torch.zeros(int(band.max()) + 1, dtype=torch.float64, device=energy.device)
    return total.index_add_(0, band.to(energy.device), energy.double())


def _balanced(
    band: Tensor, energy: Tensor, wanted: Tensor, generator: torch.Generator, tolerance: float, rounds: int = 60
) -> Tensor:
    """Return bands (modes,) of the same sizes, after at most `rounds` exchanges of modes, one between two bands each.

    It ends as soon as every band's energy is within `tolerance` of the one wanted, relative to that.
    """
    band, energy, wanted = band.clone(), energy.to(band.device), wanted.to(band.device)
    for _ in range(rounds):
        own = _band_energies(band, energy)
        gap = torch.nn.functional.pad(own, (0, len(wanted) - len(own))) - wanted
        if bool((gap.abs() <= tolerance * wanted).all()):
            break
        order = gap.argsort(descending=True).tolist()
        pairs = sorted(combinations(order, 2), key=lambda pair: float(gap[pair[1]] - gap[pair[0]]))
        any(_exchange(band, energy, gap, rich, poor, generator) for rich, poor in pairs)
    return band


def _exchange(band: Tensor, energy: Tensor, gap: Tensor, rich: int, poor: int, generator: torch.Generator) -> bool:
    """Let one band give strong modes to another for as many weak ones, in place, if that brings both nearer.

    Returns whether it did.
    """
    give, take = (_shuffled((band == which).nonzero().flatten(), generator) for which in (rich, poor))
    count = min(len(give), len(take))
    if not count:
        return False
    gain, order = (energy[give[:count]] - energy[take[:count]]).clamp(min=0).sort()
    chosen = order[(gain > 0) & (gain.cumsum(0) <= torch.minimum(gap[rich], -gap[poor]))]
    if not len(chosen):  # the one exchange that makes the squares of both gaps smallest, if any makes them smaller
        worth = gain * (gain - (gap[rich] - gap[poor]))
        chosen = order[worth.argmin()][None] if float(worth.min()) < 0 else chosen
    band[give[chosen]], band[take[chosen]] = poor, rich
    return bool(len(chosen))


def _shuffled(values: Tensor, generator: torch.Generator) -> Tensor:
    return values[torch.randperm(len(values), generator=generator)]
