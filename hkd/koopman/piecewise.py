"""How many bytes an evolution may take at a time beside the latents: by it the work is cut into pieces.

What is computed does not depend on it, so it is a setting of the machine (`compute.evolution_mb`) and of no result.
"""

from __future__ import annotations

from collections.abc import Iterator

DEFAULT_BYTES = 1 << 30  # choice: at the paper's resolutions and batches, pieces are then whole levels
_limit = [DEFAULT_BYTES]


def limit_to(size: int) -> None:
    """Take no more than `size` bytes at a time from here on, or one piece where that alone takes more."""
    _limit[0] = size


def slices(count: int, each: int, multiple: int = 1) -> Iterator[slice]:
    """Yield slices that cover `count` things of `each` bytes in order, as long as the limit allows.

    Args:
        multiple: of how many things each slice is made, but for the last; at least so many it has, whatever the limit.
    """
    step = max(1, _limit[0] // max(1, each) // multiple) * multiple
    yield from (slice(start, start + step) for start in range(0, count, step))
