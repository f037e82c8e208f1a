"""The comparison as data, as text and as LaTeX, and what the terminal says of it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from hkd.report.latex import booktabs
from hkd.report.markdown import fitted
from hkd.report.verdicts import EXACT, NOT_USABLE, Spread, Verdict, exit_code
from hkd.report.verdicts import Comparison as Numbers
from hkd.report.view import ESTIMATE, MISSING, number, whole
from hkd.studies.comparison.line import Line, Mark
from hkd.studies.comparison.rules import Comparison
from hkd.studies.comparison.said import Number, Ordering, Statement

COLUMNS = (
    *("claim", "kind", "table", "quote", "printed", "rounding", "run", "nfe", "dataset", "scale", "seeds"),
    *("measured_as", "reproduced", "expected", "difference", "relative", "low", "high", "margin"),
    *("s_seed", "s_draw", "s_lab", "s_rounding", "band", "freedom", "detectable", "resolved_by"),
    *("verdict", "reasons", "gaps", "marks", "train_images", "network_evals"),
    *("citation", "protocol", "note", "files", "frozen"),
)
MIDDLE = {
    "number": ("Reproduced", "Difference and interval", "Margin"),
    "ordering": ("Printed difference", "Higher less lower, and interval", "Detectable"),
    "statement": ("Decision", "", ""),
}
KINDS = {"number": "Numbers", "ordering": "Orderings", "statement": "Statements"}
COMPARED = tuple(verdict for verdict in Verdict if exit_code(verdict) != NOT_USABLE)
OPEN = (Verdict.INCONCLUSIVE, Verdict.TOY_UNRESOLVED)


def cells(line: Line, frozen: str) -> dict[str, Any]:
    """Return the line of the CSV: numbers with six digits, empty where there is none."""
    claim, said = line.claim, line.claim.said
    found: dict[str, Any] = {
        "claim": claim.id,
        "kind": claim.kind,
        "table": said.cite.table,
        "quote": quote(line),
        "printed": claim.value,
        "run": claim.run,
        "nfe": claim.nfe,
        "dataset": line.dataset,
        "scale": line.scale,
        "seeds": line.seeds or None,
        "margin": claim.margin,
        "resolved_by": resolved_by(line),
        "verdict": str(line.verdict),
        "reasons": "; ".join(line.reasons),
        "gaps": line.gaps,
        "marks": "; ".join(line.marks),
        "citation": claim.citation,
        "note": remarks(line),
        "files": " ".join(path for one in line.found for path in one.files),
        "frozen": frozen,
        **_budget(line),
    }
    if isinstance(said, Number):
        found |= {"rounding": said.rounding, "protocol": said.protocol}
        found["measured_as"] = measured_as(line) if line.number else ""
    if line.number and line.verdict in COMPARED:
        found |= _number_cells(line)
    elif line.number and not line.too_few:  # the difference of two quantities or protocols is no number to carry away
        found["reproduced"] = line.number.reproduced
    if line.decision:
        found["reproduced"] = line.decision
    if line.order and line.verdict in COMPARED:
        found |= _order_cells(line)
    return {key: _shown(found.get(key)) for key in COLUMNS}


def read_files(lines: Sequence[Line]) -> list[str]:
    """Return every file that was read for the lines, each once."""
    return list(dict.fromkeys(path for line in lines for one in line.found for path in one.files))


def quote(line: Line) -> str:
    """Return what a claim says, in words."""
    said = line.claim.said
    if not isinstance(said, Number):
        return said.quote
    value, digits = float(line.claim.value or 0), len(f"{said.rounding:g}".partition(".")[2])
    spread = "" if line.claim.printed_sd is None else f" ± {line.claim.printed_sd:.{digits}f}"
    return f"{said.quantity} {value:.{digits}f}{spread}"


def measured_as(line: Line) -> str:
    """Return what the measured quantity is called: FID through the published Inception's features only."""
    said = line.claim.said
    if not isinstance(said, Number):
        return ""
    if said.cell:
        return said.cell.quantity or said.quantity
    return "FID" if {row["extractor"] for one in line.found for row in one.lines} == {"FID"} else "FD"


def resolved_by(line: Line) -> str:
    """Return what would resolve an open claim, if mean and spread stayed as they are; empty for all others."""
    if line.verdict not in OPEN:
        return ""
    if line.unfit:
        return "a feature network above its bar, whatever the number of seeds"
    if _has_no_interval(line):
        routes = {row["route"] for one in line.found for row in one.lines if "route" in row}
        if line.order and routes == {"shipped"}:
            return "more trainings (students=train): seeds would draw from the same two"
        return "a second seed, before anything can be said"
    if line.order:
        return "no number of seeds: both are equal" if line.order.seeds is None else f"{line.order.seeds:,} seeds"
    return _ways(line.number) if line.number else ""


def _has_no_interval(line: Line) -> bool:
    """Whether a claim rests on one seed, with no other spread that would hold it."""
    if line.order:
        return line.order.half is None
    return line.number is not None and math.isinf(line.number.half)


