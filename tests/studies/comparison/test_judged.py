"""Golden verdicts: values planted on both sides of every boundary of a fabricated results folder."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from hkd.metrics.scores.uncertainty import why_estimate
from hkd.metrics.scoring import weakness
from hkd.report.verdicts import Verdict
from hkd.store.atomic import write_json, write_text
from hkd.store.records import Record
from hkd.studies.comparison.gathered import TOO_FEW
from hkd.studies.comparison.pairs import WEAK
from hkd.studies.comparison.table import remarks, resolved_by, summary

T6 = 2.446912  # Student's t, 0.975, six degrees of freedom, from a printed table
KD, KD_IMAGES = 9.36, 25_600_000  # printed; ranked against HKD's 3.30, so its margin is 3.03
ECM_IMAGES = 51_200_000
BETWEEN_LABORATORIES = 0.117 * KD * T6  # half the interval of one seed: 2.680


# -- numbers at the exact protocol -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "difference, verdict",
    [
        (0.0, Verdict.REPRODUCED),
        (3.03 - BETWEEN_LABORATORIES - 0.003, Verdict.REPRODUCED),
        (3.03 - BETWEEN_LABORATORIES + 0.003, Verdict.INCONCLUSIVE),
        (-3.03 + BETWEEN_LABORATORIES + 0.003, Verdict.REPRODUCED),
        (-3.03 + BETWEEN_LABORATORIES - 0.003, Verdict.INCONCLUSIVE),
        (3.029, Verdict.INCONCLUSIVE),
        (3.031, Verdict.WORSE),
        (-3.029, Verdict.INCONCLUSIVE),
        (-3.031, Verdict.BETTER),
    ],
)
def test_a_number_on_both_sides_of_its_margin(tree, difference, verdict):
    made = tree()
    made.plant("methods/kd", 1, [KD + difference], KD_IMAGES)
    line = made.judged("t1-kd")
    assert line.verdict is verdict, line
    assert not line.reasons and not line.gaps and not line.marks
    assert line.number.half == pytest.approx(BETWEEN_LABORATORIES, abs=2e-3)


@pytest.mark.parametrize("difference, verdict", [(0.90, Verdict.INCONCLUSIVE), (0.92, Verdict.WORSE)])
def test_a_number_on_both_sides_of_zero(tree, difference, verdict):
    """DDPM, 3.17: the margin is 0.317, and half the interval 0.117 * 3.17 * 2.447 = 0.908."""
    made = tree()
    made.plant("methods/ddpm", 1000, [3.17 + difference], 102_400_000)
    assert made.judged("t1-ddpm").verdict is verdict


def test_a_lead_of_eight_hundredths_is_open_whatever_the_number_of_seeds(tree):
    """HKD's margin is half its lead over 2-Rectified flow++; laboratories alone leave ± 0.94."""
    made = tree(seeds=3)
    made.plant("methods/rf2pp", 1, [3.38, 3.40, 3.36], 409_600_000)
    line = made.judged("t1-rf2pp")
    assert line.verdict is Verdict.INCONCLUSIVE and line.claim.margin == pytest.approx(0.04)
    assert line.number.needs.seeds is None
    assert line.number.needs.floor == pytest.approx(0.117 * 3.38 * T6, rel=1e-3)


@pytest.mark.parametrize("spread, verdict", [(0.1, Verdict.REPRODUCED), (0.6, Verdict.INCONCLUSIVE)])
def test_the_spread_of_seeds_decides_where_laboratories_do_not_differ(tree, spread, verdict):
    """ECM, laboratories alike to 0.1 %: three seeds 0.025 apart leave ± 0.06, 0.15 apart ± 0.37; the margin is 0.15."""
    made = tree(seeds=3, studies={"comparison": {"laboratories": {"relative": 0.001, "freedom": None}}})
    made.plant("methods/ecm", 1, [3.60 - spread / 4, 3.60, 3.60 + spread / 4], ECM_IMAGES)
    line = made.judged("t1-ecm")
    assert line.verdict is verdict
    assert line.number.band.seed.sd == pytest.approx(spread / 4 / 3**0.5)
    assert (line.number.needs.seeds or 4) > 3
    assert any("rules.laboratories.relative" in mark for mark in line.marks), "another rule than the frozen one is said"


