"""The table of the study of HKD's interpretability: each number beside its null or limit, and the decision.

Decisions follow `Rules`, which stand in configs/studies/interpretability.yaml and were fixed before looking. Questions,
quantities and decisions have short names in the code; their words are what the table shows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from hkd.report.collect import ReportError
from hkd.studies.interpretability.quantities import (
    FDN,
    LATENT,
    MIDDLE,
    MOVED,
    NEARER,
    ONE_STEP,
    STATE,
    Quantity,
    agreement_between,
    control_of,
    gain_at_equal,
    separation_by,
    specialisation_by,
)

if TYPE_CHECKING:
    from hkd.studies.interpretability.plan import Interpretability, Rules

COLUMNS = ("question", "run", "title", "quantity", "mean", "sd", "n", "reference", "reference_is", "decision", "note")


class Question(StrEnum):
    """A question of the study, in the words of the table."""

    ACCESSIBLE = "Is every intermediate state accessible?"
    DETERMINED = "Is the spectrum determined?"
    LOSS = "Does the trajectory loss help?"
    FACTORS = "Do bands of eigenvalues carry factors?"


class Decision(StrEnum):
    """The answer that a number gives under the rules, in the words of the table."""

    NONE = ""
    NOT_RUN = "not run: needs 2 seeds"
    CLOSED = "closed"
    NOT_CLOSED = "not closed"
    ACCESSIBLE = "accessible"
    NOT_ACCESSIBLE = "not accessible"
    NEARER_TO_STATE = "the state"
    NEARER_TO_CLEAN = "the clean image"
    NEARER_DEPENDS = "depends on the time"
    CONSISTENT = "consistent"
    NOT_CONSISTENT = "not consistent"
    BELOW = "below"
    ABOVE = "above"
    UNDECIDED = "undecided"
    DETERMINED = "determined"
    PARTLY_DETERMINED = "partly determined"
    NOT_DETERMINED = "not determined"
    HELPS = "helps"
    HURTS = "hurts"
    NO_DIFFERENCE = "no difference that this design could detect"
    CARRY_FACTORS = "carry factors"
    DIVIDE_FACTORS = "divide factors"
    IN_SOME_SEEDS = "in some seeds"
    NO_EVIDENCE = "no evidence"
    TEST_SENSITIVE = "the test can see"
    TEST_BLIND = "the test is blind"


@dataclass(frozen=True)
class Row:
    """One number and the decision that follows from it; `mean` and `sd` are over `n` seeds, or pairs of seeds.

    `note`: why the number is an estimate only, of those that were read through a feature network.
    """

    question: Question
    run: str
    title: str
    quantity: Quantity
    values: tuple[float, ...]
    reference: float | None
    reference_is: str
    decision: Decision
    note: str = ""

    @property
    def mean(self) -> float:
        """Mean over seeds; nan when nothing was measured."""
        return float(np.mean(self.values)) if self.values else math.nan

    @property
    def sd(self) -> float | None:
        """Standard deviation over seeds (ddof 1), None with fewer than two."""
        return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else None

    def cells(self) -> dict[str, str]:
        """Return the row of the table."""
        numbers = {"mean": self.mean if self.values else None, "sd": self.sd, "reference": self.reference}
        shown = {key: "" if value is None else f"{value:.4g}" for key, value in numbers.items()}
        words = {
            key: str(getattr(self, key)) for key in ("question", "run", "title", "reference_is", "decision", "note")
        }
        cells = {**words, **shown, "quantity": self.quantity.text, "n": str(len(self.values))}
        return {key: cells[key] for key in COLUMNS}


def evidence(measured: Mapping[str, Any], study: Interpretability, titles: Mapping[str, str]) -> list[Row]:
    """Return every row of the table.

    Args:
        measured: `closure`: run -> one content of closure.json per seed; `agreement`: the lines of agreement.json;
            `losses`: run -> `fdn` and `errors`, one per seed, and `doubts` of the former; `factors`: run -> order ->
            one factors.json per seed.
    """
    rules = study.rules
    rows = [row for run, seeds in measured["closure"].items() for row in closure_rows(run, titles[run], seeds, rules)]
    for run in study.spectra:
        mine = [line for line in measured["agreement"] if line["run"] == run]
        rows += agreement_rows(run, titles[run], mine, study)
    rows += loss_rows(measured["losses"], study, titles)
    for run, orders in measured["factors"].items():
        rows += [row for order, seeds in orders.items() for row in factor_rows(run, titles[run], order, seeds, rules)]
    return rows


# -- is every intermediate state accessible? -------------------------------------------------------------------------


def closure_rows(run: str, title: str, seeds: Sequence[Mapping[str, Any]], rules: Rules) -> list[Row]:
    """Return how far the flow between T and eps follows the encoder, and what its latents decode to."""
    found: dict[Quantity, list[float]] = {name: [] for name in (LATENT, MOVED, STATE, NEARER, ONE_STEP)}
    for errors in seeds:
        sigmas = np.array(errors["sigmas"])
        inner = np.arange(len(sigmas))[1:-1]
        latent, still = (np.nanmean(errors[name], axis=1) for name in ("latent", "still"))
        state, near_state, near_clean = decoded_distances(errors)
        noisy = inner[sigmas[inner] >= rules.apart]
        if not noisy.size:
            raise _no_level("apart", f"at or above {rules.apart:g}", sigmas[inner].tolist())
        found[LATENT].append(float(latent[inner].max()))
        found[MOVED].append(float((latent[inner] / still[inner]).mean()))
        found[STATE].append(float(state[inner].max()))
        found[NEARER].append(float((near_state[noisy] < near_clean[noisy]).mean()))
        found[ONE_STEP].append(float(np.array(errors["one_step"])[inner].mean()))
    worst = {name: max(values) for name, values in found.items()}
    shares = found[NEARER]
    if min(shares) == 1:
        nearer = Decision.NEARER_TO_STATE
    else:
        nearer = Decision.NEARER_TO_CLEAN if max(shares) == 0 else Decision.NEARER_DEPENDS
    closed = Decision.CLOSED if worst[LATENT] <= rules.closed_below else Decision.NOT_CLOSED
    accessible = Decision.ACCESSIBLE if worst[STATE] <= rules.accessible_below else Decision.NOT_ACCESSIBLE
    consistent = Decision.CONSISTENT if worst[ONE_STEP] <= rules.accessible_below else Decision.NOT_CONSISTENT
    limits = {
        LATENT: (rules.closed_below, "limit", closed),
        MOVED: (1.0, "latents left as they are", compared(found[MOVED], 1.0, rules)),
        STATE: (rules.accessible_below, "limit", accessible),
        NEARER: (1.0, "all of them", nearer),
        ONE_STEP: (rules.accessible_below, "limit", consistent),
    }
    return [Row(Question.ACCESSIBLE, run, title, name, tuple(found[name]), *limits[name]) for name in found]


def decoded_distances(errors: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the relative error of decoded latents against x_s, and their distances to x_s and to x_eps, in pixels."""
    state, size = np.array(errors["state"]), np.array(errors["size"])
    return state, state * size, np.array(errors["clean"]) * size[-1]


