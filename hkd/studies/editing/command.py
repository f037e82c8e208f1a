"""`hkd edit`, `hkd trajectory`: what a finished run of HKD makes of an image's modes, and of time.

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
from hkd.studies.applications import ApplicationPlan, check_levels
from hkd.studies.finished import (
    Finished,
    ImageOption,
    OutOption,
    check_suffix,
    finished,
    leave,
    only_one_of,
    perceptual_distance,
    start_state,
    stored_images,
)

if TYPE_CHECKING:
    from torch import Tensor


def register(app: typer.Typer) -> None:
    """Add this file's commands."""
    app.command()(edit)
    app.command()(trajectory)


def edit(
    dataset: DatasetArgument,
    method: MethodArgument,
    out: OutOption,
    image: ImageOption = None,
    reference: Annotated[
        Path | None, typer.Option(help="A picture of yours to edit towards; a generated one unless given.")
    ] = None,
    index: Annotated[int | None, typer.Option(help="Edit the generated image of this number only.")] = None,
    reference_index: Annotated[
        int | None, typer.Option(help="Edit towards the generated image of this number.")
    ] = None,
    region: Annotated[str | None, typer.Option(help="Where: lower_left_triangle, lower_half, ...")] = None,
    ratio: Annotated[list[float] | None, typer.Option(help="How much of the reference, 0 to 1; repeatable.")] = None,
    mid: Annotated[float | None, typer.Option(help="Noise level at which latents are blended.")] = None,
    seed: SeedOption = 0,
    profile: ProfileOption = DEFAULT_PROFILE,
    config: OverrideOption = None,
    device: DeviceOption = "auto",
    expect_digest: DigestOption = None,
) -> None:
    """Blend a band of an image's modes with a reference's, in a region, in one step.

    All other keys are those of configs/studies/editing.yaml: --config studies.editing.order_by=abs_alpha.
    """
    import torch

    from hkd.data.images import to_uint8
    from hkd.koopman.bands import bands, permuted
    from hkd.seeding import stream
    from hkd.studies.editing import blend as editing

    only_one_of(image=image, index=index is not None)
    only_one_of(reference=reference, **{"reference-index": reference_index is not None})
    check_suffix(out)
    given = {"region": region, "ratios": ratio, "mid": mid}
    overrides = [f"studies.editing.{key}={value}" for key, value in given.items() if value is not None]
    chosen = plan(profile, [*(config or []), *overrides])
    lookup = ApplicationPlan(chosen)
    expect(lookup.digest("editing"), expect_digest, "editing")
    settings, about = lookup.editing, finished(chosen, dataset, method, seed, device)
    net, middle = about.net, about.net.time.middle() if settings.mid is None else settings.mid
    check_levels("studies.editing.mid", [middle], net.settings.sigma_min, net.settings.sigma_max)
    record = Record("edit", settings.model_dump(), lookup.digest("editing"), seed, [about.weights], str(about.device))
    distance = perceptual_distance(chosen, dataset, about)
    index_of = bands(net.operators(), settings.order_by, ascending=settings.ascending, edges=settings.edges)
    shuffled = permuted([b if b is None else b.cpu() for b in index_of], stream(seed, "permuted-modes"))

    count = len(image) if image else 1 if index is not None else settings.images
    numbers = range(count) if index is None else [index]
    real = about.pictures(image) if image else stored_images(chosen, settings.source, dataset, about, numbers)
    labels = about.labels(numbers)
    x, sigma = start_state(about, real, numbers, middle)
    others = [reference_index] * count if reference_index is not None else [i + count for i in numbers]
    other: Tensor | None
    if reference:
        other = about.pictures([reference]).expand(count, -1, -1, -1)
    else:
        other = stored_images(chosen, "generated" if image else settings.source, dataset, about, others)
    y, start = start_state(about, other, others, middle)
    with torch.no_grad():
        target = net.evolve(net.encode(y, start, labels), start, middle)
        towards = net.decode(net.evolve(target, middle, net.settings.sigma_min), labels, x=y, sigma=start)
        common: dict[str, Any] = {
            "region": settings.region,
            "sigma_mid": middle,
            "sigma": sigma,
            "class_labels": labels,
        }
        original = editing.edit(net, x, target, ratios=[0.0], **common)[0]
        edited = editing.edit(net, x, target, ratios=settings.ratios, index=index_of, band=settings.band, **common)
        control = editing.edit(net, x, target, ratios=[settings.control], **common)[0]
        null = [b if b is None else b.to(about.device) for b in shuffled]
        random = editing.edit(net, x, target, ratios=[settings.control], index=null, band=settings.band, **common)[0]
    variants = {f"{r:g}": e for r, e in zip(settings.ratios, edited, strict=True)}
    variants |= {"all_modes": control, "random_modes": random}
    measured = {k: editing.compare(distance, e, original, towards, settings.region) for k, e in variants.items()}
    kept = {
        "original": original,
        "edited": edited.flatten(0, 1),
        "control": control,
        "random": random,
        "reference": towards,
    }
    arrays = {name: to_uint8(images).cpu().numpy() for name, images in kept.items()}
    shown = arrays["edited"]
    arrays["edited"] = shown.reshape(len(settings.ratios), count, *shown.shape[1:])
    arrays["region"] = editing.region_mask(settings.region, *original.shape[-2:]).numpy()
    if real is not None:
        arrays["source"] = to_uint8(real).cpu().numpy()
    leave(out, arrays, shown, record, {"images": count, "mid": middle, "reference_to_original": editing.compare(
        distance, towards, original, towards, settings.region), "edited": measured})  # fmt: skip