@pytest.mark.parametrize(
    "change, reason",
    [
        ({"extractor": "FD-cnn"}, "extractor FD-cnn, not Inception"),
        ({"n_generated": 2000}, "2,000 generated images, not 50,000"),
        ({"n_reference": 10_000}, "10,000 reference images, not 50,000"),
        ({"budget": {"params": 1, "train_images": 9, "network_evals": 9, "train_seconds": 1}}, "9 training images"),
    ],
)
def test_what_departs_from_the_protocol_is_not_comparable_and_says_why(tree, change, reason):
    made = tree()
    made.plant("methods/kd", 1, [KD], KD_IMAGES, **change)
    line = made.judged("t1-kd")
    assert line.verdict is Verdict.NOT_COMPARABLE and reason in line.reasons[0]


def test_one_seed_of_unknown_length_leaves_the_length_of_a_row_unknown(tree):
    made = tree(seeds=2)
    made.plant("methods/kd", 1, [KD, KD], KD_IMAGES)
    assert made.judged("t1-kd").verdict is not Verdict.NOT_COMPARABLE
    made.one("methods/kd", 1, 1, KD, budget=dict.fromkeys(("params", "train_images", "network_evals", "train_seconds")))
    line = made.judged("t1-kd")
    assert line.verdict is Verdict.NOT_COMPARABLE and line.reasons == ("training length not recorded",)


@pytest.mark.parametrize(
    "value, verdict",
    [
        (KD, Verdict.TOY_AGREES),
        (KD + 4, Verdict.TOY_DISAGREES),
        (KD - 4, Verdict.TOY_DISAGREES),
        (KD + 1, Verdict.TOY_UNRESOLVED),
    ],
)
def test_below_the_papers_scale_a_number_is_a_toy(tree, value, verdict):
    made = tree()
    made.plant("methods/kd", 1, [value], 1000, scale="cpu")
    line = made.judged("t1-kd")
    assert line.verdict is verdict and line.reasons == ("training budget of scale 'cpu', not the paper's",)


def test_the_embedded_default_compares_to_no_printed_number(tree):
    made = tree("embedded")
    made.plant("methods/kd", 1, [KD], KD_IMAGES)
    line = made.judged("t1-kd")
    assert line.verdict is Verdict.NOT_COMPARABLE and "embedded extractor, not Inception" in line.reasons


# -- what a source says of its number ----------------------------------------------------------------------------------


def test_a_minimum_of_three_is_allowed_for_where_the_draw_was_measured(tree):
    made = tree()
    facts = {"scores": {"fid_bootstrap": 0.04}}
    made.plant("methods/edm", 35, [2.0], 200_000_000, **facts)
    line = made.judged("t1-edm-35")
    assert line.number.expected == pytest.approx(1.97 + 0.846284 * 0.04, abs=1e-5)
    made.plant("methods/edm", 35, [2.0], 200_000_000)
    line = made.judged("t1-edm-35")
    assert line.number.expected == 1.97 and "minimum of 3: not allowed for" in line.notes[0]


def test_ranges_of_one_run_and_seeds_of_the_same_weights_are_draws(tree):
    made = tree(seeds=2)
    ranges = {"scores": {"fid_own~sd": 0.03}, "protocol": {"ranges": 3}}
    made.plant("methods/edm", 35, [2.0, 2.1], 200_000_000, **ranges)
    draw = made.judged("t1-edm-35").number.band.draw
    assert draw.sd == pytest.approx(0.747975 * 0.03, abs=1e-6) and draw.freedom == 4
    made.plant("methods/edm", 35, [2.0, 2.1], 200_000_000, route="shipped")
    draw = made.judged("t1-edm-35").number.band.draw
    assert draw.sd == pytest.approx(0.747975 * 0.1 / math.sqrt(2), abs=1e-6) and draw.freedom == 1
    made.one("methods/edm", 35, 0, 2.0, 200_000_000, **ranges)
    made.one("methods/edm", 35, 1, 2.1, 200_000_000)
    assert made.judged("t1-edm-35").number.band.draw is None, "ranges of one seed alone speak for no other"


