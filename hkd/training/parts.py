"""How a batch is cut up: a share for every process, and each share in parts that a device can hold at a time.

The batch of a config is that of an optimiser step, whatever the machine. A gradient is the sum of the parts' gradients,
each weighted by its share of the images; with draws that belong to images (`hkd.draws`) it is that of the whole batch,
but for rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any


class Indivisible(ValueError):
    """A batch that cannot be cut up as asked; the message says what can be done."""


@dataclass(frozen=True)
class Part:
    """A part of a step's batch.

    Attributes:
        first: number in the whole batch of its first image. share: of the images of the whole batch.
        batch: what the feed returned for it.
    """

    first: int
    share: float
    batch: Any


@dataclass(frozen=True)
class Division:
    """The parts of one process.

    Attributes:
        batch: images of an optimiser step, over all processes.
        largest: images that go through a network at a time; None for all of the process's share.
        rank, ranks: number of this process, and how many there are.
        together: whether no part of it can go by itself.
    Raises:
        Indivisible: the processes cannot have equal shares.
    """

    batch: int
    largest: int | None = None
    rank: int = 0
    ranks: int = 1
    together: bool = False

    def __post_init__(self) -> None:
        if self.batch % self.ranks:
            raise Indivisible(
                f"training.batch {self.batch} does not divide into equal shares of {self.ranks} processes; "
                f"start {_divisor(self.batch, self.ranks)}"
            )

    @property
    def whole(self) -> bool:
        """Whether this process takes the whole batch at once."""
        return self.ranks == 1 and (self.largest is None or self.largest >= self.batch)

    def rows(self) -> list[slice]:
        """Return the rows of the batch that this process takes, one part after the other, of nearly equal size."""
        mine = self.batch // self.ranks
        count = -(-mine // min(self.largest or mine, mine))
        bounds = [self.rank * mine + round(k * mine / count) for k in range(count + 1)]
        return [slice(low, high) for low, high in pairwise(bounds)]

    def halved(self) -> Division:
        """Return the division into parts of half the size, for a device that could not hold these.

        Raises:
            Indivisible: a part is one image already, or the batch must stay whole.
        """
        if self.together:
            raise Indivisible(
                f"the device cannot hold the whole batch of {self.batch} images, which this training's loss needs; "
                "take a larger one, or lower training.batch"
            )
        size = max(rows.stop - rows.start for rows in self.rows())
        if size == 1:
            raise Indivisible(
                "the device cannot hold a single image of this training; take a larger one, or a smaller network"
            )
        return Division(self.batch, size // 2, self.rank, self.ranks)


def _divisor(batch: int, ranks: int) -> int:
    """Return the largest number of processes below `ranks` that divides a batch."""
    return next(n for n in range(ranks, 0, -1) if batch % n == 0)
