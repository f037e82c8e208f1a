"""Tiny finished runs of all that the study names at two seeds, with what else its commands read."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from hkd.data.image_shape import ImageShape
from hkd.data.kinds import shapes
from hkd.diffusion.ode import solve
from hkd.diffusion.schedules import edm_sigmas
from hkd.experiment.record import run_document
from hkd.nets.cnn import FeatureCNN
from hkd.plan.runs import HELD_OUT, Plan
from hkd.seeding import stream
from hkd.settings.origins import to_yaml
from hkd.store.artifacts import save_weights
from hkd.store.atomic import write_json, write_text
from hkd.studies.interpretability.plan import loss_files
from hkd.studies.interpretability.questions import settings
from tests.recorded import record_results
from tests.studies.interpretability.case import HKD, KEYS

SHAPE = ImageShape(8, 3, len(shapes.CLASSES))


@pytest.fixture(scope="session")
def study_plan(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Plan:
    """The plan whose results folder the runs lie in."""
    folder = tmp_path_factory.mktemp("study") / "results"
    return Plan.load(str(root / "configs/benchmarks/smoke.yaml"), {**KEYS, "results": str(folder)}, root / "configs")


@pytest.fixture(scope="session")
def results(study_plan: Plan, tiny_run, build, gaussian, write_trajectories) -> Path:
    """The results folder, with finished runs, their metrics, held-out trajectories and the metric's network."""
    study, layout = settings(study_plan), study_plan.layout
    runs = {
        "methods/edm",
        *study.closure,
        *study.spectra,
        *study.factors,
        *study.initialisations.values(),
        *loss_files(study_plan),
    }
    for method in runs:
        run = tiny_run(method)
        for seed in range(2):
            built, files = build(run, seed), layout.run("shapes8", method, seed)
            state = {
                name: value + 0.05 * torch.randn(value.shape, generator=stream(seed, method, k))
                for k, (name, value) in enumerate(built.artefact().items())
            }
            document = run_document(run, SHAPE, dataset="shapes8", method=method, seed=seed)
            write_text(files.config, to_yaml(document))
            save_weights(files.weights, state)
            estimate = {"fdn": {"estimate": ["of few images"]}}
            write_json(files.metrics(1), {"metrics": {"fdn": 10.0 + seed}, "protocols": estimate})
            errors = {"sigmas": [80.0, 2.0, 0.002], "mse_to_x_eps": [1.0, 0.1 + seed, 0.0]}
            write_json(files.trajectory_error, errors)
    sigmas = edm_sigmas(6, sigma_min=0.002, sigma_max=80.0, rho=7.0)
    noise = torch.randn((8, 3, 8, 8), generator=stream(0, "held-out-noise"))
    held_out = Path(layout.trajectories("shapes8", HELD_OUT))
    write_trajectories(held_out, solve(gaussian, noise, sigmas, "heun"), sigmas)
    heads = {name: factor.outputs for name, factor in shapes.FACTORS.items()}
    network = {"width": 4, "image_size": 12, "heads": heads, "seed": 2, "features": 8}
    about = {"network": network, "name": "FD-tiny", "task": "factors", "skill": 0.1, "reads": "factors 0.900"}
    save_weights(layout.extractor("shapes8", "metric"), FeatureCNN(**network).state_dict(), about)
    record_results(study_plan)
    return Path(layout.root)


@pytest.fixture
def weights(results: Path, study_plan: Plan) -> Path:
    """The weights of the first run of HKD."""
    return Path(study_plan.layout.run("shapes8", HKD, 0).weights)
