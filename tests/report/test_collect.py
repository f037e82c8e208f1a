from __future__ import annotations

import json

import pytest

from hkd.report.collect import (
    COLUMNS,
    ReportError,
    check_protocols,
    check_seeds,
    chosen_by_the_score,
    collect,
    mixed_codes,
    other_starts,
    records,
    shown_distance,
    without_diverged,
)
from hkd.store.records import Record
from hkd.store.refusals import ArtifactError


def test_each_file_is_one_line_in_the_order_given(metrics_file):
    frame = collect([metrics_file(seed=1), metrics_file(seed=0)])
    assert list(frame.columns) == list(COLUMNS)
    assert list(frame["seed"]) == [1, 0]
    assert list(frame["fid_own"]) == [3.0, 3.0]


def test_no_files_give_an_empty_table_with_all_columns():
    assert list(collect([]).columns) == list(COLUMNS)


@pytest.mark.parametrize(
    "key", ["nfe", "extractor_digest", "metrics.fdn", "budget.params", "protocols.fid_own", "metrics"]
)
def test_a_missing_key_is_named_with_its_file(metrics_file, key):
    path = metrics_file(**{key: ...})
    with pytest.raises(ReportError, match=f"{path}: key '{key}' is missing"):
        collect([path])


@pytest.mark.parametrize("value", [None, "3.0", True])
def test_a_metric_that_is_no_finite_number_is_refused(metrics_file, value):
    path = metrics_file(**{"metrics.fid_own": value})
    with pytest.raises(ReportError, match=r"metrics\.fid_own = .* is no finite number"):
        collect([path])


