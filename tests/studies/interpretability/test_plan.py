"""The lookups of the study of interpretability: what counts in a digest, and what is refused before any work."""

from __future__ import annotations

import pytest

from hkd.settings.origins import ConfigError
from hkd.studies.interpretability.plan import InterpretabilityPlan


@pytest.fixture
def lookup(smoke_plan):
    def build(spectrum=None, extractors=None, **study):
        studies = {"spectrum": spectrum or {}, "interpretability": study}
        return InterpretabilityPlan(smoke_plan(studies=studies, set_extractors=extractors or {}))

    return build


def test_the_order_of_bands_defines_what_is_shown_and_no_analysis_of_factors(lookup):
    before, after = lookup(), lookup(spectrum={"order_by": "abs_alpha"})
    assert after.figure_digest() != before.figure_digest()
    assert after.factor_digest() == before.factor_digest()


def test_the_preprocessing_of_the_extractor_counts_in_the_digest(lookup):
    before, after = lookup(), lookup(extractors={"preprocessing": "B"})
    assert after.factor_digest() != before.factor_digest()
    assert after.closure_digest() == before.closure_digest()


def test_the_configured_study_is_accepted(lookup):
    made = lookup()
    assert made.check() is made


@pytest.mark.parametrize(
    "changed, expected",
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
def test_a_question_without_its_runs_is_refused_in_one_line(lookup, changed, expected):
    with pytest.raises(ConfigError) as refused:
        lookup(**changed).check()
    assert expected in str(refused.value) and "\n" not in str(refused.value)
