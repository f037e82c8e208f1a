from __future__ import annotations

import dataclasses
import io
from dataclasses import dataclass

import pandas as pd
import pytest
from rich.console import Console

from hkd.report.collect import ReportError, collect, lines_of
from hkd.report.markdown import WIDTH, between, short
from hkd.report.tables import AFTER, BEFORE, table, to_csv, write
from hkd.report.terminal import show
from hkd.report.view import _score, _trainings, minutes, view
from hkd.settings.columns import DEFAULT, FID_DIGESTS, column
from hkd.store.refusals import ArtifactError

from .conftest import protocol


@dataclass(frozen=True)
class Printed:
    category: str
    label: str
    nfe: int
    method: str | None
    fid: float | None
    note: str = ""


ROWS = [
    Printed("Multi-Step Diffusion Models", "DDPM", 1000, None, 3.17),
    Printed("Multi-Step Diffusion Models", "EDM", 35, "methods/edm", 1.97),
    Printed("Diffusion Distillation", "CD (LPIPS)", 1, None, 3.55, "re-training reached 10.53"),
    Printed("Consistency Model", "CD (LPIPS)", 1, None, 3.55),
    Printed("Consistency Model", "HKD", 1, "methods/hkd", 3.30),
    Printed("Control", "Regression", 1, "methods/regression", None),
]

REAL, NEAR = {"fid_own": 5.5, "fdn": 2.8}, {"fid_own": 0.6, "fdn": 0.3}

GOLDEN_CSV = (
    "category,method,route,dataset,nfe,n_samples,n_common,n_reference,extractor,fid_own,fid_sd,fid_torch_fidelity,"
    "fid_clean_fid,fdn,fdn_sd,fid_common,fdn_common,estimate,reported_fid,comparable,why_not,params,train_images,"
    "network_evals,train_seconds,train_cpu_seconds,train_gpu_seconds,seeds,trainings,fdn_training_sd,config_digest\n"
    "Multi-Step Diffusion Models,DDPM,,,1000,,,,,,,,,,,,,,3.17,no,not run: not a row of this benchmark,,,,,,,,,,\n"
    "Multi-Step Diffusion Models,EDM,shipped,shapes16,35,2000,2000,10000,FD-shapes16,1.25,,1.25,1.125,6.5,,1.25,6.5,,"
    '1.97,no,"'
    "embedded extractor, not Inception; procedural images, not CIFAR-10; 2,000 generated images, not 50,000; "
    "10,000 reference images, not 50,000; training budget of scale 'embedded', not the paper's\","
    "290000,384000,384000,,,,1,,,0123456789abcdef\n"
    "Diffusion Distillation,CD (LPIPS),,,1,,,,,,,,,,,,,,3.55,no,not run: not a row of this benchmark,,,,,,,,,,\n"
    "Consistency Model,CD (LPIPS),,,1,,,,,,,,,,,,,,3.55,no,"
    "printed twice: see the row under Diffusion Distillation,,,,,,,,,,\n"
    'Consistency Model,HKD,train,shapes16,1,2000,2000,10000,FD-shapes16,4,1.41421,3,2.5,12,0,4,12,,3.3,no,"'
    "embedded extractor, not Inception; procedural images, not CIFAR-10; 2,000 generated images, not 50,000; "
    "10,000 reference images, not 50,000; training budget of scale 'embedded', not the paper's\","
    "300123,32000,160000,61.5,48,,2,2,0,0123456789abcdef\n"
    "Control,Regression,,,1,,,,,,,,,,,,,,,no,not run: no metrics of methods/regression at 1 NFE,,,,,,,,,,\n"
)

GOLDEN_MD = """\
# Table 1: unconditional CIFAR-10

Measured on shapes16: 2,000 generated against 10,000 reference images, features of FD-shapes16, \
mean ± standard deviation over 2 seeds.
FD: Fréchet distance by our own code; under a library's name, by that library on the same images; \
FDn: 100 × FD / trace of the reference covariance.
Printed FID: the paper's number on CIFAR-10. —: no number.
"""


