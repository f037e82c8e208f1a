"""From claims and what was measured to one line each: verdict, numbers, and every reason.

The verdict's arithmetic is in `hkd.report.verdicts`. Here is decided what may be compared at all: the exact protocol
allows every verdict; a run that differs from it in its training alone, below the paper's scale, a toy one; all else
none.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from hkd.report.collect import ReportError
from hkd.report.compare import Paper, why_not
from hkd.report.orderings import paired
from hkd.report.verdicts import EXACT, Comparison, Measured, Printed, Spread, Verdict, compare
from hkd.settings.columns import of_ranges
from hkd.studies.comparison.claims import Claim
from hkd.studies.comparison.frozen import Frozen, differences
from hkd.studies.comparison.gathered import Found, numbers
from hkd.studies.comparison.line import Line, Mark
from hkd.studies.comparison.pairs import SCORE, of_cells, of_runs, unfit_cells
from hkd.studies.comparison.rules import Comparison as Rules
from hkd.studies.comparison.said import Number, Ordering, Statement

BOOTSTRAP = "fid_bootstrap"
RANGES = of_ranges(SCORE, "sd")
FULL = "paper"  # the scale at which a run is no toy


class Judge:
    """Gives verdicts on claims.

    Args:
        rules: of the comparison; frozen: what was fixed before any run.
        paper: (file of configs/reported, table) -> conditions of a printed table.
        dataset: file of configs/reported -> the data set that stands for it in this benchmark, or None.
        found: claim -> what was measured of it. scale: of the benchmark, which studies' tables have.
    """

    def __init__(
        self,
        rules: Rules,
        frozen: Frozen,
        paper: Callable[[str, str], Paper],
        dataset: Callable[[str], str | None],
        found: Callable[[Claim], Found],
        scale: str,
    ) -> None:
        self._rules, self._frozen, self._scale = rules, frozen, scale
        self._paper, self._dataset, self._found = paper, dataset, found

    def lines(self, claims: Mapping[str, Claim], bypasses: Mapping[str, str] | None = None) -> list[Line]:
        """Return one line per claim, in their order. A second printing has the verdict of the first.

        Args:
            bypasses: marks of claims whose verdict `hkd verify` was told to pass over.
        """
        found = {name: self.line(claim, claims) for name, claim in claims.items()}
        for name, mark in (bypasses or {}).items():
            found[name] = replace(found[name], marks=(*found[name].marks, mark))
        for name, line in found.items():
            said = line.claim.said
            if isinstance(said, Number) and said.same_as:
                again = f"second printing of {said.same_as}"
                found[name] = replace(line, notes=(*line.notes, again))
        return list(found.values())

    def line(self, claim: Claim, claims: Mapping[str, Claim]) -> Line:
        """Return the line of one claim."""
        said = claim.said
        if isinstance(said, Number):
            line = self._number(claim, said)
        elif isinstance(said, Ordering):
            line = self._ordering(claim, *(claims[side] for side in claim.sides))
        else:
            line = self._statement(claim, said)
        changed = self._frozen.changed_of(claim, claims)
        marks = [Mark.NOT_FROZEN.of(", ".join(changed))] if changed else []
        marks += [Mark.SELECTED.of(text) for found in line.found for text in found.selected]
        marks += [mark for found in line.found for mark in self._chosen(found)]
        for name in (claims[side].run for side in claim.sides):
            marks += [Mark.SELECTED.of(self._rules.selected[name])] if name in self._rules.selected else []
        marks += [Mark.VERSIONS.of(_versions(found)) for found in line.found if len(found.codes) > 1]
        marks += [Mark.NO_RECORD.of(path) for found in line.found for path in found.unrecorded]
        return replace(line, marks=tuple(dict.fromkeys(marks)))

    def _chosen(self, found: Found) -> list[str]:
        """Return the marks of weights that are not, or are not known to be, the checkpoint that counts."""
        rule, others = self._rules.checkpoint, [one for one in found.checkpoints if one[1] != self._rules.checkpoint]
        return [
            Mark.SELECTED.of(f"{path}: checkpoint '{kept}', not the {rule}") if kept else Mark.NO_CHECKPOINT.of(path)
            for path, kept in others
        ]

    # -- numbers -------------------------------------------------------------------------------------------------------

    def _number(self, claim: Claim, said: Number) -> Line:
        if said.unanswered:
            return Line(claim, Verdict.NOT_RUN, reasons=(f"no run answers it: {said.unanswered}",))
        dataset = self._dataset(said.reported)
        if dataset is None and said.cell is None:
            reason = f"no table of this benchmark stands for '{said.reported}'"
            return Line(claim, Verdict.NOT_RUN, reasons=(reason,))
        found = self._found(claim)
        line = Line(claim, Verdict.NOT_RUN, (found,), dataset or "", seeds=len(found.lines))
        if not found.lines and not found.refused:
            return replace(line, reasons=(_absent(claim, found),))
        return self._cell_number(line, said, found) if said.cell else self._run_number(line, said, found)

    def _run_number(self, line: Line, said: Number, found: Found) -> Line:
        """Judge the metrics of a run."""
        claim = line.claim
        if found.gaps or not found.lines:
            partial = self._of_runs(claim, said, found) if found.lines else None
            return replace(line, verdict=Verdict.INCOMPLETE, gaps=found.gaps, number=partial)
        hard, training = self._reasons(claim, said, found)
        number, scale = self._of_runs(claim, said, found), str(found.lines[0]["scale"])
        notes: tuple[str, ...] = ()
        if said.minimum_of > 1 and number.band.draw is None:
            notes = (
                f"printed as the minimum of {said.minimum_of}: not allowed for, the draw's spread is not measured",
            )
        verdict, reasons = _allowed(number.verdict, hard, training, scale), (*hard, *training)
        return replace(line, verdict=verdict, scale=scale, reasons=reasons, number=number, notes=notes)

    def _cell_number(self, line: Line, said: Number, found: Found) -> Line:
        """Judge the cell of a study's table, whose data set and scale are the benchmark's."""
        cell, claim = said.cell, line.claim
        assert cell is not None
        line = replace(line, scale=self._scale)
        if not found.lines:
            return replace(line, verdict=Verdict.INCOMPLETE, gaps=found.gaps)
        row = found.lines[0]
        try:
            values = numbers(row["cell"], f"{row['file']}, {cell.column}")
        except ReportError as error:
            return replace(line, verdict=Verdict.INCOMPLETE, gaps=str(error))
        hard = [*_other_quantity(line)]
        hard += [f"{k} is '{row[k]}', not {v}" for k, v in cell.must.items() if v.lower() not in str(row[k]).lower()]
        if said.quantity == "FID" and line.dataset != said.reported:
            hard.append(f"data set '{line.dataset}', not '{said.reported}'")
        training = [f"scale '{self._scale}', not the paper's"] if self._scale != FULL else []
        number = self._against(claim, said, Measured(values))
        verdict = _allowed(number.verdict, hard, training, self._scale)
        return replace(line, verdict=verdict, reasons=(*hard, *training), number=number, seeds=len(values))

    def _of_runs(self, claim: Claim, said: Number, found: Found) -> Comparison:
        values = tuple(line["scores"][SCORE] for line in found.lines)
        return self._against(claim, said, Measured(values, _draw(found.lines), int(found.lines[0]["n_generated"])))

    def _against(self, claim: Claim, said: Number, measured: Measured) -> Comparison:
        value, labs, lab = float(claim.value or 0), self._rules.laboratories, Spread()
        if said.quantity in labs.quantities:
            lab = Spread(labs.relative * value, EXACT if labs.freedom is None else labs.freedom)
        printed = Printed(value, said.rounding, said.minimum_of)
        return compare(measured, printed, float(claim.margin or 0), lab, self._rules.confidence)

    def _reasons(self, claim: Claim, said: Number, found: Found) -> tuple[list[str], list[str]]:
        """Return why a run does not compare with a printed number: whatever its training, and by its training."""
        paper, first = self._paper(said.reported, said.conditions), found.lines[0]
        run = str(claim.run)
        if paper.train_images.get(run) is None:  # stated nowhere: the length that was frozen stands for it
            frozen = self._frozen.length(said.reported, run)
            paper = replace(paper, train_images={**paper.train_images, run: frozen})
        spent = [line["train_images"] for line in found.lines]
        known = None if None in spent else statistics.fmean(spent)
        seeds = [{**line, "train_images": known} for line in found.lines]
        every = dict.fromkeys(text for line in seeds for text in why_not(line, paper, claim.value))
        released = [{**line, "route": "released"} for line in seeds]  # whose training is never held against them
        hard = list(dict.fromkeys(text for line in released for text in why_not(line, paper, claim.value)))
        training = [text for text in every if text not in hard]
        reading = self._frozen.reading(said.reported, run)
        if reading and first["scale"] == FULL and first["route"] == "train":
            settings = found.settings[0]
            departs = [f"another reading of HKD: {text}" for text in differences(reading, settings)]
            training += departs if settings else ["the settings of its training are not recorded"]
        return hard, training

    # -- orderings -----------------------------------------------------------------------------------------------------

    def _ordering(self, claim: Claim, lower: Claim, higher: Claim) -> Line:
        sides = [self._number(side, side.said) for side in (lower, higher) if isinstance(side.said, Number)]
        found = tuple(side.found[0] for side in sides if side.found)
        absent = [f"{side.claim.id}: {'; '.join(side.reasons)}" for side in sides if side.verdict is Verdict.NOT_RUN]
        line = Line(claim, Verdict.NOT_RUN, found, sides[0].dataset, reasons=tuple(absent))
        if absent:
            return line
        if gaps := [side.gaps for side in sides if side.gaps]:
            return replace(line, verdict=Verdict.INCOMPLETE, gaps="; ".join(dict.fromkeys(gaps)))
        line = replace(line, scale=sides[0].scale)
        if isinstance(lower.said, Number) and lower.said.cell:
            pairs = of_cells([side.found[0] for side in sides])
        else:
            pairs = of_runs([side.found[0] for side in sides], 1 + self._rules.equal_budget)
        toy = [side.scale for side in sides if side.scale != FULL]
        # two toys must only be like each other; at the paper's scale each must be comparable by itself
        # stages of one study in one quantity, FDn, are in an order, though neither compares with a printed FID
        alone = [(side.claim.id, text) for side in sides for text in side.reasons if text not in _other_quantity(side)]
        own = [] if toy else [f"{name}: {text}" for name, text in alone]
        hard = [*pairs.reasons, *(pairs.unequal if toy else []), *own]
        training = [f"scale '{toy[0]}', not the paper's"] if toy else []
        if not pairs.values:
            return replace(line, verdict=Verdict.NOT_COMPARABLE, reasons=(*hard, *training))
        order = paired(pairs.differences, self._rules.confidence, self._rules.power)
        told = Verdict.INCONCLUSIVE if pairs.unfit else order.verdict
        verdict, reasons = _allowed(told, hard, training, line.scale), (*hard, *pairs.unfit, *training)
        line = replace(line, verdict=verdict, reasons=reasons, unfit=pairs.unfit)
        return replace(line, order=order, lower=pairs.lower, seeds=len(pairs.values))

    # -- statements ----------------------------------------------------------------------------------------------------

    def _statement(self, claim: Claim, said: Statement) -> Line:
        found = self._found(claim)
        line = Line(claim, Verdict.NOT_RUN, (found,), scale=self._scale)
        if not found.lines and not found.refused:
            return replace(line, reasons=(f"no {found.missing[0]}; the study '{said.study}' makes it",))
        if not found.lines:
            return replace(line, verdict=Verdict.INCOMPLETE, gaps=found.gaps)
        decision, unfit = str(found.lines[0]["cell"]), unfit_cells([found])
        if unfit:  # what sees too little answers nothing, whatever it says
            verdict = Verdict.INCONCLUSIVE
        elif decision in said.agrees:
            verdict = Verdict.REPRODUCED
        else:
            verdict = Verdict.WORSE if decision in said.disagrees else Verdict.INCONCLUSIVE
        training = [f"scale '{self._scale}', not the paper's"] if self._scale != FULL else []
        verdict = _allowed(verdict, (), training, self._scale)
        return replace(line, verdict=verdict, decision=decision, reasons=(*unfit, *training), unfit=unfit)


def _allowed(verdict: Verdict, hard: Sequence[str], training: Sequence[str], scale: str) -> Verdict:
    """Return the verdict that the reasons leave: exact, a toy one, or none."""
    if hard or (training and scale == FULL):
        return Verdict.NOT_COMPARABLE
    return verdict.at_toy_scale() if training else verdict


def _other_quantity(line: Line) -> tuple[str, ...]:
    """Return the reason why a study's cell does not compare with the printed number, where that is another quantity."""
    said = line.claim.said
    if not isinstance(said, Number) or not said.cell or said.cell.quantity in ("", said.quantity):
        return ()
    return (f"{said.cell.quantity}, not {said.quantity}",)


