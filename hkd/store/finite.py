"""Whether numbers are finite: what is written is, unless a number that does not exist is meant."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from hkd.store.large_arrays import slabs

if TYPE_CHECKING:
    import numpy as np


def first_beyond(content: Any, undefined: bool, key: str = "") -> str | None:
    """Return the key of the first number that is not finite, as `metrics.fdn`, or None; NaN may be allowed."""
    if isinstance(content, float):
        return None if math.isfinite(content) or (undefined and math.isnan(content)) else key or "its value"
    if isinstance(content, dict):
        parts = ((f"{key}.{name}" if key else str(name), value) for name, value in content.items())
    elif isinstance(content, list | tuple):
        parts = ((f"{key}[{number}]", value) for number, value in enumerate(content))
    else:
        return None
    return next((found for name, value in parts if (found := first_beyond(value, undefined, name)) is not None), None)


def unwritable(array: np.ndarray, undefined: bool = False) -> str | None:
    """Return how many values of an array are not finite, in words, or None; NaN may be allowed."""
    import numpy as np

    if array.dtype.kind not in "fc":
        return None
    beyond = np.isinf if undefined else lambda values: ~np.isfinite(values)
    count = sum(int(np.count_nonzero(beyond(slab))) for slab in slabs(array))
    return f"{count:,} values of {array.size:,} that are NaN or infinity" if count else None
