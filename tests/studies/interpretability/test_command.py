"""The study of interpretability on tiny finished runs: every command leaves its arrays, the table and the figures."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from hkd import __main__ as entry
from hkd import interrupt
from hkd.data import shapes
from hkd.data.images import ImageShape
from hkd.diffusion.ode import solve
from hkd.diffusion.schedules import edm_sigmas
from hkd.experiment.record import run_document
from hkd.nets.cnn import FeatureCNN
from hkd.plan.runs import Plan
from hkd.seeding import stream
from hkd.settings.origins import to_yaml
from hkd.store.artifacts import save_weights, write_json, write_text
from hkd.studies.interpretability.plan import InterpretabilityPlan

SHAPE = ImageShape(8, 3, len(shapes.CLASSES))
HKD = "methods/hkd"
SPECTRUM = {"images": 4, "times": 3}
CLOSURE = [HKD, "ablations/abl_decoder_time"]
STUDY = {"pairs": 16, "draws": 100, "orders": ["alpha"], "factors": [HKD], "closure": CLOSURE}
KEYS = {"seeds": 2, "studies": {"spectrum": SPECTRUM, "interpretability": STUDY}}


@pytest.fixture(scope="module")
def results(tmp_path_factory, tiny_run, build, gaussian, write_trajectories, root) -> Path:
    """Finished runs of all that the study names at two seeds, with their metrics."""
    folder = tmp_path_factory.mktemp("study") / "results"
    plan = Plan.load(str(root / "configs/smoke.yaml"), {**KEYS, "results": str(folder)}, root / "configs")
    lookup = InterpretabilityPlan(plan)
    study = lookup.study
    runs = {*study.closure, *study.spectra, *study.factors, *study.initialisations.values(), *lookup.loss_files()}
    for run in runs:
        settings = tiny_run(run)
        for seed in range(2):
            built, place = build(settings, seed), Path(plan.layout.run("shapes8", run, seed))
            state = {
                name: value + 0.05 * torch.randn(value.shape, generator=stream(seed, run, k))
                for k, (name, value) in enumerate(built.artefact().items())
            }
            document = run_document(settings, SHAPE, dataset="shapes8", method=run, seed=seed)
            write_text(place / "config.yaml", to_yaml(document))
            save_weights(place / "weights.safetensors", state)
            write_json(place / "metrics/nfe1.json", {"metrics": {"fdn": 10.0 + seed}})
            errors = {"sigmas": [80.0, 2.0, 0.002], "mse_to_x_eps": [1.0, 0.1 + seed, 0.0]}
            write_json(place / "metrics/trajectory_error.json", errors)
    sigmas = edm_sigmas(6, sigma_min=0.002, sigma_max=80.0, rho=7.0)
    noise = torch.randn((8, 3, 8, 8), generator=stream(0, "held-out-noise"))
    write_trajectories(Path(lookup.trajectories()), solve(gaussian, noise, sigmas, "heun"), sigmas)
    heads = {name: factor.outputs for name, factor in shapes.FACTORS.items()}
    network = {"width": 4, "image_size": 12, "heads": heads, "seed": 2, "features": 8}
    about = {"network": network, "name": "FD-tiny", "task": "factors"}
    save_weights(plan.layout.extractor("shapes8", "metric"), FeatureCNN(**network).state_dict(), about)
    return folder


@pytest.fixture
def hkd(monkeypatch, root, capsys, results):
    """Run a command with these results; return its exit code and errors."""
    monkeypatch.chdir(root)
    monkeypatch.delenv("HKD_PROFILE", raising=False)
    interrupt.reset()
    options = [f"results={results}", "seeds=2", *(f"studies.{k}={json.dumps(v)}" for k, v in KEYS["studies"].items())]

    def run(*arguments: str) -> tuple[int, str]:
        overrides = [word for option in options for word in ("--config", option)]
        monkeypatch.setattr(sys, "argv", ["hkd", *arguments, "--profile", "configs/smoke.yaml", *overrides])
        code = entry._run()
        return code, capsys.readouterr().err

    return run


def stored(results: Path, run: str, file: str, seed: int = 0) -> Path:
    return results / f"shapes8/{run}/seed{seed}/{file}"


def test_the_whole_study_from_finished_runs_to_figures(hkd, results, tmp_path, root):
    plan = Plan.load(str(root / "configs/smoke.yaml"), {**KEYS, "results": str(results)}, root / "configs")
    study = InterpretabilityPlan(plan).study
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
