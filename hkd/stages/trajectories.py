"""`hkd trajectories`: solve a teacher's probability-flow ODE and keep every state, shard by shard."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hkd import interrupt
from hkd.job import (
    DEFAULT_PROFILE,
    DatasetArgument,
    DeviceOption,
    DigestOption,
    OverrideOption,
    ProfileOption,
    expect,
    plan,
)
from hkd.plan.runs import Plan
from hkd.settings.origins import ConfigError
from hkd.store.artifacts import Record, check_digest, read_json, record_path, sha256, write_json
from hkd.store.chunks import Arrays, clear, in_parts

SIGMA_DATA = 0.5  # what images are stored over, where the base names no such number

NameArgument = Annotated[str, typer.Argument(help="Set of trajectories: the name of a file in configs/trajectories.")]


def register(app: typer.Typer) -> None:
    """Add this file's commands."""
    app.command()(trajectories)


def trajectories(
    dataset: DatasetArgument,
    name: NameArgument,
    shard: Annotated[
        int | None, typer.Option(help="Solve this shard; without it, check all shards and list them.")
    ] = None,
    profile: ProfileOption = DEFAULT_PROFILE,
    config: OverrideOption = None,
    device: DeviceOption = "auto",
    expect_digest: DigestOption = None,
) -> None:
    """Solve one shard of a set of teacher trajectories, or write the manifest of the finished shards."""
    chosen = plan(profile, config)
    expect(chosen.trajectory_digest(dataset, name), expect_digest, f"trajectories {name} of {dataset}")
    shards = chosen.trajectory_set(dataset, name).shards
    if shard is None:
        _manifest(chosen, dataset, name)
    elif 0 <= shard < shards:
        _solve(chosen, dataset, name, shard, device)
    else:
        raise ConfigError(f"trajectories {name}: shard {shard} is not in 0..{shards - 1}")


def _solve(chosen: Plan, dataset: str, name: str, shard: int, device: str) -> None:
    import numpy as np
    import torch
    from tqdm import tqdm

    from hkd.data.shards import shard_name, write_shard
    from hkd.data.trajectories import state_scales
    from hkd.experiment.build import base
    from hkd.experiment.build import device as pick
    from hkd.experiment.record import read_run
    from hkd.experiment.sample import classes
    from hkd.experiment.solve import solve_states, state_levels
    from hkd.methods.evaluations import EvaluationCounter, networks
    from hkd.seeding import ImageStreams

    spec, digest = chosen.trajectory_set(dataset, name), chosen.trajectory_digest(dataset, name)
    folder = Path(chosen.layout.trajectories(dataset, name))
    weights = Path(chosen.base_weights(dataset, spec.teacher))
    to, out = pick(device), folder / shard_name(shard)
    record = Record("trajectories", spec.model_dump(), digest, spec.seed, [weights], str(to))
    method = base(weights).to(to)
    run, shape, _ = read_run(weights.with_name("config.yaml"))
    sigmas, sigma_data = state_levels(spec), run.params.get("sigma_data", SIGMA_DATA)
    scales = state_scales(sigmas, sigma_data)[None, :, None, None, None]
    size = spec.count // spec.shards

    def make(first: int, count: int) -> Arrays:
        indices = range(shard * size + first, shard * size + first + count)
        streams = ImageStreams(spec.seed, indices, "trajectory-noise")
        noise = streams.randn(shape.chw).to(to)
        labels = classes(spec.seed, list(indices), shape.label_dim).to(to) if run.conditional else None
        with EvaluationCounter(networks(method)) as counter:
            states = solve_states(method, spec, noise, labels, streams).cpu() / scales
        bar.update(count)
        numbers = {"nfe": np.full(count, counter.counted / count)}
        if labels is not None:
            numbers["labels"] = labels.argmax(dim=1).cpu().numpy()
        return {"states": states.to(torch.float16).numpy(), **numbers}

    parts = folder / f"parts{shard}"
    identity = f"{digest}-{sha256(weights)[:12]}"
    with (
        interrupt.only_writer(parts),
        interrupt.graceful(),
        tqdm(total=size, desc=f"{name} shard {shard}", disable=None) as bar,
    ):
        arrays = in_parts(parts, identity, size, spec.chunk, make, interrupt.check)
        write_shard(out, arrays["states"], arrays.get("labels"))
    record.write(
        out,
        count=size,
        nfe=float(arrays["nfe"].mean()),
        sigmas=sigmas.tolist(),
        sigma_data=sigma_data,
        label_dim=shape.label_dim if run.conditional else 0,
    )
    clear(parts)


def _manifest(chosen: Plan, dataset: str, name: str) -> None:
    from hkd.data.shards import open_set, shard_name

    spec = chosen.trajectory_set(dataset, name)
    folder = Path(chosen.layout.trajectories(dataset, name))
    record = Record("trajectories", spec.model_dump(), chosen.trajectory_digest(dataset, name), spec.seed)
    shards, facts, evals = [], {}, 0.0
    for number in range(spec.shards):
        path = folder / shard_name(number)
        check_digest(path, "trajectories")
        facts = read_json(record_path(path), "trajectories")
        evals += facts["nfe"] * facts["count"]
        shards.append({"file": path.name, "count": facts["count"], "sha256": facts["sha256"]})
    out = folder / "manifest.json"
    write_json(
        out,
        {
            "teacher": spec.teacher,
            "solver": spec.solver,
            "nfe": evals / spec.count,
            "network_evals": round(evals),
            "count": spec.count,
            "sigmas": facts["sigmas"],
            "sigma_data": facts["sigma_data"],
            "label_dim": facts["label_dim"],
            "settings_digest": chosen.trajectory_digest(dataset, name),
            "shards": shards,
        },
    )
    open_set(folder, read_json(out, "trajectories"))
    record.write(out)
