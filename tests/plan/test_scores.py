"""What the tables of a benchmark ask of a run: scores, networks, numbers of images."""

from __future__ import annotations

from typing import Any

import pytest

from hkd.metrics.features.libraries import LIBRARIES
from hkd.metrics.features.preprocess import CLASSES
from hkd.metrics.protocols import IMPLEMENTATIONS
from hkd.plan import scores
from hkd.plan.check import check_settings
from hkd.plan.runs import Plan
from hkd.settings.columns import ALWAYS, COLUMNS, DEFAULT, SCORES, SUFFIXES, column
from hkd.settings.origins import ConfigError, digest

SPREADS = (*SUFFIXES, "bootstrap")


def plan_of(**overrides: Any) -> Plan:
    return Plan.load("configs/benchmarks/embedded.yaml", overrides)


def with_columns(*columns: str) -> Plan:
    return plan_of(tables={"table1": {"columns": list(columns)}})


def test_an_unknown_column_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match=r"tables\.table1\.columns = .*no column 'fid_clean_fdi'.*'fid_clean_fid'"):
        with_columns("fid_clean_fdi")


@pytest.mark.parametrize(
    "name, reason, instead",
    [
        ("fid_clean_fid_common", "no features of that are kept", "fid_clean_fid_range_sd"),
        ("fid_torch_fidelity_bootstrap", "no features of that are kept", "fid_torch_fidelity_sd"),
        ("lpips_diversity_common", "a distance of pairs of images", "lpips_diversity_min"),
        ("fid_infinity_bootstrap", "its standard error is fid_infinity_error", "fid_infinity_common"),
        ("fid_infinity_error_bootstrap", "itself a standard error", "fid_infinity_error_sd"),
        ("kid_torch_fidelity_bootstrap", "the estimator is kid_bootstrap", "kid_torch_fidelity_common"),
        ("mind_bootstrap", "rows drawn twice are ties", "mind_common"),
        ("kid_bootstrap_sd", "kid_bootstrap is itself a spread", None),
        ("fid_own_min", "derived names say 'fid' for 'fid_own'", "fid_min"),
    ],
)
def test_a_column_that_is_not_derived_is_refused_with_the_reason_and_what_there_is(name, reason, instead):
    with pytest.raises(ValueError, match=reason) as found:
        column(name)
    assert f"no column '{name}'" in str(found.value)
    assert instead is None or (instead in COLUMNS and instead in str(found.value))


def test_the_documented_exceptions_are_all_there_are():
    """docs/protocols.md names them; every other score has every derived column."""
    libraries = {f"fid_{key}" for key in LIBRARIES}
    plain = {
        score.name: "fid" if score.name == "fid_own" else score.name for score in SCORES.values() if not score.base
    }
    lacking = {
        suffix: {name for name, stem in plain.items() if f"{stem}_{suffix}" not in COLUMNS} for suffix in SPREADS
    }
    assert lacking["common"] == libraries | {"lpips_diversity"}
    further = {"fid_infinity", "fid_infinity_error", "kid_torch_fidelity", "mind"}
    assert lacking["bootstrap"] == lacking["common"] | further
    assert not any(lacking[suffix] for suffix in ("sd", "min", "range_sd", "range_min"))


def test_the_columns_choose_the_scores_of_every_run_and_some_are_always_made():
    assert scores.scores(with_columns("kid", "precision_common"), "shapes16") == tuple(
        name for name in SCORES if name in {*ALWAYS, "kid", "precision", "fid_torch_fidelity", "fid_clean_fid"}
    ), "Table 3 keeps its own columns"


def test_every_distance_names_a_published_protocol_of_its_class():
    for score in SCORES.values():
        if score.kind == "distance":
            assert score.implementation in IMPLEMENTATIONS
        if score.name.startswith("fid_") and score.implementation and score.kind == "distance" and score.view:
            kind = score.view.split("_")[1]
            assert kind in CLASSES and IMPLEMENTATIONS[score.implementation].preprocessing == kind, score.name
        if score.kind == "library":
            assert LIBRARIES[score.name.removeprefix("fid_")].implementation == score.implementation
    assert {f"fid_{name.replace('-', '_')}" for name in IMPLEMENTATIONS} - {"fid_hkd"} <= SCORES.keys()
    assert set(DEFAULT) <= COLUMNS.keys()


def test_rows_are_compared_at_the_number_of_the_smallest():
    small = plan_of(methods={"ecm": {"sampling": {"n_samples": 80}}})
    assert scores.common_n(small, "table1") == 80
    assert scores.sizes(small, "shapes16", "methods/hkd") == (80,)
    assert scores.sizes(small, "shapes16", "methods/ecm") == (), "its own number"
    even = plan_of(set={"sampling": {"n_samples": 500}})
    assert scores.sizes(even, "shapes16", "methods/hkd") == ()


def test_rows_of_no_more_images_than_features_have_no_number_and_are_compared_with_none():
    made = plan_of(methods={"ecm": {"sampling": {"n_samples": 64}}})
    assert scores.common_n(made, "table1") == 100, "that of DDIM"
    assert scores.sizes(made, "shapes16", "methods/ddpm") == ()
    assert scores.common_n(plan_of(set={"sampling": {"n_samples": 50}}), "table1") == 50, "all have few"


def test_a_range_counts_as_a_sample_of_its_own():
    three = plan_of(
        set={"sampling": {"n_samples": 6000, "ranges": 3}}, methods={"edm": {"sampling": {"n_samples": 6000}}}
    )
    assert scores.common_n(three, "table1") == 2000


def test_other_columns_make_metrics_again_and_other_sizes_make_no_features_again():
    plain, wide = plan_of(), with_columns(*DEFAULT, "kid")
    small = plan_of(methods={"ecm": {"sampling": {"n_samples": 80}}})
    run = ("shapes16", "methods/hkd")
    assert len({digest(scores.metrics_settings(p, *run)) for p in (plain, wide, small)}) == 3
    assert scores.features_settings(plain, "shapes16") == scores.features_settings(small, "shapes16")
    assert scores.features_settings(plain, "shapes16") != scores.features_settings(wide, "shapes16")


def test_networks_are_those_behind_the_columns():
    assert scores.extractor_names(plan_of(), "shapes16") == {"own": "metric"}
    wide = with_columns("fd_perceptual", "kd_dinov2", "fdn")
    assert scores.extractor_names(wide, "shapes16") == {"own": "metric", "dinov2": "dinov2", "perceptual": "perceptual"}
    roles = [path.split("/")[-2] for path in scores.extractor_files(wide, "shapes16")]
    assert roles == ["metric", "perceptual"], "published weights lie elsewhere"


def test_the_benchmark_of_real_fid_asks_for_the_published_file_only():
    plan = check_settings(Plan.load("configs/benchmarks/cifar10_fid.yaml"))
    assert scores.extractor_names(plan, "cifar10") == {"own": "inception"}
    assert scores.extractor_files(plan, "cifar10") == []
    assert scores.published(plan, "inception").weights == "inception"
    assert plan.run("cifar10", "methods/hkd").sampling.nominal == 50_000


def test_an_unknown_extractor_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match=r"extractor 'incepton'.*Did you mean 'inception'"):
        scores.published(plan_of(), "incepton")
