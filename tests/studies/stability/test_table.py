"""Quality over training stands beside the printed number of the same share of the training."""

from __future__ import annotations

import pytest

from hkd.studies.stability.table import PrintedRow, lines

PRINTED = [PrintedRow(None, 400.0, None), PrintedRow(0, 12.0, 0.3), PrintedRow(9, 3.0, 0.1)]


def run(*fdn):
    raw = [2 * value for value in fdn]
    return {"total": 100, "steps": [0, 10, 50, 100], "metrics": {"fdn": list(fdn)}, "raw": {"fdn": raw}}


def test_milestones_meet_the_printed_epochs_of_ten():
    found = lines([run(90.0, 30.0, 20.0, 10.0), run(90.0, 34.0, 24.0, 12.0)], PRINTED, 10)
    assert [line.get("reported_fid") for line in found] == [400.0, 12.0, None, 3.0]
    assert [line["fdn"] for line in found] == [90.0, 32.0, 22.0, 11.0]
    assert [line["fdn_raw"] for line in found] == [180.0, 64.0, 44.0, 22.0] and found[1]["values_raw"] == "60 68"
    assert found[1]["sd"] == pytest.approx(8**0.5) and found[1]["sd_raw"] == pytest.approx(32**0.5)
    assert found[0]["epoch"] == "before training"


def test_the_share_of_the_initial_weights_stands_beside_every_milestone():
    found = lines([run(90.0, 30.0, 20.0, 10.0)], [*PRINTED, PrintedRow(7, 4.0, 0.1)], 10, lambda steps: 0.9**steps)
    assert [line.get("initial_share") for line in found] == ["1", "0.35", "0.0052", None, "2.7e-05"]


def test_a_printed_number_without_a_milestone_stays_in_the_table():
    found = lines([run(90.0, 30.0, 20.0, 10.0)], [*PRINTED, PrintedRow(7, 4.0, 0.1)], 10)
    alone = [line for line in found if "fdn" not in line]
    assert [(line["share"], line["reported_fid"]) for line in alone] == [(0.8, 4.0)]
    assert found[0]["sd"] == "" and [line["share"] for line in found] == [0.0, 0.1, 0.5, 0.8, 1.0]
