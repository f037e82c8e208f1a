"""Mean and covariance of features in one pass: float64, the same bits in whatever order they arrive.

Rows are addressed by their index. Every `chunk` consecutive indices are centred and multiplied out together once
all of them are there, and neighbouring blocks merge along one fixed binary tree (Chan, Golub and LeVeque, 1979).
So the result depends on the features and their indices alone, not on batches, shards or workers, and at most
log2(n / chunk) matrices are held when rows come in order.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from hkd.metrics.features.inputs import MetricError, check_features
from hkd.store.large_arrays import slabs

STRIP = 128  # rows of a matrix that are updated while they are in cache


@dataclass(frozen=True)
class Gaussian:
    """Sufficient statistics of n features: float64 mean (D,) and covariance (D, D) with divisor n - 1."""

    n: int
    mean: np.ndarray
    covariance: np.ndarray

    @property
    def dim(self) -> int:
        return len(self.mean)


@dataclass(frozen=True)
class _Block:
    """Mean and centred second moment M2 = sum (x - mean)(x - mean)^T of n rows."""

    n: int
    mean: np.ndarray
    m2: np.ndarray

    @classmethod
    def of(cls, rows: np.ndarray) -> _Block:
        mean = rows.mean(axis=0)
        centred = rows - mean
        return cls(len(rows), mean, centred.T @ centred)

    def merge(self, other: _Block, *, reuse: bool) -> _Block:
        """Return the block of both; with `reuse` in the memory of this one, which is then spent."""
        n = self.n + other.n
        # M2 = M2_a + M2_b + (n_a n_b / n) d dᵀ with d the difference of the means: no sum of squares is formed, which
        # would lose the digits of a variance that is small against the mean
        delta = other.mean - self.mean
        mean = self.mean + delta * (other.n / n)
        m2 = self.m2 if reuse else self.m2.copy()
        weighted = delta * (self.n * other.n / n)
        for start in range(0, len(mean), STRIP):  # one pass over a matrix that may be larger than the cache
            strip = slice(start, start + STRIP)
            m2[strip] += other.m2[strip]
            m2[strip] += np.outer(delta[strip], weighted)
        return _Block(n, mean, m2)


@dataclass
class Moments:
    """Streaming statistics of features (N, dim); `add` rows anywhere, then read `gaussian()`."""

    dim: int
    chunk: int = 1024
    _blocks: dict[tuple[int, int], _Block] = field(default_factory=dict)  # (level, j): chunks j * 2**level onwards
    _rows: dict[int, dict[int, np.ndarray]] = field(default_factory=dict)  # chunk: {first index: rows}

    def add(self, features: np.ndarray, start: int | None = None) -> None:
        """Take rows whose indices are start, start + 1, ...; without `start`, those after the highest index so far.

        Raises:
            MetricError: for another dimension, non-finite values, or an index that is already taken.
        """
        rows = np.asarray(features)
        if rows.ndim != 2 or rows.shape[1] != self.dim:
            raise MetricError(f"features: expected (n, {self.dim}), found {rows.shape}; use the reference's extractor")
        if not all(np.isfinite(slab).all() for slab in slabs(rows)):
            raise MetricError("features: contain NaN or infinity; find the images that produce them before scoring")
        first = self._end() if start is None else start
        for chunk in range(first // self.chunk, -(-(first + len(rows)) // self.chunk)):
            low, high = max(first, chunk * self.chunk), min(first + len(rows), (chunk + 1) * self.chunk)
            self._place(chunk, low, rows[low - first : high - first].astype(np.float64))

    @property
    def n(self) -> int:
        """Number of rows seen."""
        waiting = sum(len(rows) for parts in self._rows.values() for rows in parts.values())
        return sum(block.n for block in self._blocks.values()) + waiting

    def gaussian(self, *, claimed: int | None = None) -> Gaussian:
        """Return the statistics of everything seen.

        Args:
            claimed: the number of rows that should have arrived.
        Raises:
            MetricError: for a count other than claimed, or below 2.
        """
        if claimed is not None and self.n != claimed:
            raise MetricError(f"features: {claimed} claimed, {self.n} arrived; extract the missing shards")
        if self.n < 2:
            raise MetricError(f"features: {self.n} row(s) have no covariance; extract at least 2 images")
        # what is left, complete blocks of the tree and incomplete chunks, merges from the lowest index upwards:
        # an order that only the number of rows decides
        pieces = {(j << level) * self.chunk: block for (level, j), block in self._blocks.items()}
        for chunk, parts in self._rows.items():
            ordered = [parts[first] for first in sorted(parts)]
            pieces[chunk * self.chunk] = _Block.of(np.concatenate(ordered))
        ordered_pieces = [pieces[first] for first in sorted(pieces)]
        total = ordered_pieces[0]
        for piece in ordered_pieces[1:]:
            total = total.merge(piece, reuse=False)
        return Gaussian(total.n, total.mean, total.m2 / (total.n - 1))

    def _end(self) -> int:
        """Return the index after the highest one seen."""
        ends = [((j + 1) << level) * self.chunk for level, j in self._blocks]
        ends += [first + len(rows) for parts in self._rows.values() for first, rows in parts.items()]
        return max(ends, default=0)

    def _place(self, chunk: int, first: int, rows: np.ndarray) -> None:
        """Keep rows of one chunk until all of the chunk are there, then reduce them to a block."""
        self._check_free(chunk)
        parts = self._rows.setdefault(chunk, {})
        for start, held in parts.items():
            if start < first + len(rows) and first < start + len(held):
                raise MetricError(f"features: index {max(start, first)} arrives twice; give every shard its own range")
        parts[first] = rows
        if sum(len(held) for held in parts.values()) == self.chunk:
            complete = np.concatenate([parts[start] for start in sorted(parts)])
            del self._rows[chunk]
            self._insert((0, chunk), _Block.of(complete))

    def _check_free(self, chunk: int) -> None:
        """Raise MetricError if the chunk is complete already."""
        # the ancestor of a chunk at a level has its number without the last `level` bits
        if any(j == chunk >> level for level, j in self._blocks):
            raise MetricError(f"features: index {chunk * self.chunk} arrives twice; give every shard its own range")

    def _insert(self, key: tuple[int, int], block: _Block) -> None:
        """Put a block into the tree, merging it with its sibling as often as that is there."""
        level, j = key
        sibling = self._blocks.pop((level, j ^ 1), None)
        if sibling is None:
            self._blocks[key] = block
        else:
            # always the lower indices first, whichever arrived first: floating-point sums depend on the order
            left, right = (block, sibling) if j % 2 == 0 else (sibling, block)
            self._insert((level + 1, j // 2), left.merge(right, reuse=True))


def gaussian_of(features: np.ndarray, *, name: str = "features") -> Gaussian:
    """Return float64 statistics of features (N, D), a chunk of which is copied at a time, bit-equal to those streamed.

    Raises:
        MetricError: see `check_features`.
    """
    rows = check_features(features, name=name)
    moments = Moments(rows.shape[1])
    moments.add(rows)
    return moments.gaussian()