@pytest.fixture
def metrics(metrics_file) -> pd.DataFrame:
    edm = {
        "method": "methods/edm",
        "nfe": 35,
        "route": "shipped",
        "metrics": {"fid_own": 1.25, "fid_torch_fidelity": 1.25, "fid_clean_fid": 1.125, "fdn": 6.5},
        "budget": {"params": 290000, "train_images": 384000, "network_evals": 384000, "train_seconds": None},
    }
    return collect([metrics_file(**edm), metrics_file(), metrics_file(seed=1, **{"metrics.fid_own": 5.0})])


def test_the_columns_are_those_of_the_contract(metrics, paper):
    assert list(table(ROWS, metrics, paper).columns) == [*BEFORE, *DEFAULT, *AFTER]
    assert ",".join((*BEFORE, *DEFAULT, *AFTER)) == GOLDEN_CSV.partition("\n")[0]


def test_the_csv_equals_the_golden_file(metrics, paper):
    assert to_csv(table(ROWS, metrics, paper)) == GOLDEN_CSV


def test_a_row_that_its_own_score_made_says_so_first_and_never_compares(metrics_file, paper):
    chosen, honest = metrics_file(selected="trained on it"), metrics_file(method="methods/edm", nfe=35)
    lines = {line["method"]: line for line in lines_of(table(ROWS, collect([chosen, honest]), paper))}
    assert lines["HKD"]["comparable"] == "no" and lines["HKD"]["why_not"].startswith("selected: trained on it; ")
    assert not any("selected" in (line["why_not"] or "") for name, line in lines.items() if name != "HKD")


def test_the_markdown_equals_the_golden_file(metrics, paper, tmp_path):
    csv, text = write(tmp_path / "out" / "table1", table(ROWS, metrics, paper), ROWS, paper)
    assert csv.read_text() == GOLDEN_CSV
    content = text.read_text()
    assert content.startswith(GOLDEN_MD)
    rows = [line for line in content.splitlines() if line.startswith("|")]
    parts = [part.splitlines() for part in content.split("\n\n") if part.startswith("| Method")]
    assert len(parts) > 1 and sum(map(len, parts)) == len(rows)
    for part in parts:
        assert len({len(line) for line in part}) == 1, "columns are aligned"
        assert len(part[0]) <= WIDTH and len(part) == len(parts[0])
    by_name: dict[str, list[str]] = {}
    for line in rows:
        name, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        by_name[name] = [*by_name[name], *cells[1:]] if name in by_name else cells  # NFE stands in every part
    assert by_name["HKD"] == [
        *("train", "1", "4.00 ± 1.41", "3.00", "2.50", "12.00 ± 0.00", "3.30", "no"),
        *("300,123", "32,000", "160,000", "0.8", "2"),
    ]
    assert by_name["DDPM"] == ["—", "1,000", "—", "—", "—", "—", "3.17", "no¹", "—", "—", "—", "—", "—"]
    assert by_name["EDM"][2] == "1.25", "one seed has no spread"
    assert "- Every measured row: embedded extractor, not Inception; procedural images" in content
    assert "- ¹ not run: not a row of this benchmark." in content
    assert "CPU-min: processor minutes of a row's own training, without those of its base" in content
    assert "GPU-min" not in content, "none was trained on a GPU"
    assert "- CD (LPIPS), 1 NFE: re-training reached 10.53." in content


def test_the_spread_of_trainings_stands_beside_rows_with_shipped_weights(metrics_file, paper, tmp_path):
    rows = [Printed("A", "HKD", 1, "shipped/hkd", 3.3), Printed("A", "HKD here", 1, "methods/hkd", None)]
    given = metrics_file(method="shipped/hkd", route="shipped")
    lines = collect([given, metrics_file(), metrics_file(seed=1, **{"metrics.fdn": 16.0})])
    frame = table(rows, lines, paper, trainings={("shipped/hkd", 1): [10.0, 11.0, 12.0]})
    assert list(frame["trainings"]) == [3, 2] and list(frame["fdn_training_sd"]) == [1.0, pytest.approx(8**0.5)]
    shown = view(lines_of(frame), paper)
    at = shown.headers.index("Spread")
    assert [row[at] for _, section in shown.sections for row in section] == ["1.00 (3)", "2.83 (2)"]
    assert any(line.startswith("Spread: standard deviation of FDn over trainings") for line in shown.about)
    assert "| 1.00 (3) |" in short(shown)
    printed = Console(file=io.StringIO(), width=112)
    show(shown, console=printed)
    assert "1.00 (3)" in printed.file.getvalue()
    known = {("shipped/hkd", 1): [10.0, 11.0, 12.0]}
    turned = view(lines_of(table(rows, lines, paper, trainings=known, columns=["fdn", "fid_own"])), paper)
    assert turned.headers[3:6] == ["FDn", "Spread", "FD"], "beside the number whose spread it is"
    unscored = table(rows, lines, paper, trainings={("shipped/hkd", 1): [10.0, 11.0, 12.0]}, columns=["fid_own"])
    assert "Spread" not in view(lines_of(unscored), paper).headers, "nothing that it would be the spread of is shown"
    one = view(lines_of(table(rows, lines, paper, trainings={("shipped/hkd", 1): [10.0]})), paper)
    assert "Spread" not in one.headers, "one training has no spread"


