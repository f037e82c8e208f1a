"""Images of a finished run: image i is a function of (seed, i), whatever the batch it is made in."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from hkd.data.images import ImageShape, one_hot
from hkd.methods.base import Method
from hkd.seeding import ImageStreams, stream
from hkd.settings.sections import Run


def classes(seed: int, indices: Sequence[int], label_dim: int) -> Tensor:
    """Return a class for each image, from the stream (seed, "class", index), one-hot (B, label_dim)."""
    drawn = [int(torch.randint(label_dim, (1,), generator=stream(seed, "class", int(i)))) for i in indices]
    return one_hot(torch.tensor(drawn), label_dim)


@torch.no_grad()
def sample_images(
    built: Method,
    run: Run,
    shape: ImageShape,
    indices: Sequence[int],
    *,
    seed: int,
    nfe: int,
    to: torch.device,
) -> Tensor:
    """Return the images (B, C, H, W) in [-1, 1] that belong to (seed, index), whatever the batch they are made in.

    One-step methods of one data set start image i from the same noise.
    """
    streams = ImageStreams(seed, indices)
    noise = streams.randn(shape.chw).to(to)
    labels = classes(seed, indices, shape.label_dim).to(to) if run.conditional else None
    return built.sample(noise, labels=labels, nfe=nfe, streams=streams)
