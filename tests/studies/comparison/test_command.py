"""`hkd compare`, `hkd verify`, `hkd claims`: what they write, say and leave with."""

from __future__ import annotations

import csv
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from hkd import __main__ as entry
from hkd import interrupt
from hkd.experiment.extractors import extractors
from hkd.metrics.measure import reference_arrays
from hkd.plan.runs import Plan
from hkd.report.markdown import WIDTH
from hkd.store.records import record_path
from hkd.studies.comparison.judging import bypasses
from hkd.studies.comparison.plan import claims
from tests.recorded import record_results, recorded
from tests.studies.milestones import DATASET, finished_run

KD, KD_IMAGES = 9.36, 25_600_000


@pytest.fixture
def hkd(root, monkeypatch, capsys):
    """Run a command in this process; return exit code, output and errors."""
    monkeypatch.chdir(root)
    monkeypatch.delenv("HKD_BENCHMARK", raising=False)
    interrupt.reset()

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["hkd", *words])
        code = entry._run()
        out = capsys.readouterr()
        return code, out.out, out.err

    return run


def lines(made) -> dict[str, dict[str, str]]:
    with (made.root / "comparison.csv").open(newline="") as file:
        return {line["claim"]: line for line in csv.DictReader(file)}


def test_an_empty_folder_is_not_run_from_end_to_end(tree, hkd):
    made = tree()
    code, out, err = hkd("compare", *made.options())
    assert code == 0 and not err
    assert {line["verdict"] for line in lines(made).values()} == {"not run"}
    assert "Orderings: 24 claims: 24 not run" in out and "comparison.csv" in out
    assert all(line["citation"] and line["frozen"] for line in lines(made).values())


def test_every_part_of_the_band_stands_in_the_table(tree, hkd):
    made = tree(seeds=3)
    made.plant("methods/kd", 1, [9.3, 9.4, 9.5], KD_IMAGES, scores={"fid_bootstrap": 0.05})
    made.plant("methods/ecm", 1, [3.6, 3.7, 3.5], 1000)
    assert hkd("compare", *made.options())[0] == 0
    line = lines(made)["t1-kd"]
    assert (line["verdict"], line["printed"], line["margin"], line["seeds"]) == ("reproduced", "9.36", "3.03", "3")
    assert float(line["s_seed"]) == pytest.approx(0.1 / 3**0.5, rel=1e-4)
    assert (float(line["s_draw"]), float(line["s_lab"])) == (0.05, pytest.approx(0.117 * KD, rel=1e-4))
    assert float(line["s_rounding"]) == pytest.approx(0.01 / 12**0.5, rel=1e-4)
    parts = [float(line[f"s_{name}"]) ** 2 for name in ("seed", "draw", "lab", "rounding")]
    assert float(line["band"]) == pytest.approx(sum(parts) ** 0.5, rel=1e-4)
    assert float(line["high"]) - float(line["difference"]) == pytest.approx(2.4469 * float(line["band"]), rel=0.02)
    assert float(line["relative"]) == pytest.approx(0.04 / 9.36, rel=1e-3)
    other = lines(made)["t1-ecm"]
    assert (line["measured_as"], other["measured_as"]) == ("FID", "FID")
    assert other["verdict"] == "not comparable" and other["reproduced"] == "3.6" and other["difference"] == ""


def test_the_terminal_says_one_line_a_class_and_what_would_resolve_it(tree, hkd):
    made = tree("embedded", seeds=3)
    made.plant("methods/hkd", 1, [35.0, 36.0, 37.0])
    made.plant("ablations/abl_single_scale", 1, [36.0, 37.5, 39.0])  # agrees
    made.plant("ablations/abl_no_traj", 1, [35.7, 37.2, 38.7])  # 4 seeds
    made.plant("methods/dmd", 1, [35.2, 36.7, 38.2])  # 0.7 of spread 0.5: 5 seeds
    made.plant("methods/kd", 1, [35.0, 36.0, 37.0])  # equal
    code, out, _ = hkd("compare", *made.options())
    assert code == 0 and len(out.splitlines()) == 5
    unresolved = "3 toy: unresolved (4 to 5 seeds would resolve 2; 1 by no number of seeds)"
    assert f"Orderings: 24 claims: 1 toy: agrees, {unresolved}, 20 not run" in out
    assert "4 seeds" in (made.root / "comparison.md").read_text()


