from __future__ import annotations

from pathlib import Path

import pytest

from hkd.plan.runs import Plan
from hkd.report.compare import Paper, why_not
from hkd.settings.origins import ConfigError

REPORTED = Path(__file__).parents[2] / "configs" / "reported"

SAME = {
    "method": "methods/edm",
    "dataset": "cifar10",
    "data_kind": "images",
    "route": "train",
    "scale": "paper",
    "extractor": "FID",
    "n_generated": 50000,
    "n_reference": 50000,
    "train_images": 200_000_256,
}


def test_the_papers_own_protocol_is_comparable(paper):
    assert why_not(SAME, paper, 1.97) == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"extractor": "FD-cifar10"}, "extractor FD-cifar10, not Inception"),
        ({"dataset": "cats"}, "data set 'cats', not CIFAR-10"),
        ({"n_generated": 2000}, "2,000 generated images, not 50,000"),
        ({"n_reference": 5000}, "5,000 reference images, not 50,000"),
        ({"scale": "cpu"}, "training budget of scale 'cpu', not the paper's"),
        ({"train_images": 1_000_000}, "1,000,000 training images, not 200,000,000"),
        ({"train_images": None}, "training length not recorded"),
        ({"method": "methods/hkd"}, "training length not stated in the paper"),
    ],
)
def test_each_departure_is_a_reason_of_its_own(paper, change, reason):
    assert why_not(SAME | change, paper, 1.97) == [reason]


def test_published_weights_have_the_papers_budget(paper):
    assert why_not(SAME | {"route": "released", "train_images": None, "method": "methods/hkd"}, paper, 3.3) == []


def test_a_row_without_a_printed_number_is_not_comparable(paper):
    assert why_not(SAME, paper, None) == ["no number printed for it"]


def test_all_reasons_are_given_at_once(paper):
    embedded = SAME | {"data_kind": "shapes", "dataset": "shapes16", "extractor": "FD-shapes16", "scale": "embedded"}
    assert why_not(embedded | {"n_generated": 2000, "n_reference": 10000}, paper, 1.97) == [
        "embedded extractor, not Inception",
        "procedural images, not CIFAR-10",
        "2,000 generated images, not 50,000",
        "10,000 reference images, not 50,000",
        "training budget of scale 'embedded', not the paper's",
    ]


def test_the_papers_conditions_are_read_from_the_settings():
    paper = Paper.read(REPORTED / "ffhq64.yaml", "table2")
    assert (paper.dataset, paper.n_reference, paper.n_generated, paper.extractor) == ("ffhq64", 70000, 50000, "FID")
    assert paper.train_images["methods/edm"] == 200_000_000
    assert paper.train_images["methods/hkd"] is None


@pytest.mark.parametrize("dataset, table", [("cifar10", "table1"), ("cifar10", "table4"), ("ffhq64", "table2")])
def test_every_row_trained_with_the_papers_settings_is_comparable(dataset, table):
    plan = Plan.load(str(REPORTED.parent / "benchmarks/embedded.yaml"), {"scale": "paper"}, REPORTED.parent)
    paper = Paper.read(REPORTED / f"{dataset}.yaml", table)
    stated = {run: length for run, length in paper.train_images.items() if length is not None}
    assert stated
    for name in stated:
        training = plan.run(dataset, name).training
        line = SAME | {"method": name, "dataset": dataset, "n_reference": paper.n_reference}
        assert why_not(line | {"train_images": training.steps * training.batch}, paper, 1.0) == [], name


def test_an_unknown_table_names_the_nearest():
    with pytest.raises(ConfigError, match="no table 'table7'"):
        Paper.read(REPORTED / "cifar10.yaml", "table7")
    with pytest.raises(ConfigError, match=r"'run' is missing"):
        Paper.read(REPORTED / "cifar10.yaml", "table5")
