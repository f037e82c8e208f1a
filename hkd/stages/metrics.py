"""`hkd reference`, `hkd features`, `hkd metrics`: from images to numbers, each with its protocol."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hkd.experiment.extractors import feature_cache
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
from hkd.store.artifacts import (
    Record,
    atomic_path,
    commit,
    read_arrays,
    read_json,
    versions,
    write_json,
)
from hkd.store.artifacts import recorded_digest as digest_of

if TYPE_CHECKING:
    import numpy as np


NfeOption = Annotated[int, typer.Option(help="Network evaluations per image.")]


def register(app: typer.Typer) -> None:
    """Add this file's commands."""
    app.command()(reference)
    app.command()(features)
    app.command()(metrics)


def reference(
    dataset: DatasetArgument,
    profile: ProfileOption = DEFAULT_PROFILE,
    config: OverrideOption = None,
    device: DeviceOption = "auto",
    expect_digest: DigestOption = None,
) -> None:
    """Read the reference images once, with every network and library, and store what each needs of them."""
    import numpy as np

    from hkd.data.images import ImageSet
    from hkd.experiment.extractors import eyes
    from hkd.metrics.measure import reference_arrays
    from hkd.plan.scores import extractor_files, features_digest, scores

    chosen = plan(profile, config)
    expect(features_digest(chosen, dataset), expect_digest, "features that the tables ask for")
    split = chosen.reference_split(dataset)
    folder, weights = Path(chosen.layout.data(dataset, split)), extractor_files(chosen, dataset)
    record = Record("reference", inputs=[folder / "images.npy", *weights], device=device)
    images = ImageSet(folder)
    images.verify()
    out, networks = Path(chosen.layout.reference(dataset)), eyes(chosen, dataset, device)
    arrays = reference_arrays(
        np.asarray(images.pixels), networks, scores(chosen, dataset), split=split, cache=feature_cache(chosen)
    )
    _save(out, arrays)
    record.write(out, n=len(images), extractor=networks["own"].name)


def features(
    dataset: DatasetArgument,
    method: MethodArgument,
    nfe: NfeOption,
    seed: SeedOption = 0,
    profile: ProfileOption = DEFAULT_PROFILE,
    config: OverrideOption = None,
    device: DeviceOption = "auto",
    expect_digest: DigestOption = None,
) -> None:
    """Pass the samples of one run through the networks, once per preprocessing class, and ask each library."""
    from hkd.experiment.extractors import beside, eyes
    from hkd.metrics.measure import sample_arrays
    from hkd.plan.scores import extractor_files, features_digest, scores

    chosen = plan(profile, config)
    expect(features_digest(chosen, dataset), expect_digest, "features that the tables ask for")
    run, known = Path(chosen.layout.run(dataset, method, seed)), Path(chosen.layout.reference(dataset))
    samples, out = run / "samples" / f"nfe{nfe}.npz", run / "features" / f"nfe{nfe}.npz"
    record = Record("features", seed=seed, inputs=[samples, known, *extractor_files(chosen, dataset)], device=device)
    images = read_arrays(samples, "sample")["images"]
    if not len(images):  # of a training that diverged
        _save(out, {})
        record.write(out, n=0)
        return
    networks = eyes(chosen, dataset, device)
    arrays = sample_arrays(
        images,
        networks,
        scores(chosen, dataset),
        read_arrays(known, "reference"),
        ranges=chosen.run(dataset, method).sampling.ranges,
        network_scores=beside(chosen, dataset, device),
        claimed=read_json(f"{samples}.record.json", "sample")["n"],
        cache=feature_cache(chosen),
    )
    _save(out, arrays)
    record.write(out, n=len(images), extractor=networks["own"].name, extractor_digest=networks["own"].digest)


def metrics(
    dataset: DatasetArgument,
    method: MethodArgument,
    nfe: NfeOption,
    seed: SeedOption = 0,
    profile: ProfileOption = DEFAULT_PROFILE,
    config: OverrideOption = None,
    expect_digest: DigestOption = None,
) -> None:
    """Make the numbers of one run from its features: no network is loaded, and no image is read again."""
    from hkd.metrics.schema import SCHEMA_VERSION, check_metrics
    from hkd.metrics.scoring import FeatureSet, score
    from hkd.plan.scores import metrics_digest, scores, sizes

    chosen = plan(profile, config)
    expect(metrics_digest(chosen, dataset, method), expect_digest, "scores that the tables ask for")
    run, known = Path(chosen.layout.run(dataset, method, seed)), Path(chosen.layout.reference(dataset))
    samples, own = run / "samples" / f"nfe{nfe}.npz", run / "features" / f"nfe{nfe}.npz"
    out = run / "metrics" / f"nfe{nfe}.json"
    record = Record("metrics", seed=seed, inputs=[samples, own, known])
    trained = read_json(run / "weights.safetensors.record.json", "train")
    content: dict[str, Any] = {
        "schema": SCHEMA_VERSION,
        "dataset": dataset,
        "method": method,
        "title": chosen.run(dataset, method).title,
        "seed": seed,
        "nfe": nfe,
        "route": trained["route"],
        "diverged_at": trained.get("diverged_at"),
        "scale": chosen.profile.scale,
        "data_kind": chosen.dataset(dataset).data.kind,
        "budget": {k: trained["budget"][k] for k in ("params", "train_images", "network_evals", "train_seconds")},
        "settings_digest": trained["settings_digest"],
        "samples_sha256": digest_of(samples),
        "commit": commit(),
        "versions": versions(),
    }
    if content["diverged_at"] is None:
        sampling = chosen.run(dataset, method).sampling
        numbers = score(
            scores(chosen, dataset),
            FeatureSet(read_arrays(own, "features"), "sample"),
            FeatureSet(read_arrays(known, "reference"), "reference"),
            sizes=sizes(chosen, dataset, method),
            ranges=sampling.ranges,
            nominal=sampling.nominal,
        )
        check_metrics(numbers, where=str(out))
        content |= {("metrics" if key == "scores" else key): value for key, value in numbers.items() if key != "metric"}
    write_json(out, content)
    record.write(out)


def _save(path: Path, arrays: dict[str, np.ndarray]) -> None:
    import numpy as np

    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