def test_a_statement_has_the_decision_of_its_study(tree, hkd):
    made = tree("embedded")
    quantity = "specialisation by alpha"
    made.study("interpretability.csv", [{"run": "methods/hkd", "quantity": quantity, "decision": "in some seeds"}])
    code, out, _ = hkd("compare", *made.options())
    assert code == 0 and "Statements: 4 claims: 1 toy: unresolved, 3 not run" in out
    assert (lines(made)["w-bands"]["reproduced"], lines(made)["w-bands"]["resolved_by"]) == ("in some seeds", "")
    code, out, _ = hkd("verify", "w-bands", "--device", "cpu", *made.options())
    assert code == 2 and "in some seeds" in out, "there is nothing to measure again: the study answers"


def test_too_few_images_have_no_number_in_any_table_and_few_are_an_estimate(tree, hkd):
    made = tree("embedded", seeds=2)
    few = "generated n = 100 is below the nominal 1000"
    none = ["generated n = 12 is not above the feature dimension 64", "generated n = 12 is below the nominal 1000"]
    made.plant("methods/ddpm", 1000, [90.22, 90.22], n_generated=12, protocol={"estimate": none}, route="shipped")
    made.plant("methods/ddim", 100, [19.04, 19.04], n_generated=100, protocol={"estimate": [few]}, route="shipped")
    made.plant("methods/kd", 1, [28.59, 28.59], n_generated=1000)
    assert hkd("compare", *made.options())[0] == 0
    text, table1 = ((made.root / name).read_text() for name in ("comparison.md", "comparison/table1.md"))
    assert "90.22" not in text + table1 + (made.root / "comparison/table1.csv").read_text()
    assert lines(made)["t1-ddpm"]["reproduced"] == "" and lines(made)["t1-ddim-100"]["reproduced"] == "19.04"
    assert "≈19.04" in text and "≈19.04" in table1 and "≈28.59" not in text + table1
    assert few in table1 and none[0] not in table1 and "or on so few images that n" in table1
    assert "Route shipped: all seeds sample the same weights, so ± is of draws alone." in table1


def test_tables_1_to_6_stand_in_the_papers_order_with_a_column_for_every_protocol(tree, hkd):
    made = tree(seeds=2)
    both = {"scores": {"fid_clean_fid": 9.0, "fid_torch_fidelity": 9.36}}
    made.plant("methods/kd", 1, [9.3, 9.42], KD_IMAGES, **both)
    assert hkd("compare", *made.options())[0] == 0
    folder = made.root / "comparison"
    assert {path.name for path in folder.iterdir()} >= {
        f"table{n}.{end}" for n in range(1, 7) for end in ("csv", "md", "tex")
    }
    with (folder / "table1.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["method"] for row in rows][:7] == ["DDPM", "Score SDE", "DDIM", "DDIM", "EDM", "EDM", "KD"] and len(
        rows
    ) == 20
    kd = rows[6]
    assert (kd["fid_own"], kd["fid_clean_fid"], kd["reported"], kd["verdict"]) == ("9.36", "9", "9.36", "reproduced")
    assert float(kd["fid_own_sd"]) == pytest.approx(0.12 / 2**0.5, rel=1e-4)
    assert (kd["train_images"], kd["reported_train_images"]) == ("25600000", "25600000")
    text = (folder / "table1.tex").read_text()
    assert r"\toprule" in text and r"\bottomrule" in text and r"\textit{Diffusion Distillation}" in text
    assert r"9.36 $\pm$ 0.08" in text and "reproduced" in text
    heads = " ".join((folder / "table1.md").read_text().split())
    assert "| n | FID | torch-fidelity | clean-fid |" in heads and "| Reported | Verdict |" in heads
    assert r"447.13" in (folder / "table5.tex").read_text() and "epoch 53" in (folder / "table5.md").read_text()


