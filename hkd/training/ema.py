"""Exponential moving averages of weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hkd.settings.sections import Ema
from hkd.training.nonfinite import unless


def ema_decay(settings: Ema, *, step: int, batch: int) -> float:
    """Return the weight of the old average at optimiser step `step`, counted from 0.

    | kind | decay |
    | --- | --- |
    | `constant` | `decay` itself |
    | `warmup` | min(decay, (1 + k) / (10 + k)) with k = step + 1: the ramp of Song et al. (2021), code |
    | `halflife` | 0.5^(batch / h), h = min(half-life, ramp · images seen): Karras et al. (2022), Appendix F.3 |
    | `none` | 0, so that the average is the current weights |
    """
    if settings.kind == "none":
        return 0.0
    if settings.kind == "halflife":
        assert settings.halflife_images is not None and settings.ramp is not None
        # early on the average forgets within a share of the images seen, so that it soon loses the initial weights
        horizon = min(float(settings.halflife_images), settings.ramp * step * batch)
        return 0.5 ** (batch / max(horizon, 1e-8))
    assert settings.decay is not None
    return settings.decay if settings.kind == "constant" else min(settings.decay, (2 + step) / (11 + step))


def initial_share(settings: Ema, *, steps: int, batch: int) -> float:
    """Return the share of the initial weights in the average after some steps: the product of all decays.

    Without an average they have no share of their own, 0; before the first step it is 1.
    """
    share = 1.0
    for step in range(steps):
        share *= ema_decay(settings, step=step, batch=batch)
    return share


class Average:
    """The running average of a network's parameters; buffers are taken as they are."""

    def __init__(self, network: nn.Module) -> None:
        self.values = {name: p.detach().clone() for name, p in network.named_parameters()}

    @torch.no_grad()
    def update(self, network: nn.Module, decay: float, skip: Tensor | bool = False) -> None:
        """Move towards the network: ema = decay · ema + (1 - decay) · weights.

        Args:
            skip: whether the average stays as it is; a tensor where only the device knows.
        """
        current = dict(network.named_parameters())
        averages, weights = list(self.values.values()), [current[name].detach() for name in self.values]
        with unless(skip, averages):
            # one fused operation over all tensors: a loop would launch one kernel per tensor
            torch._foreach_lerp_(averages, weights, 1.0 - decay)

    def state(self, network: nn.Module) -> dict[str, Tensor]:
        """Return the network's state dict with averaged parameters."""
        return {name: self.values.get(name, value) for name, value in network.state_dict().items()}