@pytest.mark.parametrize("key", ["metrics.fid_own", "budget.train_seconds"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_file_with_a_number_that_is_none_is_refused(metrics_file, key, value):
    with pytest.raises(ArtifactError, match=r"\.json: (NaN|Infinity) where a number should be; .*`hkd metrics`"):
        collect([metrics_file(**{key: value})])


def test_an_unknown_budget_is_empty(metrics_file):
    frame = collect([metrics_file(**{"budget.train_seconds": None})])
    assert frame["train_seconds"].isna().all()


def test_another_schema_is_refused(metrics_file):
    with pytest.raises(ReportError, match="schema = 1, this version reads 2"):
        collect([metrics_file(schema=1)])


def test_a_number_of_other_weights_never_enters_a_table_as_fid(metrics_file):
    with pytest.raises(ReportError, match="called FID, but its weights are not the published Inception's"):
        collect([metrics_file(extractor="FID")])


def test_a_method_without_its_group_is_refused(metrics_file):
    with pytest.raises(ReportError, match="method = 'hkd' is no group/name"):
        collect([metrics_file(method="hkd")])


def test_a_missing_or_broken_file_names_the_stage(tmp_path):
    with pytest.raises(ArtifactError, match="hkd metrics"):
        collect([tmp_path / "absent.json"])
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(ArtifactError, match=r"broken\.json: not valid JSON"):
        collect([tmp_path / "broken.json"])
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(ReportError, match="holds no mapping"):
        collect([tmp_path / "list.json"])


def test_the_same_run_twice_is_refused(metrics_file):
    with pytest.raises(ReportError, match="same run, nfe and seed"):
        collect([metrics_file(), metrics_file()])


def test_a_file_changed_after_its_record_is_refused(metrics_file):
    path = metrics_file()
    Record("metrics").write(path)
    assert collect([path])["wall_seconds"].notna().all()
    path.write_text(path.read_text().replace("3.0", "2.0"))
    with pytest.raises(ArtifactError, match="damaged"):
        collect([path])


@pytest.mark.parametrize(
    "change",
    [
        {"extractor_digest": "f" * 64},
        {"n_generated": 5000},
        {"n_reference": 2000},
        {"dataset": "cifar10"},
        {"protocols.fid_own.preprocessing": "B"},
        {"protocols.fid_clean_fid.reference_digest": "other"},
    ],
)
def test_mixed_protocols_are_refused(metrics_file, change):
    frame = collect([metrics_file(), metrics_file(seed=1, **change)])
    with pytest.raises(ReportError, match="mix protocols"):
        check_protocols(frame, ("fid_own", "fid_clean_fid"))


def test_other_library_versions_are_no_other_protocol(metrics_file):
    frame = collect([metrics_file(), metrics_file(seed=1, **{"protocols.fid_own.versions": {"numpy": "2.0"}})])
    check_protocols(frame, ("fid_own",))


@pytest.mark.parametrize(
    "change", [{"settings_digest": "another"}, {"route": "shipped"}, {"scale": "cpu"}, {"n_generated": 128}]
)
def test_seeds_of_one_row_share_their_settings(metrics_file, change):
    frame = collect([metrics_file(), metrics_file(seed=1, **change)])
    with pytest.raises(ReportError, match=f"{next(iter(change))} differs between the seeds"):
        check_seeds(frame)


def test_run_records_become_lines(tmp_path):
    path = tmp_path / "weights.bin"
    path.write_bytes(b"w")
    Record("train", seed=3).write(path)
    record = tmp_path / "weights.bin.record.json"
    (line,) = records([record]).to_dict("records")
    assert (line["stage"], line["file"], line["seed"]) == ("train", "weights.bin", 3)
    content = json.loads(record.read_text())
    del content["stage"]
    record.write_text(json.dumps(content))
    with pytest.raises(ReportError, match="key 'stage' is missing"):
        records([record])


def test_a_training_that_diverged_is_refused(metrics_file):
    with pytest.raises(ReportError, match="diverged at step 17; train it otherwise"):
        collect([metrics_file(diverged_at=17, metrics=...)])


def test_trainings_that_diverged_are_set_apart_with_their_seeds_and_steps(metrics_file):
    whole = metrics_file()
    lost = [metrics_file(seed=seed, diverged_at=17 + seed, metrics=...) for seed in (1, 2)]
    assert without_diverged([whole, *lost]) == (
        [whole],
        {("methods/hkd", 1): "its training diverged: seed 1 at step 18, seed 2 at step 19"},
    )
    with pytest.raises(ReportError, match="seed = '0' is no count"):
        without_diverged([metrics_file(seed="0", diverged_at=17)])


def test_a_row_that_two_versions_of_the_code_trained_is_remarked(metrics_file):
    one, two = metrics_file(seed=0, codes=["a" * 16]), metrics_file(seed=1, codes=["a" * 16, "b" * 16])
    ((row, text),) = mixed_codes(collect([one, two]))
    assert "seed 1" in row and "2 versions of the code" in text and "aaaaaaaa, bbbbbbbb" in text


def test_a_row_that_started_from_other_weights_than_its_source_is_remarked(metrics_file):
    def start(weights, source):
        return {"base": "methods/edm_ve", "weights": weights, "source": source}

    lines = [metrics_file(seed=seed, start=start("averaged", "raw")) for seed in (0, 1)]
    others = [metrics_file(seed=2, start=start("raw", "raw")), metrics_file(seed=3, start=None), metrics_file(seed=4)]
    ((row, text),) = other_starts(collect([*lines, *others]))
    assert row == "HKD" and "averaged weights of methods/edm_ve, where its source takes the raw ones" in text
    assert other_starts(collect(others)) == []


def test_a_row_that_its_own_score_made_is_remarked_and_any_other_mark_is_refused(metrics_file):
    why = "trained on the features of the network that grades"
    frame = collect([metrics_file(seed=seed, selected=why) for seed in (0, 1)])
    assert chosen_by_the_score(frame) == [("HKD", f"selected, and so beside no other row: {why}")]
    assert chosen_by_the_score(collect([metrics_file()])) == []
    with pytest.raises(ReportError, match=r"selected = 3 is no text; run `hkd metrics` again"):
        collect([metrics_file(selected=3)])


@pytest.mark.parametrize(
    ("images", "estimate", "shown"), [(500, False, (0.2, None)), (500, True, (0.2, 500)), (99, True, (None, None))]
)
def test_a_line_of_too_few_images_is_a_picture_and_no_number(images, estimate, shown):
    line = {"fdn": 0.2, "n_generated": images, "protocols": {"fdn": {"estimate": estimate}}}
    assert shown_distance(line, 100) == shown