def _absent(claim: Claim, found: Found) -> str:
    if isinstance(claim.said, Number) and claim.said.cell:
        return f"no {found.missing[0]}"
    return f"no metrics of {claim.run} at {claim.nfe:,} NFE"


def _draw(lines: Sequence[Mapping[str, Any]]) -> Spread | None:
    """Return the spread of one evaluation of the same weights, from the best that was measured of it.

    Redraws of the features; or ranges of one run's images; or, of weights that were not trained here, other seeds,
    which are other images of the same weights.
    """
    if all(BOOTSTRAP in line["scores"] for line in lines):
        return Spread(_root_mean_square(line["scores"][BOOTSTRAP] for line in lines))
    if all(RANGES in line["scores"] for line in lines):
        parts = lines[0]["protocols"][RANGES].get("ranges")
        freedom = len(lines) * (parts - 1) if isinstance(parts, int) and parts > 1 else 1
        return Spread(_root_mean_square(line["scores"][RANGES] for line in lines), freedom)
    if len(lines) > 1 and all(line["route"] != "train" for line in lines):
        return Spread(statistics.stdev(line["scores"][SCORE] for line in lines), len(lines) - 1)
    return None


def _versions(found: Found) -> str:
    return f"{found.lines[0]['title']} ({', '.join(code[:8] for code in found.codes)})"


def _root_mean_square(values: Iterable[float]) -> float:
    return math.sqrt(statistics.fmean(value**2 for value in values))