def _ways(made: Numbers) -> str:
    """Return how many seeds, or images, would resolve a number; if none do, what is left of the interval, and why."""
    needs, band = made.needs, made.band
    ways = [f"{needs.seeds:,} seeds"] if needs.seeds else []
    ways += [f"{needs.images:,} images"] if needs.images else []
    if ways:
        return " or ".join(ways)
    parts = {"between laboratories": band.lab, "of one evaluation": band.draw, "of the printed rounding": band.rounding}
    largest = max(parts, key=lambda name: _variance(parts[name]))
    alone = "seeds alone, or of images alone" if band.draw else "seeds"
    left = f"± {number(needs.floor)} is left, most of it {largest}"
    return f"no number of {alone}: {left}; the margin is {number(made.margin)}"


def _variance(spread: Spread | None) -> float:
    return 0.0 if spread is None else spread.sd**2


def markdown(lines: Sequence[Line], about: Sequence[str]) -> str:
    """Return the comparison as Markdown: claims by class, and below what would resolve them, gaps, marks, reasons."""
    text = ["# Reproduced against reported", "", *about, ""]
    for kind, title in KINDS.items():
        mine = [line for line in lines if line.claim.kind == kind]
        text += [f"## {title}", "", summary(mine), "", *fitted(*_view(mine, kind)), ""]
    ways = [((way,) if (way := resolved_by(line)) else (), line) for line in lines]
    text += _listed("What would resolve them", _grouped(ways))
    text += _listed("Gaps", _grouped([((line.gaps,) if line.gaps else (), line) for line in lines]))
    text += _listed("Marks", _grouped([(line.marks, line) for line in lines]))
    text += _listed("Why not, or why only a toy", _grouped([(line.reasons, line) for line in lines]))
    text += _listed("Remarks", [f"{line.claim.id}: {said}." for line in lines if (said := remarks(line))])
    return "\n".join(text).rstrip() + "\n"


def latex(lines: Sequence[Line], about: Sequence[str]) -> str:
    """Return the comparison as one LaTeX table that breaks across pages."""
    headers = ["Claim", "Says", "Reproduced", "Difference and interval", "Margin", "Verdict"]
    sections = []
    for kind, title in KINDS.items():
        rows = [_row(line) for line in lines if line.claim.kind == kind]
        sections.append((title, [[*row[:2], *row[4:], row[2]] for row in rows]))
    return booktabs(headers, sections, left=2, comments=about, long=True)


def summaries(lines: Sequence[Line]) -> list[str]:
    """Return one line per class of claims, for the terminal."""
    return [
        f"{title}: {summary([line for line in lines if line.claim.kind == kind])}"
        for kind, title in KINDS.items()
        if any(line.claim.kind == kind for line in lines)
    ]


def summary(lines: Sequence[Line]) -> str:
    """Return how many claims have which verdict, and what would resolve open ones. Second printings do not count."""
    counted = [line for line in lines if not (isinstance(line.claim.said, Number) and line.claim.said.same_as)]
    by_verdict = Counter(line.verdict for line in counted)
    parts = [f"{count} {verdict}{_would(counted, verdict)}" for verdict in Verdict if (count := by_verdict[verdict])]
    marked = sum(1 for line in counted if line.has(Mark.SELECTED))
    claims = "claim" if len(counted) == 1 else "claims"
    return f"{len(counted)} {claims}: {', '.join(parts)}" + (f"; {marked} selected" if marked else "")


def _would(lines: Sequence[Line], verdict: Verdict) -> str:
    if verdict not in OPEN:
        return ""
    mine = [line for line in lines if line.verdict is verdict and (line.number or line.order or line.unfit)]
    if not mine:  # statements, which a study answers
        return ""
    unfit = [line for line in mine if line.unfit]
    alone = [line for line in mine if not line.unfit and _has_no_interval(line)]
    seeds = sorted(n for line in mine if line not in alone and line not in unfit and (n := _seeds(line)))
    parts = [f"{_span(seeds)} seeds would resolve {'them' if len(seeds) == len(mine) else len(seeds)}"] if seeds else []
    parts += [f"{len(alone)} of one seed, which has no interval"] if alone else []
    parts += [f"{len(unfit)} through a feature network below its bar"] if unfit else []
    never = len(mine) - len(alone) - len(unfit) - len(seeds)
    parts += [f"{never} by no number of seeds"] if never else []
    return f" ({'; '.join(parts)})"


def remarks(line: Line) -> str:
    """Return what there is to know of a claim and of what was found."""
    order = line.order
    decided = order is not None and order.half is not None and abs(order.mean) > order.half and line.verdict in COMPARED
    lucky = decided and order is not None and order.detectable is not None and abs(order.mean) < order.detectable
    few = f"found with luck: {line.seeds} seeds detect no such difference in four cases of five, so it is probably less"
    return "; ".join(text for text in (line.claim.note, *line.notes, few if lucky else "") if text)


def _seeds(line: Line) -> int | None:
    return line.order.seeds if line.order else line.number.needs.seeds if line.number else None


