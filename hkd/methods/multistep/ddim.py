"""DDIM: a deterministic sampler for a trained DDPM, over a sub-sequence of its steps. It trains nothing.

Source: Song et al. (2020), "Denoising Diffusion Implicit Models", arXiv 2010.02502.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from hkd.methods.base import refuse_nfe
from hkd.methods.multistep.ddpm import DDPM
from hkd.seeding import ImageStreams


class DDIM(DDPM):
    """The network of the run named by `init`, sampled by Eq. 12.

    `eta`: 0 is deterministic, 1 is DDPM's variance. `sequence`: see `subsequence`.
    """

    trains = ()

    def __init__(
        self,
        *,
        student: nn.Module,
        diffusion_steps: int,
        beta_first: float,
        beta_last: float,
        eta: float,
        sequence: Literal["quadratic", "uniform"],
    ) -> None:
        super().__init__(student=student, diffusion_steps=diffusion_steps, beta_first=beta_first, beta_last=beta_last)
        self.eta, self.sequence = eta, sequence

    def sample(self, noise: Tensor, *, labels: Tensor | None, nfe: int, streams: ImageStreams) -> Tensor:
        """Return images by Eq. 12 over the sub-sequence, one evaluation per step, from unit noise at its last step.

        The predicted x_0 is not clipped.
        """
        if not 2 <= nfe <= len(self.betas):
            raise refuse_nfe(self, nfe, f"2 to {len(self.betas)}")
        steps = subsequence(nfe, len(self.betas), self.sequence)
        bars = [1.0, *self.alpha_bars[steps].tolist()]
        x = noise.to(torch.float64)
        for i in reversed(range(nfe)):
            here, there = bars[i + 1], bars[i]
            eps = self.noise(x, steps[i], labels).to(x)
            spread = self.eta * ((1 - there) / (1 - here)) ** 0.5 * (1 - here / there) ** 0.5
            x = there**0.5 * self.clean(x, steps[i], eps) + max(1 - there - spread**2, 0.0) ** 0.5 * eps
            if spread:
                x = x + spread * streams.randn(x.shape[1:]).to(x)
        return x.to(torch.float32)


def subsequence(count: int, total: int, law: Literal["quadratic", "uniform"]) -> list[int]:
    """Return `count` ascending steps of 0 .. total - 1.

    `quadratic`: whole parts of squares of evenly spaced numbers up to sqrt(0.8 total); small steps may repeat, and a
    repeated step costs an evaluation but changes nothing. `uniform`: every (total // count)-th step from 0; where
    these are more than `count`, as for counts that do not divide total, the largest of them: the code takes them all,
    and makes more steps than it was asked for.
    Source: DDIM, Appendix D.2 and code, where total is 1000.
    """
    if law == "uniform":
        return list(range(0, total, total // count))[-count:]
    # as in the code, float64 and cut off: of 16 steps the fourth is 31, for its square is 31.9999...
    roots = np.linspace(0, np.sqrt(0.8 * total), count)
    return [int(square) for square in roots**2]
