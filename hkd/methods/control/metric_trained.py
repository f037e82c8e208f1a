"""Training on the score: one step from noise to images whose features have the mean and covariance of real ones.

No image is compared with any other. The Fréchet distance on these features is the objective, and so says nothing of the
images any more: the row shows which columns of a table can be had for nothing, and which cannot.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hkd.data.image_set import ImageBatch
from hkd.draws import Draws
from hkd.methods.base import Method, refuse_nfe
from hkd.seeding import ImageStreams


class MetricTrained(Method):
    """A generator G(z) trained on the Fréchet distance of a batch's features to those of as many real images.

    `grader` is the network that grades: images in [-1, 1] -> features (B, D).
    """

    whole_batch = True  # a covariance is no mean over images
    frozen = ("grader",)

    def __init__(self, *, student: nn.Module, grader: nn.Module | None, sigma_max: float) -> None:
        super().__init__()
        self.student, self.grader = student, grader
        self.sigma_max = sigma_max

    def losses(self, batch: ImageBatch, *, step: int, draws: Draws) -> dict[str, Tensor]:
        """Return the distance between images of fresh noise and the batch, as a share of the batch's total variance."""
        if self.grader is None:
            raise ValueError("this loss is made of the features of the network that grades, and there is none")
        if len(batch) < 2:
            raise ValueError("this loss is made of a batch's covariance: set training.batch to 2 or more")
        images = self.generate(draws.normal(batch.clean.shape).to(batch.clean), batch.labels)
        with torch.no_grad():
            real = self.grader(batch.clean).double()
        distance = frechet(self.grader(images).double(), real)
        return {"student": (distance / real.var(dim=0).sum()).float()}

    def generate(self, noise: Tensor, labels: Tensor | None) -> Tensor:
        """Return G(z) for unit noise z."""
        return self.student(self.sigma_max * noise, self.sigma_max, labels)

    def sample(self, noise: Tensor, *, labels: Tensor | None, nfe: int, streams: ImageStreams) -> Tensor:
        """Return images from one evaluation at sigma_max."""
        if nfe != 1:
            raise refuse_nfe(self, nfe, "1")
        return self.generate(noise, labels)


def frechet(x: Tensor, y: Tensor) -> Tensor:
    """Return |m - m'|² + tr(S + S' - 2 (S S')^½) of features (N, D) and (M, D), with a gradient in x.

    With centred rows A and B over the roots of their degrees of freedom, S = AᵀA and S' = BᵀB, so that the trace of the
    root is the nuclear norm of B Aᵀ, or of R Aᵀ where B = Q R. Its gradient needs no root of a small eigenvalue.
    """
    (mean, a), (other, b) = ((rows.mean(dim=0), _centred(rows)) for rows in (x, y))
    product = torch.linalg.qr(b.detach(), mode="r").R @ a.T
    root = torch.linalg.svdvals(product.nan_to_num()).sum()  # it refuses NaN, with which the other terms tell the loop
    return (mean - other).square().sum() + a.square().sum() + b.square().sum() - 2.0 * root


def _centred(rows: Tensor) -> Tensor:
    return (rows - rows.mean(dim=0)) / (len(rows) - 1) ** 0.5
