"""The table of what determines the spectrum: agreement after the first steps and at the end, and what follows."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

COLUMNS = (
    "kind",
    "measure",
    "order_by",
    "comparisons",
    "first_step",
    "first",
    "last_step",
    "last",
    "sd",
    "rise_sd",
    "null",
    "decision",
)


class Decision(StrEnum):
    """What agreement over training says of the spectrum, in the words of the table."""

    NOT_RUN = "not run"
    ONE = "not run: needs 2 comparisons"
    DETERMINED = "determined"
    RISES = "determined in part"
    FALLS = "a common start"
    NOT_DETERMINED = "not determined"


def decision(first: float, last: float, null: float, *, spread: float | None, above: float) -> Decision:
    """Return what follows from the mean agreement after the first steps and at the end.

    What data determine, training brings about: agreement that is there from the first steps and does not grow says
    where both began. It grows if the mean rise is beyond the standard deviation of single ones; not of their mean, for
    comparisons share trainings and are not independent.

    Args:
        null: what chance reaches at the end. above: agreement from which spectra count as the same.
        spread: standard deviation of the rise over comparisons; None of one.
    """
    if not last > null:
        return Decision.NOT_DETERMINED
    if spread is None:
        return Decision.ONE
    if not last - first > spread:
        return Decision.FALLS
    return Decision.DETERMINED if last >= above else Decision.RISES


def rows(
    lines: Sequence[Mapping[str, Any]], kinds: Sequence[str], orders: Sequence[str], *, above: float
) -> list[dict[str, Any]]:
    """Return a row for every kind of comparison, measure and order; without comparisons it is `not run`."""
    found = []
    for kind in kinds:
        for measure in ("modes", "places"):
            for order in orders:
                mine = [a for a in lines if (a["kind"], a["measure"], a["order_by"]) == (kind, measure, order)]
                found.append({"kind": kind, "measure": measure, "order_by": order, **_summary(mine, above)})
    return found


def _summary(lines: Sequence[Mapping[str, Any]], above: float) -> dict[str, Any]:
    ends = [line for line in lines if line["agreement"][-1] is not None]
    if not ends:
        return {"comparisons": 0, "decision": str(Decision.NOT_RUN)}
    last, null = ([line[key][-1] for line in ends] for key in ("agreement", "null"))
    begun = [line["agreement"][0] or 0.0 for line in ends]  # operators without an order agree in none
    first, mean = statistics.mean(begun), statistics.mean(last)
    rises = [end - start for end, start in zip(last, begun, strict=True)]
    spread = statistics.stdev(rises) if len(rises) > 1 else None
    return {
        "comparisons": len(ends),
        "first_step": ends[0]["steps"][0],
        "first": f"{first:.3f}",
        "last_step": ends[0]["steps"][-1],
        "last": f"{mean:.3f}",
        "sd": f"{statistics.stdev(last):.3f}" if len(last) > 1 else "",
        "rise_sd": "" if spread is None else f"{spread:.3f}",
        "null": f"{statistics.mean(null):.3f}",
        "decision": str(decision(first, mean, statistics.mean(null), spread=spread, above=above)),
    }


def verdict(found: Sequence[Mapping[str, Any]], *, control: str, free: str, order: str) -> str:
    """Return the answer to the study's question, from its rows of one order.

    A kind of comparison counts by the better of its measures: other teachers have their channels in another order, so
    that only places can agree. Data determine a spectrum if trainings of every kind end at the same.

    Args:
        control: the kind that has to be determined, or the measure is blind. free: the one that need not be.
    """
    kinds = list(dict.fromkeys(row["kind"] for row in found))
    of = {kind: {row["decision"] for row in found if (row["kind"], row["order_by"]) == (kind, order)} for kind in kinds}
    asked = [kind for kind in kinds if kind not in (control, free)]

    def unknown(kind: str) -> bool:
        return of[kind] == {Decision.NOT_RUN} or (Decision.ONE in of[kind] and Decision.DETERMINED not in of[kind])

    if missing := [kind for kind in kinds if kind != free and unknown(kind)]:
        return f"{Decision.NOT_RUN}: {', '.join(missing)}"
    if Decision.DETERMINED not in of.get(control, set()):
        return f"{Decision.NOT_RUN}: at this length the measure does not see that known rates are determined"
    others = [kind for kind in asked if Decision.DETERMINED not in of[kind]]
    if not others:
        return str(Decision.DETERMINED)
    return f"{Decision.NOT_DETERMINED} by data alone: not between {', '.join(others)}"


def text(found: Sequence[Mapping[str, Any]], facts: Mapping[str, Mapping[str, Any]], answer: str, about: str) -> str:
    """Return the answer in words.

    Args:
        found: of `rows`. facts: how well the operators of the control fit, by kind. answer: of `verdict`.
    """
    parts = [f"# What determines the spectrum\n\n{about}.\n\nThe spectrum: {answer}."]
    parts += [
        f"**{kind}**: rank correlation of the fitted with the true rates "
        f"{min(of['rank_with_truth']):.3f} or more; the rates that images depend on are within "
        f"{max(of['largest_error']):.3f} of the true exponents, which range from {of['true_range'][0]:.2f} to "
        f"{of['true_range'][1]:.2f}."
        for kind, of in facts.items()
    ]
    for row in found:
        head = f"- {row['kind']}, {row['measure']}, by {row['order_by']}: {row['decision']}"
        if row["comparisons"]:
            head += (
                f" ({row['first']} after {row['first_step']} steps, {row['last']} after {row['last_step']}, "
                f"standard deviation of the rise {row['rise_sd'] or 'not known'}, 95 % of its null {row['null']}; "
                f"{row['comparisons']} comparisons)"
            )
        parts.append(f"{head}.")
    return "\n\n".join(parts[: 1 + len(facts)]) + "\n\n" + "\n".join(parts[1 + len(facts) :]) + "\n"
