"""The table orders readings by their score, and says what each average keeps of the initial weights."""

from __future__ import annotations

from hkd.report.csv import to_csv
from hkd.settings.sections import Ema
from hkd.studies.fingerprint.table import COLUMNS, lines, summary

MEASURED = {
    "readings": [
        {"decoder_sigma": decoder, "output_wrapper": wrapper, "operator_init": 0.0}
        for decoder, wrapper in (("sigma_min", "scaled"), ("sigma_min", "raw"), ("sigma_max", "raw"))
    ],
    "fd": [400.0, 230.0, 130.0],
    "fdn": [200.0, 115.0, 65.0],
    "metric": "FD-factors",
    "n": 1000,
}
AVERAGING = {"none": Ema(kind="none"), "constant": Ema(kind="constant", decay=0.9999)}


def table(**changes):
    given = {"epoch_steps": 926, "batch": 256, "limit": 0.5, "comparable": False, **changes}
    return lines(MEASURED, AVERAGING, (447.13, 11.82), **given)


def test_readings_stand_in_the_order_of_their_scores_beside_the_printed_ones():
    found = table()
    assert [line["fd"] for line in found] == ["130.00", "130.00", "230.00", "230.00", "400.00", "400.00"]
    assert [line["order"] for line in found] == [1, 1, 2, 2, 3, 3]
    assert {line["printed_before"] for line in found} == {447.13}
    assert [(line["averaging"], line["averaging_fits_table5"]) for line in found[:2]] == [
        ("none", "yes"),
        ("constant", "no"),
    ]
    assert found[1]["initial_share_after_epoch_0"] == "0.91"
    assert {line["comparable"] for line in found} == {"order alone"}
    assert len(to_csv(found, COLUMNS).splitlines()) == 7


def test_words_say_the_order_the_excluded_average_and_what_is_not_measured():
    said = summary(table())
    assert said[0] == "1. decoder told sigma_max, output raw, operators from 0: FD-factors 130.00"
    assert "averaging constant: 0.91 of the average after epoch 0 is the initial weights" in said[3]
    assert "447.13" in said[-1] and "which of them has that score is not measured" in said[-1]
    assert len(summary(table(comparable=True))) == len(said) - 1
