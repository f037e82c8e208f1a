"""The file of one timing, read within bounds."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from hkd.store import bounded
from hkd.store.artifacts import read_json
from hkd.store.refusals import ArtifactError

FIELDS: dict[str, Any] = {
    "seconds": list,
    "batch": int,
    "device": str,
    "precision": str,
    "threads": int,
    "parameters": int,
    "operations": float,
}


def read_timing(path: Path | str) -> dict[str, Any]:
    """Return what `hkd latency` left.

    Raises:
        ArtifactError: the file is missing, damaged, not the one its record describes, or no timing.
    """
    try:
        found = bounded.check_fields(read_json(path, "latency"), FIELDS)
    except bounded.Damaged as error:
        raise ArtifactError(f"{path}: {error}; delete it and run `hkd latency` again") from None
    calls = found["seconds"]
    if not calls or not all(isinstance(s, float) and 0 < s < math.inf for s in calls) or found["batch"] < 1:
        raise ArtifactError(f"{path}: holds no seconds of calls; delete it and run `hkd latency` again")
    return found