def compared(values: Sequence[float], limit: float, rules: Rules) -> Decision:
    """Return whether the mean lies below or above a limit, which is undecided where its interval holds the limit.

    A single value has no interval, and so is not run.
    """
    half = half_width(values, rules.confidence)
    if half is None:
        return Decision.NOT_RUN
    difference = float(np.mean(values)) - limit
    if not abs(difference) > half:  # a mean that is nan decides nothing either
        return Decision.UNDECIDED
    return Decision.BELOW if difference < 0 else Decision.ABOVE


def half_width(values: Sequence[float], confidence: float) -> float | None:
    """Return half the width of Student's interval for the mean; None with fewer than two values."""
    if len(values) < 2:
        return None
    quantile = stats.t.ppf(0.5 + confidence / 2, len(values) - 1)
    return float(quantile * np.std(values, ddof=1) / math.sqrt(len(values)))


# -- is the spectrum determined? -------------------------------------------------------------------------------------


def agreement_rows(run: str, title: str, lines: Sequence[Mapping[str, Any]], study: Interpretability) -> list[Row]:
    """Return how alike spectra order their modes: between seeds, and between operators that started differently."""
    rows, rules = [], study.rules
    kinds = ["seeds"] + (["initial operators"] if run in study.initialisations else [])
    for kind in kinds:
        for order in study.orders:
            mine = [line for line in lines if line["kind"] == kind and line["order_by"] == order]
            values = tuple(line["mean"] for line in mine)
            null = [float(np.quantile(line["null"], 1 - rules.significance)) for line in mine]
            quantity = agreement_between(kind, order)
            reference = float(np.mean(null)) if null else None
            decision = agreement_decision(values, [line["p_value"] for line in mine], rules)
            rows.append(Row(Question.DETERMINED, run, title, quantity, values, reference, "95 % of its null", decision))
    return rows


def agreement_decision(values: Sequence[float], p_values: Sequence[float], rules: Rules) -> Decision:
    """Return whether agreeing spectra are determined, wholly or in part, or that nothing could be compared."""
    if not values:
        return Decision.NOT_RUN
    if np.mean(values) >= rules.determined_above:
        return Decision.DETERMINED
    return Decision.PARTLY_DETERMINED if max(p_values) < rules.significance else Decision.NOT_DETERMINED


# -- does the trajectory loss help? ----------------------------------------------------------------------------------


