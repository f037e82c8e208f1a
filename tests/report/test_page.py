"""The page of findings: numbers from result files, orders that intervals carry, and the sentence that disagrees."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from scipy import stats

from hkd.report import page
from hkd.report.collect import ReportError
from hkd.report.orderings import Summary, unpaired
from hkd.report.results import results

ROOT = Path(__file__).resolve().parents[2]
PAGE, FOLDER = ROOT / "docs/findings.md", ROOT / "docs/findings"
ABOUT = {"command": "make x", "commit": "abc", "source": "kept", "images": 2000, "quantities": {"fdn": "FDn"}}


def of(rows, **about):
    return results({"about": {**ABOUT, **about}, "rows": rows}, "x.json")


def told(template, rows, **about):
    return " ".join(page.rendered(template, of(rows, **about), "x.md").split())


def seeds(*values, title=None):
    return {"fdn": {"values": list(values)}, **({"title": title} if title else {})}


# -- the committed page ------------------------------------------------------------------------------------------------


def test_every_sentence_of_the_page_is_what_its_result_file_gives():
    text = PAGE.read_text(encoding="utf-8")
    found = page.disagreements(text, FOLDER)
    assert not found, "run `hkd findings`:\n" + "\n".join(found)
    assert page.written(text, FOLDER) == text, "run `hkd findings`"


def test_every_result_file_has_a_section_and_says_where_its_numbers_come_from():
    names = set(page.sections(PAGE.read_text(encoding="utf-8")))
    files = {path.stem for path in FOLDER.iterdir() if path.suffix == ".json"}
    assert names == files == {path.stem for path in FOLDER.iterdir() if path.suffix == ".md"} and len(names) >= 10


def test_what_stands_outside_of_the_sections_states_no_measured_number():
    text = PAGE.read_text(encoding="utf-8")
    for section in page.sections(text).values():
        text = text.replace(section, "")
    words = page._CODE.sub("", text).replace("two-sided 5 %, power 80 %", "")
    assert not page._STATED.search(words)


@pytest.mark.parametrize(
    ("name", "cell", "value", "named"),
    [
        (
            "ablations",
            "ten.mse_only.fdn",
            {"mean": 24.0, "sd": 0.69, "n": 10},
            "HKD has a lower FDn than MSE only, by ",
        ),
        (
            "ablations",
            "ten.no_traj.fdn",
            {"mean": 15.1, "sd": 0.2, "n": 10},
            "without trajectory loss has a lower FDn",
        ),
        ("table1", "rows.ct.fd", {"mean": 684.2, "sd": 5.22, "n": 3}, "| CT (LPIPS)"),
    ],
)
def test_a_changed_result_file_names_the_sentence(tmp_path, name, cell, value, named):
    for path in FOLDER.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    changed = json.loads((FOLDER / f"{name}.json").read_text())
    table, row, column = cell.split(".")
    changed[table][row][column] = value
    (tmp_path / f"{name}.json").write_text(json.dumps(changed))
    found = page.disagreements(PAGE.read_text(encoding="utf-8"), tmp_path)
    assert found and all(line.startswith(f"{name}: ") for line in found) and any(named in line for line in found)


# -- orders ------------------------------------------------------------------------------------------------------------


def test_an_order_is_told_only_where_the_paired_interval_carries_it():
    rows = {"a": seeds(10, 11, 12, title="A"), "b": seeds(12, 13.1, 13.9, title="B"), "c": seeds(9, 14, 10, title="C")}
    resolved = told("So {{order rows.fdn: a < b}}.", rows)
    # differences 2, 2.1, 1.9: mean 2, half width t(0.975, 2) · 0.1 / √3 = 0.2484
    assert resolved.startswith("So A has a lower FDn than B, by 2.00 (95 % interval 1.75 to 2.25; 3 seeds detect 0.")
    assert told("So {{order rows.fdn: b < a}}.", rows) == resolved  # the data say which is lower, not who asks
    assert "A and C are not told apart in FDn (difference 0.00, 95 % interval" in told(
        "{{order rows.fdn: a < c}}", rows
    )
    assert "detect" in told("{{order rows.fdn: a < c}}", rows)
    assert told("{{ordered rows.fdn: a < b}}", rows) == "resolved"
    assert told("{{ordered rows.fdn: b < a}}", rows) == "resolved in reverse"
    assert told("{{ordered rows.fdn: c < a < b}}", rows) == "not resolved"
    assert told("{{ordered rows.fdn: a < b < d}}", rows) == "not run"
    reverse = "contradicted: one of its two neighbouring pairs is resolved in reverse"
    assert told("{{ordered rows.fdn: a < b < a}}", rows) == reverse


@pytest.mark.parametrize(
    ("other", "why"), [({}, "not run"), (seeds(9.0), "one seed, or no spread kept"), ({"fdn": 9.0}, "one seed, or no")]
)
def test_missing_seeds_or_rows_decide_nothing(other, why):
    said = told("{{order rows.fdn: a < b}}", {"a": seeds(10, 11, 12), "b": other})
    assert said.startswith(f"nothing is said of the order of a and b in FDn ({why}")


def test_means_whose_values_are_not_kept_are_held_by_welchs_interval():
    one, other = Summary(18.81, 0.93, 3), Summary(23.46, 0.69, 5)
    found = unpaired(one, other, 0.95, 0.8)
    t, p = stats.ttest_ind_from_stats(one.mean, one.sd, one.n, other.mean, other.sd, other.n, equal_var=False)
    interval = stats.t.interval(0.95, freedom(one, other), found.mean, abs(found.mean / t))
    assert (found.mean - found.half, found.mean + found.half) == pytest.approx(interval) and p < 0.05
    assert found.half < found.detectable < found.mean
    assert unpaired(Summary(1, 0, 2), Summary(2, 0, 2), 0.95, 0.8).half == 0


def freedom(one, other):
    a, b = one.sd**2 / one.n, other.sd**2 / other.n
    return (a + b) ** 2 / (a**2 / (one.n - 1) + b**2 / (other.n - 1))


def test_an_order_found_below_what_the_design_detects_says_so():
    rows = {"a": {"fdn": {"mean": 37.2, "sd": 1.3, "n": 3}}, "b": {"fdn": {"mean": 39.9, "sd": 0.77, "n": 3}}}
    assert "of which this falls short: it is probably overstated" in told("{{order rows.fdn: a < b}}", rows)
    rows["b"]["fdn"]["mean"] = 49.9
    assert "luck" not in told("{{order rows.fdn: a < b}}", rows)


# -- words and numbers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A has 18.8.", "states 18.8 itself"),
        ("It falls by 5 %.", "states 5 % itself"),
        ("A is 3 ± 1.", "states ± itself"),
        ("A is better than B.", "says 'better', which no interval carries"),
        ("A is lower.", "says 'lower'"),
        ("{{rows.z.fdn}}", "is not in x.json"),
        ("{{rows.a}}", "names no value"),
        ("{{rows.a.fdn !r}}", "no way to show a number"),
        ("{{lines.a.fdn}}", "no table 'lines'"),
        ("{{order rows.fdn: a}}", "orders nothing"),
        ("{{order rows.fdn: a < b < c}}", "orders 3 rows"),
        ("{{titles rows: fdn}}", "chooses no rows"),
    ],
)
def test_a_sentence_that_states_or_orders_by_itself_is_refused(text, expected):
    with pytest.raises(ReportError, match=expected) as error:
        told(text, {"a": seeds(1, 2), "b": seeds(2, 3)})
    assert str(error.value).startswith(("x.md", "x.json"))


def test_values_are_shown_as_asked():
    rows = {
        "a": {"fdn": {"values": [1.0, 2.0]}, "n": -1234.5, "v": "yes", "title": "A"},
        "b": {"v": "yes"},
        "c": {"v": "no"},
    }
    assert told("{{rows.a.fdn .2f}}, {{rows.a.fdn.mean .1f}}, {{rows.a.n ,.0f}}", rows) == "1.50 ± 0.71, 1.5, −1,234"
    assert told("{{about.images}} of `{{about.commit}}`", rows) == "2,000 of `abc`"
    assert told("{{count rows: v = yes}}: {{titles rows: v = yes}}", rows) == "two: A and b"
    assert told("{{titles rows: v = perhaps}}", rows) == "none"


def test_a_table_has_a_row_for_every_row_and_a_dash_for_what_is_not_there():
    table = page.rendered("{{table rows: Row = title; FDn = fdn .1f}}", of({"a": seeds(1, 2), "b": {}}), "x.md")
    assert table.splitlines() == [
        "| Row |       FDn |",
        "| :-- | --------: |",
        "| a   | 1.5 ± 0.7 |",
        "| b   |         – |",
    ]


def test_no_line_begins_with_a_sign_that_would_make_it_a_list():
    words = "x" * 118
    assert page.rendered(f"{words} s - y = z", of({}), "x.md").splitlines() == [words, "s - y = z"]


def test_a_sentence_that_was_taken_out_is_missing(tmp_path):
    about = {"command": "make x", "commit": "abc", "source": "kept"}
    (tmp_path / "x.json").write_text(json.dumps({"about": about, "rows": {"a": {"fdn": 3}}}))
    (tmp_path / "x.md").write_text("It has {{rows.a.fdn .1f}}. No more is known.\n")
    whole = page.written("<!-- finding:x:start -->\n<!-- finding:x:end -->\n", tmp_path)
    assert page.disagreements(whole, tmp_path) == []
    assert page.disagreements(whole.replace(" No more is known.", ""), tmp_path) == [
        "x: 'No more is known.' is missing"
    ]
    assert "'It has 4.0.' is not what" in page.disagreements(whole.replace("3.0", "4.0"), tmp_path)[0]
