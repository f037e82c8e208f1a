"""PD: progressive distillation. A step of the student imitates two of its teacher, and then becomes the teacher.

This is the version whose number the paper quotes: the re-implementation of Song et al. (2023), arXiv 2303.01469, on an
EDM in VE form. The method is of Salimans and Ho (2022), arXiv 2202.00512, whose own models use a cosine schedule and
another prediction target.
"""

from __future__ import annotations

import copy
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn

from hkd.data.image_set import ImageBatch
from hkd.diffusion.schedules import per_image
from hkd.draws import Draws
from hkd.methods.base import Method, refuse_nfe
from hkd.seeding import ImageStreams


class Stage(NamedTuple):
    """Steps `begin` to `end` - 1 of a training, in which the student learns to sample in `segments` steps."""

    segments: int
    begin: int
    end: int


class PD(Method):
    """A denoiser D(x; t) whose Euler step over one segment equals the teacher's two over its halves.

    `first_segments`: steps that the student makes at first, a power of two; halved stage by stage down to one.
    `teacher`: the first one; that of the next stage is the student.
    `stage_steps`: optimiser steps of a stage; twice as many for two segments, and for one all that are left.
    """

    frozen = ()  # the teacher is the student of the stage before: it belongs to the state of a training

    def __init__(
        self,
        *,
        student: nn.Module,
        teacher: nn.Module,
        total_steps: int,
        first_segments: int,
        stage_steps: int,
        sigma_min: float,
        sigma_max: float,
        rho: float,
    ) -> None:
        super().__init__()
        self.student, self.teacher = student, copy.deepcopy(student).requires_grad_(False)
        first = teacher.state_dict()  # empty where none was named
        self.taught = bool(first)
        if first:
            self.teacher.load_state_dict(first)
        self.sigma_min, self.sigma_max, self.rho = sigma_min, sigma_max, rho
        self.stages = stages(total_steps, first_segments, stage_steps)

    def stage(self, step: int) -> Stage:
        """Return the stage to which optimiser step `step` belongs, counted from 0."""
        return next((stage for stage in self.stages if step < stage.end), self.stages[-1])

    def losses(self, batch: ImageBatch, *, step: int, draws: Draws) -> dict[str, Tensor]:
        """Return the squared error of the student's image to the teacher's target, times max(1 / t², 1)."""
        clean, segments = batch.clean, self.stage(step).segments
        i = draws.integers(segments, len(clean))
        places = torch.stack([i + shift for shift in (0.0, 0.5, 1.0)])  # one copy to the device for all three
        t, middle, s = self.levels(places, segments).to(clean.device)
        noise = draws.normal(clean.shape).to(clean)
        x = clean + per_image(t).to(clean) * noise
        target = self.target(x, t, middle, s, batch.labels)
        error = (self.student(x, t.to(clean), batch.labels) - target).square().mean(dim=(1, 2, 3))
        return {"student": (truncated_snr(t).to(clean) * error).mean()}

    def levels(self, i: Tensor, segments: int) -> Tensor:
        """Return the noise levels at positions i in [0, segments] of the grid that descends from sigma_max, float64."""
        top, low = self.sigma_max ** (1 / self.rho), self.sigma_min ** (1 / self.rho)
        return (top + i.to(torch.float64) / segments * (low - top)) ** self.rho

    @torch.no_grad()
    def target(self, x: Tensor, t: Tensor, middle: Tensor, s: Tensor, labels: Tensor | None) -> Tensor:
        """Return the image with which one Euler step from t to s lands where the teacher's two steps do."""
        # float64: the target divides by 1 - s / t, which is small when there are many segments
        start = state = x.to(torch.float64)
        for here, there in ((t, middle), (middle, s)):
            image = self.teacher(state.to(x.dtype), here.to(x.dtype), labels).to(state)
            state = state + per_image(there / here - 1) * (state - image)
        # an Euler step from x with image D lands at x + (s / t - 1) (x - D); solved here for D
        ratio = per_image(s / t)
        return ((state - ratio * start) / (1 - ratio)).to(x.dtype)

    def after_step(self, step: int) -> None:
        """Make the student the teacher at the start of a stage."""
        if self.forgets(step):
            self.teacher.load_state_dict(self.student.state_dict())

    def forgets(self, step: int) -> bool:
        """Whether a stage begins: every stage is a training of its own, with a fresh optimiser."""
        return any(step == stage.begin for stage in self.stages[1:])

    def rate_factor(self, step: int) -> float:
        """Return the factor of the learning rate, which falls to 0 along a line in every stage."""
        stage = self.stage(step)
        return 1 - (step - stage.begin) / (stage.end - stage.begin)

    def initialise(self, name: str, state: dict[str, Tensor]) -> None:
        """Load weights into the student, and into its first teacher unless that is a run of its own."""
        self.student.load_state_dict(state)
        if not self.taught:
            self.teacher.load_state_dict(state)

    def train(self, mode: bool = True) -> Self:
        """Switch dropout on or off, but never in the teacher."""
        super().train(mode)
        self.teacher.eval()
        return self

    def sample(self, noise: Tensor, *, labels: Tensor | None, nfe: int, streams: ImageStreams) -> Tensor:
        """Return the state at sigma_min after one Euler step from sigma_max: D + (sigma_min / sigma_max) (x - D)."""
        if nfe != 1:
            raise refuse_nfe(self, nfe, "1")
        x = self.sigma_max * noise
        image = self.student(x, self.sigma_max, labels)
        return image + self.sigma_min / self.sigma_max * (x - image)


def stages(total: int, first_segments: int, stage_steps: int) -> list[Stage]:
    """Return the stages of a training, from `first_segments` to 1.

    Raises:
        ValueError: the number of segments is no power of two.
    """
    if first_segments < 1 or first_segments & (first_segments - 1):
        raise ValueError(f"params.first_segments = {first_segments}: expected a power of two")
    found = []
    begin = 0
    segments = first_segments
    while segments > 1:
        end = begin + stage_steps * (2 if segments == 2 else 1)
        found.append(Stage(segments, begin, end))
        begin, segments = end, segments // 2
    return [*found, Stage(1, begin, max(total, begin + 1))]


def truncated_snr(t: Tensor) -> Tensor:
    """Return the weight max(1 / t², 1).

    Source: Salimans and Ho (2022), Section 4, with alpha = 1 and sigma = t.
    """
    return t.pow(-2).clamp(min=1)
