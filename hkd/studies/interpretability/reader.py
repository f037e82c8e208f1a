"""Values of the factors in procedural images, as a trained extractor predicts them, for the test of bands."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from hkd.data.kinds import shapes
from hkd.store.refusals import ArtifactError
from hkd.studies.interpretability.factors import Factor

Resize = Callable[[Tensor, int], Tensor]
_KINDS = {"categorical": "class", "continuous": "linear", "circular": "circular"}


class FactorReader:
    """Predicts factors (B, F), in the order of `shapes.FACTORS` and in their own units, from images (B, 3, H, W).

    Args:
        network: takes levels in [0, 255] and returns outputs (B, outputs) by head, with a head for every factor.
        size: side in pixels of the network's input; `resize` brings images there.
    Raises:
        ArtifactError: the network was trained for another task.
    """

    def __init__(self, network: nn.Module, heads: Mapping[str, int], *, size: int, resize: Resize) -> None:
        missing = [name for name in shapes.FACTORS if name not in heads]
        if missing:
            raise ArtifactError(
                f"the extractor predicts {', '.join(heads)}, not the factors of procedural images: the test of bands "
                "and factors needs a data set of kind 'shapes'"
            )
        self._network = network
        self._size = size
        self._resize = resize

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Return the factors of images in [-1, 1], float64."""
        levels = ((images + 1) * 127.5).round().clamp(0, 255)  # as in an image file, on which the network was trained
        outputs = self._network(self._resize(levels, self._size))
        values = [factor.decode(outputs[name].cpu().double().numpy()) for name, factor in shapes.FACTORS.items()]
        return torch.stack([torch.as_tensor(value, dtype=torch.float64) for value in values], dim=1)


def comparable(tolerance: float) -> list[Factor]:
    """Return how values of each factor are compared.

    Args:
        tolerance: pairs closer than this share of a factor's range are left out.
    """
    found = []
    for name, factor in shapes.FACTORS.items():
        span = factor.high - factor.low if factor.kind == "continuous" else 1.0
        found.append(Factor(name, _KINDS[factor.kind], 1.0, tolerance * span))  # type: ignore[arg-type]
    return found
