"""Rows on intermediate states: what evolved latents decode to, beside a perfect one-step generator and the teacher.

A perfect one-step generator makes x_eps of every trajectory and knows of no other time; the teacher's one step is
D(x_T; T), or D(x_t; t) where a state is given. Against x_t itself both fail where noise prevails, whatever HKD does. So
what evolved latents decode to is held against E[x_0 | x_t], which a decoder of clean images can give, and against x_t
with the share of x_T that the noise level demands, which a perfect generator nearly passes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hkd.studies.interpretability.answers import Decision, Question, Row, compared, no_level, noted
from hkd.studies.interpretability.quantities import (
    DENOISED,
    LATENT,
    MOVED,
    NEARER,
    ONE_STEP,
    PREDICTED,
    PRICE,
    QUALITY,
    SKIPPED,
    STATE,
    Quantity,
)

if TYPE_CHECKING:
    from hkd.studies.interpretability.questions import Rules

Errors = Mapping[str, Any]
"""The content of a closure.json."""


class Beside(NamedTuple):
    """What a perfect one-step generator and the teacher would score, means over seeds."""

    perfect: float | None = None
    teacher: float | None = None


def accessible_rows(
    closure: Mapping[str, Sequence[Errors]],
    quality: Mapping[str, Mapping[str, Any]],
    titles: Mapping[str, str],
    rules: Rules,
) -> list[Row]:
    """Return every row on intermediate states, run by run: errors, then quality and what a variant costs of it.

    Args:
        closure: run -> one content of closure.json per seed. quality: run -> `fdn`, one per seed, and `doubts` of it.
    """
    first, rows = next(iter(closure), ""), []
    for run, seeds in closure.items():
        rows += [*closure_rows(run, titles[run], seeds, rules), *teacher_rows(run, titles[run], seeds, rules)]
        about, note = (Question.ACCESSIBLE, run, titles[run]), noted(quality[run]["doubts"])
        own = tuple(quality[run]["fdn"])
        rows.append(Row(*about, QUALITY, own, None, "", Decision.NONE, note))
        if run != first:
            price = tuple(mine - other for mine, other in zip(own, quality[first]["fdn"], strict=True))
            rows.append(Row(*about, PRICE, price, 0.0, "no price", compared(price, 0.0, rules), note))
    return rows


def closure_rows(run: str, title: str, seeds: Sequence[Errors], rules: Rules) -> list[Row]:
    """Return how far the flow between T and eps follows the encoder, and what its latents decode to."""
    found: dict[Quantity, list[float]] = {name: [] for name in (LATENT, MOVED, STATE, NEARER, ONE_STEP)}
    for errors in seeds:
        sigmas, inner = np.array(errors["sigmas"]), _inner(errors)
        latent, still = (np.nanmean(errors[name], axis=1) for name in ("latent", "still"))
        state, near_state, near_clean = decoded_distances(errors)
        noisy = inner[sigmas[inner] >= rules.apart]
        if not noisy.size:
            raise no_level("apart", f"at or above {rules.apart:g}", sigmas[inner].tolist())
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
    consistent = Decision.CONSISTENT if worst[ONE_STEP] <= rules.accessible_below else Decision.NOT_CONSISTENT
    limits: dict[Quantity, tuple[float, str, Decision]] = {
        LATENT: (rules.closed_below, "limit", closed),
        MOVED: (1.0, "latents left as they are", compared(found[MOVED], 1.0, rules)),
        STATE: (rules.accessible_below, "limit", _accessible(found[STATE], rules)),
        NEARER: (1.0, "all of them", nearer),
        ONE_STEP: (rules.accessible_below, "limit", consistent),
    }
    beside = {STATE: _beside(seeds, "state")}
    return [
        Row(Question.ACCESSIBLE, run, title, name, tuple(found[name]), *limits[name], "", *beside.get(name, Beside()))
        for name in found
    ]


def teacher_rows(run: str, title: str, seeds: Sequence[Errors], rules: Rules) -> list[Row]:
    """Return what is decoded against E[x_0 | x_t] and against x_t with its skip, and what is predicted from every x_t.

    With the skip nothing follows where a perfect one-step generator fails as well; a prediction is held against the
    teacher's from the same states.
    """

    def row(name: Quantity, values: Sequence[float], limit: float, of: str, decision: Decision, beside: Beside) -> Row:
        return Row(Question.ACCESSIBLE, run, title, name, tuple(values), limit, of, decision, "", *beside)

    denoised, skipped = ([_largest(errors, name) for errors in seeds] for name in ("denoised", "skipped"))
    predicted, taught = ([_mean(errors, name) for errors in seeds] for name in ("predicted", "predicted_teacher"))
    skip = _accessible(skipped, rules)
    if skip is Decision.NOT_ACCESSIBLE and max(_largest(e, "skipped_perfect") for e in seeds) > rules.accessible_below:
        skip = Decision.VOID
    ratios = [own / other for own, other in zip(predicted, taught, strict=True)]
    limit, mean = rules.accessible_below, float(np.mean(taught))
    return [
        row(DENOISED, denoised, limit, "limit", _accessible(denoised, rules), _beside(seeds, "denoised")),
        row(SKIPPED, skipped, limit, "limit", skip, _beside(seeds, "skipped")),
        row(PREDICTED, predicted, mean, "the teacher's", compared(ratios, 1.0, rules), Beside(0.0, mean)),
    ]


def decoded_distances(errors: Errors) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the relative error of decoded latents against x_s, and their distances to x_s and to x_eps, in pixels."""
    state, size = np.array(errors["state"]), np.array(errors["size"])
    return state, state * size, np.array(errors["clean"]) * size[-1]


def _accessible(values: Sequence[float], rules: Rules) -> Decision:
    return Decision.ACCESSIBLE if max(values) <= rules.accessible_below else Decision.NOT_ACCESSIBLE


def _beside(seeds: Sequence[Errors], name: str) -> Beside:
    """Return what a perfect one-step generator and the teacher score in an error, largest over times."""
    return Beside(*(float(np.mean([_largest(e, f"{name}_{who}") for e in seeds])) for who in Beside._fields))


def _inner(errors: Errors) -> np.ndarray:
    """Return the indices of the noise levels between T and eps: at these two nothing is intermediate."""
    return np.arange(len(errors["sigmas"]))[1:-1]


def _largest(errors: Errors, name: str) -> float:
    return float(np.array(errors[name])[_inner(errors)].max())


def _mean(errors: Errors, name: str) -> float:
    return float(np.array(errors[name])[_inner(errors)].mean())
