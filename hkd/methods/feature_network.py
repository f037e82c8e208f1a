"""Training of a small feature network: it reads known factors, or class labels, or which way up an image is.

The last is for images that come with no labels at all: telling 0, 90, 180 and 270 degrees apart (Gidaris et al.
2018, "Unsupervised Representation Learning by Predicting Image Rotations", arXiv 1803.07728).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hkd.data.tasks import Readings
from hkd.methods.base import Method


class FeatureReading(Method):
    """Cross-entropy for classes, squared error for values, summed over all heads."""

    def __init__(self, *, student: nn.Module) -> None:
        super().__init__()
        self.student = student

    def losses(self, batch: Readings, *, step: int, generator: torch.Generator) -> dict[str, Tensor]:
        """One loss over all heads."""
        outputs = self.student(batch.levels)
        terms = [_error(outputs[name], answer) for name, answer in batch.answers.items()]
        return {"student": torch.stack(terms).sum()}


def _error(output: Tensor, answer: Tensor) -> Tensor:
    if answer.dtype == torch.int64:
        return F.cross_entropy(output, answer)
    return F.mse_loss(output, answer)
