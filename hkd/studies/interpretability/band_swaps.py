"""Bands swapped between samples of a finished run, and the factors that follow them, read by the metric's network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hkd.experiment.networks import feature_network, network_facts
from hkd.koopman.bands import Decode, bands
from hkd.koopman.spectrum import OrderBy
from hkd.metrics.features.preprocess import CLASSES
from hkd.seeding import stream
from hkd.studies.interpretability.bands_decoded import decoder, encoded
from hkd.studies.interpretability.factors import BandFactors, Factor, band_factor_test, resolutions
from hkd.studies.interpretability.reader import FactorReader, comparable
from hkd.studies.interpretability.starts import Start, start


def factors_of_run(
    weights: Path,
    extractor: Path,
    seed: int,
    to: torch.device,
    *,
    order_by: OrderBy,
    ascending: bool,
    edges: Sequence[float],
    pairs: int,
    draws: int,
    tolerance: float,
    batch: int,
    preprocessing: str,
    tick: Callable[[], object] = lambda: None,
) -> dict[str, Any]:
    """Return the test of bands and factors of a run, as it is stored.

    Args:
        weights: of the run, with its config beside them. extractor: weights of the network that reads factors.
        order_by, ascending, edges: what the bands are.
        pairs, draws, tolerance: of hosts and donors; permutations; share of a factor's range that counts as alike.
        batch: images that pass the run's network at once.
        preprocessing: how images reach the reader.
        tick: called before every reading of images.
    """
    reader = factor_reader(extractor, preprocessing, to)

    def read(images: Tensor) -> Tensor:
        tick()
        return reader(images)

    begun = start(weights, 2 * pairs, seed, to)
    hosts, donors, decode = at_the_end(begun, pairs, batch)
    operators, factors = begun.net.operators(), comparable(tolerance)
    found = band_factor_test(
        operators,
        hosts,
        donors,
        bands(operators, order_by, ascending=ascending, edges=edges),
        len(edges) + 1,
        decode,
        read,
        factors,
        generator=stream(seed, "band-permutations"),
        draws=draws,
    )
    return as_content(found, factors, pairs=pairs, order_by=order_by, heights=resolutions(hosts))


def readings(edges: Sequence[float], draws: int) -> int:
    """Return how many sets of images the test reads, besides those of its positive control."""
    return 2 + (len(edges) + 1) * (draws + 1)


def factor_reader(extractor: Path, preprocessing: str, to: torch.device) -> FactorReader:
    """Return the reader of factors with the weights of a feature network."""
    network, about = feature_network(extractor).to(to), network_facts(extractor)["network"]
    return FactorReader(network, about["heads"], size=network.image_size, resize=CLASSES[preprocessing])


def at_the_end(begun: Start, pairs: int, batch: int) -> tuple[list[Tensor], list[Tensor], Decode]:
    """Return the latents of hosts and of donors, evolved from T to eps, and the decoder of the hosts' latents.

    The first `pairs` samples are the hosts, the others the donors. What the decoder takes of the state x_T beside the
    latents is the hosts' too.
    """
    net, x, labels = begun
    eps = net.settings.sigma_min
    latents = net.evolve(encoded(net, x, labels, batch), net.settings.sigma_max, eps)
    decode = decoder(net, x[:pairs], None if labels is None else labels[:pairs], batch, eps)
    return [z[:pairs] for z in latents], [z[pairs:] for z in latents], decode


def as_content(
    found: BandFactors, factors: Sequence[Factor], *, pairs: int, order_by: str, heights: list[int]
) -> dict[str, Any]:
    """Return the outcome of a test with plain lists for tensors, after what it is of."""
    content = {name: value.tolist() if isinstance(value, Tensor) else value for name, value in found._asdict().items()}
    names = [factor.name for factor in factors]
    return {"pairs": pairs, "order_by": order_by, "factors": names, "heights": heights, **content}
