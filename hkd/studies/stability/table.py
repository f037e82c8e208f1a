"""The table of quality over training, beside the paper's Table 5."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

COLUMNS = (
    "share",
    "step",
    "seeds",
    "fdn",
    "sd",
    "values",
    "fdn_raw",
    "sd_raw",
    "values_raw",
    "initial_share",
    "epoch",
    "reported_fid",
    "reported_sd",
    "note",
)


@dataclass(frozen=True)
class PrintedRow:
    """One printed cell: FID after an epoch counted from 0, None before training, over five trainings."""

    epoch: int | None
    mean: float
    sd: float | None
    note: str = ""


def share_of(epoch: int | None, epochs: int) -> float:
    """Return the share of a training that is done at the end of an epoch."""
    return 0.0 if epoch is None else (epoch + 1) / epochs


def lines(
    runs: Sequence[Mapping[str, Any]],
    printed: Sequence[PrintedRow],
    epochs: int,
    kept: Callable[[int], float] | None = None,
) -> list[dict[str, Any]]:
    """Return one line per milestone and per printed row, in the order of training, with `COLUMNS`.

    A printed row stands beside the milestone that lies within half an epoch of it.

    Args:
        runs: contents of the files that `hkd stability` writes, one per seed, of trainings of equal length.
        kept: share of the initial weights in the average after a number of steps.
    """
    found = []
    left = {share_of(row.epoch, epochs): row for row in printed}
    for k, step in enumerate(runs[0]["steps"] if runs else []):
        share = step / runs[0]["total"]
        near = next((s for s in left if abs(s - share) <= 0.5 / epochs), None)
        row = left.pop(near) if near is not None else None
        measured = {"step": step, "seeds": len(runs)}
        for weights, suffix in (("metrics", ""), ("raw", "_raw")):
            measured |= _over_seeds([run[weights]["fdn"][k] for run in runs], suffix)
        initial = {} if kept is None else {"initial_share": f"{kept(step):.2g}"}
        beside = _reported(row)
        notes = [f"an estimate: {runs[0]['doubt']}"] if runs[0].get("doubt") else []
        notes += [beside["note"]] if beside.get("note") else []
        noted = {"note": "; ".join(notes)} if notes else {}
        found.append({"share": share, **measured, **initial, **beside, **noted})
    found += [{"share": share, **_reported(row)} for share, row in left.items()]
    return sorted(found, key=lambda line: line["share"])


def _over_seeds(values: Sequence[float], suffix: str) -> dict[str, Any]:
    """Return mean and standard deviation (ddof 1) of one value per seed, and the values themselves."""
    return {
        f"fdn{suffix}": statistics.mean(values),
        f"sd{suffix}": statistics.stdev(values) if len(values) > 1 else "",
        f"values{suffix}": " ".join(f"{value:.4g}" for value in values),
    }


def _reported(row: PrintedRow | None) -> dict[str, Any]:
    if row is None:
        return {}
    epoch = "before training" if row.epoch is None else row.epoch
    return {"epoch": epoch, "reported_fid": row.mean, "reported_sd": "" if row.sd is None else row.sd, "note": row.note}
