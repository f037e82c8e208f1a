"""`hkd inpaint`, `hkd colourise`: restoring images with a finished run of HKD, without training.

Without a picture of the user's they work on the images of their study in configs/studies, and measure the result.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

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
from hkd.settings.origins import ConfigError
from hkd.store.artifacts import Record
from hkd.studies.applications import ApplicationPlan
from hkd.studies.finished import (
    Finished,
    ImageOption,
    OutOption,
    check_suffix,
    finished,
    leave,
    perceptual_distance,
    start_state,
    stored_images,
)

if TYPE_CHECKING:
    from torch import Tensor

    from hkd.plan.runs import Plan


def register(app: typer.Typer) -> None:
    """Add this file's commands."""
    app.command()(inpaint)
    app.command()(colourise)


def inpaint(
    dataset: DatasetArgument,
    method: MethodArgument,
    out: OutOption,
    image: ImageOption = None,
    mask: Annotated[
        Path | None, typer.Option(help="Black and white picture, white where pixels are missing; else the study's.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Noise levels; each costs one evaluation.")] = None,
    seed: SeedOption = 0,
    profile: ProfileOption = DEFAULT_PROFILE,
    config: OverrideOption = None,
    device: DeviceOption = "auto",
    expect_digest: DigestOption = None,
) -> None:
    """Generate missing pixels so that they fit the others; without --image also colours, and measure both."""
    import torch

    from hkd.data.images import to_uint8
    from hkd.data.pictures import read_mask
    from hkd.studies.inpainting import restore as inpainting

    check_suffix(out)
    chosen = plan(profile, [*(config or []), *([f"studies.inpainting.steps={steps}"] if steps is not None else [])])
    lookup = ApplicationPlan(chosen)
    expect(lookup.digest("inpainting"), expect_digest, "inpainting")
    settings, about = lookup.inpainting, finished(chosen, dataset, method, seed, device)
    record = Record("inpaint", settings.model_dump(), lookup.digest("inpainting"), seed, [about.weights])
    record.device, size = str(about.device), about.shape.resolution
    masks: dict[str, Tensor] = {name: inpainting.missing_pixels(name, size, size) for name in settings.masks}
    if mask:
        masks = {"mask": read_mask(mask, resolution=size)}
    truth = _truth(chosen, settings.source, dataset, about, image, settings.images)
    distance = perceptual_distance(chosen, dataset, about)
    arrays: dict[str, Tensor] = {"truth": truth}
    facts: dict[str, Any] = {}
    with torch.no_grad():
        for name, missing in masks.items():
            missing = missing.to(about.device)
            result = _restored(about, settings.steps, truth, f"{method} {name}", missing=missing)
            trivial = inpainting.mean_fill(truth, missing)
            arrays |= {f"{name}/result": result, f"{name}/mean_fill": trivial}
            facts[name] = {
                "result": _errors(distance, result, truth, missing),
                "mean_fill": _errors(distance, trivial, truth, missing),
                "largest_change_outside": float((result - truth)[..., ~missing].abs().max()),
            }
        if not image and about.shape.channels == 3:
            result, grey = _coloured(about, settings.steps, truth, method)
            arrays |= {"colour/result": result, "colour/grey": grey}
            facts["colour"] = _colour_facts(distance, result, grey, truth)
    pixels = {name: to_uint8(images).cpu().numpy() for name, images in arrays.items()}
    shown = pixels[f"{next(iter(masks))}/result"]
    pixels |= {f"{name}/missing": missing.numpy() for name, missing in masks.items()}
    leave(out, pixels, shown, record, {"images": len(truth), "steps": settings.steps, "restored": facts})


