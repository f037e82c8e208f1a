"""What was measured about HKD's interpretability, as rows: each number beside its null or limit, and the decision.

Decisions follow `Rules`, which stand in configs/studies/interpretability.yaml and were fixed before looking.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from hkd.report.collect import ReportError

if TYPE_CHECKING:
    from hkd.studies.interpretability.plan import Interpretability, Rules

COLUMNS = ("question", "run", "title", "quantity", "mean", "sd", "n", "reference", "reference_is", "decision")
ACCESSIBLE, DETERMINED = "Is every intermediate state accessible?", "Is the spectrum determined?"
LOSS, FACTORS = "Does the trajectory loss help?", "Do bands of eigenvalues carry factors?"
NOT_RUN = "not run: needs 2 seeds"

LATENT = "closure error of latents, largest over times"
MOVED = "closure error of latents over that of latents left as they are, mean over times"
STATE = "decoded latents against the state, largest relative error over times"
NEARER = "share of noise levels at which decoded latents are nearer to the state than to the clean image"
ONE_STEP = "clean image predicted from x_T against that from the state, mean relative error over times"
FDN, MIDDLE = "FDn", "squared error of the clean image predicted from middle states"


@dataclass(frozen=True)
class Row:
    """One number and what follows from it; `mean` and `sd` are over `n` seeds, or pairs of them."""

    question: str
    run: str
    title: str
    quantity: str
    values: tuple[float, ...]
    reference: float | None
    reference_is: str
    decision: str

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
        words = {key: getattr(self, key) for key in COLUMNS if key not in shown and key != "n"}
        cells = {**words, **shown, "n": str(len(self.values))}
        return {key: cells[key] for key in COLUMNS}


def evidence(measured: Mapping[str, Any], study: Interpretability, titles: Mapping[str, str]) -> list[Row]:
    """Return every row of the table.

    Args:
        measured: `closure`: run -> one content of closure.json per seed; `agreement`: the lines of agreement.json;
            `losses`: run -> `fdn` and `errors`, one per seed; `factors`: run -> order -> one factors.json per seed.
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
    found: dict[str, list[float]] = {name: [] for name in (LATENT, MOVED, STATE, NEARER, ONE_STEP)}
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
    nearer = "the state" if min(shares) == 1 else "the clean image" if max(shares) == 0 else "depends on the time"
    limits = {
        LATENT: (rules.closed_below, "limit", "closed" if worst[LATENT] <= rules.closed_below else "not closed"),
        MOVED: (1.0, "latents left as they are", compared(found[MOVED], 1.0, rules)),
        STATE: (
            rules.accessible_below,
            "limit",
            "accessible" if worst[STATE] <= rules.accessible_below else "not accessible",
        ),
        NEARER: (1.0, "all of them", nearer),
        ONE_STEP: (
            rules.accessible_below,
            "limit",
            "consistent" if worst[ONE_STEP] <= rules.accessible_below else "not consistent",
        ),
    }
    return [Row(ACCESSIBLE, run, title, name, tuple(found[name]), *limits[name]) for name in found]


