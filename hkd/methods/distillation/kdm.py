"""KDM: the Koopman Distillation Model. One dense linear map takes the latent of x_T to the latent of x_0.

Source: Berman et al. (2025), "One-Step Offline Distillation of Diffusion-based Models via Koopman Modeling",
arXiv 2505.13358, and its official code. The network is in `hkd.nets.kdm`.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from hkd.data.trajectories import TrajectoryBatch
from hkd.draws import Draws
from hkd.methods.base import Method, refuse_nfe
from hkd.methods.distances import PerceptualDistance, perceptual_loss
from hkd.nets.kdm import Discriminator, KDMNet
from hkd.seeding import ImageStreams, address


class KDM(Method):
    """D(K E_T(x_T)), trained with latents of both ends, two reconstructions and a small discriminator.

    `latent_noise`: standard deviation of the noise that is added to latents in training.
    `adversarial_weight`: of the discriminator's term; 0 leaves it without influence.
    """

    trains: ClassVar[tuple[str, ...]] = ("student", "discriminator")
    whole_batch = True  # the discriminator normalises over its batch

    def __init__(
        self,
        *,
        student: KDMNet,
        distance: PerceptualDistance | None,
        sigma_max: float,
        latent_noise: float,
        adversarial_weight: float,
        discriminator_width: int,
    ) -> None:
        super().__init__()
        self.student = student
        self.distance = distance
        self.sigma_max = sigma_max
        self.latent_noise, self.adversarial_weight = latent_noise, adversarial_weight
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(address(0, "discriminator"))
            self.discriminator = Discriminator(student.img_resolution, student.img_channels, discriminator_width)

    def losses(self, batch: TrajectoryBatch, *, step: int, draws: Draws) -> dict[str, Tensor]:
        """Return the losses of network and discriminator.

        The network's is |z_0 - K z_T|² + rec(D(z_0), x_0) + rec(D(K z_T), x_0) + the adversarial term. Both losses
        are computed before either network is stepped. This departs from the official code, which steps the
        discriminator first and lets the stepped one judge.
        """
        image = batch.clean
        labels = batch.labels
        net = self.student
        z0 = net.encode_clean(image, labels)
        zT = net.encode_noise(batch.noise * self.sigma_max, self.time(image), labels)
        jitter = self.latent_noise * draws.normal((2, *z0.shape), images=1).to(z0)
        pushed = net.evolve(zT + jitter[0], labels)
        made = net.decode(pushed, labels)
        loss = (z0 - pushed).square().mean()
        loss = loss + perceptual_loss(self.distance, net.decode(z0 + jitter[1], labels), image)
        loss = loss + perceptual_loss(self.distance, made, image)
        loss = loss + self.adversarial_weight * _told(self.discriminator(made), real=True)
        guesses = self.discriminator(image), self.discriminator(made.detach())
        return {"student": loss, "discriminator": _told(guesses[0], real=True) + _told(guesses[1], real=False)}

    def time(self, like: Tensor) -> Tensor:
        """Return the constant time label of the encoder of x_T, (1,): it is 1; that of the other two U-Nets is 0."""
        return like.new_ones(1)

    def sample(self, noise: Tensor, *, labels: Tensor | None, nfe: int, streams: ImageStreams) -> Tensor:
        """Return images from one pass through E_T, K and D, without noise on the latent."""
        if nfe != 1:
            raise refuse_nfe(self, nfe, "1")
        return self.student(self.sigma_max * noise, self.time(noise), labels)

    def one_step(self, x: Tensor, sigma: float, labels: Tensor | None) -> Tensor:
        """Return the image of the state scaled to sigma_max, the only noise level on which the encoder was trained."""
        scale = self.sigma_max / (1 + sigma**2) ** 0.5
        return self.student(scale * x, self.time(x), labels)


def _told(logits: Tensor, *, real: bool) -> Tensor:
    """Return the cross-entropy of the discriminator's logits with the answer `real`."""
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)))
