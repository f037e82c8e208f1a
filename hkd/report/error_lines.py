"""The table of errors over time: mean and spread over seeds, one line per method and noise level."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

COLUMNS = ("method", "sigma", "mse", "sd")


def error_lines(runs: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Return lines with `COLUMNS`; `sd` is empty with one seed.

    Args:
        runs: method -> what `hkd trajectory-error` wrote, one per seed.
    """
    lines = []
    for method, seeds in runs.items():
        for k, sigma in enumerate(seeds[0]["sigmas"]):
            values = [seed["mse_to_x_eps"][k] for seed in seeds]
            spread = statistics.stdev(values) if len(values) > 1 else ""
            lines.append({"method": method, "sigma": sigma, "mse": statistics.mean(values), "sd": spread})
    return lines
