"""Our measurements and the printed ones each have a panel; where nothing was printed there is one."""

from __future__ import annotations

from hkd.studies.stability.figure import caption, checkpoints, stability_figure
from hkd.studies.stability.table import PrintedRow, lines

RUNS = [
    {"total": 100, "steps": [0, 50, 100], "metrics": {"fdn": fdn}, "raw": {"fdn": fdn}}
    for fdn in ([90.0, 30.0, 10.0], [90.0, 34.0, 12.0])
]


def test_what_was_printed_has_a_panel_of_its_own():
    rows = lines(RUNS, [PrintedRow(None, 400.0, None), PrintedRow(9, 3.0, 0.1)], 10)
    ours, theirs = stability_figure(rows).axes
    assert ours.get_title(loc="left") == "Ours: FDn, 2 seeds"
    assert theirs.get_title(loc="left").startswith("Printed: FID")


def test_without_a_printed_table_there_is_one_panel():
    (ours,) = stability_figure(lines(RUNS[:1], [], 10)).axes
    assert ours.get_title(loc="left") == "Ours: FDn, 1 seed"


def test_the_caption_says_whose_weights_were_measured():
    said = checkpoints("smoke", RUNS)
    assert said == "benchmark smoke, seeds 0 to 1, 100 steps"
    assert said in caption(lines(RUNS, [], 10), run="HKD", dataset="shapes", checkpoints=said, n=96)


def test_numbers_of_a_network_below_its_bar_are_marked_in_table_and_caption():
    why = "network FD-x reads too little"
    rows = lines([{**RUNS[0], "doubt": why}], [PrintedRow(9, 3.0, 0.1, "a note")], 10)
    assert [row["note"] for row in rows if "fdn" in row] == [
        *[f"an estimate: {why}"] * 2,
        f"an estimate: {why}; a note",
    ]
    assert f"an estimate: {why}" in caption(rows, run="HKD", dataset="shapes", checkpoints="", n=9, doubt=why)
    assert not any(row.get("note") for row in lines(RUNS, [], 10))