def test_a_second_printing_has_the_verdict_of_the_first(tree):
    made = tree()
    made.plant("methods/cd", 1, [3.55], 409_600_000)
    first, second = made.judged("t1-cd"), made.judged("t1-cd-again")
    assert (first.verdict, first.number) == (second.verdict, second.number)


# -- readings, selection, and what has changed since -------------------------------------------------------------------


def reading(made) -> dict:
    from hkd.studies.comparison.plan import frozen

    return json.loads(json.dumps(frozen(made.plan).reading("cifar10", "methods/hkd")))


def test_hkd_is_judged_by_the_frozen_reading_and_length(tree):
    """The paper states no length: 50,000 steps of 256 images were frozen in its place."""
    made = tree()
    made.plant("methods/hkd", 1, [3.30], 12_800_000)
    assert made.judged("t3-hkd").reasons == ("the settings of its training are not recorded",)
    made.trained("methods/hkd", 0, settings=reading(made))
    assert made.judged("t3-hkd").verdict is Verdict.INCONCLUSIVE and not made.judged("t3-hkd").reasons
    other = reading(made)
    other["params"]["time_map"] = "rho"
    made.trained("methods/hkd", 0, settings=other)
    line = made.judged("t3-hkd")
    assert line.verdict is Verdict.NOT_COMPARABLE
    assert line.reasons == ("another reading of HKD: params.time_map = 'rho', frozen 'sigma'",)
    made.plant("methods/hkd", 1, [3.30], 1_000_000)
    assert "1,000,000 training images, not 12,800,000" in made.judged("t3-hkd").reasons


@pytest.mark.parametrize(
    "path, frozen",
    [("params.lambda2", 1.0), ("training.ema.decay", 0.9999), ("init", "'methods/edm'"), ("trajectories.steps", 18)],
)
def test_what_a_record_does_not_say_is_not_the_frozen_reading(tree, path, frozen):
    made = tree()
    made.plant("methods/hkd", 1, [3.30], 12_800_000)
    settings = reading(made)
    *folders, key = path.split(".")
    node = settings
    for name in folders:
        node = node[name]
    del node[key]
    made.trained("methods/hkd", 0, settings=settings)
    line = made.judged("t3-hkd")
    assert line.verdict is Verdict.NOT_COMPARABLE
    assert line.reasons == (f"another reading of HKD: {path} not recorded, frozen {frozen}",)


def test_a_key_that_a_record_may_leave_out_was_at_its_default(tree):
    made = tree()
    made.plant("methods/hkd", 1, [3.30], 12_800_000)
    settings = reading(made)
    del settings["init_weights"], settings["training"]["nonfinite"]
    made.trained("methods/hkd", 0, settings=settings)
    assert not made.judged("t3-hkd").reasons
    made.trained("methods/hkd", 0, settings={**settings, "init_weights": "raw"})
    reasons = made.judged("t3-hkd").reasons
    assert reasons == ("another reading of HKD: init_weights = 'raw', frozen 'averaged'",)


@pytest.mark.parametrize("facts", [{"selected": "lowest FID of ten"}, {"checkpoint": "best"}])
def test_a_run_that_chose_by_the_score_is_marked_selected(tree, facts):
    made = tree()
    made.plant("methods/kd", 1, [KD], KD_IMAGES)
    made.trained("methods/kd", 0, **facts)
    assert any(mark.startswith("selected") for mark in made.judged("t1-kd").marks)


@pytest.mark.parametrize("kept", [None, ""])
def test_a_record_that_does_not_say_which_checkpoint_is_marked(tree, kept):
    made = tree()
    made.plant("methods/kd", 1, [KD], KD_IMAGES)
    made.trained("methods/kd", 0)
    assert not made.judged("t1-kd").marks
    made.trained("methods/kd", 0, checkpoint=kept)
    weights = made.plan.layout.run("cifar10", "methods/kd", 0).weights
    assert made.judged("t1-kd").marks == (f"checkpoint not recorded: {weights}",)


