"""`hkd reference`, `hkd features`, `hkd metrics`: from images to numbers, each with its protocol."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hkd.artifacts import ArtifactError, Record, atomic_path, check_digest, commit, read_json, versions, write_json
from hkd.artifacts import recorded_digest as digest_of
from hkd.cli.options import (
    DEFAULT_PROFILE,
    CodeOption,
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
from hkd.plan import Plan

if TYPE_CHECKING:
    import numpy as np

    from hkd.metrics.extractor import Extractor

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
    expect_code: CodeOption = None,
) -> None:
    """Read the reference images once, with every library, and store what each needs of them."""
    import numpy as np

    from hkd.data.images import ImageSet
    from hkd.metrics.measure import reference_features

    chosen = plan(profile, config)
    expect(chosen.metrics_code(), expect_code, "code of the metrics")
    folder, weights = Path(chosen.layout.data(dataset, chosen.reference_split(dataset))), _weights(chosen, dataset)
    record = Record("reference", inputs=[folder / "images.npy", weights], device=device)
    images = ImageSet(folder)
    images.verify()
    out = Path(chosen.layout.reference(dataset))
    arrays = reference_features(np.asarray(images.pixels), extractor_of(weights, device))
    _save(out, arrays)
    record.write(out, n=len(images), extractor=str(arrays["extractor"]))


def features(
    dataset: DatasetArgument,
    method: MethodArgument,
    nfe: NfeOption,
    seed: SeedOption = 0,
    profile: ProfileOption = DEFAULT_PROFILE,
    config: OverrideOption = None,
    device: DeviceOption = "auto",
    expect_code: CodeOption = None,
) -> None:
    """Pass the samples of one run through the extractor, once per preprocessing class."""
    from hkd.metrics.extractor import extract
    from hkd.metrics.measure import OWN_CLASSES

    chosen = plan(profile, config)
    expect(chosen.metrics_code(), expect_code, "code of the metrics")
    run, weights = Path(chosen.layout.run(dataset, method, seed)), _weights(chosen, dataset)
    samples, out = run / "samples" / f"nfe{nfe}.npz", run / "features" / f"nfe{nfe}.npz"
    record = Record("features", seed=seed, inputs=[samples, weights], device=device)
    extractor = extractor_of(weights, device)
    images = _images(samples)
    _save(out, {name: extract(images, extractor, name) for name in OWN_CLASSES} if len(images) else {})
    record.write(out, n=len(images), extractor=extractor.name, extractor_digest=extractor.digest)


def metrics(
    dataset: DatasetArgument,
    method: MethodArgument,
    nfe: NfeOption,
    seed: SeedOption = 0,
    profile: ProfileOption = DEFAULT_PROFILE,
    config: OverrideOption = None,
    device: DeviceOption = "auto",
    expect_digest: DigestOption = None,
) -> None:
    """Measure one run: our own Fréchet distance from its features, and each library's from its images."""
    from hkd.metrics.measure import measure
    from hkd.metrics.schema import SCHEMA_VERSION, check_metrics
    from hkd.scores import metrics_digest, sizes

    chosen = plan(profile, config)
    expect(metrics_digest(chosen, dataset, method), expect_digest, "scores that the tables ask for")
    run, weights = Path(chosen.layout.run(dataset, method, seed)), _weights(chosen, dataset)
    samples, own = run / "samples" / f"nfe{nfe}.npz", run / "features" / f"nfe{nfe}.npz"
    reference_file, out = Path(chosen.layout.reference(dataset)), run / "metrics" / f"nfe{nfe}.json"
    record = Record("metrics", seed=seed, inputs=[samples, own, reference_file, weights], device=device)
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
        images, claimed = _images(samples), read_json(f"{samples}.record.json", "sample")["n"]
        numbers = measure(
            images,
            read_arrays(reference_file, "reference"),
            extractor_of(weights, device),
            claimed=claimed,
            own_features=read_arrays(own, "features"),
            sizes=[n for n in sizes(chosen, dataset, method) if n != len(images)],
            nominal=chosen.run(dataset, method).sampling.nominal,
        )
        check_metrics(numbers, where=str(out))
        content |= _numbers(numbers)
    write_json(out, content)
    record.write(out)


def _numbers(numbers: dict[str, Any]) -> dict[str, Any]:
    """Return what was measured, in the order in which it is written."""
    return {
        **{key: numbers[key] for key in ("n_generated", "n_reference", "extractor", "extractor_digest")},
        "metrics": numbers["scores"],
        **{key: numbers[key] for key in ("fid_own_by_class", "mean_term", "trace_term", "conditioning", "protocols")},
    }


def _weights(chosen: Plan, dataset: str) -> Path:
    return Path(chosen.layout.extractor(dataset, "metric"))


def extractor_of(weights: Path, device: str) -> Extractor:
    """Return the metric network whose weights these are, as an extractor."""
    from hkd.artifacts import weights_about
    from hkd.experiment import device as pick
    from hkd.experiment import feature_network
    from hkd.metrics.extractor import FunctionExtractor, state_digest

    to = pick(device)
    network = feature_network(weights).to(to)
    return FunctionExtractor(
        name=weights_about(weights)["name"],
        input_size=network.image_size,
        dim=network.penultimate.out_features,
        digest=state_digest(network.state_dict()),
        function=network.features,
        device=str(to),
    )


def _images(samples: Path) -> np.ndarray:
    return read_arrays(samples, "sample")["images"]


def read_arrays(path: Path, stage: str) -> dict[str, np.ndarray]:
    """Return the arrays of an .npz that `stage` wrote."""
    from zipfile import BadZipFile

    import numpy as np

    check_digest(path, stage)
    try:
        with np.load(path, allow_pickle=False) as file:
            return dict(file)
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise ArtifactError(f"{path}: unreadable ({error}); delete it and run `hkd {stage}` again") from None


def _save(path: Path, arrays: dict[str, np.ndarray]) -> None:
    import numpy as np

    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
