"""`hkd sample`: images of one run as bytes; image i is a function of (seed, i)."""

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
    MethodArgument,
    OverrideOption,
    ProfileOption,
    SeedOption,
    expect,
    plan,
)
from hkd.store.artifacts import ArtifactError, Record, atomic_path, read_json, recorded_digest
from hkd.store.chunks import Arrays, clear, in_parts


def register(app: typer.Typer) -> None:
    """Add this file's commands."""
    app.command()(sample)


def sample(
    dataset: DatasetArgument,
    method: MethodArgument,
    nfe: Annotated[int, typer.Option(help="Network evaluations per image.")],
    seed: SeedOption = 0,
    profile: ProfileOption = DEFAULT_PROFILE,
    config: OverrideOption = None,
    device: DeviceOption = "auto",
    expect_digest: DigestOption = None,
) -> None:
    """Generate the images of one run with a given number of network evaluations."""
    import numpy as np
    from tqdm import tqdm

    from hkd.data.images import to_uint8
    from hkd.experiment import build
    from hkd.experiment.record import read_run
    from hkd.experiment.sample import sample_images
    from hkd.methods.evaluations import EvaluationCounter, networks

    chosen = plan(profile, config)
    expect(chosen.sample_digest(dataset, method), expect_digest, f"sampling of {method} on {dataset}")
    folder, sampling = Path(chosen.layout.run(dataset, method, seed)), chosen.run(dataset, method).sampling
    weights, to = folder / "weights.safetensors", build.device(device)
    record = Record("sample", sampling.model_dump(), chosen.sample_digest(dataset, method), seed, [weights], str(to))
    run, shape, _ = read_run(folder / "config.yaml")
    out, parts = folder / "samples" / f"nfe{nfe}.npz", folder / "samples" / f"nfe{nfe}.parts"

    if read_json(f"{weights}.record.json", "train").get("diverged_at") is not None:
        _save(out, {"images": np.empty((0, shape.resolution, shape.resolution, shape.channels), np.uint8)})
        record.write(out, n=0, nfe=nfe)  # there are no images of a training that diverged
        return
    built = build.base(weights).to(to)

    def make(first: int, count: int) -> Arrays:
        before = counter.counted
        indices = range(first, first + count)
        images = sample_images(built, run, shape, indices, seed=seed, nfe=nfe, to=to)
        if counter.counted - before != nfe * count:
            raise ArtifactError(f"{method}: {(counter.counted - before) / count:g} evaluations an image, not {nfe}")
        bar.update(count)
        return {"images": to_uint8(images).cpu().numpy()}

    with (
        interrupt.only_writer(parts),
        interrupt.graceful(),
        EvaluationCounter(networks(built)) as counter,
        tqdm(total=sampling.n_samples, desc=f"{method} seed {seed} nfe {nfe}", unit="image", disable=None) as bar,
    ):
        code = chosen.train_code(dataset, method)
        identity = f"{record.settings_digest}-{code}-{recorded_digest(weights)[:12]}"
        arrays = in_parts(parts, identity, sampling.n_samples, sampling.batch, make, interrupt.check)
        _save(out, arrays)
    record.write(out, n=sampling.n_samples, nfe=nfe)
    clear(parts)


def _save(path: Path, arrays: Arrays) -> None:
    import numpy as np

    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
