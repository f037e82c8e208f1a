"""The study of interpretability on tiny finished runs: every command leaves its arrays, the table and the figures."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from hkd import __main__ as entry
from hkd import interrupt
from hkd.studies.interpretability.questions import settings
from tests.studies.interpretability.case import HKD, KEYS


@pytest.fixture
def hkd(monkeypatch, root, capsys, results):
    """Run a command with these results; return its exit code and errors."""
    monkeypatch.chdir(root)
    monkeypatch.delenv("HKD_BENCHMARK", raising=False)
    interrupt.reset()
    options = [f"results={results}", "seeds=2", *(f"studies.{k}={json.dumps(v)}" for k, v in KEYS["studies"].items())]

    def run(*arguments: str) -> tuple[int, str]:
        overrides = [word for option in options for word in ("--config", option)]
        monkeypatch.setattr(
            sys, "argv", ["hkd", *arguments, "--benchmark", "configs/benchmarks/smoke.yaml", *overrides]
        )
        code = entry._run()
        return code, capsys.readouterr().err

    return run


def stored(results: Path, run: str, file: str, seed: int = 0) -> Path:
    return results / f"shapes8/{run}/seed{seed}/{file}"


@pytest.mark.slow
@pytest.mark.ci
def test_the_whole_study_from_finished_runs_to_figures(hkd, results, tmp_path, study_plan):
    study = settings(study_plan)
    for seed in ("0", "1"):
        for run in study.closure:
            assert hkd("closure", "shapes8", run, "--seed", seed)[0] == 0
        for run in study.factors:
            for order in study.orders:
                assert hkd("band-factors", "shapes8", run, order, "--seed", seed)[0] == 0
    for words in (("spectrum", "shapes8", HKD), ("agreement",), ("interpretability",)):
        assert hkd(*words)[0] == 0, words
    with np.load(stored(results, HKD, "spectrum/spectrum.npz")) as arrays:
        assert arrays["zero/images"].shape == (3, 4, 3, 8, 8) and arrays["zero/images"].dtype == np.uint8
        assert arrays["energy"].shape[1:] == (3, 3)
    errors = json.loads(stored(results, HKD, "interpretability/closure.json").read_text())
    assert errors["n"] == 8 and len(errors["latent"]) == 6 and max(errors["latent"][0]) < 1e-5
    test = json.loads(stored(results, HKD, "interpretability/factors-alpha.json", 1).read_text())
    assert len(test["null"]) == 100 and len(test["weights"]) == 3 and len(test["factors"]) == 9
    with (results / "interpretability.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["question"] for row in rows if row["decision"]} == {row["question"] for row in rows}
    assert all(row["n"] == "2" and row["sd"] for row in rows if "between seeds" not in row["quantity"])
    weak = "network FD-tiny reads held-out factors 0.900, a share of 0.10 below the bar of"
    read = {"Do bands of eigenvalues carry factors?"}
    assert {row["question"] for row in rows if row["note"].startswith(weak)} == read, "what the weak network answered"
    assert {row["quantity"] for row in rows if row["note"] == "of few images"} == {
        quantity for row in rows if (quantity := row["quantity"]).startswith("FDn")
    }
    assert f"is an estimate: {weak}" in (results / "interpretability.md").read_text()
    assert "Is the spectrum determined?" in (results / "interpretability.md").read_text()
    for name in ("spectrum", "interpretability"):
        assert hkd("figure", name, "--out", str(tmp_path / f"{name}.pdf"))[0] == 0
        assert (tmp_path / f"{name}.png").stat().st_size > 10_000 and "seed" in (tmp_path / f"{name}.md").read_text()


@pytest.mark.parametrize(
    "words, expected",
    [
        (("band-factors", "shapes8", HKD, "alhpa"), "Did you mean 'alpha'"),
        (("closure", "shapes8", "methods/regression"), "missing"),
        (("spectrum", "shapes8", HKD, "--expect-digest", "0"), "start snakemake again"),
    ],
)
def test_a_mistyped_argument_is_refused_in_one_line(hkd, words, expected):
    code, err = hkd(*words)
    lines = [line for line in err.strip().splitlines() if line.startswith("hkd: ")]
    assert code == 1 and len(lines) == 1 and expected in lines[0] and "Traceback" not in err
