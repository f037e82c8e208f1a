"""What studies of single images work with: a finished run of HKD, and images from files, noise or the data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hkd.data.image_set import ImageSet, to_uint8
from hkd.data.image_shape import ImageShape
from hkd.data.pictures import read_picture, write_row
from hkd.experiment.finished import base
from hkd.experiment.perceptual import perceptual
from hkd.experiment.record import read_run
from hkd.experiment.sample import classes
from hkd.koopman.hierarchy import HKDNet
from hkd.seeding import ImageStreams
from hkd.settings.origins import ConfigError
from hkd.settings.sections import Run
from hkd.store.artifacts import save_arrays
from hkd.store.atomic import write_bytes, write_json
from hkd.store.records import Record, refuse_to_replace


@dataclass(frozen=True)
class FinishedRun:
    """A finished run whose network is HKD's, its settings, and where its files lie."""

    net: HKDNet
    run: Run
    shape: ImageShape
    weights: Path
    seed: int
    device: torch.device

    def noise(self, indices: Sequence[int], purpose: str = "sample-noise") -> Tensor:
        """Return unit noise (B, C, H, W); by default that from which the run's samples start."""
        return ImageStreams(self.seed, indices, purpose).randn(self.shape.chw).to(self.device)

    def labels(self, indices: Sequence[int]) -> Tensor | None:
        """Return the classes of generated images, one-hot, or None for an unconditional run."""
        dim = self.shape.label_dim
        return classes(self.seed, indices, dim).to(self.device) if self.run.conditional else None

    def pictures(self, files: Sequence[Path]) -> Tensor:
        """Return the user's pictures (B, C, H, W) in [-1, 1]."""
        size = {"resolution": self.shape.resolution, "channels": self.shape.channels}
        return torch.stack([read_picture(file, **size) for file in files]).to(self.device)

    def start(self, real: Tensor | None, numbers: Sequence[int], sigma: float) -> tuple[Tensor, float]:
        """Return what is encoded, and its noise level: T n for a generated image, y + sigma n for a real one y."""
        if real is None:
            return self.net.settings.sigma_max * self.noise(numbers), self.net.settings.sigma_max
        return real + sigma * self.noise(numbers, "picture-noise"), sigma

    def check_levels(self, name: str, levels: Sequence[float]) -> None:
        """Refuse noise levels outside of those between which the run moves.

        Raises:
            ConfigError: naming the first.
        """
        low, high = self.net.settings.sigma_min, self.net.settings.sigma_max
        for level in levels:
            if not low * (1 - 1e-5) <= level <= high * (1 + 1e-5):
                raise ConfigError(f"{name} = {level:g}: the run knows noise levels from {low:g} to {high:g} alone")


def finished(weights: Path, method: str, seed: int, to: torch.device) -> FinishedRun:
    """Return a finished run.

    Raises:
        ArtifactError: its weights are missing or damaged.
        ConfigError: it has no Koopman operator.
    """
    run, shape, _ = read_run(weights.with_name("config.yaml"))
    net = getattr(base(weights), "student", None)
    if not isinstance(net, HKDNet):
        raise ConfigError(f"{method}: has no Koopman operator; name a run of methods/hkd or of one of its ablations")
    return FinishedRun(net.to(to), run, shape, weights, seed, to)


def perceptual_distance(run: FinishedRun, network: Path) -> Any:
    """Return the perceptual distance of two batches, (B,), that the run was trained with."""
    measure = perceptual(run.run, network).to(run.device)
    return lambda images, other: measure(images, measure.features(other))


def stored_images(folder: str | Path, numbers: Sequence[int], to: torch.device) -> Tensor:
    """Return images (B, C, H, W) in [-1, 1] of a prepared set.

    Raises:
        ConfigError: the set has fewer images.
        ArtifactError: it is missing or damaged.
    """
    stored = ImageSet(folder)
    for index in numbers:
        if not 0 <= index < len(stored):
            raise ConfigError(f"image {index} is not in 0..{len(stored) - 1} of {stored.folder}; name one that is")
    stored.verify()
    return stored.batch(list(numbers), to).clean


def as_bytes(images: Tensor) -> np.ndarray:
    """Return images in [-1, 1] as bytes, of any leading shape."""
    return to_uint8(images.flatten(0, -4)).unflatten(0, images.shape[:-3]).cpu().numpy()


def only_one_of(**given: object) -> None:
    """Refuse options that exclude each other.

    Raises:
        ConfigError: more than one was given.
    """
    names = [f"--{name}" for name, value in given.items() if value]
    if len(names) > 1:
        raise ConfigError(f"{' and '.join(names)}: give one of them")


def check_out(out: Path, *given: Path | None) -> None:
    """Refuse, before anything is computed, an output that is no picture and no arrays, or takes another file's place.

    Args:
        given: pictures that the command reads.
    Raises:
        ConfigError: naming the option.
        ArtifactError: the output, or what is written beside it, would replace one of those or a file of the user's.
    """
    if out.suffix not in (".png", ".npz"):
        raise ConfigError(f"--out {out}: expected .png (a picture) or .npz (arrays)")
    refuse_to_replace(out, out.with_suffix(".json"), given=[path for path in given if path])


def leave(out: Path, arrays: dict[str, np.ndarray], shown: np.ndarray, record: Record, facts: dict[str, Any]) -> None:
    """Write arrays to an .npz, or the images `shown` (N, C, H, W) to a .png; then what was measured, and records."""
    if out.suffix == ".png":
        write_bytes(out, write_row(shown))
    else:
        save_arrays(out, arrays)
    write_json(out.with_suffix(".json"), facts)
    for path in (out, out.with_suffix(".json")):
        record.write(path)