def test_tables_show_the_processor_time_of_a_training_and_keep_its_clock_in_the_csv(metrics_file, paper):
    files = [
        metrics_file(**{"budget.train_seconds": 2563.8, "budget.train_cpu_seconds": 396.8}),
        metrics_file(method="methods/edm", nfe=35, **{"budget.train_cpu_seconds": 2478.0}),
        metrics_file(method="methods/regression", **{"budget.train_cpu_seconds": ..., "budget.train_gpu_seconds": ...}),
    ]
    frame = table(ROWS, collect(files), paper)
    shown = view(lines_of(frame), paper)
    rows = {row[0]: row[shown.headers.index("CPU-min")] for _, section in shown.sections for row in section}
    assert rows | {"HKD": "6.6", "EDM": "41", "Regression": "—", "DDPM": "—"} == rows, "an older file does not say"
    assert not any("2,564" in cell for _, section in shown.sections for row in section for cell in row)
    hkd = frame[frame["method"] == "HKD"].iloc[0]
    assert (hkd["train_seconds"], hkd["train_cpu_seconds"]) == (2563.8, 396.8)
    unknown = view(lines_of(table(ROWS, collect(files[2:]), paper)), paper)
    assert not {"CPU-min", "GPU-min"} & set(unknown.headers) and not any("CPU-min" in line for line in unknown.about)


def test_of_a_training_on_gpus_a_table_shows_their_clock(metrics_file, paper):
    on_gpus = {"budget.train_cpu_seconds": None, "budget.train_gpu_seconds": 8 * 3600.0}
    frame = table(ROWS, collect([metrics_file(**on_gpus), metrics_file(method="methods/edm", nfe=35)]), paper)
    shown = view(lines_of(frame), paper)
    at = [shown.headers.index(head) for head in ("CPU-min", "GPU-min")]
    rows = {row[0]: [row[k] for k in at] for _, section in shown.sections for row in section}
    assert rows["HKD"] == ["—", "480"] and rows["EDM"] == ["0.8", "—"]
    assert "| 480 |" in " ".join(short(shown).split()) and any(line.startswith("GPU-min: ") for line in shown.about)


def test_of_shipped_weights_the_card_says_what_their_training_took_where_their_metrics_do_not(metrics_file, paper):
    old = {"budget.train_cpu_seconds": ..., "budget.train_gpu_seconds": ...}
    lines = collect(
        [
            metrics_file(route="shipped", **old),
            metrics_file(method="methods/edm", nfe=35, route="shipped"),
            metrics_file(method="methods/regression", **old),
        ]
    )
    spent = dict.fromkeys(("methods/hkd", "methods/edm", "methods/regression"), 390.5)
    frame = table(ROWS, lines, paper, spent=spent).set_index("method")["train_cpu_seconds"]
    assert (frame["HKD"], frame["EDM"]) == (390.5, 48.0) and frame.isna()["Regression"], "this one was trained here"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(None, "—"), (0.0, "0"), (0.5, "<0.1"), (3.0, "0.1"), (50.2, "0.8"), (396.8, "6.6"), (596.0, "9.9"), (597, "10")],
)
def test_minutes_have_a_decimal_where_they_are_few(seconds, shown):
    assert minutes(seconds) == shown and minutes(74_000 * 60) == "74,000"