def trajectory(
    dataset: DatasetArgument,
    method: MethodArgument,
    out: OutOption,
    image: ImageOption = None,
    index: Annotated[list[int] | None, typer.Option(help="Number of a generated image; repeatable.")] = None,
    times: Annotated[str | None, typer.Option(help="Noise levels to decode at: 80,10,1,0.002.")] = None,
    at: Annotated[
        float | None, typer.Option(help="Noise level at which a picture is encoded; the lowest unless given.")
    ] = None,
    seed: SeedOption = 0,
    profile: ProfileOption = DEFAULT_PROFILE,
    config: OverrideOption = None,
    device: DeviceOption = "auto",
    expect_digest: DigestOption = None,
) -> None:
    """Decode one encoding at any noise levels; without --image and --times, beside the teacher's own trajectory."""
    import torch

    from hkd.data.images import to_uint8
    from hkd.experiment.solve import state_levels

    only_one_of(image=image, index=index)
    if at is not None and not image:
        raise ConfigError(f"--at {at:g}: is where a picture is encoded; give it with --image")
    check_suffix(out)
    chosen = plan(profile, config)
    lookup = ApplicationPlan(chosen)
    expect(lookup.digest("trajectories"), expect_digest, "states over time")
    settings, about = lookup.states, finished(chosen, dataset, method, seed, device)
    low, high = about.net.settings.sigma_min, about.net.settings.sigma_max
    record = Record("trajectory", settings.model_dump(), lookup.digest("trajectories"), seed, [about.weights])
    record.device = str(about.device)
    spec = chosen.trajectory_set(dataset, settings.trajectories)
    grid = [float(sigma) for sigma in state_levels(spec)[:-1]]
    levels = _numbers(times) if times else _spread(grid, settings.levels)
    check_levels("--times", levels, low, high)
    numbers = list(range(len(image))) if image else index or list(range(settings.images))
    labels = about.labels(numbers)
    start = at if at is not None else low if image else high
    check_levels("--at", [start], low, high)
    real = about.pictures(image) if image else None
    x = start * about.noise(numbers) + (0 if real is None else real)
    facts: dict[str, Any] = {"images": len(numbers), "sigmas": levels}
    with torch.no_grad():
        arrays = {"decoded": about.net.trajectory(x, levels, labels, sigma=start)}
        if real is None and not times:
            weights = Path(lookup.teacher(dataset))
            record.inputs = [about.weights, weights]
            arrays |= _teacher_side(weights, spec, about, x / high, labels, [grid.index(sigma) for sigma in levels])
            clean = arrays.pop("clean")
            for name in ("predictions", "denoised", "decoded"):
                facts[f"{name}_to_x_eps"] = _rms(arrays[name], clean)
            facts["decoded_to_denoised"] = _rms(arrays["decoded"], arrays["denoised"])
    pixels = {k: to_uint8(v.flatten(0, 1)).unflatten(0, v.shape[:2]).cpu().numpy() for k, v in arrays.items()}
    leave(out, pixels, pixels["decoded"].swapaxes(0, 1).reshape(-1, *about.shape.chw), record, facts)


def _teacher_side(
    weights: Path, spec: Any, about: Finished, noise: Tensor, labels: Tensor | None, shown: list[int]
) -> dict[str, Tensor]:
    """Return the teacher's states, scaled to the contrast of images, and what teacher and run predict from each."""
    import torch

    from hkd.experiment import build
    from hkd.experiment.solve import solve_states, state_levels
    from hkd.seeding import ImageStreams

    teacher = build.base(weights).to(about.device)
    streams = ImageStreams(about.seed, range(len(noise)), "teacher-noise")
    states = solve_states(teacher, spec, noise, labels, streams).transpose(0, 1)
    sigmas, sigma_data = state_levels(spec), about.net.sigma_data
    found: dict[str, list[Tensor]] = {"states": [], "denoised": [], "predictions": []}
    for k in shown:
        sigma = float(sigmas[k])
        found["states"].append(states[k] * sigma_data / (sigma_data**2 + sigma**2) ** 0.5)
        found["denoised"].append(teacher.one_step(states[k], sigma, labels))
        found["predictions"].append(about.net(states[k], sigma, labels))
    return {name: torch.stack(of) for name, of in found.items()} | {"clean": states[-2]}


def _rms(images: Tensor, other: Tensor) -> list[float]:
    """Return the root mean square difference at every time, over all images."""
    return (images - other).square().mean((1, 2, 3, 4)).sqrt().tolist()


def _spread(grid: list[float], count: int) -> list[float]:
    """Return `count` noise levels of a grid, both ends among them, about equally far apart in it."""
    count = min(count, len(grid))
    return [grid[round(k * (len(grid) - 1) / (count - 1))] for k in range(count)]


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ConfigError(f"--times {text}: expected noise levels between commas, as in 80,10,1,0.002") from None