def test_a_benchmark_can_own_up_to_a_selection(tree):
    made = tree(studies={"comparison": {"selected": {"methods/kd": "rate chosen by FID"}}})
    made.plant("methods/kd", 1, [KD], KD_IMAGES)
    assert made.judged("t1-kd").marks == ("selected: rate chosen by FID",)
    assert made.judged("o-hkd-kd").marks == ("selected: rate chosen by FID",)


# -- gaps --------------------------------------------------------------------------------------------------------------


def test_nothing_there_is_not_run(tree):
    line = tree().judged("t1-kd")
    assert line.verdict is Verdict.NOT_RUN and line.reasons == ("no metrics of methods/kd at 1 NFE",)


def test_a_missing_seed_is_incomplete_and_named(tree):
    made = tree(seeds=3)
    made.plant("methods/kd", 1, [KD, KD], KD_IMAGES)
    line = made.judged("t1-kd")
    assert line.verdict is Verdict.INCOMPLETE and "seed2/metrics/nfe1.json" in line.gaps and line.seeds == 2


def test_an_edited_file_is_named_and_not_used(tree):
    made = tree(seeds=2)
    first, _ = made.plant("methods/kd", 1, [20.0, KD], KD_IMAGES)
    first.write_text(first.read_text().replace("20.0", "9.36"))
    line = made.judged("t1-kd")
    assert line.verdict is Verdict.INCOMPLETE and f"{first}: damaged" in line.gaps
    assert line.number.reproduced == KD


def test_the_file_of_another_run_is_named_and_not_used(tree):
    made = tree()
    (other,) = made.plant("methods/ecm", 1, [3.6], ECM_IMAGES)
    target = Path(str(other).replace("/ecm/", "/kd/"))
    write_text(target, other.read_text())
    Record("metrics").write(target)
    line = made.judged("t1-kd")
    assert line.verdict is Verdict.INCOMPLETE and "method is 'methods/ecm', not 'methods/kd'" in line.gaps


def test_a_file_without_a_record_is_marked(tree):
    made = tree()
    (path,) = made.plant("methods/kd", 1, [KD], KD_IMAGES)
    path.with_name(f"{path.name}.record.json").unlink()
    line = made.judged("t1-kd")
    assert line.verdict is Verdict.REPRODUCED and line.marks == (f"no record: {path}",)


def test_seeds_of_unlike_settings_are_not_one_run(tree):
    made = tree(seeds=2)
    made.one("methods/kd", 1, 0, KD, KD_IMAGES)
    made.one("methods/kd", 1, 1, KD, KD_IMAGES, settings_digest="fedcba9876543210")
    line = made.judged("t1-kd")
    assert line.verdict is Verdict.INCOMPLETE and "settings_digest differs between the seeds" in line.gaps


# -- orderings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "higher, verdict",
    [
        ((36.0, 37.5, 39.0), Verdict.TOY_AGREES),  # 1, 1.5, 2: 1.5 ± 1.24, of which 1.63 would be detected
        ((35.7, 37.2, 38.7), Verdict.TOY_UNRESOLVED),  # 1.2 ± 1.24
        ((34.0, 34.5, 35.0), Verdict.TOY_DISAGREES),  # -1, -1.5, -2
        ((40.0, 41.5, 43.0), Verdict.TOY_AGREES),  # 5.5 ± 1.24
    ],
)
def test_an_ordering_of_paired_seeds_on_both_sides_of_zero(tree, higher, verdict):
    made = tree("embedded", seeds=3)
    made.plant("methods/hkd", 1, [35.0, 36.0, 37.0])
    made.plant("ablations/abl_single_scale", 1, higher)
    line = made.judged("o-hierarchy")
    assert line.verdict is verdict, line.order
    assert line.order.detectable > 0 and line.seeds == 3
    assert line.order.seeds == (4 if verdict is Verdict.TOY_UNRESOLVED else None)
    lucky = line.order.half < abs(line.order.mean) < line.order.detectable
    assert ("found with luck: 3 seeds" in remarks(line)) == lucky == (higher[0] in (36.0, 34.0))