def test_a_line_above_the_table_and_below_that_of_the_readme_says_which_row_teaches(metrics, paper, tmp_path):
    said = ["EDM: teacher or starting point of HKD; Regression."]
    frame = table(ROWS, metrics, paper)
    _, text = write(tmp_path / "t", frame, ROWS, paper, teachers=said)
    assert said[0] in text.read_text().partition("| Method")[0].splitlines()
    assert short(view(lines_of(frame), paper, teachers=said)).endswith(f"|\n\n{said[0]}\n")
    assert short(view(lines_of(frame), paper)).endswith("|\n")


def test_numbers_of_a_column_have_the_same_decimals_and_kid_has_three(metrics_file, paper):
    def with_kid(method: str, nfe: int, kid: float, fdn: float):
        changes = {"metrics.kid": kid, "protocols.kid": protocol("hkd", "A"), "metrics.fdn": fdn}
        return metrics_file(method=method, nfe=nfe, **changes)

    values = (
        ("methods/edm", 35, -0.00064, 0.384),
        ("methods/hkd", 1, 0.48, 12.0),
        ("methods/regression", 1, 1.14, 9.5),
    )
    frame = table(ROWS, collect([with_kid(*one) for one in values]), paper, columns=("kid", "fdn"))
    shown = view(lines_of(frame), paper)
    at = [shown.headers.index(head) for head in ("KID", "FDn")]
    rows = [[row[k] for k in at] for _, section in shown.sections for row in section if row[1] != "—"]
    assert rows == [["-0.001", "0.38"], ["0.480", "12.00"], ["1.140", "9.50"]]
    small = [
        metrics_file(**{"metrics.fdn": 0.0384}),
        metrics_file(method="methods/edm", nfe=35, **{"metrics.fdn": 0.01}),
    ]
    shown = view(lines_of(table(ROWS, collect(small), paper, columns=("fdn",))), paper)
    rows = [row[shown.headers.index("FDn")] for _, section in shown.sections for row in section if row[1] != "—"]
    assert rows == ["0.0100", "0.0384"], "of a column below 1, three digits of its largest"


def test_the_spread_stands_beside_fdn_and_n_in_every_part_of_a_wide_table(metrics_file, small_row, paper, tmp_path):
    """Whatever the width of names: at some of them a line ends right behind FDn."""
    known = {("methods/hkd", 1): [10.0, 11.0, 12.0]}
    for longer in range(40):
        rows = [dataclasses.replace(row, label=row.label + "x" * longer) for row in ROWS]
        lines = collect([small_row, metrics_file(**at_128(route="shipped"))])
        frame = table(rows, lines, paper, trainings=known, real={2000: NEAR})
        _, text = write(tmp_path / "t", frame, rows, paper)
        content = text.read_text()
        heads = [line.split("|")[1:-1] for line in content.splitlines() if line.startswith("| Method")]
        names = [[head.strip() for head in line] for line in heads]
        assert len(names) > 1 and all("n" in line and "NFE" in line for line in names)
        (beside,) = [line for line in names if "Spread" in line]
        assert beside[beside.index("Spread") - 1] == "FDn"
        assert max(len(line) for line in content.splitlines() if line.startswith("|")) <= WIDTH
        real = [line.split("|") for line in content.splitlines() if line.startswith("| Real images")]
        assert len(real) == len(names) and all("2,000" in map(str.strip, line) for line in real)


def test_every_line_of_a_wide_table_fits_and_no_column_is_lost(metrics_file, paper, tmp_path):
    rows = [Printed("A", "A method of a long name, trained in this run", 1, "methods/hkd", 3.3)]
    names = ("fid_own", "fid_torch_fidelity", "fid_clean_fid", "fdn")
    _, text = write(tmp_path / "t", table(rows, collect([metrics_file()]), paper, columns=names), rows, paper)
    lines = [line for line in text.read_text().splitlines() if line.startswith("|")]
    assert max(map(len, lines)) <= WIDTH
    heads = {cell.strip() for line in lines for cell in line.split("|")}
    assert {"Route", "FD", "torch-fidelity", "clean-fid", "FDn", "Network evaluations", "Seeds"} <= heads


