"""Training of a small feature network to predict known factors, class labels, or the rotation of an image.

Rotations by 0, 90, 180 and 270 degrees are for images without labels (Gidaris et al., 2018, "Unsupervised
Representation Learning by Predicting Image Rotations", arXiv 1803.07728).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hkd.data.tasks import ExtractorBatch
from hkd.draws import Draws
from hkd.methods.base import Method


class ExtractorTraining(Method):
    """Cross-entropy for classes, squared error for values, summed over all heads."""

    def __init__(self, *, student: nn.Module) -> None:
        super().__init__()
        self.student = student

    def losses(self, batch: ExtractorBatch, *, step: int, draws: Draws) -> dict[str, Tensor]:
        """Return one loss, the sum over all heads."""
        outputs = self.student(batch.levels)
        terms = [_error(outputs[name], answer) for name, answer in batch.answers.items()]
        return {"student": torch.stack(terms).sum()}


def _error(output: Tensor, answer: Tensor) -> Tensor:
    if answer.dtype == torch.int64:
        return F.cross_entropy(output, answer)
    return F.mse_loss(output, answer)
