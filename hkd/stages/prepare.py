"""`hkd prepare`: images as one memory-mapped array per split. `hkd extractor`: a feature network for them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
from hkd.settings.sections import Data
from hkd.store.artifacts import ArtifactError, Record, read_json, recorded_digest, save_weights
from hkd.store.shipped import adopt

if TYPE_CHECKING:
    from torch import nn

SplitArgument = Annotated[str, typer.Argument(help="train, or reference: fresh images of a procedural set.")]
RoleArgument = Annotated[str, typer.Argument(help="metric or perceptual.")]


def register(app: typer.Typer) -> None:
    """Add this file's commands."""
    app.command()(prepare)
    app.command()(extractor)


def prepare(
    dataset: DatasetArgument,
    split: SplitArgument = "train",
    profile: ProfileOption = DEFAULT_PROFILE,
    config: OverrideOption = None,
    expect_digest: DigestOption = None,
) -> None:
    """Draw or convert a data set: images.npy, labels.npy where there are labels, manifest.json."""
    chosen = plan(profile, config)
    expect(chosen.data_digest(dataset), expect_digest, f"data set {dataset}")
    if split not in chosen.splits(dataset):
        raise ConfigError(f"data set '{dataset}' has no split '{split}': {', '.join(chosen.splits(dataset))}")
    data, folder = chosen.dataset(dataset).data, Path(chosen.layout.data(dataset, split))
    record = Record("prepare", settings=data.model_dump(), settings_digest=chosen.data_digest(dataset), seed=data.seed)
    made = _draw(data, split, folder) if data.kind == "shapes" else _convert(dataset, data, folder)
    record.write(folder / "images.npy", **{k: made[k] for k in ("count", "resolution", "channels", "label_dim")})


def extractor(
    dataset: DatasetArgument,
    role: RoleArgument,
    profile: ProfileOption = DEFAULT_PROFILE,
    config: OverrideOption = None,
    device: DeviceOption = "auto",
    expect_digest: DigestOption = None,
) -> None:
    """Train the feature network that measures (metric) or that objectives use (perceptual), or adopt a shipped one."""
    chosen = plan(profile, config)
    digest = chosen.extractor_digest(dataset, role)
    expect(digest, expect_digest, f"extractor {role} of {dataset}")
    out = Path(chosen.layout.extractor(dataset, role))
    with interrupt.only_writer(out.parent):
        if shipped := chosen.shipped(dataset, f"extractors/{role}"):
            adopt(shipped, out, Record("extractor", settings_digest=digest))
        else:
            _train_extractor(chosen, dataset, role, out, device)


def _train_extractor(chosen: Plan, dataset: str, role: str, out: Path, device: str) -> None:
    from hkd.data.tasks import NAMES, ExtractorTask
    from hkd.experiment.build import device as pick
    from hkd.methods.feature_network import ExtractorTraining
    from hkd.metrics.features.preprocess import CLASSES
    from hkd.nets.cnn import FeatureCNN
    from hkd.settings.sections import Ema, Optimizer, Training
    from hkd.training.checkpoint import Checkpoints
    from hkd.training.loop import Trainer
    from hkd.training.loop import train as run_loop

    settings, digest, to = chosen.extractor(dataset, role), chosen.extractor_digest(dataset, role), pick(device)
    images = Path(chosen.layout.data(dataset, "train"))
    record = Record("extractor", settings.model_dump(), digest, settings.seed, [images / "images.npy"], str(to))
    resolution = read_json(images / "manifest.json", "prepare")["resolution"]
    size = round(settings.image_size_factor * resolution)
    resize = CLASSES[settings.preprocessing]
    data = chosen.dataset(dataset).data
    task = ExtractorTask(settings.task, images, data, size=size, resize=resize, seed=settings.seed)
    network = {
        "width": settings.width,
        "image_size": size,
        "heads": task.heads,
        "seed": settings.seed,
        "features": settings.features,
    }
    trainer = Trainer(
        ExtractorTraining(student=FeatureCNN(**network)).to(to),
        Training(
            steps=settings.steps,
            batch=settings.batch,
            optimizer=Optimizer(name="adam", lr=settings.lr, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.0),
            warmup_steps=0,
            schedule="cosine",
            final_lr=0.0,
            clip=None,
            ema=Ema(kind="none"),
            flip=False,
        ),
        seed=settings.seed,
    )
    checkpoints = Checkpoints(out.parent / "checkpoints", f"{digest}-{recorded_digest(images / 'images.npy')[:16]}")
    run_loop(trainer, lambda step: task.batch(step, settings.batch, to), checkpoints, title=f"{dataset} {role} network")
    student: nn.Module = trainer.method.student  # type: ignore[assignment]
    quality = task.quality(student, to)
    save_weights(out, student.state_dict(), {"network": network, "name": NAMES[task.task], "task": task.task})
    record.write(out, quality=quality, name=NAMES[task.task], train_seconds=round(trainer.progress.seconds, 1))
    print(
        f"{dataset} {role} network: held-out " + ", ".join(f"{k} {v:.3f}" for k, v in quality.items()), file=sys.stderr
    )


def _draw(data: Data, split: str, folder: Path) -> dict[str, Any]:
    from hkd.data import shapes
    from hkd.data.images import write_image_set

    count = data.count if split == "train" else data.reference
    if count is None or data.resolution is None:
        raise ConfigError("a procedural data set needs data.resolution, data.count and data.reference")
    about = {"source": "shapes", "seed": data.seed, "split": split}
    return write_image_set(
        folder,
        shapes.items(data.seed, split, range(count), data.resolution),
        count=count,
        resolution=data.resolution,
        channels=3,
        label_dim=len(shapes.CLASSES),
        about=about,
    )


def _convert(dataset: str, data: Data, folder: Path) -> dict[str, Any]:
    from hkd.data.sources import open_source

    if data.path is None:
        raise ArtifactError(
            f"data set '{dataset}' needs its images: --config source=PATH with an EDM-format zip, a folder of images "
            "or cifar-10-python.tar.gz"
        )
    from hkd.data.images import write_image_set

    source = open_source(
        data.path, resolution=data.resolution, convert_to_rgb=data.convert_to_rgb, class_folders=data.class_folders
    )
    if data.count is not None and len(source) != data.count:
        raise ArtifactError(
            f"{data.path}: holds {len(source)} images, {dataset} has {data.count}; "
            f"take the whole set, or say data.count: {len(source)} in a data set of your own"
        )
    return write_image_set(
        folder,
        source.items(),
        count=len(source),
        resolution=source.resolution,
        channels=source.channels,
        label_dim=source.label_dim,
        about={"source": source.name, "split": "train"},
    )
