"""`hkd stability`, `hkd stability-table`: quality at the milestones of a training, and over trainings."""

from __future__ import annotations

from pathlib import Path

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
from hkd.store.artifacts import ArtifactError, Record, read_json, recorded_digest, write_json, write_text
from hkd.store.chunks import Arrays, clear, in_parts
from hkd.studies.applications import ApplicationPlan


def register(app: typer.Typer) -> None:
    """Add this file's commands."""
    app.command()(stability)
    app.command()(stability_table)


def stability(
    dataset: DatasetArgument,
    method: MethodArgument,
    seed: SeedOption = 0,
    profile: ProfileOption = DEFAULT_PROFILE,
    config: OverrideOption = None,
    device: DeviceOption = "auto",
    expect_digest: DigestOption = None,
) -> None:
    """Sample from the weights at every milestone of a training, and measure each."""
    import numpy as np
    from tqdm import tqdm

    from hkd.data.images import to_uint8
    from hkd.experiment import build
    from hkd.experiment.extractors import extractor_of
    from hkd.experiment.record import read_run
    from hkd.experiment.sample import sample_images
    from hkd.metrics.features.extract import extract
    from hkd.metrics.scores.frechet import frechet_from_features
    from hkd.store.artifacts import read_arrays
    from hkd.training.milestones import MANIFEST, weights_name

    chosen = plan(profile, config)
    lookup = ApplicationPlan(chosen)
    expect(lookup.digest("stability"), expect_digest, "stability")
    folder, to = Path(chosen.layout.run(dataset, method, seed)), build.device(device)
    listed = read_json(folder / "milestones" / MANIFEST, "train")
    steps = listed["milestones"]
    if not steps:
        raise ArtifactError(f"{folder}: its training kept no milestones; set training.milestones and train again")
    reference, network = Path(chosen.layout.reference(dataset)), Path(chosen.layout.extractor(dataset, "metric"))
    weights = [folder / "milestones" / weights_name(step) for step in steps]
    sampling = chosen.run(dataset, method).sampling
    record = Record("stability", {"steps": steps, "sampling": sampling.model_dump()}, lookup.digest("stability"), seed)
    record.inputs, record.device = [*weights, reference, network], str(to)
    run, shape, about = read_run(folder / "config.yaml")
    built = build.method(run, shape, seed=about["seed"], parts=None).eval().requires_grad_(False).to(to)
    real, extractor = read_arrays(reference, "reference")["own_A"], extractor_of(network, device)

    def measured(k: int, _: int) -> Arrays:
        build.load(built, weights[k])
        spans = [
            range(i, min(i + sampling.batch, sampling.n_samples)) for i in range(0, sampling.n_samples, sampling.batch)
        ]
        images = []
        for span in spans:
            interrupt.check()
            found = sample_images(built, run, shape, span, seed=seed, nfe=sampling.nfe[0], to=to)
            images.append(to_uint8(found).cpu().numpy())
            bar.update(len(span))
        score = frechet_from_features(extract(np.concatenate(images), extractor, "A"), real)
        return {"fdn": np.array([score.fdn]), "fd": np.array([score.distance])}

    out, parts = folder / "metrics" / "stability.json", folder / "metrics" / "stability.parts"
    total = len(steps) * sampling.n_samples
    with (
        interrupt.only_writer(parts),
        interrupt.graceful(),
        tqdm(total=total, desc=f"{method} seed {seed} milestones", unit="image", disable=None) as bar,
    ):
        made_of = [recorded_digest(path)[:8] for path in (weights[-1], reference)]
        identity = "-".join([record.settings_digest, chosen.sample_digest(dataset, method), *made_of])
        found = in_parts(parts, identity, len(steps), 1, measured, interrupt.check)
    values = {name: array.tolist() for name, array in found.items()}
    write_json(out, {"n": sampling.n_samples, "total": listed["steps"], "steps": steps, "metrics": values})
    record.write(out)
    clear(parts)


def stability_table(
    profile: ProfileOption = DEFAULT_PROFILE, config: OverrideOption = None, expect_digest: DigestOption = None
) -> None:
    """Gather quality over training, mean and spread over seeds, beside what the paper printed: Table 5."""
    from hkd.report.csv import to_csv
    from hkd.studies.stability.table import COLUMNS, lines

    chosen = plan(profile, config)
    lookup = ApplicationPlan(chosen)
    expect(lookup.stability_digest(), expect_digest, "stability")
    files = lookup.stability_files()
    record = Record("stability-table", lookup.stability.model_dump(), lookup.stability_digest(), inputs=files)
    runs = [read_json(path, "stability") for path in files]
    out = Path(f"{chosen.layout.table('table5')}.csv")
    write_text(out, to_csv(lines(runs, lookup.printed(), lookup.stability.epochs), COLUMNS))
    record.write(out)
