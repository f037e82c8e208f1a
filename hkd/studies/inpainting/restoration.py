"""Restoration with a finished run: missing pixels and colours of images, and how far the results are from the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from hkd import interrupt
from hkd.data.pictures import read_mask
from hkd.diffusion.schedules import edm_sigmas
from hkd.seeding import ImageStreams
from hkd.settings.origins import ConfigError
from hkd.studies.inpainting.restore import colourise, inpaint, luminance, mean_fill, missing_pixels
from hkd.studies.single_images import FinishedRun, as_bytes, stored_images

Result = tuple[dict[str, np.ndarray], dict[str, Any]]


@torch.no_grad()
def true_images(run: FinishedRun, files: Sequence[Path], folder: str | None, count: int) -> Tensor:
    """Return the images to restore: the user's, those of a prepared set, or generated ones as a picture holds them."""
    if files:
        return run.pictures(files)
    if folder is not None:
        return stored_images(folder, range(count), run.device)
    x, sigma = run.start(None, range(count), 0.0)
    return run.net(x, sigma, run.labels(range(count))).clamp(-1, 1)


def masks_of(names: Sequence[str], picture: Path | None, side: int) -> dict[str, Tensor]:
    """Return the masks (H, W), true where pixels are missing: the user's picture, or those of the study."""
    if picture:
        return {"mask": read_mask(picture, resolution=side)}
    return {name: missing_pixels(name, side, side) for name in names}  # type: ignore[arg-type]


@torch.no_grad()
def inpainted(
    run: FinishedRun,
    truth: Tensor,
    masks: Mapping[str, Tensor],
    steps: int,
    distance: Any,
    *,
    title: str,
    colours: bool,
) -> Result:
    """Return images with generated pixels for each mask, beside the mean colour, and how far both are from the truth.

    Args:
        distance: perceptual, of two batches.
        colours: whether colours are generated as well, for images that have any.
    """
    arrays, facts = {"truth": as_bytes(truth)}, {}
    for name, mask in masks.items():
        missing = mask.to(run.device)
        result = _restored(run, steps, truth, f"{title} {name}", missing)
        trivial = mean_fill(truth, missing)
        arrays |= {f"{name}/result": as_bytes(result), f"{name}/mean_fill": as_bytes(trivial)}
        facts[name] = {
            "result": _errors(distance, result, truth, missing),
            "mean_fill": _errors(distance, trivial, truth, missing),
            "largest_change_outside": float((result - truth)[..., ~missing].abs().max()),
        }
    if colours and run.shape.channels == 3:
        coloured, facts["colour"] = _coloured(run, truth, steps, distance, title)
        arrays |= {f"colour/{name}": as_bytes(images) for name, images in coloured.items()}
    arrays |= {f"{name}/missing": mask.cpu().numpy() for name, mask in masks.items()}
    return arrays, facts


@torch.no_grad()
def colourised(run: FinishedRun, truth: Tensor, steps: int, distance: Any, *, title: str) -> Result:
    """Return images whose colours are generated for their luminance, and how far they are from the truth.

    Raises:
        ConfigError: the run's images have no colours.
    """
    if run.shape.channels != 3:
        raise ConfigError(f"{title}: its images have no colours; name a run on colour images")
    images, facts = _coloured(run, truth, steps, distance, title)
    kept = {"truth": truth, "grey": images["grey"], "result": images["result"]}
    return {name: as_bytes(of) for name, of in kept.items()}, facts


def _coloured(
    run: FinishedRun, truth: Tensor, steps: int, distance: Any, title: str
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    result, grey = _restored(run, steps, truth, f"{title} colours", None), luminance(truth).expand_as(truth)
    everywhere = torch.ones(truth.shape[-2:], dtype=torch.bool, device=truth.device)
    facts = {
        "result": _errors(distance, result, truth, everywhere),
        "grey": _errors(distance, grey, truth, everywhere),
        "largest_change_of_luminance": float((luminance(result) - luminance(truth)).abs().max()),
    }
    return {"result": result, "grey": grey}, facts


def _restored(run: FinishedRun, steps: int, truth: Tensor, title: str, missing: Tensor | None) -> Tensor:
    """Return restored images: their missing pixels generated, or without a mask, their colours."""
    settings, numbers = run.net.settings, range(len(truth))
    low, high = settings.sigma_min, settings.sigma_max
    levels = edm_sigmas(max(steps, 2), sigma_min=low, sigma_max=high, rho=settings.rho)[:-1]
    sigmas = [float(sigma) for sigma in levels][:steps]
    labels, streams = run.labels(numbers), ImageStreams(run.seed, numbers, "restoration-noise")
    with interrupt.graceful(), tqdm(total=len(sigmas), desc=title, unit="level", disable=None) as bar:

        def one_step(x: Tensor, sigma: float) -> Tensor:
            interrupt.check()
            bar.update()
            return run.net(x, sigma, labels)

        if missing is None:
            return colourise(one_step, truth, sigmas, streams.randn, sigma_min=low)
        return inpaint(one_step, truth, missing, sigmas, streams.randn, sigma_min=low)


def _errors(distance: Any, images: Tensor, truth: Tensor, missing: Tensor) -> dict[str, float]:
    """Return how far images are from the truth: by missing pixels, and as wholes by perception."""
    return {
        "l2_inside": float((images - truth)[..., missing].square().flatten(1).mean(1).sqrt().mean()),
        "perceptual": float(distance(images, truth).mean()),
    }