def test_a_row_of_too_few_images_keeps_its_place_without_a_number(metrics_file, small_row, paper):
    frame = table(ROWS, collect([small_row, metrics_file()]), paper, n_common=2000)
    edm = frame[frame["method"] == "EDM"].iloc[0]
    assert edm["n_samples"] == 128 and frame.loc[frame["method"] == "EDM", "fid_own":"fdn_common"].isna().all(axis=None)
    assert edm["why_not"].startswith("128 images, too few for a number") and edm["estimate"] == ""
    assert frame.loc[frame["method"] == "HKD", "fdn_common"].item() == 12.0


def test_real_images_stand_below_with_their_number_and_the_readme_shows_them(metrics, paper):
    frame = table(ROWS, metrics, paper, real={100: NEAR, 2000: REAL, 5000: NEAR})
    shown = view(lines_of(frame), paper)
    alone = view(lines_of(table(ROWS, metrics, paper, real={2000: NEAR})), paper)
    assert not [head for head in alone.headers if " at n = " in head], "all rows have one number of images"
    (heading, anchors) = shown.sections[-1]
    assert heading == "Anchors" and [row[0] for row in anchors] == ["Real images"] * 2, "of 100 no row has a number"
    assert [row[shown.headers.index("FDn")] for row in anchors] == ["2.80", "0.30"]
    lines = [line for line in short(shown).splitlines() if line.startswith("|")]
    assert sum("Real images" in line for line in lines) == 2 and not any("DDPM" in line for line in lines)
    assert max(map(len, lines)) <= WIDTH


def test_so_few_real_images_are_an_estimate_as_so_few_generated_ones(metrics_file, small_row, paper):
    few = collect([small_row, metrics_file(**at_128())])
    frame = table(ROWS, few, paper, real={128: REAL, 2000: NEAR})
    shown = view(lines_of(frame), paper)
    (_, anchors) = shown.sections[-1]
    at = shown.headers.index("FDn")
    assert [row[at] for row in anchors] == ["≈2.80", "0.30"]
    assert any("against the rest of it" in text for text in shown.reasons)


def test_what_is_wrong_with_every_row_is_said_of_real_images_and_with_one_is_not(metrics_file, paper):
    wrong = {"protocols.fdn.estimate": ["all images look the same"]}
    rows = {"methods/edm": 35, "methods/hkd": 1}

    def said(*doubted: str) -> str:
        files = [metrics_file(method=name, nfe=nfe, **(wrong if name in doubted else {})) for name, nfe in rows.items()]
        return str(table(ROWS, collect(files), paper, real={2000: REAL}).iloc[-1]["estimate"])

    assert [said("methods/edm"), said("methods/hkd")] == ["", ""]
    assert said(*rows) == "fdn: all images look the same"


@pytest.mark.parametrize("section", ["table1", "cifar10_cpu"])
def test_a_section_of_a_page_is_replaced_and_nothing_else(tmp_path, section):
    page = tmp_path / "README.md"
    parts = ("above\n", f"<!-- {section}:start -->\n", "old\n", f"<!-- {section}:end -->", "\nbelow\n")
    page.write_text("".join(parts))
    assert between(page, section, "new\n") == "".join(parts).replace("old", "new")
    with pytest.raises(ArtifactError, match=r"README\.md: has no lines '<!-- table9:start -->'"):
        between(page, "table9", "new\n")


@pytest.mark.parametrize("route", ["train", "shipped", "released"])
def test_of_weights_that_no_seed_trained_the_spread_is_said_to_be_of_draws(metrics_file, paper, route):
    said = view(lines_of(table(ROWS, collect([metrics_file(seed=s, route=route) for s in (0, 1)]), paper)), paper).about
    alone = view(lines_of(table(ROWS, collect([metrics_file(route=route)]), paper)), paper).about
    told = f"Route {route}: all seeds sample the same weights, so ± is of draws alone."
    assert (told in said) == (route != "train") and told not in alone


def test_a_missing_number_stays_visibly_missing(metrics, paper):
    frame = table(ROWS, metrics, paper)
    assert list(frame["method"]) == [row.label for row in ROWS]
    missing = frame[frame["seeds"].isna()]
    assert list(missing["method"]) == ["DDPM", "CD (LPIPS)", "CD (LPIPS)", "Regression"]
    assert missing[["fid_own", "fid_torch_fidelity", "fid_clean_fid", "fdn", "params"]].isna().all(axis=None)
    assert (missing["comparable"] == "no").all()


