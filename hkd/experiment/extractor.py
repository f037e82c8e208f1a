"""The training of a small feature network: for the metric, or for the perceptual distance of objectives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hkd.data.tasks import NAMES, ExtractorTask
from hkd.methods.feature_network import ExtractorTraining
from hkd.metrics.features.preprocess import CLASSES
from hkd.nets.cnn import FeatureCNN
from hkd.settings.sections import Data, Ema, Extractor, Optimizer, Training
from hkd.store.artifacts import read_json
from hkd.training.checkpoint import Checkpoints
from hkd.training.loop import train
from hkd.training.trainer import Trainer


@dataclass(frozen=True)
class TrainedExtractor:
    """A finished feature network.

    Attributes:
        state: its weights. network: the arguments that build it. task: what it was trained to read.
        quality: on held-out images, accuracy of classes and R² of values by head; `guessed`: that of guessing.
        seconds: of training, over all attempts.
    """

    state: dict[str, Tensor]
    network: dict[str, Any]
    task: str
    quality: dict[str, float]
    guessed: dict[str, float]
    seconds: float

    @property
    def name(self) -> str:
        """What a distance on its features is called."""
        return NAMES[self.task]

    @property
    def skill(self) -> tuple[float, str]:
        """The share that the worst head reads of what guessing leaves, 1 at best, and a phrase that says so.

        A head whose held-out answers are all one shows nothing, so its share is 0.
        """
        shares = {
            head: (value - self.guessed[head]) / (1 - self.guessed[head]) if self.guessed[head] < 1 else 0.0
            for head, value in self.quality.items()
        }
        worst = min(shares, key=lambda head: shares[head])
        return shares[worst], f"{worst} {self.quality[worst]:.3f} where guessing has {self.guessed[worst]:.3f}"


def train_extractor(
    settings: Extractor, data: Data, images: Path, checkpoints: Checkpoints, to: torch.device, *, title: str
) -> TrainedExtractor:
    """Return a feature network that was trained on the prepared images in a folder.

    Raises:
        ArtifactError: the images are absent or damaged, or have not what the task asks for.
    """
    resolution = read_json(images / "manifest.json", "prepare")["resolution"]
    size = round(settings.image_size_factor * resolution)
    resize = CLASSES[settings.preprocessing]
    task = ExtractorTask(settings.task, images, data, size=size, resize=resize, seed=settings.seed)
    network = {
        "width": settings.width,
        "image_size": size,
        "heads": task.heads,
        "seed": settings.seed,
        "features": settings.features,
    }
    trainer = Trainer(ExtractorTraining(student=FeatureCNN(**network)).to(to), _training(settings), seed=settings.seed)
    train(trainer, lambda step: task.batch(step, settings.batch, to), checkpoints, title=title)
    student: Any = trainer.method.student
    quality, guessed = task.quality(student, to)
    return TrainedExtractor(student.state_dict(), network, task.task, quality, guessed, trainer.progress.seconds)


def _training(settings: Extractor) -> Training:
    return Training(
        steps=settings.steps,
        batch=settings.batch,
        optimizer=Optimizer(lr=settings.lr, **settings.optimizer.model_dump()),
        warmup_steps=0,
        schedule=settings.schedule,
        final_lr=settings.final_lr,
        clip=None,
        ema=Ema(kind="none"),
        flip=False,
    )