def test_an_ordering_at_the_exact_protocol_is_reproduced_or_worse(tree):
    made = tree(seeds=2)
    made.plant("methods/kd", 1, [9.3, 9.4], KD_IMAGES)
    made.plant("methods/hkd", 1, [3.3, 3.4], 12_800_000)
    for seed in (0, 1):
        made.trained("methods/hkd", seed, settings=reading(made))
    assert made.judged("o-hkd-kd").verdict is Verdict.REPRODUCED
    made.plant("methods/hkd", 1, [13.3, 13.4], 12_800_000)
    assert made.judged("o-hkd-kd").verdict is Verdict.WORSE


def test_at_the_papers_scale_each_side_of_an_ordering_must_compare_by_itself(tree):
    made = tree(seeds=2)
    made.plant("methods/kd", 1, [9.3, 9.4], 9)
    made.plant("methods/hkd", 1, [3.3, 3.4], 12_800_000)
    for seed in (0, 1):
        made.trained("methods/hkd", seed, settings=reading(made))
    line = made.judged("o-hkd-kd")
    assert line.verdict is Verdict.NOT_COMPARABLE
    assert all(text.startswith("t1-kd: ") for text in line.reasons) and line.reasons


def test_one_seed_orders_nothing(tree):
    made = tree("embedded")
    made.plant("methods/hkd", 1, [10.0])
    made.plant("ablations/abl_single_scale", 1, [90.0])
    line = made.judged("o-hierarchy")
    assert line.verdict is Verdict.TOY_UNRESOLVED and line.order.half is None and line.order.seeds == 2


def spent(evaluations: int) -> dict:
    return {"budget": {"params": 1, "train_images": 1, "network_evals": evaluations, "train_seconds": 1.0}}


@pytest.mark.parametrize("evaluations, compared", [(1100, True), (1101, False)])
def test_toys_that_were_trained_unequally_are_in_no_order(tree, evaluations, compared):
    made = tree("embedded", seeds=2)
    made.plant("methods/hkd", 1, [10.0, 11.0], **spent(1000))
    made.plant("methods/ecm", 1, [90.0, 91.0], **spent(evaluations))
    line = made.judged("o-hkd-ecm")
    assert line.verdict is (Verdict.TOY_AGREES if compared else Verdict.NOT_COMPARABLE)
    assert compared or "trained unequally: 1,000 and 1,101 network evaluations" in line.reasons


def test_a_claim_of_table_1_is_answered_by_the_shipped_row_and_one_of_table_3_by_the_live_one(tree):
    made = tree("embedded", students="shipped")
    made.plant("methods/hkd", 1, [80.0])
    made.plant("shipped/hkd", 1, [20.0], route="shipped")
    assert made.judged("t1-hkd").number.reproduced == 20.0
    assert made.judged("t3-hkd").number.reproduced == 80.0
    (found,) = made.judged("t1-hkd").found
    assert "/shipped/hkd/" in found.files[0]


@pytest.mark.parametrize("route", ["train", "shipped"])
def test_a_row_that_was_trained_here_and_one_that_was_not_are_in_no_order(tree, route):
    made = tree("embedded", students="shipped")
    made.plant("shipped/hkd", 1, [20.0], route="shipped", **spent(1000))
    made.plant("methods/edm", 15, [90.0], route=route, **spent(1000))
    line = made.judged("o-hkd-edm15")
    against = "one side was trained in this run, the other's weights come with the package"
    assert (against in line.reasons) == (route == "train")
    assert line.verdict is (Verdict.NOT_COMPARABLE if route == "train" else Verdict.TOY_UNRESOLVED)
    way = "more trainings (students=train): seeds would draw from the same two"
    assert resolved_by(line) == ("" if route == "train" else way)


