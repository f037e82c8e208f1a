"""The study of editing on a finished run: a band blended in a region, beside all modes and as many random ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hkd.koopman.bands import BandIndex, bands, permuted
from hkd.koopman.spectrum import OrderBy
from hkd.seeding import stream
from hkd.studies.editing.blend import Region, compare, edit, region_mask
from hkd.studies.editing.editing_time import levels_of, over_time
from hkd.studies.single_images import FinishedRun, as_bytes, stored_images


@dataclass(frozen=True)
class Edit:
    """What is blended: which modes, where, by how much, and at which noise level.

    Attributes:
        band: of the bands that `order_by`, `ascending` and `edges` make.
        ratios: of the reference; control: the ratio at which all modes, and as many random ones, are blended.
        mid: noise level; None for half way through mapped time.
        times: noise levels at which the strongest edit is repeated, to see whether it depends on them.
    """

    region: Region
    ratios: tuple[float, ...]
    control: float
    order_by: OrderBy
    ascending: bool
    edges: tuple[float, ...]
    band: int
    mid: float | None
    times: int


@dataclass(frozen=True)
class Subjects:
    """Which images are edited, and towards which.

    Attributes:
        files, reference: pictures of the user's; without them images are generated, or of the set in `folder`.
        index, reference_index: of single images; None for the first `count`, and for those that follow.
    """

    count: int
    folder: str | None
    files: tuple[Path, ...] = ()
    reference: Path | None = None
    index: int | None = None
    reference_index: int | None = None

    def numbers(self) -> list[int]:
        """Return the numbers of the images that are edited."""
        if self.files:
            return list(range(len(self.files)))
        return list(range(self.count)) if self.index is None else [self.index]

    def others(self) -> list[int]:
        """Return the numbers of the images that they are edited towards."""
        numbers = self.numbers()
        if self.reference_index is not None:
            return [self.reference_index] * len(numbers)
        return [number + len(numbers) for number in numbers]

    def images(self, run: FinishedRun) -> Tensor | None:
        """Return the images that are edited; None for generated ones."""
        if self.files:
            return run.pictures(self.files)
        return None if self.folder is None else stored_images(self.folder, self.numbers(), run.device)

    def targets(self, run: FinishedRun) -> Tensor | None:
        """Return the images that they are edited towards; None for generated ones."""
        if self.reference:
            return run.pictures([self.reference]).expand(len(self.numbers()), -1, -1, -1)
        if self.files or self.folder is None:
            return None
        return stored_images(self.folder, self.others(), run.device)


@torch.no_grad()
def edited(
    run: FinishedRun, asked: Edit, pictured: Subjects, distance: Any
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the images as arrays of bytes, and how far each edit lies from original and reference.

    Args:
        distance: perceptual, of two batches.
    Raises:
        ConfigError: the run does not know the noise level at which latents are to be blended.
    """
    net = run.net
    middle = net.time.middle() if asked.mid is None else asked.mid
    run.check_levels("studies.editing.mid", [middle])
    index = bands(net.operators(), asked.order_by, ascending=asked.ascending, edges=asked.edges)
    shuffled = permuted([b if b is None else b.cpu() for b in index], stream(run.seed, "permuted-modes"))
    numbers, real = pictured.numbers(), pictured.images(run)
    labels = run.labels(numbers)
    x, sigma = run.start(real, numbers, middle)
    y, start = run.start(pictured.targets(run), pictured.others(), middle)
    target = net.evolve(net.encode(y, start, labels), start, middle)
    towards = net.decode(net.evolve(target, middle, net.settings.sigma_min), labels, x=y, sigma=start)

    def blended(ratios: Sequence[float], which: BandIndex | None = None) -> Tensor:
        band = None if which is None else asked.band
        common = {"sigma_mid": middle, "sigma": sigma, "class_labels": labels}
        return edit(net, x, target, ratios=ratios, region=asked.region, index=which, band=band, **common)  # type: ignore[arg-type]

    original, changed = blended([0.0])[0], blended(asked.ratios, index)
    control = blended([asked.control])[0]
    random = blended([asked.control], [b if b is None else b.to(run.device) for b in shuffled])[0]
    variants = {f"{r:g}": e for r, e in zip(asked.ratios, changed, strict=True)}
    variants |= {"all_modes": control, "random_modes": random}

    def far(images: Tensor) -> dict[str, dict[str, float]]:
        return compare(distance, images, original, towards, asked.region)

    kept = {"original": original, "edited": changed, "control": control, "random": random, "reference": towards}
    arrays = {name: as_bytes(images) for name, images in kept.items()}
    arrays["region"] = region_mask(asked.region, *original.shape[-2:]).numpy()
    if real is not None:
        arrays["source"] = as_bytes(real)
    again = run.noise(pictured.others(), "picture-noise")
    levels = levels_of(net, asked.times)
    common = {"ratio": max(asked.ratios), "region": asked.region, "index": index, "band": asked.band}
    time = over_time(net, x, sigma, y, start, towards, again, levels, class_labels=labels, **common)  # type: ignore[arg-type]
    facts = {"images": len(numbers), "mid": middle, "time": time, "reference_to_original": far(towards)}
    return arrays, {**facts, "edited": {name: far(images) for name, images in variants.items()}}


def in_a_row(arrays: dict[str, np.ndarray]) -> np.ndarray:
    """Return the edited images (N, C, H, W), ratio by ratio, as one row of pictures."""
    images = arrays["edited"]
    return images.reshape(-1, *images.shape[2:])
