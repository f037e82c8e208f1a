"""Distributions whose denoisers are known exactly: Gaussians and finite sets, which need no training.

Both are modules with the signature of a preconditioned network, (x, sigma, class_labels=None) -> D, and can stand in
for a teacher wherever one is called. The arithmetic is done in float64 and returned in the precision of x.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class GaussianData(nn.Module):
    """Images drawn from N(mean, U diag(variance) U^T): denoiser, trajectories and samples in closed form.

    Args:
        mean: (C, H, W).
        variance: (C, H, W), or a number for all; along the columns of `basis` when there is one. At least 0.
        basis: U, orthogonal (CHW, CHW); without it the pixels are independent.
    """

    mean: Tensor
    variance: Tensor
    basis: Tensor | None

    def __init__(self, mean: Tensor, variance: Tensor | float, basis: Tensor | None = None) -> None:
        super().__init__()
        self.img_channels, self.img_resolution, self.label_dim = mean.shape[0], mean.shape[-1], 0
        spread = torch.as_tensor(variance, dtype=torch.float64)
        self.register_buffer("mean", mean.to(torch.float64))
        self.register_buffer("variance", spread.broadcast_to(mean.shape).clone())
        self.register_buffer("basis", None if basis is None else basis.to(torch.float64))

    @classmethod
    def from_covariance(cls, mean: Tensor, covariance: Tensor) -> GaussianData:
        """Return the Gaussian with this covariance, (CHW, CHW), symmetric and positive semi-definite."""
        variance, basis = torch.linalg.eigh(covariance.to(torch.float64))
        return cls(mean, variance.clamp_min(0).reshape(mean.shape), basis)

    def forward(self, x: Tensor, sigma: Tensor | float, class_labels: Tensor | None = None) -> Tensor:
        """Return the posterior mean D = m + v / (v + sigma^2) (x - m), coordinate by coordinate in the basis."""
        noise = _per_image(sigma, x).square()
        total = self.variance + noise
        kept = torch.where(total > 0, self.variance / total.clamp_min(torch.finfo(torch.float64).tiny), 0.0)
        return self._scaled(x, kept)

    def solution(self, x: Tensor, sigma_from: Tensor | float, sigma_to: Tensor | float) -> Tensor:
        """Return where the probability-flow ODE takes x, a state at sigma_from, by the time it reaches sigma_to.

        x(s) = m + (x(T) - m) sqrt((v + s^2) / (v + T^2)), for T = sigma_from > 0.
        """
        start, end = _per_image(sigma_from, x).square(), _per_image(sigma_to, x).square()
        return self._scaled(x, ((self.variance + end) / (self.variance + start)).sqrt())

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Return `count` images, float64 (count, C, H, W)."""
        normal = torch.randn((count, *self.mean.shape), generator=generator, dtype=torch.float64)
        return self.mean + self._from_basis(normal.to(self.mean.device) * self.variance.sqrt())

    def _scaled(self, x: Tensor, factor: Tensor) -> Tensor:
        """Return m + U factor U^T (x - m), in the precision of x."""
        offset = x.to(torch.float64) - self.mean
        return (self.mean + self._from_basis(factor * self._to_basis(offset))).to(x.dtype)

    def _to_basis(self, x: Tensor) -> Tensor:
        return x if self.basis is None else (x.flatten(1) @ self.basis).reshape(x.shape)

    def _from_basis(self, x: Tensor) -> Tensor:
        return x if self.basis is None else (x.flatten(1) @ self.basis.T).reshape(x.shape)


class FiniteData(nn.Module):
    """A finite set of equally likely images: every trajectory of its exact denoiser ends at one of them.

    An excellent teacher for tests and a bad one for distillation: its map from noise to image is discontinuous.

    Args:
        images: (N, C, H, W) in [-1, 1].
        class_numbers: int64 (N,); without them `class_labels` are ignored.
        label_dim: number of classes; 0 without class numbers.
    """

    images: Tensor
    class_numbers: Tensor | None

    def __init__(self, images: Tensor, class_numbers: Tensor | None = None, label_dim: int = 0) -> None:
        super().__init__()
        self.img_channels, self.img_resolution, self.label_dim = images.shape[1], images.shape[-1], label_dim
        self.register_buffer("images", images.to(torch.float64))
        self.register_buffer("class_numbers", class_numbers)

    def forward(self, x: Tensor, sigma: Tensor | float, class_labels: Tensor | None = None) -> Tensor:
        """Return the posterior mean of the images given x; at sigma 0, the nearest one."""
        weights = self.posterior(x, sigma, class_labels)
        return (weights @ self.images.flatten(1)).reshape(x.shape).to(x.dtype)

    def posterior(self, x: Tensor, sigma: Tensor | float, class_labels: Tensor | None = None) -> Tensor:
        """Return the probabilities (B, N), float64, of the images given x = image + sigma n.

        One-hot `class_labels` (B, label_dim) keep the images of that class only.
        """
        points = x.to(torch.float64).flatten(1)
        exact = "donot_use_mm_for_euclid_dist"
        # through a matrix product, distances near 0 would lose all digits, and sigma may be as small
        distance = torch.cdist(points, self.images.flatten(1), compute_mode=exact).square()
        if class_labels is not None and self.class_numbers is not None:
            distance = distance.masked_fill(class_labels[:, self.class_numbers] == 0, torch.inf)
        # the nearest image gets exponent 0; a floor below sigma keeps 0 / 0 out and leaves its weight 1
        distance = distance - distance.amin(dim=1, keepdim=True)
        smallest = torch.finfo(torch.float64).tiny ** 0.5
        noise = _per_image(sigma, x).reshape(-1, 1).clamp_min(smallest).square()
        return torch.softmax(-distance / (2 * noise), dim=1)


def _per_image(sigma: Tensor | float, x: Tensor) -> Tensor:
    """Return a noise level, a number or (B,), as float64 (1 or B, 1, 1, 1) on the device of x."""
    return torch.as_tensor(sigma, dtype=torch.float64, device=x.device).reshape(-1, 1, 1, 1)