def test_seeds_of_the_same_two_trainings_order_nothing(tree):
    made = tree("embedded", seeds=3, students="shipped")
    made.plant("shipped/hkd", 1, [20.0, 20.1, 20.2], route="shipped", **spent(1000))
    made.plant("methods/edm", 15, [90.0, 90.1, 90.2], route="shipped", **spent(1000))
    line = made.judged("o-hkd-edm15")
    assert line.verdict is Verdict.NOT_COMPARABLE and line.order is None
    assert "every seed draws from the weights of the same two trainings" in line.reasons


def test_unlike_numbers_of_images_are_compared_at_the_smaller_or_not_at_all(tree):
    made = tree("embedded", seeds=2)
    made.plant("methods/hkd", 1, [10.0, 11.0])
    made.plant("methods/dmd", 1, [50.0, 51.0], n_generated=250)
    assert made.judged("o-hkd-dmd").reasons[0] == "1,000 and 250 images"
    made.plant("methods/hkd", 1, [10.0, 11.0], scores={"fid_own@250": 60.0})
    line = made.judged("o-hkd-dmd")
    assert line.order.differences == (-10.0, -9.0), "fewer images, a higher distance: compared at 250"


def test_two_extractors_are_in_no_order(tree):
    made = tree("embedded", seeds=2)
    made.plant("methods/hkd", 1, [10.0, 11.0])
    made.plant("methods/dmd", 1, [50.0, 51.0], extractor="FD-other")
    line = made.judged("o-hkd-dmd")
    assert line.verdict is Verdict.NOT_COMPARABLE and "extractor is FD-tiny and FD-other" in line.reasons[0]


def test_a_distance_of_fewer_images_than_features_orders_nothing(tree):
    made = tree("embedded", seeds=2)
    few = {"protocol": {"estimate": ["generated n = 16 is not above the feature dimension 64"]}, "n_generated": 16}
    made.plant("methods/hkd", 1, [10.0, 11.0], **few)
    made.plant("methods/dmd", 1, [50.0, 51.0], **few)
    assert made.judged("o-hkd-dmd").verdict is Verdict.NOT_COMPARABLE


def test_a_network_below_its_bar_orders_nothing_and_says_so(tree):
    """The scores lie far apart, but through features that see too little."""
    made = tree("embedded", seeds=3)
    weak = weakness("FD-tiny", 0.4, "classes", 0.6)
    scores = {"methods/hkd": [10.0, 11.0, 10.5], "methods/dmd": [50.0, 51.0, 50.4]}
    for run, values in scores.items():
        made.plant(run, 1, values, protocol={"estimate": ["generated n = 1000 is below the nominal 2000"]})
    assert made.judged("o-hkd-dmd").verdict is Verdict.TOY_AGREES, "few images are an estimate, and in order"
    made.plant("methods/hkd", 1, scores["methods/hkd"], protocol={"estimate": [weak]})
    line = made.judged("o-hkd-dmd")
    assert line.verdict is Verdict.TOY_UNRESOLVED and line.order.verdict is Verdict.REPRODUCED
    assert weak in line.reasons
    assert resolved_by(line) == "a feature network above its bar, whatever the number of seeds"
    assert "1 toy: unresolved (1 through a feature network below its bar)" in summary([line])


def test_stages_measured_through_a_network_below_its_bar_are_in_no_order(tree):
    made = tree("embedded")
    weak = weakness("FD-tiny", 0.4, "classes", 0.6)
    lines = [{"epoch": "before training", "values": "400 410 405"}, {"epoch": "0", "values": "380 391 384"}]
    made.study("table5.csv", [{**line, "note": f"an estimate: {weak}; five trainings"} for line in lines])
    line = made.judged("o-first-epoch")
    assert line.verdict is Verdict.TOY_UNRESOLVED and line.reasons[0] == f"an estimate: {weak}"


def test_the_doubts_that_are_looked_for_are_those_that_measuring_writes():
    assert WEAK in weakness("FD-tiny", 0.4, "classes", 0.6)
    assert all(TOO_FEW in text for text in why_estimate(64, 64, dim=64)) and len(why_estimate(64, 64, dim=64)) == 2