def decoded_distances(errors: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the relative error of decoded latents against x_s, and their distances to x_s and to x_eps, in pixels."""
    state, size = np.array(errors["state"]), np.array(errors["size"])
    return state, state * size, np.array(errors["clean"]) * size[-1]


def compared(values: Sequence[float], limit: float, rules: Rules) -> str:
    """Return `below`, `above` or `undecided`: does the interval for the mean exclude the limit? One value has none."""
    half = half_width(values, rules.confidence)
    if half is None:
        return NOT_RUN
    difference = float(np.mean(values)) - limit
    if not abs(difference) > half:  # nor for nan
        return "undecided"
    return "below" if difference < 0 else "above"


def half_width(values: Sequence[float], confidence: float) -> float | None:
    """Return half the width of Student's interval for the mean; None with fewer than two values."""
    if len(values) < 2:
        return None
    quantile = stats.t.ppf(0.5 + confidence / 2, len(values) - 1)
    return float(quantile * np.std(values, ddof=1) / math.sqrt(len(values)))


# -- is the spectrum determined? -------------------------------------------------------------------------------------


def agreement_rows(run: str, title: str, lines: Sequence[Mapping[str, Any]], study: Interpretability) -> list[Row]:
    """Return how much alike two spectra order modes: between seeds, and between operators that started elsewhere."""
    rows, rules = [], study.rules
    kinds = ["seeds"] + (["initial operators"] if run in study.initialisations else [])
    for kind in kinds:
        for order in study.orders:
            mine = [line for line in lines if line["kind"] == kind and line["order_by"] == order]
            values = tuple(line["mean"] for line in mine)
            null = [float(np.quantile(line["null"], 1 - rules.significance)) for line in mine]
            quantity = f"rank correlation of modes by {order} between {kind}"
            reference = float(np.mean(null)) if null else None
            decision = agreement_decision(values, [line["p_value"] for line in mine], rules)
            rows.append(Row(DETERMINED, run, title, quantity, values, reference, "95 % of its null", decision))
    return rows


def agreement_decision(values: Sequence[float], p_values: Sequence[float], rules: Rules) -> str:
    """Return `determined`, `partly determined`, `not determined`, or that nothing could be compared."""
    if not values:
        return NOT_RUN
    if np.mean(values) >= rules.determined_above:
        return "determined"
    return "partly determined" if max(p_values) < rules.significance else "not determined"


# -- does the trajectory loss help? ----------------------------------------------------------------------------------


def loss_rows(losses: Mapping[str, Any], study: Interpretability, titles: Mapping[str, str]) -> list[Row]:
    """Return FDn and errors from middle times, with and without the loss, and their differences at both budgets."""
    rules, found = study.rules, {}
    for run, files in losses.items():
        found[run] = {FDN: tuple(files["fdn"]), MIDDLE: tuple(middle_error(e, rules) for e in files["errors"])}
    rows = [
        Row(LOSS, run, titles[run], quantity, found[run][quantity], None, "", "")
        for run in found
        for quantity in (FDN, MIDDLE)
    ]
    for budget, run in (("steps", study.equal_steps), ("compute", study.equal_compute)):
        for quantity in (FDN, MIDDLE):
            pairs = zip(found[run][quantity], found[study.trajectory_loss][quantity], strict=True)
            gains = tuple(without - with_loss for without, with_loss in pairs)
            half = half_width(gains, rules.confidence)
            name = f"{quantity}: without the loss less with it, at equal {budget}"
            words = {"below": "hurts", "above": "helps", "undecided": "no difference that this design could detect"}
            decided = compared(gains, 0.0, rules)
            decision = words.get(decided, decided)
            what = "smallest difference that counts"
            rows.append(Row(LOSS, run, titles[run], name, gains, half, what, decision))
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
    decision = "carry factors" if all(carries) else "in some seeds" if any(carries) else "no evidence"
    sees = all(seed["control_separation"] > own for seed, own in zip(seeds, limits, strict=True))
    keys = ("separation", "p_value", "control_separation", "specialisation", "specialisation_p_value")
    separation, p_values, control, special, special_p = (tuple(seed[key] for seed in seeds) for key in keys)
    chance = float(np.mean([np.quantile(seed["specialisation_null"], 1 - rules.significance) for seed in seeds]))
    divides = [p < rules.significance for p in special_p]
    labour = "divide factors" if all(divides) else "in some seeds" if any(divides) else "no evidence"
    return [
        Row(FACTORS, run, title, f"separation by {order}", separation, limit, null, decision),
        Row(FACTORS, run, title, f"p-value by {order}", p_values, rules.significance, "limit", decision),
        Row(FACTORS, run, title, f"specialisation by {order}", special, chance, null, labour),
        Row(
            FACTORS, run, title, f"p-value of specialisation by {order}", special_p, rules.significance, "limit", labour
        ),
        Row(
            FACTORS,
            run,
            title,
            f"separation by resolution, the positive control of {order}",
            control,
            limit,
            null,
            "the test can see" if sees else "the test is blind",
        ),
    ]
