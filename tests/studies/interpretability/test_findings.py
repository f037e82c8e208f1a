"""The findings: every decision has a sentence of its own."""

from __future__ import annotations

import pytest

from hkd.studies.interpretability.evidence import evidence
from hkd.studies.interpretability.findings import findings
from tests.studies.interpretability.case import (
    COMPUTE,
    CONTROL,
    HKD,
    MENDED,
    STEPS,
    STUDY,
    TITLES,
    closure,
    factors,
    losses,
    measured,
    pair,
    quality,
)


def text(**changes) -> str:
    return findings(evidence(measured(**changes), STUDY, TITLES), STUDY, TITLES, "shapes, 3 seeds")


def closures(**own) -> dict:
    return {HKD: [closure(**own)] * 3, MENDED: [closure(0.05)] * 3}


@pytest.mark.parametrize(
    "own, said",
    [
        (
            {"denoised": 0.125},
            "In HKD yes: decoded latents miss E[x_0 | x_t] by up to 0.125 ± 0 of its size (limit 0.25",
        ),
        ({"denoised": 0.7}, "In HKD no: decoded latents miss E[x_0 | x_t] by up to 0.7"),
        ({}, "knows of no time, 0.8, the teacher's one step 0.6)"),
        ({"skipped": 0.125}, "demands they miss the state by up to 0.125 ± 0, within the limit"),
        ({"skipped": 0.375}, "demands they miss the state by up to 0.375 ± 0, beyond the limit"),
        ({"skipped": 0.4, "skipped_perfect": 0.3}, "which says nothing, for a perfect generator fails too"),
        ({"state": 0.9, "clean": 0.1}, "at 100% of the noise levels above 0.5 they are nearer to the clean image"),
        ({"state": 0.5, "clean": 0.9}, "at 0% of the noise levels above 0.5 they are nearer to the clean image"),
        (
            {"predicted": 0.25},
            "misses the clean image by 0.25 ± 0 in one step on the mean, less than the teacher (0.4)",
        ),
        ({"predicted": 0.5}, "more than the teacher (0.4)"),
        ({"predicted": 0.4}, "not told apart from the teacher (0.4)"),
        ({"latent": 0.05}, "Its latents follow the encoder"),
        ({"latent": 0.5}, "Its latents do not follow the encoder"),
        ({"latent": 0.5, "still": 0.4}, "moving latents brings them no nearer"),
        ({"latent": 0.5, "still": 0.8}, "moving latents brings them nearer to the encoded states than leaving"),
    ],
)
def test_the_sentence_on_accessible_states_follows_the_decision(own, said):
    assert said in text(closure=closures(**own))


def test_a_decision_that_depends_on_the_time_is_told_as_a_share():
    mixed = closure()
    mixed["state"], mixed["clean"] = [0.9, 0.9, 0.5, 0.5, 0.5, 0.5], [0.5, 0.5, 0.9, 0.9, 0.9, 0.9]
    assert "at 33% of the noise levels above 0.5 they are nearer to the clean image" in text(
        closure={HKD: [mixed] * 3, MENDED: [closure()] * 3}
    )


def test_the_sentence_on_a_variant_names_the_errors_that_it_changes():
    said = "The variant 'closure loss' lowers the latent error (0.051 ± 0.001, within the limit)"
    assert said in text()
    worse = {HKD: [closure(0.5 + k / 100) for k in range(3)], MENDED: [closure(0.9 + k / 100) for k in range(3)]}
    assert "raises the latent error" in text(closure=worse)
    same = {HKD: [closure(0.5), closure(0.4)], MENDED: [closure(0.45), closure(0.47)]}
    price = {HKD: quality(15.0, 16.0), MENDED: quality(16.0, 15.0)}
    assert "does not detectably change the latent error" in text(closure=same, quality=price)


@pytest.mark.parametrize(
    ("mended", "said"),
    [
        ((15.9, 16.8, 16.6), "and costs FDn (0.933 ± 0.15, seen from 0.38)"),
        ((14.1, 15.2, 14.4), "and lowers FDn (-0.933 ± 0.15"),
        ((15.0, 16.5, 15.1), "and is not seen to cost FDn"),
    ],
)
def test_the_sentence_on_a_variant_names_its_price(mended, said):
    assert said in text(quality={HKD: quality(15.0, 16.0, 15.5), MENDED: quality(*mended)})


def agreements(hkd: float, control: float, start: float = 0.3, p_value: float = 0.01) -> list:
    rows = ((HKD, "seeds", hkd), (CONTROL, "seeds", control), (HKD, "initial operators", start))
    return [
        pair(run, kind, mean + shift, order, p_value)
        for order in STUDY.orders
        for run, kind, mean in rows
        for shift in (-0.01, 0.0, 0.01)
    ]


