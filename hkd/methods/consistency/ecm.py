"""ECM: easy consistency tuning of a pre-trained diffusion model.

A diffusion model satisfies the consistency condition for r = 0; the gap t - r then shrinks stage by stage.
Source: Geng et al. (2024), "Consistency Models Made Easy", arXiv 2406.14548.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hkd.data.image_set import ImageBatch
from hkd.diffusion.schedules import per_image
from hkd.draws import Draws
from hkd.methods.base import Method, refuse_nfe
from hkd.methods.consistency.objective import consistency_pair
from hkd.methods.distances import pseudo_huber
from hkd.methods.multistep.edm import log_normal
from hkd.nets.precond import ConsistencyPrecond, EDMPrecond
from hkd.seeding import ImageStreams


class ECM(Method):
    """f(x, t) tuned from EDM. Trained under EDM's preconditioning, evaluated under one with f(x, sigma_min) = x."""

    def __init__(
        self,
        *,
        student: EDMPrecond,
        p_mean: float,
        p_std: float,
        q: float,
        k: float,
        b: float,
        c: float,
        stage_steps: int,
        sigma_data: float,
        sigma_max: float,
        evaluation_sigma_min: float,
    ) -> None:
        super().__init__()
        self.student = student
        self.p_mean, self.p_std = p_mean, p_std
        self.q = q
        self.k = k
        self.b = b
        self.c = c
        self.stage_steps = stage_steps
        self.sigma_data = sigma_data
        self.sigma_max = sigma_max
        self.evaluation_sigma_min = evaluation_sigma_min

    def losses(self, batch: ImageBatch, *, step: int, draws: Draws) -> dict[str, Tensor]:
        """Return the distance between f at t and f at r, divided by t - r.

        Where r = 0 the target is the clean image itself, as in the loss of a diffusion model.
        """
        clean = batch.clean
        t = log_normal(len(clean), self.p_mean, self.p_std, draws).to(clean)
        r = nearer_level(t, stage=step // self.stage_steps, q=self.q, k=self.k, b=self.b)
        noise = draws.normal(clean.shape).to(clean)

        def f(x: Tensor, sigma: Tensor) -> Tensor:
            return self.student(x, sigma, batch.labels)

        floor = r.clamp(min=torch.finfo(r.dtype).tiny)  # where r = 0 the output is replaced, but must be finite
        prediction, fixed = consistency_pair(
            f, f, (clean + per_image(t) * noise, t), (clean + per_image(r) * noise, floor)
        )
        target = torch.where(per_image(r) > 0, fixed.nan_to_num(), clean)
        return {"student": (pseudo_huber(prediction, target, self.c) / (t - r)).mean()}

    def sample(self, noise: Tensor, *, labels: Tensor | None, nfe: int, streams: ImageStreams) -> Tensor:
        """Return images from one evaluation at sigma_max."""
        if nfe != 1:
            raise refuse_nfe(self, nfe, "1")
        return self.one_step(self.sigma_max * noise, self.sigma_max, labels)

    def one_step(self, x: Tensor, sigma: float, labels: Tensor | None) -> Tensor:
        """Return f(x, sigma) under the preconditioning of evaluation."""
        evaluated = (self.sigma_data, self.evaluation_sigma_min, self.student.noise_scale)
        return ConsistencyPrecond(self.student.model, *evaluated)(x, sigma, labels)


def nearer_level(t: Tensor, *, stage: int, q: float, k: float, b: float) -> Tensor:
    """Return r = max(0, t (1 - q^-(stage + 1) n(t))) with n(t) = 1 + k sigmoid(-b t). Source: ECT, Section 3.2."""
    n = 1 + k * torch.sigmoid(-b * t)
    return (t * (1 - q ** -(stage + 1) * n)).clamp(min=0)
