"""The two sides of an ordering, seed by seed, and the reasons why they are in no order."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hkd.report.collect import ReportError, check_protocols, score
from hkd.settings.columns import at, column
from hkd.studies.comparison.gathered import TOO_FEW, Found, numbers

SCORE = "fid_own"
COMMON = column("fid_common")
WEAK = "below the bar of"  # of `scoring.weakness`: nor does one through features that see too little
Line = Mapping[str, Any]


@dataclass(frozen=True)
class Pairs:
    """Scores of both sides, one pair per seed.

    Attributes:
        values: (lower, higher), as the claim calls them; none where there is no reason to subtract them.
        reasons: against any order. unequal: against one of toys, whose trainings differ in length.
        unfit: why the scores can decide none, however many there are.
    """

    values: tuple[tuple[float, float], ...] = ()
    reasons: tuple[str, ...] = ()
    unequal: tuple[str, ...] = ()
    unfit: tuple[str, ...] = ()

    @property
    def differences(self) -> list[float]:
        """Higher less lower."""
        return [high - low for low, high in self.values]

    @property
    def lower(self) -> float:
        """Mean of the lower side."""
        return statistics.fmean(low for low, _ in self.values)


def of_runs(found: Sequence[Found], at_most: float) -> Pairs:
    """Return the scores of two runs at one number of images.

    Args:
        at_most: ratio of network evaluations up to which two trainings are equally long.
    """
    low, high = ({line["seed"]: line for line in side.lines} for side in found)
    seeds = sorted(low.keys() & high.keys())
    if not seeds:
        return Pairs(reasons=("no seed in common",))
    pairs = [(low[seed], high[seed]) for seed in seeds]
    if unlike := _unlike_routes(pairs):
        return Pairs(reasons=(unlike,))
    n = min(line["n_generated"] for line in pairs[0])
    if mixed := list(dict.fromkeys(text for pair in pairs for text in _mixed(pair, n))):
        return Pairs(reasons=tuple(mixed))
    measured = [[score(line, COMMON, n) for line in pair] for pair in pairs]
    doubts = dict.fromkeys(t for pair in measured for _, protocol in pair for t in protocol.get("estimate", ()))
    reasons = (f"too few images: generated n = {n} {TOO_FEW}",) if any(TOO_FEW in text for text in doubts) else ()
    values = tuple((one, other) for (one, _), (other, _) in measured)
    return Pairs(values, reasons, _unequal(pairs, at_most), _unfit(doubts))


def of_cells(found: Sequence[Found]) -> Pairs:
    """Return the cells of two lines of a study's table, whose numbers stand in the order of seeds."""
    low, high = (numbers(side.lines[0]["cell"], str(side.lines[0]["file"])) for side in found)
    if len(low) != len(high):
        return Pairs(reasons=(f"{len(low)} and {len(high)} seeds",))
    return Pairs(tuple(zip(low, high, strict=True)), unfit=unfit_cells(found))


def unfit_cells(found: Iterable[Found]) -> tuple[str, ...]:
    """Return the notes of studies' lines that say that they were read through a feature network below its bar."""
    notes = (str(line.get("note") or "") for side in found for line in side.lines)
    return _unfit(dict.fromkeys(text for note in notes for text in note.split("; ")))


def _unfit(doubts: Iterable[str]) -> tuple[str, ...]:
    """Return those of the doubts about scores that are of a feature network below its bar."""
    return tuple(text for text in doubts if WEAK in text)


def _mixed(pair: Sequence[Line], n: int) -> list[str]:
    """Return the reason why two lines were measured in unlike ways at their first n images, or none."""
    import pandas as pd

    sizes = [line["n_generated"] for line in pair]
    if any(size != n and at(SCORE, n) not in line["scores"] for size, line in zip(sizes, pair, strict=True)):
        return [f"{sizes[0]:,} and {sizes[1]:,} images"]
    try:
        check_protocols(pd.DataFrame(list(pair)), [COMMON.name], n)
    except ReportError as error:
        return [str(error)]
    return []


def _unlike_routes(pairs: Sequence[Sequence[Line]]) -> str:
    """Return why weights that came to be in unlike ways are in no order, or nothing."""
    routes = {line["route"] for pair in pairs for line in pair}
    if {"shipped", "train"} <= routes:
        return "one side was trained in this run, the other's weights come with the package"
    if routes == {"shipped"} and len(pairs) > 1:
        return "every seed draws from the weights of the same two trainings"
    return ""


def _unequal(pairs: Sequence[Sequence[Line]], at_most: float) -> tuple[str, ...]:
    """Return the reason why trainings of such lengths are in no order, or none."""
    spent = [[pair[side]["network_evals"] for pair in pairs] for side in (0, 1)]
    if any(value is None for side in spent for value in side):
        return ("network evaluations of a training not recorded",)
    low, high = (statistics.fmean(side) for side in spent)
    if max(low, high) <= at_most * min(low, high):
        return ()
    return (f"trained unequally: {low:,.0f} and {high:,.0f} network evaluations",)
