"""The findings about HKD's interpretability in sentences, each chosen by a decision of the evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from hkd.studies.interpretability.answers import Decision, Question, Row, compared, half_width
from hkd.studies.interpretability.quantities import (
    DENOISED,
    FDN,
    LATENT,
    MIDDLE,
    MOVED,
    NEARER,
    PREDICTED,
    PRICE,
    SKIPPED,
    STATE,
    Quantity,
    agreement_between,
    control_of,
    gain_at_equal,
    separation_by,
    specialisation_by,
)

if TYPE_CHECKING:
    from hkd.studies.interpretability.questions import Interpretability, Rules


def findings(rows: Sequence[Row], study: Interpretability, titles: Mapping[str, str], about: str) -> str:
    """Return the Markdown text: one paragraph per question."""
    parts = [
        f"# Interpretability of HKD: what the evidence supports\n\n{about}. Numbers are means over seeds, with their "
        "standard deviation where there are at least two; the rules for each decision stand in "
        "configs/studies/interpretability.yaml. All of it holds for this data set, network and training length."
    ]
    found = Evidence(rows)
    paragraphs = {
        Question.ACCESSIBLE: accessible(found, study, titles),
        Question.DETERMINED: determined(found, study),
        Question.LOSS: trajectory_loss(found, study),
        Question.FACTORS: factors(found, study),
    }
    parts += [f"**{question}** {text}{_doubted(rows, question)}" for question, text in paragraphs.items()]
    return "\n\n".join(parts) + "\n"


def _doubted(rows: Sequence[Row], question: Question) -> str:
    """Return why what was read through a feature network is an estimate, after the paragraph of a question."""
    notes = dict.fromkeys(row.note for row in rows if row.question is question and row.note)
    return f" What was read through a feature network is an estimate: {'; '.join(notes)}." if notes else ""


class Evidence:
    """Rows by run and quantity."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = {(row.run, row.quantity.key): row for row in rows}

    def row(self, run: str, quantity: Quantity) -> Row:
        """Return the row of a run that measures this quantity."""
        return self._rows[run, quantity.key]


def number(row: Row) -> str:
    """Return mean and spread as text."""
    return f"{row.mean:.3g}" if row.sd is None else f"{row.mean:.3g} ± {row.sd:.2g}"


def accessible(found: Evidence, study: Interpretability, titles: Mapping[str, str]) -> str:
    """Return whether intermediate states are accessible in HKD itself, then how each variant changes that."""
    run, *variants = study.closure
    denoised, latent = found.row(run, DENOISED), found.row(run, LATENT)
    text = (
        f"In {titles[run]} {'yes' if denoised.decision is Decision.ACCESSIBLE else 'no'}: decoded latents miss "
        f"E[x_0 | x_t] by up to {number(denoised)} of its size (limit {study.rules.accessible_below:g}; "
        f"{_beside(denoised)}). {_state(found, run, study)} {_predicted(found.row(run, PREDICTED))}"
    )
    moved = found.row(run, MOVED)
    closing = {
        Decision.BELOW: "moving latents brings them nearer to the encoded states than leaving them",
        Decision.ABOVE: "moving latents brings them no nearer to the encoded states than leaving them",
        Decision.UNDECIDED: "whether moving latents brings them nearer to the encoded states than leaving them is "
        "undecided",
        Decision.NOT_RUN: "whether moving latents brings them nearer to the encoded states than leaving them needs 2 "
        "seeds",
    }[moved.decision]
    follow = "follow" if latent.decision is Decision.CLOSED else "do not follow"
    text += (
        f" Its latents {follow} the encoder along a trajectory (error up to {number(latent)}, limit "
        f"{study.rules.closed_below:g}), and {closing} (ratio {number(moved)})."
    )
    return " ".join([text, *(_mended(found, run, other, titles[other], study.rules) for other in variants)])


def _beside(row: Row) -> str:
    """Return what a perfect one-step generator and the teacher would score."""
    return (
        f"a perfect one-step generator, which knows of no time, {row.perfect:.3g}, the teacher's one step "
        f"{row.teacher:.3g}"
    )