def test_every_text_is_a_table_to_its_reader_and_says_what_was_measured(tree, hkd):
    made = tree("embedded", seeds=2)
    few = "generated n = 1000 is below the nominal 2000"
    made.plant("methods/hkd", 1, [35.0, 36.0], protocol={"estimate": [few]}, codes=["a" * 16, "b" * 16])
    made.plant("ablations/abl_single_scale", 1, [37.0, 38.5])
    assert hkd("compare", *made.options())[0] == 0
    texts = {path.name: path.read_text() for path in made.root.rglob("*.md")}
    assert len(texts) == 7
    for name, text in texts.items():
        cells = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("| :")]
        assert cells and all(re.fullmatch(" (:-+|-+:) ", cell) for rule in cells for cell in rule), name
    assert "Measured on shapes16 through FD-tiny; n: generated images" in texts["table1.md"]
    assert f"≈: an estimate: {few}." in texts["table1.md"] and "≈35.50 ± 0.71" in texts["table1.md"]
    assert "Measured on" not in texts["table2.md"], "nothing was"
    assert "not comparable (several versions of the code)" in texts["table1.md"]
    assert "through FD-tiny" in (made.root / "comparison/table1.tex").read_text()
    assert "| Seeds | Decision |" in texts["comparison.md"]


def test_no_line_of_a_table_is_wider_than_a_page_and_what_would_resolve_a_claim_stands_below(tree, hkd):
    made = tree("embedded", seeds=3)
    made.plant("methods/hkd", 1, [35.0, 36.0, 37.0], codes=["a" * 16, "b" * 16])
    made.plant("ablations/abl_single_scale", 1, [36.0, 37.5, 39.0])
    made.plant("ablations/abl_no_traj", 1, [35.7, 37.2, 38.7])
    made.plant("methods/kd", 1, [35.0, 36.0, 37.0], scores={"fid_clean_fid": 9.0, "fid_torch_fidelity": 9.36})
    assert hkd("compare", *made.options())[0] == 0
    texts = {path.name: path.read_text() for path in made.root.rglob("*.md")}
    assert len(texts) == 7
    for name, text in texts.items():
        assert max(len(line) for line in text.splitlines() if line.startswith("|")) <= WIDTH, name
    below = texts["comparison.md"].partition("**What would resolve them**")[2].partition("**")[0]
    ways = {line["resolved_by"] for line in lines(made).values()} - {""}
    assert ways and all(f"- {way}: " in below for way in ways)
    assert "o-trajectory" in below and "o-hierarchy" not in below
    parts = [line for line in texts["table1.md"].splitlines() if line.startswith("| Method")]
    assert len(parts) > 1 and "Training images |" in parts[-1] and "| of source |" in " ".join(parts[-1].split())


def test_tables_1_to_6_carry_budget_and_marks_of_every_row(tree, hkd):
    made = tree(seeds=2)
    made.plant("methods/kd", 1, [9.3, 9.42], KD_IMAGES)
    made.trained("methods/kd", 0, selected="best of 20 by FID")
    made.trained("methods/kd", 1)
    (_, unrecorded) = made.plant("methods/pd", 1, [8.34, 8.4], 384_000_000)
    record_path(unrecorded).unlink()
    assert hkd("compare", *made.options())[0] == 0
    with (made.root / "comparison/table1.csv").open(newline="") as file:
        rows = {row["claim"]: row for row in csv.DictReader(file)}
    assert rows["t1-kd"]["marks"].endswith("seed0/weights.safetensors: chosen by the score (best of 20 by FID)")
    assert rows["t1-kd"]["network_evals"] == "1000"
    assert rows["t1-pd"]["marks"] == f"no record: {unrecorded}" and rows["t1-ddpm"]["marks"] == ""
    for end in ("md", "tex"):
        text = " ".join((made.root / f"comparison/table1.{end}").read_text().split())
        assert "reproduced (selected)" in text and "reproduced (no record)" in text and "Network evaluations" in text


def test_the_comparison_is_the_same_twice_and_has_a_record_of_what_it_read(tree, hkd):
    made = tree()
    (path,) = made.plant("methods/kd", 1, [KD], KD_IMAGES)
    hkd("compare", *made.options())
    files = [*made.root.glob("comparison.[cmt]*"), *(made.root / "comparison").iterdir()]
    first = {file: file.read_bytes() for file in files if not file.name.endswith("record.json")}
    hkd("compare", *made.options())
    assert len(first) == 21 and first == {file: file.read_bytes() for file in first}
    record = json.loads(record_path(made.root / "comparison.csv").read_text())
    assert list(record["inputs"]) == [str(path)] and record["frozen"] == lines(made)["t1-kd"]["frozen"]