def colourise(
    dataset: DatasetArgument,
    method: MethodArgument,
    out: OutOption,
    image: ImageOption = None,
    steps: Annotated[int | None, typer.Option(help="Noise levels; each costs one evaluation.")] = None,
    seed: SeedOption = 0,
    profile: ProfileOption = DEFAULT_PROFILE,
    config: OverrideOption = None,
    device: DeviceOption = "auto",
) -> None:
    """Generate colours for the luminance of pictures; that of colour pictures is taken, and their colours forgotten."""
    import torch

    from hkd.data.images import to_uint8

    check_suffix(out)
    chosen = plan(profile, [*(config or []), *([f"studies.inpainting.steps={steps}"] if steps is not None else [])])
    settings, about = ApplicationPlan(chosen).inpainting, finished(chosen, dataset, method, seed, device)
    if about.shape.channels != 3:
        raise ConfigError(f"{method} on {dataset}: its images have no colours; name a run on colour images")
    record = Record("colourise", settings.model_dump(), seed=seed, inputs=[about.weights], device=str(about.device))
    truth = _truth(chosen, settings.source, dataset, about, image, settings.images)
    with torch.no_grad():
        result, grey = _coloured(about, settings.steps, truth, method)
    facts = _colour_facts(perceptual_distance(chosen, dataset, about), result, grey, truth)
    arrays = {"truth": truth, "grey": grey, "result": result}
    pixels = {name: to_uint8(images).cpu().numpy() for name, images in arrays.items()}
    leave(out, pixels, pixels["result"], record, {"images": len(truth), "steps": settings.steps, "colour": facts})


def _truth(chosen: Plan, source: str, dataset: str, about: Finished, files: list[Path] | None, count: int) -> Tensor:
    """Return the images to restore: the user's, the data set's, or generated ones, clipped to what a picture holds."""
    if files:
        return about.pictures(files)
    real = stored_images(chosen, source, dataset, about, range(count))
    if real is not None:
        return real
    import torch

    with torch.no_grad():
        x, sigma = start_state(about, None, range(count), 0.0)
        return about.net(x, sigma, about.labels(range(count))).clamp(-1, 1)


def _restored(about: Finished, steps: int, truth: Tensor, title: str, missing: Tensor | None) -> Tensor:
    """Return restored images: their missing pixels generated, or without a mask, their colours."""
    from tqdm import tqdm

    from hkd import interrupt
    from hkd.diffusion.schedules import edm_sigmas
    from hkd.seeding import ImageStreams
    from hkd.studies.inpainting.restore import colourise, inpaint

    settings = about.net.settings
    low, high, numbers = settings.sigma_min, settings.sigma_max, range(len(truth))
    sigmas = [float(s) for s in edm_sigmas(max(steps, 2), sigma_min=low, sigma_max=high, rho=settings.rho)[:-1]][:steps]
    labels, streams = about.labels(numbers), ImageStreams(about.seed, numbers, "restoration-noise")
    with interrupt.graceful(), tqdm(total=len(sigmas), desc=title, unit="level", disable=None) as bar:

        def one_step(x: Tensor, sigma: float) -> Tensor:
            interrupt.check()
            bar.update()
            return about.net(x, sigma, labels)

        if missing is None:
            return colourise(one_step, truth, sigmas, streams.randn, sigma_min=low)
        return inpaint(one_step, truth, missing, sigmas, streams.randn, sigma_min=low)


def _coloured(about: Finished, steps: int, truth: Tensor, method: str) -> tuple[Tensor, Tensor]:
    from hkd.studies.inpainting.restore import luminance

    return _restored(about, steps, truth, f"{method} colours", None), luminance(truth).expand_as(truth)


def _errors(distance: Any, images: Tensor, truth: Tensor, missing: Tensor) -> dict[str, float]:
    """Return how far images are from the truth: by missing pixels, and as wholes by perception."""
    return {
        "l2_inside": float((images - truth)[..., missing].square().flatten(1).mean(1).sqrt().mean()),
        "perceptual": float(distance(images, truth).mean()),
    }


def _colour_facts(distance: Any, result: Tensor, grey: Tensor, truth: Tensor) -> dict[str, Any]:
    import torch

    from hkd.studies.inpainting.restore import luminance

    everywhere = torch.ones(truth.shape[-2:], dtype=torch.bool, device=truth.device)
    return {
        "result": _errors(distance, result, truth, everywhere),
        "grey": _errors(distance, grey, truth, everywhere),
        "largest_change_of_luminance": float((luminance(result) - luminance(truth)).abs().max()),
    }