def test_a_table_that_no_paper_has_shows_its_own_numbers_alone(metrics, paper):
    own = [dataclasses.replace(row, fid=None, note="") for row in ROWS if row.method]
    shown = view(lines_of(table(own, metrics, paper)), paper)
    assert not {"Printed FID", "Comparable"} & set(shown.headers) and {"FD", "FDn", "Seeds"} <= set(shown.headers)
    assert shown.reasons == [] and not any("Printed FID" in line for line in shown.about)
    cells = [row for _, rows in shown.sections for row in rows]
    assert {len(row) for row in cells} == {len(shown.headers)} and cells[0][0] == "EDM"


def test_a_table_without_measurements_is_written(paper, tmp_path):
    frame = table(ROWS, collect([]), paper)
    assert len(frame) == len(ROWS) and frame["fid_own"].isna().all()
    _, text = write(tmp_path / "table1", frame, ROWS, paper)
    assert "Nothing measured yet." in text.read_text()


def test_a_duplicate_printing_carries_its_numbers_once(metrics_file, paper):
    rows = [Printed("A", "CD", 1, "methods/cd", 3.55), Printed("B", "CD", 1, "methods/cd", 3.55)]
    frame = table(rows, collect([metrics_file(method="methods/cd")]), paper)
    assert list(frame["seeds"].notna()) == [True, False]
    assert frame["why_not"][1] == "printed twice: see the row under A"


def test_a_comparable_row_says_yes_and_gives_no_reason(metrics_file, paper):
    same = {
        "dataset": "cifar10",
        "data_kind": "images",
        "method": "methods/edm",
        "nfe": 35,
        "scale": "paper",
        "extractor": "FID",
        "extractor_digest": next(iter(FID_DIGESTS)),
        "n_generated": 50000,
        "n_reference": 50000,
        "budget.train_images": 200_000_000,
    }
    frame = table(ROWS[1:2], collect([metrics_file(**same)]), paper)
    assert list(frame["comparable"]) == ["yes"] and list(frame["why_not"]) == [""]
    assert "FID" in view(lines_of(frame), paper).headers


def test_mixed_protocols_are_refused(metrics_file, paper):
    other = metrics_file(method="methods/edm", nfe=35, **{"protocols.fid_own.preprocessing": "B"})
    with pytest.raises(ReportError, match="fid_own would mix protocols"):
        table(ROWS, collect([metrics_file(), other]), paper)


def test_metrics_of_other_tables_rows_are_ignored(metrics_file, metrics, paper):
    other = collect([metrics_file(method="methods/other", extractor_digest="another")])
    assert to_csv(table(ROWS, pd.concat([metrics, other]), paper)) == GOLDEN_CSV


def test_the_same_metrics_give_the_same_bytes(metrics, paper, tmp_path):
    first = write(tmp_path / "a", table(ROWS, metrics, paper), ROWS, paper)
    second = write(tmp_path / "b", table(ROWS, metrics.iloc[::-1], paper), ROWS, paper)
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_the_terminal_shows_every_row_and_where_the_rest_lies(metrics, paper):
    out = io.StringIO()
    shown = view(lines_of(table(ROWS, metrics, dataclasses.replace(paper, note="a remark"))), paper)
    show(shown, ["results/table1.md"], Console(file=out, width=112))
    text = out.getvalue()
    for word in (
        "DDPM",
        "Consistency Model",
        "4.00 ± 1.41",
        "3.30",
        "embedded extractor",
        "In full: results/table1.md",
    ):
        assert word in text


SMALL = {f"{name}@128": {"fid_own": 9.0, "fdn": 36.0}[name] for name in ("fid_own", "fdn")}


def at_128(**changes):
    """A file of 2,000 images that also holds scores of its first 128."""
    scores = {"fid_own": 3.0, "fid_torch_fidelity": 3.0, "fid_clean_fid": 2.5, "fdn": 12.0}
    whole = {name: protocol("hkd", "A") for name in scores}
    part = {key: protocol("hkd", "A") | {"n_generated": 128} for key in SMALL}
    return {"metrics": scores | SMALL, "protocols": whole | part} | changes


