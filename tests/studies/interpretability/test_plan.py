"""The parts of the study: what counts in a digest, and what is refused before any work."""

from __future__ import annotations

import pytest

from hkd.plan.code import closure
from hkd.settings.origins import ConfigError
from hkd.studies.interpretability.plan import (
    AGREEMENT,
    CLOSURE,
    FACTORS,
    FIGURE,
    SPECTRUM,
    SPECTRUM_FIGURE,
    STUDY,
    TABLE,
    pairs,
)
from hkd.studies.interpretability.questions import check, dataset, spectrum_dataset

HKD = {"dataset": "shapes8", "method": "methods/hkd", "seed": 0}


@pytest.fixture
def planned(smoke_plan):
    def build(spectrum=None, extractors=None, seeds=1, **study):
        studies = {"spectrum": spectrum or {}, "interpretability": study}
        return smoke_plan(studies=studies, set_extractors=extractors or {}, seeds=seeds)

    return build


def digests(plan) -> dict[str, str]:
    """The digests of all parts."""
    works = [SPECTRUM.work(plan, **HKD), CLOSURE.work(plan, **HKD), FACTORS.work(plan, **HKD, order="alpha")]
    works += [AGREEMENT.work(plan, dataset="shapes8"), *(part.work(plan) for part in (TABLE, SPECTRUM_FIGURE, FIGURE))]
    assert [work.stage for work in works] == [part.name for part in STUDY.parts]
    return {work.stage: work.digest for work in works}


def changed(before, after) -> set[str]:
    """The parts that are made again."""
    old, new = digests(before), digests(after)
    return {name for name in old if old[name] != new[name]}


def test_the_order_of_bands_defines_what_is_shown_and_no_analysis_of_factors(planned):
    made_again = changed(planned(), planned(spectrum={"order_by": "abs_alpha"}))
    assert made_again == {"spectrum", "spectrum_figure", "interpretability_figure"}


def test_how_images_reach_the_reader_of_factors_counts(planned):
    assert changed(planned(), planned(extractors={"preprocessing": "B"})) == {"band_factors"}


def test_how_much_is_shown_makes_no_analysis_again(planned):
    assert changed(planned(), planned(spectrum={"shown": 1})) == {"spectrum_figure"}
    assert changed(planned(), planned(spectrum={"batch": 2})) == {"spectrum_figure"}


def test_another_seed_is_compared_and_told(planned):
    assert changed(planned(), planned(seeds=2)) == {"agreement", "interpretability", "interpretability_figure"}
    compared = pairs(planned(seeds=2), "shapes8")
    assert [(pair.run, pair.kind) for pair in compared[:3]] == [
        ("methods/hkd", "seeds"),
        ("methods/hkd", "initial operators"),
        ("methods/hkd", "initial operators"),
    ]


@pytest.mark.parametrize(
    "part, values, maths",
    [
        (SPECTRUM, HKD, "analysis bands_decoded starts"),
        (CLOSURE, HKD, "against_teacher closure starts"),
        (FACTORS, {**HKD, "order": "alpha"}, "band_swaps bands_decoded factors reader starts"),
        (AGREEMENT, {"dataset": "shapes8"}, "agreements starts"),
    ],
)
def test_what_is_measured_follows_its_own_maths_and_its_runs_network(planned, part, values, maths):
    code = closure(*part.work(planned(), **values).definition.code)
    home = "hkd.studies.interpretability."
    own = {name.removeprefix(home) for name in code if name.startswith(home)}
    assert own == set(maths.split())
    assert {"hkd.methods.hkd", "hkd.nets.unet", "hkd.koopman.hierarchy"} <= set(code)
    assert "hkd.nets.kdm" not in code


def test_the_table_follows_no_network(planned):
    code = closure(*TABLE.work(planned()).definition.code)
    home = "hkd.studies.interpretability."
    assert {name.removeprefix(home) for name in code if name.startswith(home)} == {
        *("accessible", "answers", "evidence", "findings", "quantities")
    }
    assert not any(name.startswith("hkd.nets") for name in code)


def test_the_data_set_is_a_key_of_each_section(planned):
    plan = planned(spectrum={"dataset": "cifar10"})
    assert (dataset(plan), spectrum_dataset(plan)) == ("shapes8", "cifar10")
    assert "/cifar10/" in SPECTRUM_FIGURE.work(plan).inputs()[0]


def test_the_study_as_it_is_passes(planned):
    check(planned())


@pytest.mark.parametrize(
    "wrong, expected",
    [
        ({"closure": []}, "closure: is empty"),
        ({"spectra": []}, "spectra: is empty"),
        ({"orders": []}, "orders: is empty"),
        (
            {"orders": ["abs_alpha"]},
            "order_by: 'alpha' is not among the orders of interpretability. Did you mean 'abs_a",
        ),
        (
            {"control": "ablations/abl_encoder_const"},
            "control: 'ablations/abl_encoder_const' is not among its spectra.",
        ),
        ({"spectra": ["ablations/abl_encoder_constant"]}, "initialisations: 'methods/hkd' is not among its spectra"),
    ],
)
def test_a_question_without_its_runs_is_refused_in_one_line(planned, wrong, expected):
    with pytest.raises(ConfigError) as refused:
        check(planned(**wrong))
    assert expected in str(refused.value) and "\n" not in str(refused.value)


def test_a_run_that_no_config_describes_is_refused_only_where_it_is_asked_for(planned):
    plan = planned(equal_steps="ablations/abl_no_such")
    check(plan)
    with pytest.raises(ConfigError, match="equal_steps: 'ablations/abl_no_such' is no run"):
        TABLE.work(plan)


def test_an_order_that_is_none_is_refused_with_the_nearest(planned):
    with pytest.raises(ConfigError, match=r"order_by: 'alhpa' is unknown\. Did you mean 'alpha'"):
        FACTORS.work(planned(), **HKD, order="alhpa")
