"""DMD: distribution matching distillation. The difference of two denoisers pushes a one-step generator to the data.

Source: Yin et al. (2024), "One-step Diffusion with Distribution Matching Distillation", arXiv 2311.18828. Its
CIFAR-10 code is not published, so this follows the paper's appendix.
"""

from __future__ import annotations

import copy
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from hkd.data.image_set import ImageBatch
from hkd.data.trajectories import TrajectoryBatch
from hkd.diffusion.schedules import edm_sigmas, per_image
from hkd.draws import Draws
from hkd.methods.base import Method, refuse_nfe
from hkd.methods.distances import PerceptualDistance, perceptual_loss
from hkd.seeding import ImageStreams


class DMD(Method):
    """A generator G(z) = D(T z; T), a fake denoiser trained on images of G, and the frozen denoiser of real images.

    `regression_weight`: of the perceptual distance to the teacher's images of stored noises; 0 leaves it out.
    `levels`, `lowest`, `highest`: the fake denoiser learns on all `levels` points of a grid of noise levels; the
    matching uses those from share `lowest` to share `highest` of it, ends included, both counted from sigma_min.
    """

    trains: ClassVar[tuple[str, ...]] = ("student", "fake")

    def __init__(
        self,
        *,
        student: nn.Module,
        teacher: nn.Module,
        distance: PerceptualDistance | None,
        regression_weight: float,
        levels: int,
        lowest: float,
        highest: float,
        sigma_data: float,
        sigma_min: float,
        sigma_max: float,
        rho: float,
    ) -> None:
        super().__init__()
        self.student = student
        self.fake = copy.deepcopy(student)
        self.teacher = teacher
        self.distance, self.regression_weight = distance, regression_weight
        self.sigma_data, self.sigma_max = sigma_data, sigma_max
        grid = edm_sigmas(levels, sigma_min=sigma_min, sigma_max=sigma_max, rho=rho)[:-1].flip(0)
        self.sigmas = grid.to(torch.float32)
        self.matched = self.sigmas[round(lowest * levels) : round(highest * levels) + 1]

    def losses(self, batch: TrajectoryBatch | ImageBatch, *, step: int, draws: Draws) -> dict[str, Tensor]:
        """Return the generator's loss, matching plus regression, and the fake denoiser's, its error on images of G."""
        like, labels = batch.clean, batch.labels
        image = self.generate(draws.normal(like.shape).to(like), labels)
        loss = self.matching(image, labels, draws)
        if self.regression_weight:
            loss = loss + self.regression_weight * self.regression(batch)
        return {"student": loss, "fake": self.denoising(image.detach(), labels, draws)}

    def generate(self, noise: Tensor, labels: Tensor | None) -> Tensor:
        """Return G(z) for unit noise z."""
        return self.student(self.sigma_max * noise, self.sigma_max, labels)

    def matching(self, image: Tensor, labels: Tensor | None, draws: Draws) -> Tensor:
        """Return the loss of distribution matching: half the squared error of x to sg(x - grad).

        Its gradient with respect to x is `grad` divided by the number of values.
        """
        grad = self.direction(image.detach(), labels, draws)
        return 0.5 * (image - (image - grad).detach()).square().mean()

    @torch.no_grad()
    def direction(self, image: Tensor, labels: Tensor | None, draws: Draws) -> Tensor:
        """Return the direction of the matching (Eq. 7 and 8): (D_fake - D_real) / mean |x - D_real|.

        The denoisers are evaluated at noised images, the mean is taken over each image.
        """
        noised, sigma = noised_at(self.matched, image, draws)
        real, fake = self.teacher(noised, sigma, labels), self.fake(noised, sigma, labels)
        size = (image - real).abs().mean(dim=(1, 2, 3), keepdim=True)
        return (fake - real) / size.clamp(min=1e-8)

    def denoising(self, image: Tensor, labels: Tensor | None, draws: Draws) -> Tensor:
        """Return the fake denoiser's error with EDM's weight sigma^-2 + sigma_data^-2, averaged over pixels (Eq. 6).

        It learns on all levels of the grid, as in Algorithm 1.
        """
        noised, sigma = noised_at(self.sigmas, image, draws)
        error = (self.fake(noised, sigma, labels) - image).square().mean(dim=(1, 2, 3))
        return ((sigma**-2 + self.sigma_data**-2) * error).mean()

    def regression(self, batch: TrajectoryBatch | ImageBatch) -> Tensor:
        """Return the perceptual distance of G to the teacher's image of the same noise (Eq. 9)."""
        if not isinstance(batch, TrajectoryBatch):
            raise ValueError("regression needs pairs: set `feed: trajectories/...`, or `regression_weight: 0`")
        return perceptual_loss(self.distance, self.generate(batch.noise, batch.labels), batch.clean)

    def initialise(self, name: str, state: dict[str, Tensor]) -> None:
        """Load the same EDM into generator and fake denoiser."""
        self.student.load_state_dict(state)
        self.fake.load_state_dict(state)

    def sample(self, noise: Tensor, *, labels: Tensor | None, nfe: int, streams: ImageStreams) -> Tensor:
        """Return images from one evaluation at sigma_max."""
        if nfe != 1:
            raise refuse_nfe(self, nfe, "1")
        return self.generate(noise, labels)


class DMDRegressionOnly(DMD):
    """The ablation without distribution matching: only the regression is left, and there is no fake denoiser."""

    trains = ("student",)

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        del self.fake

    def initialise(self, name: str, state: dict[str, Tensor]) -> None:
        """Load EDM into the generator."""
        self.student.load_state_dict(state)

    def losses(self, batch: TrajectoryBatch | ImageBatch, *, step: int, draws: Draws) -> dict[str, Tensor]:
        """Return the weighted perceptual distance to the teacher's images."""
        return {"student": self.regression_weight * self.regression(batch)}


def noised_at(levels: Tensor, image: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
    """Return images (B, C, H, W) with noise of some of the levels (N,), all equally likely, and those levels (B,)."""
    index = draws.integers(len(levels), len(image))
    sigma = levels.to(index.device)[index].to(image)
    return image + per_image(sigma) * draws.normal(image.shape).to(image), sigma