def test_half_an_ordering_is_not_run_or_incomplete(tree):
    made = tree("embedded", seeds=2)
    made.plant("methods/hkd", 1, [10.0, 11.0])
    assert made.judged("o-hierarchy").verdict is Verdict.NOT_RUN
    made.plant("ablations/abl_single_scale", 1, [12.0])
    assert made.judged("o-hierarchy").verdict is Verdict.INCOMPLETE


# -- studies -----------------------------------------------------------------------------------------------------------

STATE = "decoded latents against E[x_0 | x_t], largest relative error over times"


@pytest.mark.parametrize(
    "scale, decision, verdict",
    [
        ("embedded", "accessible", Verdict.TOY_AGREES),
        ("embedded", "not accessible", Verdict.TOY_DISAGREES),
        ("embedded", "not run: needs 2 seeds", Verdict.TOY_UNRESOLVED),
        ("paper", "accessible", Verdict.REPRODUCED),
        ("paper", "not accessible", Verdict.WORSE),
    ],
)
def test_a_finished_study_answers_its_statement(tree, scale, decision, verdict):
    made = tree(scale)
    assert made.judged("w-accessible").verdict is Verdict.NOT_RUN
    made.study("interpretability.csv", [{"run": "methods/hkd", "quantity": STATE, "decision": decision}])
    assert made.judged("w-accessible").verdict is verdict


@pytest.mark.parametrize("scale, verdict", [("embedded", Verdict.TOY_UNRESOLVED), ("paper", Verdict.INCONCLUSIVE)])
def test_what_a_network_below_its_bar_has_read_answers_no_statement(tree, scale, verdict):
    made = tree(scale)
    weak = weakness("FD-tiny", 0.4, "factors", 0.6)
    row = {"run": "methods/hkd", "quantity": "specialisation by alpha", "decision": "divide factors", "note": ""}
    made.study("interpretability.csv", [{**row, "note": "of few images"}])
    assert made.judged("w-bands").verdict in (Verdict.TOY_AGREES, Verdict.REPRODUCED), "few images are no weak network"
    made.study("interpretability.csv", [{**row, "note": f"of few images; {weak}"}])
    line = made.judged("w-bands")
    assert line.verdict is verdict and line.decision == "divide factors" and weak in line.reasons
    assert resolved_by(line) == "a feature network above its bar, whatever the number of seeds"
    assert f"1 {verdict} (1 through a feature network below its bar)" in summary([line])


def test_no_evidence_of_bands_is_none_against_them(tree):
    made = tree()
    row = {"run": "methods/hkd", "quantity": "specialisation by alpha", "decision": "no evidence"}
    made.study("interpretability.csv", [row])
    assert made.judged("w-bands").verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    "text, gap",
    [
        ("run,quantity\nmethods/hkd,x\n", "has no column 'decision'"),
        (f'run,quantity,decision\nmethods/hkd,"{STATE}",a\nmethods/hkd,"{STATE}",b\n', "2 lines with"),
        ("\xff\xfe", "unreadable"),
    ],
)
def test_a_study_that_cannot_be_read_is_incomplete(tree, text, gap):
    made = tree("embedded")
    path = made.root / "interpretability.csv"
    path.parent.mkdir(parents=True)
    path.write_bytes(text.encode("latin-1"))
    line = made.judged("w-accessible")
    assert line.verdict is Verdict.INCOMPLETE and gap in line.gaps and str(path) in line.gaps


def seconds(value: str, device: str = "Tesla V100-SXM2") -> list[dict]:
    return [{"run": "methods/hkd", "nfe": "1", "seconds": value, "device": device}]


