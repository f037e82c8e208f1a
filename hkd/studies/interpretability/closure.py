"""Closure errors: how far the latents of x_T, evolved to s, are from those of x_s, and their image from x_s.

HKD's loss decodes at eps only, so it does not force the flow between T and eps to follow the encoder along a
trajectory. Whether "every intermediate state is accessible" is therefore measured here; the optional
`koopman.closure_loss` trains for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from hkd.data.trajectories import Trajectories
from hkd.experiment.finished import base
from hkd.koopman.closure_loss import squared_ratio
from hkd.koopman.hierarchy import HKDNet
from hkd.studies.interpretability.against_teacher import teacher_error
from hkd.studies.interpretability.starts import hkd_network


class ClosureError(NamedTuple):
    """Errors along trajectories, float64, each relative: root mean square of the difference over that of the target.

    Attributes:
        sigmas: (S,) noise levels.
        latent: (S, L) evolved latent against the encoding of x_s, per latent.
        state: (S,) decoded evolved latents against x_s; small if the state itself is accessible.
        clean: (S,) decoded evolved latents against x_eps; small if they always decode to the clean image.
        one_step: (S,) the clean image predicted from x_T against that predicted from x_s.
        still: (S, L) the latents of x_T as they are against the encoding of x_s: the error of not moving them.
        size: (S,) root mean square of x_s itself, which turns errors against x_s into pixels.
    """

    sigmas: Tensor
    latent: Tensor
    state: Tensor
    clean: Tensor
    one_step: Tensor
    still: Tensor
    size: Tensor


def closure_of_run(
    weights: Path,
    teacher: Path,
    trajectories: Path,
    to: torch.device,
    *,
    most: int,
    batch: int,
    watch: Callable[[list[np.ndarray]], Iterable[np.ndarray]] = iter,
) -> dict[str, Any]:
    """Return the closure errors of a run and its errors against the teacher, as they are stored.

    Args:
        weights: of the run, with its config beside them. teacher: weights of the network whose trajectories they are.
        trajectories: folder of a set that it was not trained on.
        most: trajectories at most, the first ones. batch: about so many at once.
        watch: passes the batches on one by one, as a progress bar does.
    """
    net, held_out, denoise = hkd_network(weights, to), Trajectories(trajectories), base(teacher).to(to).one_step
    held_out.verify()
    levels, n = [float(sigma) for sigma in held_out.sigmas[:-1]], min(most, len(held_out))
    parts = []
    for indices in watch(np.array_split(np.arange(n), max(round(n / batch), 1))):
        stored = held_out.batch(indices, to)
        states = torch.stack([stored.state(k) for k in range(len(levels))])
        along = closure_error(net, states, levels, stored.labels)
        beside = teacher_error(net, denoise, states, levels, stored.labels)
        parts.append({**along._asdict(), **beside._asdict()})
    errors = {name: value.tolist() for name, value in pooled(parts).items() if name != "sigmas"}
    return {"n": n, "sigmas": levels, "latents": net.latent_names, **errors}


@torch.no_grad()
def closure_error(
    net: HKDNet, states: Tensor, sigmas: Sequence[float], class_labels: Tensor | None = None
) -> ClosureError:
    """Return the closure errors over stored trajectories.

    Args:
        states: (S, B, C, H, W), one state per noise level; the first is where the evolution starts, the last x_eps.
        sigmas: S descending noise levels within [eps, T].
    Source: ours; HKD, section 3, claims access to all intermediate states.
    """
    start, eps = sigmas[0], net.settings.sigma_min
    first = net.encode(states[0], start, class_labels)
    direct = net(states[0], start, class_labels)
    rows: list[tuple[Tensor, ...]] = []
    for x, sigma in zip(states, sigmas, strict=True):
        moved, encoded = net.evolve(first, start, sigma), net.encode(x, sigma, class_labels)
        image = net.decode(moved, class_labels, x=states[0], sigma=start, latent_sigma=sigma)
        predicted = net.decode(net.evolve(encoded, sigma, eps), class_labels, x=x, sigma=sigma)
        rows.append(
            (
                torch.stack([relative_error(a, b) for a, b in zip(moved, encoded, strict=True)]),
                relative_error(image, x),
                relative_error(image, states[-1]),
                relative_error(direct, predicted),
                torch.stack([relative_error(a, b) for a, b in zip(first, encoded, strict=True)]),
                x.double().square().mean().sqrt(),
            )
        )
    columns = [torch.stack(column).cpu() for column in zip(*rows, strict=True)]
    return ClosureError(torch.tensor(sigmas, dtype=torch.float64), *columns)


def pooled(parts: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Return the root mean square of each error, by name, over batches of equal size; noise levels as they are."""
    return {
        name: value if name == "sigmas" else torch.stack([part[name] for part in parts]).square().mean(0).sqrt()
        for name, value in parts[0].items()
    }


def relative_error(x: Tensor, target: Tensor) -> Tensor:
    """Return the root of |x - target|^2 / |target|^2, float64; nan where both are zero."""
    return squared_ratio(x.double(), target.double()).sqrt()
