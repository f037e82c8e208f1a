"""The table of the study of HKD's interpretability: every row, question by question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hkd.studies.interpretability.accessible import accessible_rows
from hkd.studies.interpretability.answers import Decision, Question, Row, compared, half_width, no_level, noted
from hkd.studies.interpretability.quantities import (
    FDN,
    MIDDLE,
    Quantity,
    agreement_between,
    control_of,
    gain_at_equal,
    separation_by,
    specialisation_by,
)

if TYPE_CHECKING:
    from hkd.studies.interpretability.questions import Interpretability, Rules


def evidence(measured: Mapping[str, Any], study: Interpretability, titles: Mapping[str, str]) -> list[Row]:
    """Return every row of the table.

    Args:
        measured: `closure`: run -> one content of closure.json per seed; `quality`: run -> `fdn`, one per seed, and
            `doubts` of it; `agreement`: the lines of agreement.json; `losses`: run -> `fdn` and `errors`, one per
            seed, and `doubts` of the former; `factors`: run -> order -> one factors.json per seed.
    """
    rules = study.rules
    rows = accessible_rows(measured["closure"], measured["quality"], titles, rules)
    for run in study.spectra:
        mine = [line for line in measured["agreement"] if line["run"] == run]
        rows += agreement_rows(run, titles[run], mine, study)
    rows += loss_rows(measured["losses"], study, titles)
    for run, orders in measured["factors"].items():
        rows += [row for order, seeds in orders.items() for row in factor_rows(run, titles[run], order, seeds, rules)]
    return rows


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
    notes = {FDN: noted(text for files in losses.values() for text in files["doubts"]), MIDDLE: ""}
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
        raise no_level("middle", f"from {low:g} to {high:g}", errors["sigmas"])
    return float(np.mean(chosen))


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
    about, note = (Question.FACTORS, run, title), noted(seed.get("doubt", "") for seed in seeds)
    return [
        Row(*about, separation_by(order), separation, limit, null, decision, note),
        Row(*about, p_separation, p_values, rules.significance, "limit", decision, note),
        Row(*about, specialisation_by(order), special, chance, null, divides, note),
        Row(*about, p_special, special_p, rules.significance, "limit", divides, note),
        Row(*about, control_of(order), control, limit, null, seen, note),
    ]


def _in_seeds(found: Sequence[bool], decision: Decision) -> Decision:
    """Return a decision if every seed says so, or that some do, or none."""
    if all(found):
        return decision
    return Decision.IN_SOME_SEEDS if any(found) else Decision.NO_EVIDENCE