def _state(found: Evidence, run: str, study: Interpretability) -> str:
    """Return how near decoded latents come to the state itself, as they are and with the skip of their noise level."""
    state, skipped, nearer = (found.row(run, quantity) for quantity in (STATE, SKIPPED, NEARER))
    verdict = {
        Decision.ACCESSIBLE: "within the limit",
        Decision.NOT_ACCESSIBLE: "beyond the limit",
        Decision.VOID: "which says nothing, for a perfect generator fails too",
    }[skipped.decision]
    share = f"{1 - nearer.mean:.0%} of the noise levels above {study.rules.apart:g}"
    return (
        f"With the skip that their noise level demands they miss the state by up to {number(skipped)}, {verdict} "
        f"({_beside(skipped)}); as they are by up to {number(state)} ({_beside(state)}), and at {share} they are "
        "nearer to the clean image."
    )


def _predicted(row: Row) -> str:
    """Return how well the clean image is predicted from every state, beside the teacher's one step from there."""
    words = {
        Decision.BELOW: "less than the teacher",
        Decision.ABOVE: "more than the teacher",
        Decision.UNDECIDED: "not told apart from the teacher",
        Decision.NOT_RUN: "by one seed in no order with the teacher",
    }
    return (
        f"From every state it misses the clean image by {number(row)} in one step on the mean, {words[row.decision]} "
        f"({row.teacher:.3g})."
    )


def _mended(found: Evidence, run: str, other: str, title: str, rules: Rules) -> str:
    """Return how a variant changes the errors of latents and of decoded states."""
    verbs = {
        Decision.BELOW: "lowers",
        Decision.ABOVE: "raises",
        Decision.UNDECIDED: "does not detectably change",
        Decision.NOT_RUN: "by one seed is not shown to change",
    }
    clauses = []
    for quantity, what, good in (
        (LATENT, "the latent error", Decision.CLOSED),
        (DENOISED, "the error against E[x_0 | x_t]", Decision.ACCESSIBLE),
        (SKIPPED, "that against the state, with its skip", Decision.ACCESSIBLE),
    ):
        before, after = found.row(run, quantity), found.row(other, quantity)
        changes = [b - a for a, b in zip(before.values, after.values, strict=True)]
        limit = "within the limit" if after.decision is good else "beyond the limit"
        if quantity is DENOISED and _decodes_states(found, run) != _decodes_states(found, other):
            # an image is scored as it is, a state by what the teacher makes of it, which is another quantity
            clauses.append(
                f"is not held against it in {what} ({number(after)}, {limit}; the teacher denoises states first)"
            )
            continue
        clauses.append(f"{verbs[compared(changes, 0.0, rules)]} {what} ({number(after)}, {limit})")
    price = found.row(other, PRICE)
    cost = {
        Decision.BELOW: "lowers FDn",
        Decision.ABOVE: "costs FDn",
        Decision.UNDECIDED: "is not seen to cost FDn",
        Decision.NOT_RUN: "by one seed is not shown to cost FDn",
    }[price.decision]
    half = half_width(price.values, rules.confidence)
    seen = "" if half is None else f", seen from {half:.2g}"
    return f"The variant '{title}' {', '.join(clauses)}, and {cost} ({number(price)}{seen})."


def _decodes_states(found: Evidence, run: str) -> bool:
    """Return whether a run decodes the state with its noise, to which no skip is added."""
    return found.row(run, STATE).values == found.row(run, SKIPPED).values


def determined(found: Evidence, study: Interpretability) -> str:
    """Return whether the spectrum is determined, and whether the control explains why not."""
    run, order = study.spectra[0], study.orders[0]
    seeds, control = (found.row(which, agreement_between("seeds", order)) for which in (run, study.control))
    not_run = seeds.decision is Decision.NOT_RUN
    text = f"Between seeds {Decision.NOT_RUN}." if not_run else _between_seeds(seeds, control)
    if run in study.initialisations:
        start = found.row(run, agreement_between("initial operators", order))
        words = {
            Decision.DETERMINED: "does not matter",
            Decision.PARTLY_DETERMINED: "matters",
            Decision.NOT_DETERMINED: "decides",
        }
        text += (
            f" Where the operators start {words[start.decision]}: rank correlation {number(start)} between those from "
            f"zero and those from random values (null {start.reference:.2g})."
        )
    return text