def test_an_edited_file_does_not_stop_the_comparison(tree, hkd):
    made = tree()
    (path,) = made.plant("methods/kd", 1, [20.0], KD_IMAGES)
    path.write_text(path.read_text().replace("20.0", "9.36"))
    made.plant("methods/pd", 1, [8.34], 384_000_000)
    assert hkd("compare", *made.options())[0] == 0
    assert lines(made)["t1-kd"]["verdict"] == "incomplete" and lines(made)["t1-kd"]["reproduced"] == ""
    assert lines(made)["t1-pd"]["verdict"] == "reproduced"
    assert f"- {path}: damaged" in (made.root / "comparison.md").read_text()


def test_a_folder_in_place_of_a_studys_table_is_named_and_stops_nothing(tree, hkd):
    made = tree()
    (made.root / "table5.csv").mkdir(parents=True)
    assert hkd("compare", *made.options())[0] == 0
    line = lines(made)["t5-before"]
    assert line["verdict"] == "incomplete" and "table5.csv: a folder or a device" in line["gaps"]


@pytest.mark.parametrize("content", ["{}", "no record", '{"record_sha256": "of another version"}'])
def test_a_studys_table_with_a_record_that_is_none_is_named_and_stops_nothing(tree, hkd, content):
    made = tree("embedded")
    path = made.study("table5.csv", [{"epoch": "0", "values": "380"}])
    record_path(path).write_text(content)
    assert hkd("compare", *made.options())[0] == 0
    line = lines(made)["t5-before"]
    assert line["verdict"] == "incomplete" and f"{record_path(path)}: " in line["gaps"] and line["files"] == ""


# -- verify ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def finished(root, tmp_path, monkeypatch, images, perceptual):
    """A finished run of the smoke benchmark, with what measures it; and how to verify a claim about it."""
    monkeypatch.chdir(root)
    options = ["--benchmark", "configs/benchmarks/smoke.yaml", "--config", f"results={tmp_path}/results"]
    plan = Plan.load("configs/benchmarks/smoke.yaml", {"results": f"{tmp_path}/results"})
    files = finished_run(plan, "methods/ecm", 0, [8], images, perceptual)
    networks = extractors(plan, DATASET, "cpu")
    known = reference_arrays(np.load(images / "images.npy"), networks, ("fid_own", "fdn"))
    np.savez(plan.layout.reference(DATASET), **known)
    recorded(plan, plan.layout.reference(DATASET))
    costs = {"network_evals": 0, "teacher_evals": 0, "params": 7, "train_images": 9, "train_seconds": 1}
    recorded(plan, files.weights, files.config, seed=0, route="train", budget=costs)
    record_results(plan)
    return plan, files, options


def test_verifying_samples_and_scores_the_weights_again(hkd, finished):
    plan, files, options = finished
    code, out, err = hkd("verify", "t1-ecm", "--device", "cpu", *options)
    assert code == 3, err
    assert "methods/ecm, seed 0, 1 NFE: measured again" in out and "not recorded" in out, err
    assert "t1-ecm: not comparable" in out and "embedded extractor, not Inception" in out
    again = json.loads(Path(files.of("verified/nfe1.json")).read_text())
    assert again["n_generated"] == 96 and again["metrics"]["fid_own"] > 0
    stored = Path(files.metrics(1))
    stored.parent.mkdir(parents=True)
    stored.write_text(json.dumps({"metrics": {"fid_own": 1.25}}))
    first = again["metrics"]["fid_own"]
    _, out, _ = hkd("verify", "t1-ecm", "--device", "cpu", *options)
    assert f"measured again {first:.6g}, recorded 1.25" in out, "the same images, whatever was recorded of them"
    left = json.loads((Path(plan.layout.root) / "verified/t1-ecm.json").read_text())
    assert (left["verdict"], left["judged"], left["exit_code"], left["bypass"]) == ("not comparable", 3, 3, None)


def test_weights_from_elsewhere_are_released_ones(hkd, finished, tmp_path):
    _, files, options = finished
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    for name in ("weights", "config"):
        path = Path(getattr(files, name))
        path.rename(folder / path.name)
    code, out, _ = hkd("verify", "t1-ecm", "--device", "cpu", *options)
    assert code == 3 and "not run" in out
    code, out, _ = hkd(
        "verify", "t1-ecm", "--weights", str(folder / "weights.safetensors"), "--device", "cpu", *options
    )
    assert code == 3 and "measured again" in out and "training budget" not in out and "measured_as: FD\n" in out


def elsewhere(files, folder: Path) -> str:
    """Move a run's weights with config and records to a folder; return the weights there."""
    folder.mkdir()
    for name in ("weights", "config"):
        path = Path(getattr(files, name))
        for one in (path, record_path(path)):
            one.rename(folder / one.name)
    return str(folder / "weights.safetensors")


