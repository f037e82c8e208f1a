"""What a training step costs: bytes that wait for the backward pass, and operations, per image of the batch.

Both are counted on two small parts of a batch and hold for any other: beside a share that is the same for all, they
grow in proportion to the images. The same counting works on the meta device, where nothing is computed, and then says
what a machine would need that is not here.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from hkd.draws import of_step
from hkd.methods.base import Method

SLACK = 1.3
"""Room for what is not kept for the backward pass: gradients of activations, workspaces, fragments."""
USED = 0.9
"""Share of a device's free memory that a training takes."""


@dataclass(frozen=True)
class Cost:
    """Cost of a step for one image of its batch.

    Attributes:
        kept: bytes that the forward pass leaves for the backward pass.
        flops: floating-point operations of matrix products and convolutions, forwards and backwards.
        fixed: bytes that are kept whatever the number of images.
    """

    kept: float
    flops: float
    fixed: float = 0.0


def step_cost(method: Method, few: Any, more: Any, *, draws: str = "stream", step: int = 0) -> Cost:
    """Return the cost of a step, counted while it is made twice without moving a weight.

    Args:
        few, more: batches of different size, as the feed of the method yields them.
    """
    (n, kept, flops), (m, kept_more, flops_more) = (_counted(method, batch, draws, step) for batch in (few, more))
    per_image = (kept_more - kept) / (m - n)
    return Cost(per_image, (flops_more - flops) / (m - n), kept - n * per_image)


def _counted(method: Method, batch: Any, draws: str, step: int) -> tuple[int, int, int]:
    """Return the images of a batch, the bytes kept for the backward pass of a step with it, and its operations."""
    images, kept = len(batch), _Kept(method)
    counter = FlopCounterMode(display=False)
    device = next(method.parameters()).device
    with _unchanged(method), counter, torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        with torch.autograd.graph.saved_tensors_hooks(kept.count, lambda tensor: tensor):
            losses = method.losses(batch, step=step, draws=of_step(draws, 0, step, batch=None, first=0, device=device))
        for name, loss in losses.items():
            loss.backward(inputs=[p for p in getattr(method, name).parameters() if p.requires_grad])
    return images, kept.bytes, counter.get_total_flops()


def images_that_fit(cost: Cost, method: Method, free: int) -> int:
    """Return how many images of a batch a device can hold at a time beside what a training needs in any case.

    Args:
        free: bytes that are free with the weights in place, before the first step.
    """
    trained = sum(p.numel() * p.element_size() for name in method.trains for p in getattr(method, name).parameters())
    # gradients, and twice the moments: the optimiser keeps the old ones until it is known whether the step counts
    if cost.kept <= 0:
        return sys.maxsize
    return max(int(((USED * free - 7 * trained) / SLACK - cost.fixed) / cost.kept), 1)


@contextmanager
def _unchanged(method: Method) -> Iterator[None]:
    """Leave no gradient behind, and buffers as they were."""
    buffers = {name: value.clone() for name, value in method.named_buffers()}
    try:
        yield
    finally:
        for parameter in method.parameters():
            parameter.grad = None
        for name, value in method.named_buffers():
            value.copy_(buffers[name])


class _Kept:
    """The bytes of different tensors that are saved for the backward pass, weights left out."""

    def __init__(self, method: Method) -> None:
        self.bytes = 0
        self._weights = {p.untyped_storage()._cdata for p in method.parameters()}
        self._held: dict[int, Tensor] = {}  # a tensor that was freed would leave its address to another

    def count(self, tensor: Tensor) -> Tensor:
        """Add a saved tensor, once for all views of it."""
        storage = tensor.untyped_storage()
        if storage._cdata not in self._weights and storage._cdata not in self._held:
            self._held[storage._cdata] = tensor
            self.bytes += storage.nbytes()
        return tensor