def _between_seeds(seeds: Row, control: Row) -> str:
    """Return how alike seeds order modes, beside a control whose encoder is not told the time."""
    opening = {
        Decision.DETERMINED: "Yes",
        Decision.PARTLY_DETERMINED: "Only in part",
        Decision.NOT_DETERMINED: "No",
    }
    text = (
        f"{opening[seeds.decision]}: between seeds the rank correlation of modes is {number(seeds)} "
        f"(null {seeds.reference:.2g}). With an encoder that is not told the time it is {number(control)}, "
    )
    if min(control.values) > max(seeds.values):
        if control.decision is Decision.DETERMINED:
            return text + "so what was not determined is what such an encoder takes over."
        return text + "higher but not 1: the encoder's freedom is a part of the reason, chance in training another."
    if max(control.values) < min(seeds.values):
        return text + "lower, so the encoder's freedom to take over the evolution is not the reason."
    return text + "no clear difference, so nothing of it can be put down to the encoder's freedom."


def trajectory_loss(found: Evidence, study: Interpretability) -> str:
    """Return at which budget the loss helps which quantity."""
    clauses = []
    for quantity, what in ((FDN, "one-step quality (FDn)"), (MIDDLE, "prediction from middle states")):
        for budget, run in (("steps", study.equal_steps), ("compute", study.equal_compute)):
            row = found.row(run, gain_at_equal(budget, quantity))
            if row.decision is Decision.NOT_RUN:
                clauses.append(f"{what} at equal {budget}: {row.decision} (difference {row.mean:.3g})")
                continue
            assert row.reference is not None
            undetected = row.decision is Decision.NO_DIFFERENCE
            verb = "makes no detectable difference to" if undetected else str(row.decision)
            clauses.append(
                f"{verb} {what} at equal {budget} (difference {number(row)}, detectable from {row.reference:.2g})"
            )
    not_run = Decision.NOT_RUN in clauses[0]
    return f"{'; '.join(clauses)}." if not_run else f"At this scale it {'; it '.join(clauses)}."


def _labour(divide: Sequence[str], telling: Sequence[str]) -> str:
    """Return whether the bands that carry factors carry different ones."""
    named = [order for order in telling if order in divide]
    if not named:
        return "but its bands differ in how much they carry of all factors, not in which"
    by = "" if len(named) == len(telling) else f" by {', '.join(named)}"
    return f"and its bands{by} differ in which factors they carry, beyond how much of all"


def factors(found: Evidence, study: Interpretability) -> str:
    """Return for each run by which orders of modes bands carry factors, unless the positive control fails."""
    sentences = []
    for run in study.factors:
        rows = {order: found.row(run, separation_by(order)) for order in study.orders}
        controls = [found.row(run, control_of(order)) for order in study.orders]
        title = next(iter(rows.values())).title
        if any(control.decision is Decision.TEST_BLIND for control in controls):
            sentences.append(
                f"{title}: the positive control does not stand out from the null, so the test says nothing."
            )
            continue
        carrying = [order for order, row in rows.items() if row.decision is Decision.CARRY_FACTORS]
        some = [order for order, row in rows.items() if row.decision is Decision.IN_SOME_SEEDS]
        if len(carrying) == len(rows):
            text = f"{title}: yes, by every ordering"
        elif carrying:
            text = f"{title}: by {', '.join(carrying)} yes"
        elif some:
            text = f"{title}: by {', '.join(some)} in some seeds only, by no ordering in all"
        else:
            text = f"{title}: no evidence by any ordering"
        lowest = min(controls, key=lambda control: control.mean)
        numbers = "; ".join(f"{order} {number(row)} against {row.reference:.3g}" for order, row in rows.items())
        special = {order: found.row(run, specialisation_by(order)).decision for order in study.orders}
        divide = [order for order, decision in special.items() if decision is Decision.DIVIDE_FACTORS]
        if carrying or some:
            text += f"; {_labour(divide, [*carrying, *some])}"
        text += f" (separation against 95 % of its null: {numbers}), while swapping resolutions, the positive control, "
        sentences.append(f"{text}stands out from the null ({number(lowest)} against {lowest.reference:.3g}).")
    return " ".join(sentences)
