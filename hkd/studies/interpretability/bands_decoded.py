"""The bands of a trained network's spectrum: their modes, the images that they decode to, their effect over time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from hkd.koopman.bands import (
    BandIndex,
    Substitute,
    band_of,
    bands,
    decoded_contributions,
    energy_shares,
    leave_one_out,
    project,
)
from hkd.koopman.hierarchy import HKDNet, Latents
from hkd.koopman.spectrum import OrderBy, radial_power_spectrum, spectra


class SubstitutedBands(NamedTuple):
    """Each band alone, with the rest of the spectrum replaced by one substitute.

    Attributes:
        images: (bands, B, C, H, W) the image that each band alone decodes to, at eps.
        power: (bands, F) radial power spectrum of those.
        contribution: (S, bands) share of each band in the decoded image, definition (b).
        leave_one_out: (S, bands) change of the image without a band, summed over times so far, definition (c).
    """

    images: Tensor
    power: Tensor
    contribution: Tensor
    leave_one_out: Tensor


class SpectralAnalysis(NamedTuple):
    """The spectrum of one network.

    Attributes:
        eigenvalues, bands: by level, complex and integer tensors of its modes.
        sigmas: (S,) noise levels from T to eps, equally spaced in mapped time.
        latents: names of the latents that have an operator; energy: (latents, S, bands), definition (a).
        images: (B, C, H, W) decoded whole; frequencies, power: (F,) of those.
        substituted: by substitute.
    """

    eigenvalues: dict[str, Tensor]
    bands: dict[str, Tensor]
    sigmas: Tensor
    latents: list[str]
    energy: Tensor
    images: Tensor
    frequencies: Tensor
    power: Tensor
    substituted: dict[Substitute, SubstitutedBands]


@torch.no_grad()
def spectral_analysis(
    net: HKDNet,
    x: Tensor,
    class_labels: Tensor | None = None,
    *,
    order_by: OrderBy,
    ascending: bool,
    edges: Sequence[float],
    times: int,
    substitutes: Sequence[Substitute],
    batch: int,
    tick: Callable[[], object] = lambda: None,
) -> SpectralAnalysis:
    """Return the analysis of HKD's section 4.2, along the evolution of the latents of x.

    Args:
        x: (B, C, H, W) states at noise level T.
        times: number S of noise levels.
        batch: images that pass the network at once; latents are held for all B images and one noise level.
        tick: called after each noise level.
    """
    operators, n = net.operators(), len(edges) + 1
    index = bands(operators, order_by, ascending=ascending, edges=edges)
    start = encoded(net, x, class_labels, batch)
    top = net.settings.sigma_max
    eps = net.settings.sigma_min
    steps = [-net.time.span * k / (times - 1) for k in range(times)]
    sigmas = [top, *(float(net.time.inverse(net.time.span + step)) for step in steps[1:-1]), eps]
    shares: dict[Substitute, list[tuple[Tensor, Tensor]]] = {kind: [] for kind in substitutes}
    for sigma in sigmas:
        state, decode = [net.evolve(start, top, sigma)], decoder(net, x, class_labels, batch, sigma)
        for kind in substitutes:
            contribution = decoded_contributions(operators, state, index, decode, n, kind)
            shares[kind].append((contribution, leave_one_out(operators, state, index, decode, n, kind)))
        tick()
    images = decode(state[0])  # the last level is eps
    frequencies, power = radial_power_spectrum(images)
    found = {}
    for kind in substitutes:
        parts = torch.stack([decode(project(operators, state[0], index, band, kind)) for band in range(n)])
        spectra_of_parts = torch.stack([radial_power_spectrum(part)[1] for part in parts])
        contribution, lost = (torch.cat(column) for column in zip(*shares[kind], strict=True))
        found[kind] = SubstitutedBands(parts, spectra_of_parts, contribution, lost.cumsum(0))
    eigenvalues = spectra(net)
    return SpectralAnalysis(
        eigenvalues,
        {level: band_of(v, order_by, ascending=ascending, edges=edges) for level, v in eigenvalues.items()},
        torch.tensor(sigmas, dtype=torch.float64),
        [name for name, operator in zip(net.latent_names, operators, strict=True) if operator is not None],
        _energies(operators, start, index, steps, n),
        images,
        frequencies,
        power,
        found,
    )


@torch.no_grad()
def groups_over_time(
    net: HKDNet, x: Tensor, class_labels: Tensor | None = None, *, groups: int, moments: int, batch: int
) -> tuple[Tensor, Tensor]:
    """Return noise levels (S,) from T to eps, and what single groups of modes decode to there, (S, groups + 1, B, ...).

    The groups are the paper's: modes sorted within each level by the magnitude of the real part, smallest first, in
    equal parts, the rest set to zero. Before them stands the whole image.

    Source: HKD, Figure 4 (a) to (d): four groups; where its panels lie in time is not stated, equal steps of mapped
        time are ours.
    """
    operators, top = net.operators(), net.settings.sigma_max
    edges = [k / groups for k in range(1, groups)]
    index = bands(operators, "abs_alpha", ascending=True, edges=edges)
    start, sigmas, shown = encoded(net, x, class_labels, batch), [], []
    for k in range(moments):
        last = k == moments - 1
        sigma = net.settings.sigma_min if last else float(net.time.inverse(net.time.span * (1 - k / (moments - 1))))
        sigmas.append(top if k == 0 else sigma)
        state, decode = net.evolve(start, top, sigmas[-1]), decoder(net, x, class_labels, batch, sigmas[-1])
        parts = [decode(project(operators, state, index, group)) for group in range(groups)]
        shown.append(torch.stack([decode(state), *parts]))
    return torch.tensor(sigmas, dtype=torch.float64), torch.stack(shown)


def encoded(net: HKDNet, x: Tensor, class_labels: Tensor | None, batch: int) -> Latents:
    """Return the latents of states x at noise level T, encoded `batch` at a time."""
    top, labels = net.settings.sigma_max, _split(class_labels, batch, len(x))
    parts = [net.encode(part, top, own) for part, own in zip(x.split(batch), labels, strict=True)]
    return [torch.cat(level) for level in zip(*parts, strict=True)]


def decoder(
    net: HKDNet, x: Tensor, class_labels: Tensor | None, batch: int, sigma: float
) -> Callable[[Sequence[Tensor]], Tensor]:
    """Return the decoder of latents at noise level sigma that come from states x at T, `batch` images at a time."""
    labels = _split(class_labels, batch, len(x))

    def decode(latents: Sequence[Tensor]) -> Tensor:
        parts = zip(*(z.split(batch) for z in latents), strict=True)
        images = [
            net.decode(part, own, x=source, sigma=net.settings.sigma_max, latent_sigma=sigma)
            for part, own, source in zip(parts, labels, x.split(batch), strict=True)
        ]
        return torch.cat(images)

    return decode


def _energies(operators: Sequence[object], start: Latents, index: BandIndex, steps: list[float], n: int) -> Tensor:
    """Return the share (latents, S, bands) of each band in the energy of every latent that has an operator."""
    moving = [k for k, operator in enumerate(operators) if operator is not None]
    chosen = [operators[k] for k in moving]
    shares = energy_shares(chosen, [start[k] for k in moving], [index[k] for k in moving], steps, n)  # type: ignore[arg-type]
    return torch.stack([share.cpu() for share in shares])


def _split(labels: Tensor | None, batch: int, count: int) -> Sequence[Tensor | None]:
    """Return the labels of every batch, or None for each."""
    return [None] * -(-count // batch) if labels is None else labels.split(batch)
