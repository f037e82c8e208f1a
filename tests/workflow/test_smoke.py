"""The smoke benchmark end to end: everything is made once, nothing twice, and always the same."""

from __future__ import annotations

import csv
import json

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.ci]

MEASURED = ("fid_own", "fid_torch_fidelity", "fid_clean_fid")


@pytest.fixture(scope="module", autouse=True)
def everything(finished):
    finished.run("all")


@pytest.fixture(scope="module")
def rows(finished):
    with (finished.results / "table1.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_table_has_numbers_for_every_run_and_stays_honest(rows):
    measured = [row for row in rows if row["fid_own"]]
    assert {"EDM", "ECM", "HKD"} <= {row["method"] for row in measured}
    for row in measured:
        assert all(float(row[key]) > 0 for key in MEASURED)
        assert float(row["n_samples"]) == 96 and row["extractor"].startswith("FD-")
        assert row["comparable"].lower() in ("no", "false") and row["why_not"]
        assert int(float(row["params"])) > 0 and row["config_digest"]


def test_the_three_libraries_agree_on_the_same_images(rows):
    for row in (row for row in rows if row["fid_own"]):
        assert float(row["fid_torch_fidelity"]) == pytest.approx(float(row["fid_own"]), rel=0.05)


def test_a_finished_run_has_nothing_to_do(finished):
    assert "Nothing to be done" in finished.run("all")


def test_what_means_nothing_makes_nothing_again(finished):
    path = finished.folder / "configs/methods/ecm.yaml"
    path.write_text("# a comment\n" + path.read_text().replace("k: 8.0", "k: 8"))
    assert "Nothing to be done" in finished.run("all")


def test_every_result_has_a_record_of_how_it_was_made(finished):
    weights = sorted(finished.results.rglob("seed0/weights.safetensors"))
    assert len(weights) >= 4
    for path in weights:
        record = json.loads(path.with_name(path.name + ".record.json").read_text())
        assert record["stage"] == "train" and record["settings"] and record["commit"] and record["versions"]["torch"]
        assert (path.parent / "config.yaml").exists()


def test_nothing_unfinished_lies_about(finished):
    assert not list(finished.results.rglob("*.tmp"))
    assert not list(finished.results.rglob("*parts*/*.npz"))


def test_figures_are_there_and_not_empty(finished):
    figures = list((finished.folder / "paper_figures/smoke").glob("samples.*"))
    assert {path.suffix for path in figures} >= {".pdf", ".png"}
    assert all(path.stat().st_size > 100 for path in figures)


def test_two_runs_measure_the_same(finished, new_workflow):
    again = new_workflow()
    again.run("all")
    first, second = finished.contents(), again.contents()
    assert second and second.keys() <= first.keys()  # other tests may have asked the first for more
    assert [name for name in second if first[name] != second[name]] == []