def test_weights_from_elsewhere_answer_for_a_run_of_their_own_method_alone(hkd, finished, tmp_path):
    _, files, options = finished
    weights = elsewhere(files, tmp_path / "elsewhere")
    code, _, err = hkd("verify", "t1-kd", "--weights", weights, "--device", "cpu", *options)
    assert code == 3 and "config.yaml: run.target = hkd.methods.consistency.ecm.ECM, where methods/kd is" in err
    gone = str(tmp_path / "gone.safetensors")
    code, _, err = hkd("verify", "t1-ecm", "--weights", gone, "--device", "cpu", *options)
    assert code == 3 and f"--weights {gone}: no such file" in err and len(err.splitlines()) == 1


def test_weights_from_elsewhere_say_by_their_own_record_that_they_were_chosen(hkd, finished, tmp_path):
    plan, files, options = finished
    costs = {"network_evals": 0, "teacher_evals": 0, "params": 7, "train_images": 9, "train_seconds": 1}
    facts = {"route": "train", "budget": costs, "selected": "best of 20 by FID"}
    recorded(plan, files.weights, files.config, seed=0, **facts)
    weights = elsewhere(files, tmp_path / "elsewhere")
    code, out, _ = hkd("verify", "t1-ecm", "--weights", weights, "--device", "cpu", *options)
    assert code == 3 and f"selected: {weights}: chosen by the score (best of 20 by FID)" in out


def test_own_weights_without_a_record_are_of_unknown_training(hkd, finished):
    _, files, options = finished
    for path in (files.weights, files.config):
        record_path(Path(path)).unlink()
    code, out, _ = hkd("verify", "t1-ecm", "--device", "cpu", *options)
    assert code == 3 and f"no record: {files.weights}" in out and "training budget of scale" in out
    content = json.loads(Path(files.of("verified/nfe1.json")).read_text())
    assert content["route"] == "train" and set(content["budget"].values()) == {None}


@pytest.mark.parametrize("words", [[], ["--strict"]])
def test_of_unknown_training_nothing_compares_at_the_papers_scale(tree, hkd, monkeypatch, words):
    made = tree()
    made.trained("methods/kd", 0)
    record_path(Path(made.plan.layout.run("cifar10", "methods/kd", 0).weights)).unlink()
    unknown = {"budget": dict.fromkeys(("params", "train_images", "network_evals", "train_seconds"))}
    (planted,) = made.plant("methods/kd", 1, [KD], KD_IMAGES, **unknown)
    content = json.loads(planted.read_text()) | {"diverged_at": None}
    monkeypatch.setattr("hkd.studies.comparison.verifying.remeasure", lambda *_, **__: content)
    code, out, _ = hkd("verify", "t1-kd", *words, "--device", "cpu", *made.options())
    assert code == 3 and "training length not recorded" in out and "no record: " in out


def test_a_bypass_leaves_with_0_and_is_recorded(tree, hkd):
    made = tree()
    made.plant("methods/kd", 1, [KD + 4], KD_IMAGES)
    code, out, _ = hkd("verify", "t1-kd", "--bypass", "known: no augmentation", "--device", "cpu", *made.options())
    assert code == 0 and "bypassed (known: no augmentation): exit code 0 in place of 3" in out
    left = json.loads((made.root / "verified/t1-kd.json").read_text())
    assert left["bypass"] == "known: no augmentation" and left["judged"] == 3
    assert record_path(made.root / "verified/t1-kd.json").exists()
    hkd("compare", *made.options())
    assert lines(made)["t1-kd"]["marks"] == "bypassed: known: no augmentation"
    left = made.root / "verified/t1-kd.json"
    left.write_text(left.read_text().replace("known: no augmentation", "all is well"))
    hkd("compare", *made.options())
    assert lines(made)["t1-kd"]["marks"].startswith(f"bypasses nothing: {left}: damaged")
    record_path(left).unlink()

    known = {"t1-kd": claims(made.plan)["t1-kd"]}

    def marks() -> str:
        return bypasses(made.plan, known)["t1-kd"]

    for content in ([], None, {}, {"bypass": 3}, 3):
        left.write_text(json.dumps(content))
        nothing = f"bypasses nothing: {left} is nothing that `hkd verify` left; remove it"
        assert marks() == nothing
    left.write_text(json.dumps({"bypass": "two\nlines"}))
    assert "\n" not in marks() and marks().startswith("bypassed: two")