def test_a_study_of_latency_fills_table_6_without_a_change_of_code(tree):
    made = tree()
    assert made.judged("t6-hkd").verdict is Verdict.NOT_RUN
    made.study("table6.csv", seconds("0.031"))
    assert made.judged("t6-hkd").verdict is Verdict.INCONCLUSIVE and made.judged("t6-ecm").verdict is Verdict.NOT_RUN
    made.study("table6.csv", seconds("0.05 0.051 0.049"))
    assert made.judged("t6-hkd").verdict is Verdict.WORSE and made.judged("t6-hkd").seeds == 3
    made.study("table6.csv", seconds("0.03", "H100"))
    assert made.judged("t6-hkd").reasons == ("device is 'H100', not V100",)
    made.study("table6.csv", seconds("soon"))
    assert made.judged("t6-hkd").verdict is Verdict.INCOMPLETE


def test_seconds_have_no_spread_between_laboratories(tree):
    """The pairs of laboratories are of FID. Of one measurement of seconds nothing is known; of three, their spread."""
    made = tree()
    made.study("table6.csv", seconds("0.031"))
    one = made.judged("t6-hkd")
    assert one.number.band.lab.sd == 0 and math.isinf(one.number.half)
    assert resolved_by(one) == "a second seed, before anything can be said"
    made.study("table6.csv", seconds("0.031 0.032 0.030"))
    three = made.judged("t6-hkd").number
    assert three.band.sd == pytest.approx(math.hypot(0.001 / 3**0.5, 0.01 / 12**0.5))
    left = "no number of seeds: ± 0.00566 is left, most of it of the printed rounding; the margin is 0.003"
    assert resolved_by(made.judged("t6-hkd")) == left


def test_what_would_resolve_a_number_names_what_is_left(tree):
    made = tree(seeds=3)
    made.plant("methods/rf2pp", 1, [3.38, 3.40, 3.36], 409_600_000)
    left = "no number of seeds: ± 0.968 is left, most of it between laboratories; the margin is 0.04"
    assert resolved_by(made.judged("t1-rf2pp")) == left
    made.plant("methods/rf2pp", 1, [3.38, 3.40, 3.36], 409_600_000, scores={"fid_bootstrap": 0.9})
    text = resolved_by(made.judged("t1-rf2pp"))
    assert text.startswith("no number of seeds alone, or of images alone: ±") and "most of it of one evaluation" in text


def test_stages_of_a_training_are_ordered_seed_by_seed(tree):
    made = tree("embedded")
    lines = [{"epoch": "before training", "values": "400 410 405"}, {"epoch": "0", "values": "380 391 384"}]
    made.study("table5.csv", lines)
    line = made.judged("o-first-epoch")
    assert line.verdict is Verdict.TOY_AGREES and line.order.differences == (20.0, 19.0, 21.0)
    number = made.judged("t5-epoch0")
    assert number.verdict is Verdict.NOT_COMPARABLE and "FDn, not FID" in number.reasons
    full = tree("paper")
    full.study("table5.csv", lines)
    assert full.judged("o-first-epoch").verdict is Verdict.REPRODUCED
    of_full = full.judged("t5-epoch0")
    assert of_full.verdict is Verdict.NOT_COMPARABLE
    elsewhere = "data set 'shapes16', not 'cifar10'"
    assert elsewhere in number.reasons and elsewhere not in of_full.reasons


def test_the_time_of_an_edit_is_what_the_study_of_editing_says(tree):
    assert tree("embedded").judged("w-midpoint").verdict is Verdict.NOT_RUN
    for decision, verdict in (
        ("matters", Verdict.TOY_AGREES),
        ("void", Verdict.TOY_DISAGREES),
        ("nothing is edited", Verdict.TOY_UNRESOLVED),
    ):
        made = tree("embedded")
        path = made.root / "shapes16/methods/hkd/seed0/editing/editing.json"
        write_json(path, {"time": {"verdict": decision}})
        Record("edit").write(path)
        assert made.judged("w-midpoint").verdict is verdict


def test_an_epoch_that_a_training_has_not_reached_is_not_run(tree):
    made = tree("embedded")
    made.study("table5.csv", [{"epoch": "before training", "values": "400 410"}, {"epoch": "0", "values": ""}])
    assert made.judged("t5-epoch0").verdict is Verdict.NOT_RUN
    assert made.judged("o-first-epoch").verdict is Verdict.NOT_RUN
