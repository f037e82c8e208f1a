"""What calibration reads and is defined by, and which images it takes."""

from __future__ import annotations

from pathlib import Path

from hkd.plan.runs import Plan
from hkd.studies.calibration.calibrate import KEYS, of_image_set, six_digits
from hkd.studies.calibration.corruptions import CORRUPTIONS
from hkd.studies.calibration.plan import KINDS, TABLE

CONFIGS = Path(__file__).resolve().parents[3] / "configs"


def work(**changes):
    return TABLE.work(Plan.load(str(CONFIGS / "benchmarks/embedded.yaml"), changes, CONFIGS))


def test_the_reference_images_are_split_and_the_network_of_the_metric_looks_at_them():
    assert work().inputs() == [
        "results/shapes16/data/reference/manifest.json",
        "results/shapes16/extractors/metric/weights.safetensors",
    ]
    assert "results/shapes8/data/reference/manifest.json" in work(dataset="shapes8").inputs()
    assert list(work().outputs) == ["table", "pdf", "png", "caption"]


def test_sizes_and_the_network_define_it_and_the_columns_of_tables_do_not():
    before = work().digest
    assert work(studies={"calibration": {"images": 100}}).digest != before
    assert work(studies={"calibration": {"splits": 2}}).digest != before
    assert work(extractor="random_inception").digest != before
    assert work(tables={"table1": {"columns": ["fdn", "kid"]}}).digest == before


def test_a_network_that_is_not_trained_here_is_part_of_the_code():
    assert "hkd.metrics.features.inception" in work(extractor="random_inception").definition.code


def test_of_a_set_no_more_images_are_taken_than_asked_for_and_always_the_same(images, extractor):
    rows = of_image_set(images, extractor, images=16, splits=1)
    assert {row["n"] for row in rows} == {8} and tuple(rows[0]) == KEYS
    assert rows == of_image_set(images, extractor, images=16, splits=1)
    assert {row["n"] for row in of_image_set(images, extractor, images=1000, splits=1)} == {16}
    assert any(row["corruption"] == "one class dropped" for row in rows), "the set has labels"


def test_numbers_are_printed_with_six_digits():
    assert six_digits([{"distance": 1 / 3, "n": 8, "split": 0}]) == [{"distance": "0.333333", "n": 8, "split": 0}]


def test_time_is_asked_for_every_set_that_a_split_passes_through_the_networks():
    assert len(CORRUPTIONS) + 1 == KINDS, (
        "clean ones are among the kinds of damage, and the other half is the reference"
    )