@pytest.mark.parametrize(
    "hkd, control, said",
    [
        (0.95, 0.95, "Yes: between seeds the rank correlation of modes is 0.95"),
        (0.5, 0.95, "Only in part"),
        (0.5, 0.95, "so what was not determined is what such an encoder takes over"),
        (0.5, 0.7, "higher but not 1: the encoder's freedom is a part of the reason"),
        (0.5, 0.3, "lower, so the encoder's freedom to take over the evolution is not the reason"),
        (0.5, 0.505, "no clear difference, so nothing of it can be put down to the encoder's freedom"),
    ],
)
def test_the_sentence_on_agreement_names_its_control(hkd, control, said):
    assert said in text(agreement=agreements(hkd, control))


@pytest.mark.parametrize(
    "start, p_value, said", [(0.95, 0.01, "does not matter"), (0.3, 0.01, "matters"), (0.0, 0.5, "decides")]
)
def test_the_sentence_on_initial_operators_follows_the_decision(start, p_value, said):
    assert f"Where the operators start {said}" in text(agreement=agreements(0.5, 0.5, start, p_value))


def test_the_sentence_on_the_loss_names_both_budgets():
    found = text()
    assert "makes no detectable difference to one-step quality (FDn) at equal steps" in found
    assert "hurts one-step quality (FDn) at equal compute" in found
    assert "helps prediction from middle states at equal steps" in found


@pytest.mark.parametrize(
    "separation, control, said",
    [
        (0.3, 0.5, "HKD: yes, by every ordering"),
        (0.05, 0.5, "HKD: no evidence by any ordering"),
        (0.3, 0.01, "the positive control does not stand out from the null, so the test says nothing"),
    ],
)
def test_the_sentence_on_bands_names_their_control(separation, control, said):
    tests = {HKD: {order: [factors(separation, control, k) for k in range(3)] for order in STUDY.orders}}
    found = text(factors=tests)
    assert said in found
    assert ("the positive control, stands out from the null (0.5 ± 0 against 0.0" in found) == (control == 0.5)


def test_bands_that_carry_more_of_all_factors_are_not_said_to_divide_them():
    def said(special):
        return text(factors={HKD: {o: [factors(seed=k, special=special) for k in range(3)] for o in STUDY.orders}})

    assert "but its bands differ in how much they carry of all factors, not in which" in said(0.05)
    assert "and its bands differ in which factors they carry, beyond how much of all" in said(0.3)


def test_an_ordering_that_carries_is_named():
    strong, weak = ([factors(separation, seed=k) for k in range(3)] for separation in (0.3, 0.05))
    assert "HKD: by abs_alpha yes" in text(factors={HKD: {"alpha": weak, "abs_alpha": strong}})
    assert "by alpha in some seeds only" in text(factors={HKD: {"alpha": [*weak[:2], strong[0]], "abs_alpha": weak}})


def test_with_one_seed_the_findings_name_the_numbers_that_need_two():
    found = text(
        closure={run: [closure()] for run in (HKD, MENDED)},
        quality={HKD: quality(15.0), MENDED: quality(16.0)},
        agreement=[pair(HKD, "initial operators", 0.4, order) for order in STUDY.orders],
        losses={run: losses([15.0], [0.01]) for run in (HKD, STEPS, COMPUTE)},
        factors={HKD: {order: [factors()] for order in STUDY.orders}},
    )
    assert "Between seeds not run: needs 2 seeds." in found
    assert "than leaving them needs 2 seeds (ratio 0.5)" in found
    assert "by one seed is not shown to change the latent error" in found
    assert "one-step quality (FDn) at equal compute: not run: needs 2 seeds" in found
    assert "by one seed in no order with the teacher" in found and "by one seed is not shown to cost FDn (1)" in found
    assert "±" not in found


def test_what_decodes_states_is_not_compared_with_what_decodes_images_in_what_the_teacher_denoises():
    unlike = "is not held against it in the error against E[x_0 | x_t]"
    images, states = [closure(denoised=0.875)] * 3, [closure(denoised=0.375, state=0.3, skipped=0.3)] * 3
    assert f"{unlike} (0.375 ± 0, beyond the limit; the teacher" in text(closure={HKD: images, MENDED: states})
    assert f"{unlike} (0.875 ± 0, beyond the limit; the teacher" in text(closure={HKD: states, MENDED: images})
    for alike in (images, states):
        assert unlike not in text(closure={HKD: images if alike is images else states, MENDED: alike})