@pytest.mark.parametrize(
    "value, facts, words, code",
    [
        (KD, {}, [], 0),
        (KD + 4, {}, [], 1),
        (KD + 1, {}, [], 2),
        (KD, {"scale": "cpu"}, [], 2),
        (KD, {"extractor": "FD-cnn"}, [], 3),
        (KD - 4, {}, [], 0),
        (KD - 4, {}, ["--strict"], 1),
        (KD, {}, ["--strict"], 0),
    ],
)
def test_exit_codes_of_verify(tree, hkd, monkeypatch, value, facts, words, code):
    """The second measurement is planted: what it is made of is tested above."""
    made = tree()
    made.trained("methods/kd", 0)
    (planted,) = made.plant("methods/kd", 1, [value], KD_IMAGES, **facts)
    content = json.loads(planted.read_text())
    monkeypatch.setattr("hkd.studies.comparison.verifying.remeasure", lambda *_, **__: {**content, "diverged_at": None})
    assert hkd("verify", "t1-kd", *words, "--device", "cpu", *made.options())[0] == code


def test_strictly_a_mark_is_not_usable(tree, hkd, monkeypatch):
    made = tree()
    made.trained("methods/kd", 0, selected="the best of ten")
    (planted,) = made.plant("methods/kd", 1, [KD], KD_IMAGES)
    content = json.loads(planted.read_text()) | {"diverged_at": None}
    monkeypatch.setattr("hkd.studies.comparison.verifying.remeasure", lambda *_, **__: content)
    assert hkd("verify", "t1-kd", "--device", "cpu", *made.options())[0] == 0
    code, out, _ = hkd("verify", "t1-kd", "--strict", "--device", "cpu", *made.options())
    assert code == 3 and "selected" in out


@pytest.mark.parametrize(
    "words, said",
    [
        (["t1-hdk"], "no claim 't1-hdk'. Did you mean 't1-hkd'?"),
        (["o-hkd-kd", "--weights", "w.safetensors"], "rests on 2 runs, not on one"),
        (["t1-kd", "--device", "abacus"], "device 'abacus'"),
    ],
)
def test_what_cannot_be_verified_is_one_line_and_not_called_worse(tree, hkd, words, said):
    code, _, err = hkd("verify", *words, *tree().options())
    assert code == 3 and said in err and len([line for line in err.splitlines() if line.startswith("hkd:")]) == 1


@pytest.mark.parametrize("failure", [RuntimeError("out of memory"), ValueError("odd"), KeyError("fid_own")])
def test_whatever_fails_is_not_called_worse(tree, hkd, monkeypatch, failure):
    made = tree()
    made.trained("methods/kd", 0)

    def fail(*_: object, **__: object) -> None:
        raise failure

    monkeypatch.setattr("hkd.studies.comparison.verifying.remeasure", fail)
    code, _, err = hkd("verify", "t1-kd", "--device", "cpu", *made.options())
    assert code == 3 and err.splitlines()[-1] == f"{type(failure).__name__}: {failure}"


def test_a_request_to_stop_is_no_verdict(tree, hkd, monkeypatch):
    made = tree()
    made.trained("methods/kd", 0)

    def stop(*_: object, **__: object) -> None:
        raise interrupt.Interrupted

    monkeypatch.setattr("hkd.studies.comparison.verifying.remeasure", stop)
    assert hkd("verify", "t1-kd", "--device", "cpu", *made.options())[0] == interrupt.EXIT_CODE


def test_a_mistyped_option_leaves_with_2_and_measures_nothing(tree, hkd):
    made = tree()
    code, _, err = hkd("verify", "t1-kd", "--strct", *made.options())
    assert code == 2 and "--strct" in err and not (made.root / "verified").exists()


def test_the_claims_are_listed_and_frozen(tree, hkd, tmp_path, root, monkeypatch):
    code, out, _ = hkd("claims")
    assert code == 0 and "t1-hkd" in out and "Table 1, row 'HKD'" in out
    before = (root / "configs/claims/frozen.json").read_text()
    written = {}
    monkeypatch.setattr("hkd.studies.comparison.frozen.write_json", lambda path, content: written.update(content))
    code, out, _ = hkd("claims", "--freeze")
    assert code == 0 and "frozen as" in out and written == json.loads(before)