def loss_rows(losses: Mapping[str, Any], study: Interpretability, titles: Mapping[str, str]) -> list[Row]:
    """Return FDn and errors from middle times, with and without the loss, and their differences at both budgets."""
    rules, found = study.rules, {}
    notes = {FDN: _noted(text for files in losses.values() for text in files["doubts"]), MIDDLE: ""}
    for run, files in losses.items():
        found[run] = {FDN: tuple(files["fdn"]), MIDDLE: tuple(middle_error(e, rules) for e in files["errors"])}
    rows = [
        Row(Question.LOSS, run, titles[run], quantity, found[run][quantity], None, "", Decision.NONE, notes[quantity])
        for run in found
        for quantity in (FDN, MIDDLE)
    ]
    for budget, run in (("steps", study.equal_steps), ("compute", study.equal_compute)):
        for quantity in (FDN, MIDDLE):
            pairs = zip(found[run][quantity], found[study.trajectory_loss][quantity], strict=True)
            gains = tuple(without - with_loss for without, with_loss in pairs)
            half = half_width(gains, rules.confidence)
            # both quantities are errors: what the loss takes off them is a gain
            meaning = {
                Decision.BELOW: Decision.HURTS,
                Decision.ABOVE: Decision.HELPS,
                Decision.UNDECIDED: Decision.NO_DIFFERENCE,
                Decision.NOT_RUN: Decision.NOT_RUN,
            }
            decision = meaning[compared(gains, 0.0, rules)]
            name, reference_is = gain_at_equal(budget, quantity), "smallest difference that counts"
            rows.append(
                Row(Question.LOSS, run, titles[run], name, gains, half, reference_is, decision, notes[quantity])
            )
    return rows


def middle_error(errors: Mapping[str, Any], rules: Rules) -> float:
    """Return the mean squared error to x_eps over the noise levels in the middle of the trajectory."""
    low, high = rules.middle
    chosen = [e for sigma, e in zip(errors["sigmas"], errors["mse_to_x_eps"], strict=True) if low <= sigma <= high]
    if not chosen:
        raise _no_level("middle", f"from {low:g} to {high:g}", errors["sigmas"])
    return float(np.mean(chosen))


def _no_level(key: str, where: str, sigmas: Sequence[float]) -> ReportError:
    return ReportError(
        f"studies.interpretability.rules.{key}: no noise level {where} among {', '.join(f'{s:g}' for s in sigmas)}; "
        "widen it in configs/studies/interpretability.yaml"
    )


# -- do bands carry factors? -----------------------------------------------------------------------------------------


def factor_rows(run: str, title: str, order: str, seeds: Sequence[Mapping[str, Any]], rules: Rules) -> list[Row]:
    """Return the separation of factors by bands, its p-value, and that of swapped resolutions, the positive control."""
    limits = [float(np.quantile(seed["null"], 1 - rules.significance)) for seed in seeds]
    limit, null = float(np.mean(limits)), "95 % of its null"
    carries = [seed["p_value"] < rules.significance for seed in seeds]
    decision = _in_seeds(carries, Decision.CARRY_FACTORS)
    sensitive = all(seed["control_separation"] > own for seed, own in zip(seeds, limits, strict=True))
    keys = ("separation", "p_value", "control_separation", "specialisation", "specialisation_p_value")
    separation, p_values, control, special, special_p = (tuple(seed[key] for seed in seeds) for key in keys)
    chance = float(np.mean([np.quantile(seed["specialisation_null"], 1 - rules.significance) for seed in seeds]))
    divides = _in_seeds([p < rules.significance for p in special_p], Decision.DIVIDE_FACTORS)
    p_separation = Quantity(f"p_value {order}", f"p-value by {order}")
    p_special = Quantity(f"specialisation_p_value {order}", f"p-value of specialisation by {order}")
    seen = Decision.TEST_SENSITIVE if sensitive else Decision.TEST_BLIND
    about, note = (Question.FACTORS, run, title), _noted(seed.get("doubt", "") for seed in seeds)
    return [
        Row(*about, separation_by(order), separation, limit, null, decision, note),
        Row(*about, p_separation, p_values, rules.significance, "limit", decision, note),
        Row(*about, specialisation_by(order), special, chance, null, divides, note),
        Row(*about, p_special, special_p, rules.significance, "limit", divides, note),
        Row(*about, control_of(order), control, limit, null, seen, note),
    ]


def _noted(doubts: Iterable[str]) -> str:
    """Return the doubts about scores of several seeds, each once."""
    return "; ".join(dict.fromkeys(text for text in doubts if text))


def _in_seeds(found: Sequence[bool], decision: Decision) -> Decision:
    """Return a decision if every seed says so, or that some do, or none."""
    if all(found):
        return decision
    return Decision.IN_SOME_SEEDS if any(found) else Decision.NO_EVIDENCE
