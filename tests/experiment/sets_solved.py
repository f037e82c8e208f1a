"""Finished sets of trajectories, solved here by a small teacher."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from hkd.data.shards import set_manifest, shard_name
from hkd.experiment.solve import ShardSolver
from hkd.settings.sections import TrajectorySet
from hkd.store.atomic import sha256, write_json

ODE: dict[str, Any] = {"solver": "heun", "steps": 3, "sigma_min": 0.002, "sigma_max": 80.0, "rho": 7.0}


def solved_set(folder: Path, teacher: Path, **settings: Any) -> TrajectorySet:
    """Write a finished set of six trajectories in two shards into a folder, and return what it is."""
    solver = settings if "solver" in settings else {**ODE, **settings}
    spec = TrajectorySet(title="t", teacher="methods/edm", count=6, shards=2, chunk=2, seed=4, **solver)
    folder.mkdir(exist_ok=True)
    shards = []
    for number in range(2):
        shard, path = ShardSolver(spec, number, teacher, torch.device("cpu")), folder / shard_name(number)
        facts = shard.write(path, shard.states(0, 3))
        shards.append((path.name, {**facts, "sha256": sha256(path)}))
    write_json(folder / "manifest.json", set_manifest(spec, "digest", shards))
    return spec
