"""Sets of trajectories that keep their ends, and pairs that a base's own sampler makes."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from hkd.data.trajectories import Trajectories
from hkd.experiment import finished
from hkd.experiment.solve import solve_states, state_levels
from hkd.methods.multistep.edm import EDM
from hkd.plan.stages import SHARD
from hkd.seeding import ImageStreams
from hkd.settings.origins import ConfigError
from hkd.settings.sections import TrajectorySet
from hkd.stages.trajectories import trajectories as command
from hkd.store.refusals import ArtifactError
from tests.recorded import recorded

COUNTS = {"title": "", "teacher": "methods/edm", "count": 4, "shards": 2, "chunk": 2, "seed": 0}
LEVELS = {"steps": 18, "sigma_min": 0.002, "sigma_max": 80.0, "rho": 7.0}


@pytest.fixture
def edm(gaussian):
    noise = {"p_mean": -1.2, "p_std": 1.2, "sigma_data": 0.5, "augment": 0.0}
    return EDM(student=gaussian, **noise, **{k: v for k, v in LEVELS.items() if k != "steps"})


def test_ends_are_the_ends_of_all_states(edm):
    streams = ImageStreams(0, range(4))
    noise = streams.randn((3, 8, 8))
    whole, ends = (TrajectorySet(**COUNTS, **LEVELS, solver="heun", keep=keep) for keep in ("all", "ends"))
    states = solve_states(edm, whole, noise, None, streams)
    assert_close(solve_states(edm, ends, noise, None, streams), states[:, [0, -1]])
    assert state_levels(ends).tolist() == [80.0, 0.0]
    assert len(state_levels(whole)) == states.shape[1] == 19


def test_a_samplers_pairs_are_its_own_images(edm):
    streams = ImageStreams(0, range(4))
    noise = streams.randn((3, 8, 8))
    spec = TrajectorySet(**COUNTS, solver="sampler", keep="ends", steps=35)
    states = solve_states(edm, spec, noise, None, streams)
    assert_close(states[:, 0], noise)
    assert_close(states[:, 1], edm.sample(noise, labels=None, nfe=35, streams=streams))
    assert state_levels(spec).tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"solver": "heun", "steps": 18}, "solver 'heun' needs 'sigma_min', 'sigma_max' and 'rho'"),
        ({"solver": "sampler", "keep": "ends"}, "solver 'sampler' needs 'steps'"),
        ({"solver": "adaptive"}, r"set 'keep: ends' or 'keep: x0\+seed'"),
    ],
)
def test_a_set_that_cannot_be_made_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        TrajectorySet(**COUNTS, **changes)


@pytest.mark.parametrize("keep", ["ends", "x0+seed"])
def test_the_command_stores_pairs_and_counts_their_evaluations(
    tmp_path, base_weights, smoke_plan, root, monkeypatch, capsys, keep
):
    monkeypatch.chdir(root)
    results = tmp_path / "results"
    shutil.copytree(base_weights("methods/ddim").parent, results / "shapes8/methods/ddim/seed0")
    small = {"steps": 4, "count": 4, "shards": 2, "chunk": 1, "keep": keep}
    config = [f"results={results}", f"trajectories={json.dumps({'ddim-pairs': small})}"]
    run = results / "shapes8/methods/ddim/seed0"
    recorded(smoke_plan(results=str(results)), run / "weights.safetensors", run / "config.yaml", seed=0)
    for shard in (0, 1, None):
        command("shapes8", "ddim-pairs", shard, "configs/benchmarks/smoke.yaml", config, "cpu", None)
    command(
        "shapes8", "ddim-pairs", None, "configs/benchmarks/smoke.yaml", config, "cpu", None, check=4, tolerance=0.01
    )
    assert "4 of 4 solved again, largest difference" in capsys.readouterr().out
    stored = Trajectories(results / "shapes8/trajectories/ddim-pairs")
    assert stored.shards[0].shape[1] == {"ends": 2, "x0+seed": 1}[keep]
    assert (stored.manifest["nfe"], stored.manifest["network_evals"]) == (4.0, 16)
    batch = stored.batch(np.arange(4))
    ddim = finished.base(base_weights("methods/ddim"))
    streams = ImageStreams(3000, range(4), "trajectory-noise")
    noise = streams.randn((3, 8, 8))
    assert_close(batch.noise, noise, rtol=2e-3, atol=2e-3)
    with torch.no_grad():
        assert_close(batch.clean, ddim.sample(noise, labels=None, nfe=4, streams=streams), rtol=5e-3, atol=5e-3)
    for ask in (lambda: batch.near_clean, lambda: batch.at(torch.full((4,), 0.5))):
        with pytest.raises(ArtifactError, match="only the ends of these"):
            ask()


def test_the_code_of_pairs_is_that_of_the_solver_and_of_the_sampler(smoke_plan):
    plan = smoke_plan()
    pairs, states = (
        SHARD.work(plan, dataset="shapes8", trajectories=name, shard=0).definition.code
        for name in ("ddim-pairs", "edm-heun")
    )
    assert pairs == ("hkd.experiment.solve", "hkd.methods.multistep.ddim", "hkd.nets.ddpm_unet")
    assert states == ("hkd.experiment.solve", "hkd.methods.multistep.edm", "hkd.nets.unet")


def test_a_set_that_a_run_cannot_use_is_a_config_error(smoke_plan):
    plan = smoke_plan(set_trajectories={"keep": "all"})
    with pytest.raises(ConfigError, match="keep: ends"):
        plan.trajectory_set("shapes8", "ddim-pairs")
