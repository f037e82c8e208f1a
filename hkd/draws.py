"""The random numbers of one optimiser step, drawn so that it does not matter how its batch is cut up.

A batch may go through a network in parts, one after the other or on several devices. Every image then meets the
numbers that it would have met in the whole batch, so that the gradient is the same. There are two ways to that end:

* `StreamDraws` draws for the whole batch from one sequential stream, on the CPU, and hands out the rows of a part.
* `ImageDraws` addresses each number by (seed, purpose, step, image, call) and computes it where it is needed, by a
  counter-based generator: no stream, no copy from the host, and the same bits on every device.

The first is the quicker one on a CPU; `training.draws` chooses.
"""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from hkd.seeding import address, stream

ALL_IMAGES = 0xFFFFFFFF
"""In place of an image's number where one draw serves the whole batch."""
MASK = 0xFFFFFFFF
ROUNDS = 10
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)


class Draws(ABC):
    """Random numbers of some images of a batch. All images of a batch must be asked for the same draws in one order."""

    @property
    @abstractmethod
    def whole(self) -> Draws:
        """Draws that the images of a batch share: one dimension of every shape is then free of images."""

    @property
    @abstractmethod
    def host(self) -> Draws:
        """The same draws as tensors on the CPU, for what is decided there."""

    @abstractmethod
    def normal(self, shape: Sequence[int], *, images: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
        """Return standard normal numbers; dimension `images` counts the images of this part."""

    @abstractmethod
    def uniform(self, shape: Sequence[int], *, images: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
        """Return numbers in [0, 1); dimension `images` counts the images of this part."""

    @abstractmethod
    def integers(self, high: int, count: int) -> Tensor:
        """Return a number of 0 ... high - 1 for each of `count` images, int64 (count,)."""

    @abstractmethod
    def choices(self, weights: Tensor, count: int) -> Tensor:
        """Return an index into weights (N,) for each of `count` images, as likely as its weight, int64 (count,)."""


class StreamDraws(Draws):
    """The draws of a whole batch from one CPU stream, of which a part sees its rows.

    Args:
        generator: on the CPU; each part of a batch brings one in the same state.
        batch: images of the whole batch; None where this part is all of it.
        first: number in the batch of this part's first image.
    """

    def __init__(self, generator: torch.Generator, batch: int | None = None, first: int = 0) -> None:
        self._generator, self._batch, self._first = generator, batch, first

    @property
    def whole(self) -> Draws:
        """See `Draws.whole`."""
        return StreamDraws(self._generator)

    @property
    def host(self) -> Draws:
        """See `Draws.host`: all draws are on the CPU."""
        return self

    def normal(self, shape: Sequence[int], *, images: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
        """See `Draws.normal`."""
        return self._rows(lambda size: torch.randn(size, generator=self._generator, dtype=dtype), shape, images)

    def uniform(self, shape: Sequence[int], *, images: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
        """See `Draws.uniform`."""
        return self._rows(lambda size: torch.rand(size, generator=self._generator, dtype=dtype), shape, images)

    def integers(self, high: int, count: int) -> Tensor:
        """See `Draws.integers`."""
        return self._rows(lambda size: torch.randint(high, size, generator=self._generator), (count,), 0)

    def choices(self, weights: Tensor, count: int) -> Tensor:
        """See `Draws.choices`."""
        weights = weights.to("cpu")

        def drawn(size: Sequence[int]) -> Tensor:
            return torch.multinomial(weights, size[0], replacement=True, generator=self._generator)

        return self._rows(drawn, (count,), 0)

    def _rows(self, draw: Callable[[list[int]], Tensor], shape: Sequence[int], images: int) -> Tensor:
        """Return this part's rows of a draw for the whole batch."""
        count, size = shape[images], list(shape)
        if self._batch is None:
            return draw(size)
        size[images] = self._batch
        return draw(size).narrow(images, self._first, count)


class ImageDraws(Draws):
    """Draws by address: the k-th draw of image i in a step is a function of (seed, purpose, step, i, k) alone.

    Args:
        key: 63 bits from (seed, purpose), see `hkd.seeding.address`.
        step: of the training, below 2^32.
        first: number in the batch of this part's first image, or None for draws that all images share.
        device: where the numbers are computed.
    """

    def __init__(
        self,
        key: int,
        step: int,
        first: int | None,
        device: torch.device | str = "cpu",
        calls: Iterator[int] | None = None,
    ) -> None:
        self._key, self._step, self._first, self._device = key, step, first, torch.device(device)
        # one count for the draws of images, of the batch and on the host, so that no two draws share an address
        self._calls = itertools.count() if calls is None else calls

    @property
    def whole(self) -> Draws:
        """See `Draws.whole`."""
        return ImageDraws(self._key, self._step, None, self._device, self._calls)

    @property
    def host(self) -> Draws:
        """See `Draws.host`."""
        return ImageDraws(self._key, self._step, self._first, "cpu", self._calls)

    def normal(self, shape: Sequence[int], *, images: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
        """See `Draws.normal`. Source of the transform: Box and Muller (1958)."""
        a, b, c, d = self._words(shape, images, per_block=4)
        return _arranged([*_box_muller(a, b, dtype), *_box_muller(c, d, dtype)], shape, images)

    def uniform(self, shape: Sequence[int], *, images: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
        """See `Draws.uniform`: multiples of 2^-24 in float32, of 2^-53 in float64."""
        a, b, c, d = self._words(shape, images, per_block=2)
        if dtype == torch.float32:
            found = [(word >> 8).to(dtype) * 2.0**-24 for word in (a, c)]
        else:
            found = [((high >> 5) * 2**26 + (low >> 6)).to(dtype) * 2.0**-53 for high, low in ((a, b), (c, d))]
        return _arranged(found, shape, images)

    def integers(self, high: int, count: int) -> Tensor:
        """See `Draws.integers`. None is likelier than another by more than high / 2^32."""
        return (self._words((count,), 0, per_block=1)[0][:, 0] * high) >> 32

    def choices(self, weights: Tensor, count: int) -> Tensor:
        """See `Draws.choices`."""
        # on the host, where its order of additions never changes
        cumulative = weights.to("cpu", torch.float64).cumsum(0).to(self._device)
        u = self.uniform((count,), dtype=torch.float64) * cumulative[-1]
        return torch.searchsorted(cumulative, u, right=True).clamp(max=len(weights) - 1)

    def _words(self, shape: Sequence[int], images: int, *, per_block: int) -> list[Tensor]:
        """Return four words of 32 bits per block, each int64 (images, blocks)."""
        count, call = shape[images], next(self._calls)
        blocks = -(-math.prod(shape) // max(count, 1) // per_block)
        if self._first is None:  # no image has a number of its own: the blocks are counted through
            block = torch.arange(count * blocks, device=self._device).view(count, blocks)
            return philox((block, ALL_IMAGES, self._step, call), self._key)
        image = (self._first + torch.arange(count, device=self._device))[:, None]
        block = torch.arange(blocks, device=self._device)
        return philox((block, image, self._step, call), self._key)


def philox(counter: Sequence[Tensor | int], key: int) -> list[Tensor]:
    """Return four words of 32 random bits for each counter: Philox 4x32 with ten rounds.

    Source: Salmon et al. (2011), "Parallel random numbers: as easy as 1, 2, 3", section 3.3.

    Args:
        counter: four words below 2^32, int64 tensors of shapes that broadcast, or numbers.
        key: two words, the lower one first.
    """
    a, b, c, d = counter
    low, high = key & MASK, key >> 32 & MASK
    for _ in range(ROUNDS):
        # int64 products wrap around, which leaves all 64 bits of the product of two words as they should be
        left, right = a * MULTIPLIERS[0], c * MULTIPLIERS[1]
        a, b, c, d = (right >> 32 & MASK) ^ b ^ low, right & MASK, (left >> 32 & MASK) ^ d ^ high, left & MASK
        low, high = (low + WEYL[0]) & MASK, (high + WEYL[1]) & MASK
    return [torch.as_tensor(word) for word in (a, b, c, d)]


def _box_muller(u: Tensor, v: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return two standard normal numbers from two words of 32 bits."""
    # a half is added so that the logarithm is finite; the largest number is then 6.8
    radius = (-2 * ((u.to(dtype) + 0.5) * 2.0**-32).log()).clamp(min=0).sqrt()
    angle = v.to(dtype) * (2 * math.pi * 2.0**-32)
    return radius * angle.cos(), radius * angle.sin()


def _arranged(parts: Sequence[Tensor], shape: Sequence[int], images: int) -> Tensor:
    """Return numbers (images, blocks) that lie side by side in their blocks as a tensor of `shape`."""
    count = shape[images]
    values = math.prod(shape) // max(count, 1)
    rest = [size for axis, size in enumerate(shape) if axis != images]
    flat = torch.stack(list(parts), dim=-1).reshape(count, -1)[:, :values]
    return flat.reshape(count, *rest).movedim(0, images)


def of_step(
    law: str, seed: int, step: int, *, batch: int | None, first: int, device: torch.device | str = "cpu"
) -> Draws:
    """Return the draws of a training's step for a part of its batch.

    Args:
        law: `stream` or `image`, as `training.draws` says.
        batch: images of the whole batch; None where the part is all of it.
        first: number in the batch of the part's first image.
        device: where draws by address are computed.
    """
    if law == "image":
        return ImageDraws(address(seed, "train"), step, first, device)
    return StreamDraws(stream(seed, "train", step), batch, first)