def _span(values: Sequence[int]) -> str:
    return f"{values[0]:,}" if values[0] == values[-1] else f"{values[0]:,} to {values[-1]:,}"


def _budget(line: Line) -> dict[str, Any]:
    """Return the mean training of each run, lower and higher of an ordering with a bar between."""
    found = {}
    for key in ("train_images", "network_evals"):
        means = []
        for one in line.found:
            spent = [row[key] for row in one.lines if row.get(key) is not None]
            means += [f"{round(sum(spent) / len(spent))}"] if spent else []
        found[key] = " | ".join(means)
    return found


def _number_cells(line: Line) -> dict[str, Any]:
    made = line.number
    assert made is not None
    low, high = made.interval
    spreads = {"seed": made.band.seed, "draw": made.band.draw, "lab": made.band.lab, "rounding": made.band.rounding}
    return {
        "reproduced": made.reproduced,
        "expected": made.expected,
        "difference": made.difference,
        "relative": made.relative,
        "low": low,
        "high": high,
        **{f"s_{name}": _sd(spread) for name, spread in spreads.items()},
        "band": made.band.sd,
        "freedom": "known" if made.band.freedom == EXACT else made.band.freedom,
    }


def _order_cells(line: Line) -> dict[str, Any]:
    order = line.order
    assert order is not None
    found: dict[str, Any] = {"difference": order.mean, "detectable": order.detectable}
    found["relative"] = order.mean / line.lower if line.lower else None
    if order.half is not None:
        found |= {"low": order.mean - order.half, "high": order.mean + order.half, "freedom": line.seeds - 1}
    return found


def _sd(spread: Spread | None) -> float | str:
    return "not measured" if spread is None else spread.sd


def _shown(value: Any) -> Any:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else value


def _view(lines: Sequence[Line], kind: str) -> tuple[list[str], list[list[str]]]:
    headers = ["Claim", "Says", "Verdict", "Seeds", *MIDDLE[kind]]
    rows, shown = [_row(line) for line in lines], [k for k, head in enumerate(headers) if head]
    return [headers[k] for k in shown], [[row[k] for k in shown] for row in rows]


def _row(line: Line) -> list[str]:
    """Return the cells of one claim in text: id, quote, verdict, seeds, reproduced, difference, margin."""
    said, made, order = line.claim.said, line.number, line.order
    head = [line.claim.id, quote(line), line.told, whole(line.seeds or None)]
    if isinstance(said, Statement):
        return [*head, line.decision or MISSING, "", ""]
    if isinstance(said, Ordering):
        order = order if line.verdict in COMPARED else None
        half = None if order is None else order.half
        mean = MISSING if order is None else number(order.mean)
        seen = MISSING if order is None or order.detectable is None else number(order.detectable)
        return [*head, number(line.claim.value), _interval(mean, order.mean if order else None, half), seen]
    margin = number(line.claim.margin)
    sign = ESTIMATE if line.estimate else ""
    reproduced = f"{measured_as(line)} {sign}{number(made.reproduced)}" if made and not line.too_few else MISSING
    if made is None or line.verdict not in COMPARED:
        return [*head, reproduced, MISSING, margin]
    difference = _interval(number(made.difference), made.difference, made.half)
    return [*head, number(made.reproduced), difference, margin]


def _interval(text: str, middle: float | None, half: float | None) -> str:
    if middle is None or half is None:
        return text
    return f"{text} [{number(middle - half)}, {number(middle + half)}]"


def _grouped(said: Sequence[tuple[Sequence[str], Line]]) -> list[str]:
    """Return every text once, with the claims that it is said of."""
    who: dict[str, list[str]] = {}
    for texts, line in said:
        for text in texts:
            who.setdefault(text, []).append(line.claim.id)
    return [f"{text}: {', '.join(names)}." for text, names in who.items()]


def _listed(title: str, items: Sequence[str]) -> list[str]:
    return [f"**{title}**", "", *(f"- {item}" for item in items), ""] if items else []


def about(frozen: str, changed: Sequence[str], rules: Comparison, benchmark: str) -> list[str]:
    """Return the sentences above the tables: what is frozen, the spread between laboratories, how to read on."""
    lab = rules.laboratories
    interval = f" (95 %: {lab.interval[0]:g} to {lab.interval[1]:g})" if lab.interval else ""
    text = [
        f"Benchmark {benchmark}. Claims, margins, rules and readings of HKD: frozen as {frozen}; checkpoint: "
        f"{rules.checkpoint}. Spread between laboratories: {lab.relative:g} of the printed "
        f"{', '.join(lab.quantities)}{interval}. docs/claims.md says how to read a verdict.",
        f"Intervals are {100 * rules.confidence:g} % for one claim by itself: of many true ones, a few fall "
        "outside theirs. Seeds share one teacher, its trajectories, the reference and the feature network.",
    ]
    if changed:
        text += [
            "",
            f"**Not as frozen:** {', '.join(changed)}. What rests on these was not fixed before a run.",
        ]
    return text
