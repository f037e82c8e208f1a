"""Decoded states and one-step predictions against the teacher's denoiser, beside what perfect ones would score.

On a trajectory of the teacher's ODE, E[x_0 | x_t] is D(x_t; t). It is the best that a decoder of clean images can give
of latents at t; x_t itself is beyond it, for it holds the noise as well. What is left of the state once its noise is
given is asked with the skip of `hkd.koopman.state_skip`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from hkd.koopman.closure_loss import squared_ratio
from hkd.koopman.hierarchy import HKDNet
from hkd.koopman.state_skip import with_skip

Denoise = Callable[[Tensor, float, Tensor | None], Tensor]
"""Returns the teacher's E[x_0 | x_t] of states (B, C, H, W) at a noise level."""


class TeacherError(NamedTuple):
    """Errors along trajectories, float64 (S,), each relative to its target: root mean square over root mean square.

    `..._perfect`: x_eps in place of what is decoded, as a perfect one-step generator makes it. `..._teacher`:
    D(x_T; T), the teacher's one step from where the evolution starts.

    Attributes:
        state_perfect, state_teacher: against x_s.
        denoised: decoded evolved latents against E[x_0 | x_s]; of a network that decodes states, what the teacher
            denoises these to.
        skipped: decoded evolved latents with the skip of their noise level against x_s; as they are of a network that
            decodes states.
        predicted: the clean image predicted from x_s against x_eps; predicted_teacher: D(x_s; s) against it.
    """

    state_perfect: Tensor
    state_teacher: Tensor
    denoised: Tensor
    denoised_perfect: Tensor
    denoised_teacher: Tensor
    skipped: Tensor
    skipped_perfect: Tensor
    skipped_teacher: Tensor
    predicted: Tensor
    predicted_teacher: Tensor


@torch.no_grad()
def teacher_error(
    net: HKDNet, denoise: Denoise, states: Tensor, sigmas: Sequence[float], class_labels: Tensor | None = None
) -> TeacherError:
    """Return the errors over stored trajectories.

    Args:
        denoise: the teacher's denoiser.
        states: (S, B, C, H, W), one state per noise level; the first is where the evolution starts, the last x_eps.
        sigmas: S descending noise levels within [eps, T].
    Source: ours; HKD, section 3, claims access to all intermediate states.
    """
    start, first, clean = sigmas[0], states[0], states[-1]
    latents, taught = net.encode(first, start, class_labels), denoise(first, start, class_labels)
    rows: list[tuple[Tensor, ...]] = []
    for x, sigma in zip(states, sigmas, strict=True):
        moved = net.evolve(latents, start, sigma)
        image = net.decode(moved, class_labels, x=first, sigma=start, latent_sigma=sigma)
        expected = denoise(x, sigma, class_labels)
        if net.settings.decodes_states:
            denoised, skipped = denoise(image, sigma, class_labels), image
        else:
            denoised, skipped = image, with_skip(image, first, start, sigma)
        perfect, teacher = (with_skip(end, first, start, sigma) for end in (clean, taught))
        pairs = (
            *((clean, x), (taught, x)),
            *((denoised, expected), (clean, expected), (taught, expected)),
            *((skipped, x), (perfect, x), (teacher, x)),
            *((net(x, sigma, class_labels), clean), (expected, clean)),
        )
        rows.append(tuple(squared_ratio(a.double(), b.double()).sqrt() for a, b in pairs))
    return TeacherError(*(torch.stack(column).cpu() for column in zip(*rows, strict=True)))
