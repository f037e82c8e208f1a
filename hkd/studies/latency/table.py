"""The table of seconds an image, beside those that the paper prints."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from hkd.report.collect import ReportError
from hkd.report.latex import booktabs
from hkd.report.markdown import fitted

COLUMNS = (
    *("method", "run", "answered_by", "nfe", "seconds", "lower", "upper", "printed", "device", "precision", "batch"),
    *("repeats", "threads", "parameters", "operations"),
)
SAME = ("device", "precision", "batch", "threads", "parameters", "operations")  # of every seed of a row
HEADERS = ("Method", "Run", "NFE", "Seconds an image", "Quartiles", "Printed", "M parameters", "GFLOP an image")
MISSING = "—"


def line(label: str, run: str, answer: str | None, nfe: int, printed: float, found: Sequence[Any]) -> dict[str, Any]:
    """Return a line with `COLUMNS`: `seconds` holds the median of each seed; empty cells where nothing was timed.

    Args:
        run, answer: the run that is printed, and the one that stands for it.
        found: what was measured, of each seed, with its precision.
    Raises:
        ReportError: the seeds were measured differently.
    """
    empty = dict.fromkeys(COLUMNS, "")
    told = {**empty, "method": label, "run": run, "answered_by": answer or "", "nfe": nfe, "printed": f"{printed:g}"}
    if not found:
        return told
    for key in SAME:
        if len(values := {one[key] for one in found}) > 1:
            said = " and ".join(str(value) for value in sorted(values))
            raise ReportError(f"{answer} at {nfe} NFE: {key} is {said}; time every seed on one machine, one way")
    calls = [second / one["batch"] for one in found for second in one["seconds"]]
    low, high = (calls * 2)[:2] if len(calls) == 1 else statistics.quantiles(calls, n=4, method="inclusive")[::2]
    medians = [statistics.median(one["seconds"]) / one["batch"] for one in found]
    return {
        **told,
        "seconds": " ".join(f"{median:.4g}" for median in medians),
        "lower": f"{low:.4g}",
        "upper": f"{high:.4g}",
        "repeats": len(found[0]["seconds"]),
        **{key: found[0][key] for key in SAME},
        "operations": f"{found[0]['operations']:.6g}",
    }


def markdown(lines: Sequence[Mapping[str, Any]], about: str) -> str:
    """Return the table as a page."""
    return "\n".join(["# Table 6: seconds an image", "", about, "", *fitted(HEADERS, _body(lines))]) + "\n"


def latex(lines: Sequence[Mapping[str, Any]], about: str) -> str:
    """Return the table as LaTeX text."""
    return booktabs(HEADERS, [("", _body(lines))], left=2, comments=[about])


def about(lines: Sequence[Mapping[str, Any]], dataset: str, benchmark: str) -> str:
    """Return in words what the numbers are, of which machine, and when they compare with printed ones."""
    told = [one for one in lines if one["seconds"]]
    if not told:
        return f"Nothing of benchmark {benchmark} was timed."
    machines = ", ".join(dict.fromkeys(f"{one['device']} in {one['precision']}" for one in told))
    return (
        f"{dataset}, benchmark {benchmark}, on {machines}, {told[0]['batch']} images at a time: medians of "
        f"{told[0]['repeats']} calls after a warm-up, from the drawing of the noise to the images on the device. The "
        "paper's are of one V100, at a batch and in a precision that it does not state, and compare with no other card."
    )


def _body(lines: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    return [
        [
            one["method"],
            one["answered_by"] or one["run"],
            f"{one['nfe']:,}",
            one["seconds"] or MISSING,
            f"{one['lower']} to {one['upper']}" if one["seconds"] else MISSING,
            one["printed"],
            f"{one['parameters'] / 1e6:.2f}" if one["seconds"] else MISSING,
            f"{float(one['operations']) / 1e9:,.3f}" if one["seconds"] else MISSING,
        ]
        for one in lines
    ]
