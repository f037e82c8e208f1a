"""The network of a finished run of HKD, and the states from which the run's samples start."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from hkd.experiment.finished import base
from hkd.experiment.record import read_run
from hkd.experiment.sample import classes
from hkd.koopman.hierarchy import HKDNet
from hkd.seeding import ImageStreams
from hkd.store.refusals import ArtifactError


class Start(NamedTuple):
    """A network, states x_T (B, C, H, W) of its own samples, and their classes, one-hot; None if it is told none."""

    net: HKDNet
    x: Tensor
    labels: Tensor | None


def hkd_network(weights: Path, to: torch.device) -> HKDNet:
    """Return the network of a finished run of HKD, with its config beside its weights.

    Raises:
        ArtifactError: the run has no Koopman operator.
    """
    net = getattr(base(weights).to(to), "student", None)
    if not isinstance(net, HKDNet):
        raise ArtifactError(
            f"{weights.parent}: is no run of HKD, and has no spectrum; name methods/hkd or one of its ablations"
        )
    return net


def start(weights: Path, count: int, seed: int, to: torch.device) -> Start:
    """Return a run's network and the states from which its first `count` samples start."""
    run, shape, _ = read_run(weights.with_name("config.yaml"))
    net, indices = hkd_network(weights, to), range(count)
    x = net.settings.sigma_max * ImageStreams(seed, indices).randn(shape.chw).to(to)
    return Start(net, x, classes(seed, indices, shape.label_dim).to(to) if run.conditional else None)