@pytest.fixture
def small_row(metrics_file):
    """EDM's row with 128 images only."""
    scores = {"fid_own": 8.0, "fid_torch_fidelity": 8.0, "fid_clean_fid": 7.0, "fdn": 32.0}
    why = {"n_generated": 128, "estimate": ["generated n = 128 is below the nominal 2000"]}
    protocols = {name: protocol("hkd", "A") | why for name in scores}
    return metrics_file(method="methods/edm", nfe=35, n_generated=128, metrics=scores, protocols=protocols)


def test_rows_of_different_numbers_of_images_are_compared_at_the_smallest(metrics_file, small_row, paper):
    frame = table(ROWS, collect([small_row, metrics_file(**at_128())]), paper)
    measured = frame[frame["seeds"].notna()]
    assert list(measured["n_samples"]) == [128, 2000] and set(measured["n_common"]) == {128}
    assert list(measured["fdn"]) == [32.0, 12.0], "each at its own n"
    assert list(measured["fdn_common"]) == [32.0, 36.0], "both at 128"
    shown = view(lines_of(frame), paper)
    assert {"n", "FDn at n = 128"} <= set(shown.headers)
    (edm,) = (row for _, section in shown.sections for row in section if row[0] == "EDM")
    assert edm[shown.headers.index("n")] == "128" and edm[shown.headers.index("FDn")] == "≈32.00"
    assert any("generated n = 128 is below the nominal 2000" in line for line in shown.about)
    assert "generated n = 128 is below the nominal 2000" in to_csv(frame)


def test_different_numbers_of_images_need_a_column_at_a_common_one(metrics_file, small_row, paper):
    with pytest.raises(ReportError, match=r"n_generated is 128 and 2000.*add the column fdn_common"):
        table(ROWS, collect([small_row, metrics_file(**at_128())]), paper, columns=("fid_own", "fdn"))
    with pytest.raises(ReportError, match=r"holds no score 'fid_own@128'.*run `hkd metrics` again"):
        table(ROWS, collect([small_row, metrics_file()]), paper, columns=("fid_common",))


def test_a_column_at_a_common_number_never_mixes_numbers(metrics_file, small_row, paper):
    protocols = at_128()["protocols"]
    protocols["fdn@128"] = protocols["fdn@128"] | {"n_generated": 100}
    with pytest.raises(ReportError, match=r"fdn_common would mix protocols .n_generated is 128 and 100"):
        table(ROWS, collect([small_row, metrics_file(**at_128(protocols=protocols))]), paper)


def test_the_minimum_over_seeds_stands_beside_the_mean(metrics_file, paper):
    lines = collect([metrics_file(seed=k, **{"metrics.fid_own": value}) for k, value in enumerate((5.0, 3.0, 4.0))])
    frame = table(ROWS[4:5], lines, paper, columns=("fid_own", "fid_sd", "fid_min"))
    assert frame[["fid_own", "fid_sd", "fid_min"]].values.tolist() == [[4.0, 1.0, 3.0]]


def test_minima_over_different_numbers_of_seeds_are_refused(metrics, paper):
    with pytest.raises(
        ReportError, match=r"fid_min would mix.* \(2 of methods/hkd at 1 NFE and 1 of methods/edm at 35"
    ):
        table(ROWS, metrics, paper, columns=("fid_own", "fid_min"))


def test_a_spread_that_would_read_as_none_is_shown_with_its_first_digit():
    line = {"fdn": 13.2, "fdn_training_sd": 0.0049, "trainings": 3}
    assert _trainings(line, 2) == "0.005 (3)"
    assert _trainings({**line, "fdn_training_sd": 0.051}, 2) == "0.05 (3)"
    assert _trainings({**line, "fdn_training_sd": 0.0}, 2) == "0.00 (3)"
    assert _trainings({**line, "fdn_training_sd": None}, 2) == "—"


def test_a_score_that_would_read_as_minus_nothing_is_shown_with_its_first_digit():
    line = {"kid_effnet": -0.0003, "estimate": None}
    assert _score(line, column("kid_effnet"), 3) == "-0.0003"
    assert _score({**line, "kid_effnet": 0.0}, column("kid_effnet"), 3) == "0.000"
