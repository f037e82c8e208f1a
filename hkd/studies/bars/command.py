"""`hkd trajectory-error`, `hkd bars`, `hkd ship`: what a run is worth beyond its table row."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hkd.job import (
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
from hkd.plan.runs import HELD_OUT, Plan
from hkd.settings.origins import ConfigError, nearest
from hkd.store.artifacts import ArtifactError, Record, check_digest, read_json, write_json, write_text
from hkd.studies.bars import plan as quality_bars


def register(app: typer.Typer) -> None:
    """Add this file's commands."""
    app.command()(trajectory_error)
    app.command()(error_table)
    app.command()(bars)
    app.command()(ship)


def trajectory_error(
    dataset: DatasetArgument,
    method: MethodArgument,
    seed: SeedOption = 0,
    profile: ProfileOption = DEFAULT_PROFILE,
    config: OverrideOption = None,
    device: DeviceOption = "auto",
    expect_code: CodeOption = None,
) -> None:
    """Predict x_eps from every state of held-out trajectories, in one step, and measure the error."""
    import numpy as np
    import torch

    from hkd.data.trajectories import Trajectories
    from hkd.experiment import build

    chosen = plan(profile, config)
    expect(chosen.metrics_code(), expect_code, "code of the metrics")
    run = Path(chosen.layout.run(dataset, method, seed))
    folder, to = Path(chosen.layout.trajectories(dataset, HELD_OUT)), build.device(device)
    record = Record("trajectory-error", seed=seed, inputs=[run / "weights.safetensors", folder / "manifest.json"])
    built, held_out = build.base(run / "weights.safetensors").to(to), Trajectories(folder)
    held_out.verify()
    squares = torch.zeros(len(held_out.sigmas) - 1, dtype=torch.float64)
    with torch.no_grad():
        for indices in np.array_split(np.arange(len(held_out)), max(len(held_out) // 128, 1)):
            batch = held_out.batch(indices, to)
            for k, sigma in enumerate(held_out.sigmas[:-1]):
                image = built.one_step(batch.state(k), float(sigma), batch.labels)
                squares[k] += (image - batch.near_clean).double().square().mean(dim=(1, 2, 3)).sum().cpu()
    out = run / "metrics" / "trajectory_error.json"
    errors = (squares / len(held_out)).tolist()
    write_json(out, {"n": len(held_out), "sigmas": held_out.sigmas[:-1].tolist(), "mse_to_x_eps": errors})
    record.write(out)


def error_table(profile: ProfileOption = DEFAULT_PROFILE, config: OverrideOption = None) -> None:
    """Gather the errors over time of the profile's methods: mean and spread over seeds, one line per noise level."""
    import statistics

    from hkd.report.csv import to_csv

    chosen = plan(profile, config)
    files = chosen.trajectory_errors()
    record = Record("error-table", inputs=[path for paths in files.values() for path in paths])
    lines = []
    for method, paths in files.items():
        runs = [read_json(path, "trajectory-error") for path in paths]
        for k, sigma in enumerate(runs[0]["sigmas"]):
            values = [run["mse_to_x_eps"][k] for run in runs]
            spread = statistics.stdev(values) if len(values) > 1 else ""
            lines.append({"method": method, "sigma": sigma, "mse": statistics.mean(values), "sd": spread})
    out = Path(f"{chosen.layout.root}/trajectory_error.csv")
    write_text(out, to_csv(lines, ("method", "sigma", "mse", "sd")))
    record.write(out)


def bars(
    profile: ProfileOption = DEFAULT_PROFILE, config: OverrideOption = None, expect_digest: DigestOption = None
) -> None:
    """Hold what was measured against the quality bars of the profile; the table says which are met."""
    from hkd.report.csv import to_csv
    from hkd.studies.bars.judge import COLUMNS, judge

    chosen = plan(profile, config)
    expect(quality_bars.table_digest(chosen), expect_digest, "quality bars")
    lines = judge(quality_bars.bars(chosen), _values(chosen))
    out = Path(f"{chosen.layout.root}/bars.csv")
    record = Record("bars", inputs=quality_bars.inputs(chosen))
    write_text(out, to_csv(lines, COLUMNS))
    record.write(out)
    for line in lines:
        typer.echo(f"{line['met']:4} {line['title']}: {line['value']} ({line['relation']} {line['limit']})")


def ship(
    dataset: DatasetArgument,
    write: Annotated[
        bool, typer.Option(help="Replace the shipped weights; without it they are only compared.")
    ] = False,
    only: Annotated[
        list[str] | None, typer.Option(help="One of the data set's shipped weights, as methods/edm; repeatable.")
    ] = None,
    profile: ProfileOption = DEFAULT_PROFILE,
    config: OverrideOption = None,
) -> None:
    """Compare retrained weights with the cards of the shipped ones, or ship them instead."""
    from hkd.store.shipped import SHIPPED
    from hkd.store.shipped import ship as put

    chosen = plan(profile, config)
    names = chosen.dataset(dataset).shipped
    for what in only or names:
        if what not in names:
            raise ConfigError(f"{dataset}: ships no '{what}'. {nearest(what, list(names))}")
        name = names[what]
        weights, card = _card(chosen, dataset, what)
        known = SHIPPED / f"{name}.json"
        if write:
            typer.echo(f"{what}: wrote {put(name, weights, card)}")
            continue
        shipped = read_json(known, "ship")
        same = "the same bits" if shipped["trained_sha256"] == card["trained_sha256"] else "other bits"
        typer.echo(f"{what} ({name}): retrained to {same}")
        for key, value in card["quality"].items():
            typer.echo(f"  {key:24} retrained {value:.4f}   card {shipped['quality'].get(key, float('nan')):.4f}")


def _card(chosen: Plan, dataset: str, what: str) -> tuple[Path, dict[str, Any]]:
    """Return the finished weights that answer `what` in this profile, and the card that they would ship with."""
    group, name = what.split("/")
    if group == "extractors":
        weights = Path(chosen.layout.extractor(dataset, name))
        recipe: dict[str, Any] = chosen.extractor(dataset, name).model_dump()
        extra: dict[str, Any] = {}
    else:
        weights = Path(chosen.base_weights(dataset, what))
        recipe = chosen.run(dataset, what).model_dump(mode="json")
        extra = {"shape": _shape(chosen, dataset)}
    record = read_json(f"{weights}.record.json", "train")
    quality = record.get("quality") or _run_quality(chosen, dataset, what)
    title = f"{recipe['title']} on {chosen.dataset(dataset).title}"
    return weights, {
        "title": title,
        "licence": "Apache-2.0",
        "data": chosen.dataset(dataset).data.model_dump(),
        "recipe": recipe,
        "trained_sha256": record["sha256"],
        "trained_by": "make weights",
        "commit": record["commit"],
        "versions": record["versions"],
        "cpu_seconds": record["cpu_seconds"],
        "quality": quality,
        **({"budget": record["budget"]} if "budget" in record else {}),
        **extra,
    }


def _run_quality(chosen: Plan, dataset: str, method: str) -> dict[str, float]:
    """Return FDn of a base's own samples, and of those that runs without a training of their own draw from it."""
    named = {row.method for name in chosen.tables for row in chosen.rows(name) if row.method}
    borrowed = [m for m in sorted(named) if _untrained(chosen, dataset, m) == method]
    found = {}
    for name in (method, *borrowed):
        sampler = "" if name == method else f"{name.partition('/')[2]}_"
        for nfe in chosen.run(dataset, name).sampling.nfe:
            path = Path(chosen.layout.run(dataset, name, 0)) / "metrics" / f"nfe{nfe}.json"
            if path.exists():
                found[f"fdn_{sampler}nfe{nfe}"] = read_json(path, "metrics")["metrics"]["fdn"]
    if not found:
        raise ArtifactError(f"{method} on {dataset}: no metrics to put on its card; run `make weights`")
    return found


def _untrained(chosen: Plan, dataset: str, method: str) -> str | None:
    """Return whose weights a run uses as they are, if it has no training."""
    run = chosen.run(dataset, method)
    return run.init if run.training.steps == 0 else None


def _shape(chosen: Plan, dataset: str) -> dict[str, int]:
    manifest = read_json(f"{chosen.layout.data(dataset, 'train')}/manifest.json", "prepare")
    return {key: manifest[key] for key in ("resolution", "channels", "label_dim")}


def _values(chosen: Plan) -> dict[str, float]:
    """Return the values that the profile's bars ask for, by name: means over seeds."""
    import statistics

    dataset = chosen.table("table1").dataset
    quality = read_json(f"{chosen.layout.extractor(dataset, 'metric')}.record.json", "extractor")["quality"]
    accuracies = ("class", "stripe_orientation", "label", "rotation")
    worst = min((value for name, value in quality.items() if name not in accuracies), default=1.0)
    values: dict[str, float] = {}
    for name, paths in quality_bars.values(chosen).items():
        kind, _, last = name.partition("/")[0], *name.rpartition("/")[1:]
        if kind == "fdn":
            values[name] = statistics.mean(read_json(path, "metrics")["metrics"]["fdn"] for path in paths)
        elif kind == "error":
            found = [read_json(path, "trajectory-error")["mse_to_x_eps"][int(last)] for path in paths]
            values[name] = statistics.mean(found)
        elif kind == "quality":
            values[name] = worst if last == "worst_r2" else quality[last]
        else:
            values[name] = _real_vs_real(chosen, dataset)
    return values


def _real_vs_real(chosen: Plan, dataset: str) -> float:
    """Return FDn of 2,000 held-out procedural images against the reference: the metric's own noise."""
    import numpy as np

    from hkd.data import shapes
    from hkd.experiment.extractors import extractor_of
    from hkd.metrics.features.extract import extract
    from hkd.metrics.scores.frechet import frechet_from_features

    data = chosen.dataset(dataset).data
    assert data.kind == "shapes" and data.resolution is not None
    images = shapes.images(data.seed, "heldout", range(2000), data.resolution)
    path = Path(chosen.layout.reference(dataset))
    check_digest(path, "reference")
    with np.load(path, allow_pickle=False) as file:
        reference = file["own_A"]
    extractor = extractor_of(Path(chosen.layout.extractor(dataset, "metric")), "cpu")
    return frechet_from_features(extract(images, extractor, "A"), reference).fdn
