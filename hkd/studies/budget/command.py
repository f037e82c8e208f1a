"""`hkd budget-curve`, `hkd budget`: distances against network evaluations, at equal budgets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

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
from hkd.plan.runs import Plan
from hkd.settings.origins import ConfigError
from hkd.store.artifacts import ArtifactError, Record, check_digest, read_json, write_json, write_text
from hkd.studies.budget import plan as budgets

MILESTONES = "name set.training.milestones in configs/studies/budget.yaml"
OutOption = Annotated[Path, typer.Option(help="The figure's PDF; a PNG and the caption as .md are written beside it.")]


def register(app: typer.Typer) -> None:
    """Add this file's commands."""
    app.command("budget-curve")(budget_curve)
    app.command("budget")(budget)


def budget_curve(
    dataset: DatasetArgument,
    method: MethodArgument,
    seed: SeedOption = 0,
    profile: ProfileOption = DEFAULT_PROFILE,
    config: OverrideOption = None,
    device: DeviceOption = "auto",
    expect_digest: DigestOption = None,
) -> None:
    """Measure one run at its milestones: images in one step, and their distance to the reference."""
    import numpy as np

    from hkd.data.images import to_uint8
    from hkd.experiment import build
    from hkd.experiment.extractors import extractor_of
    from hkd.experiment.record import read_run
    from hkd.experiment.sample import sample_images
    from hkd.metrics.features.extract import extract
    from hkd.metrics.scores.frechet import frechet_from_features
    from hkd.training.milestones import weights_name

    chosen = plan(profile, config)
    expect(budgets.curve_digest(chosen), expect_digest, "budget curve")
    settings, to = budgets.study(chosen), build.device(device)
    folder = Path(chosen.layout.run(dataset, method, seed))
    kept = read_json(folder / "milestones/manifest.json", "train")
    if not kept["milestones"]:
        raise ArtifactError(f"{folder}: no milestones were kept; {MILESTONES}, train again")
    reference_file = Path(chosen.layout.reference(dataset))
    files = [folder / "milestones" / weights_name(step) for step in kept["milestones"]]
    record = Record("budget-curve", settings.model_dump(), budgets.curve_digest(chosen), seed, [*files, reference_file])
    run, shape, _ = read_run(folder / "config.yaml")
    built = build.method(run, shape, seed=seed, parts=None).to(to).eval()
    extractor = extractor_of(Path(chosen.layout.extractor(dataset, "metric")), device)
    check_digest(reference_file, "reference")
    with np.load(reference_file, allow_pickle=False) as file:
        reference = file["own_A"]
    points = []
    for step, file in zip(kept["milestones"], files, strict=True):
        check_digest(file, "train")
        build.load(built, file)
        batches = [
            range(i, min(i + settings.batch, settings.images)) for i in range(0, settings.images, settings.batch)
        ]
        images = [sample_images(built, run, shape, part, seed=seed, nfe=1, to=to) for part in batches]
        pixels = np.concatenate([to_uint8(part).cpu().numpy() for part in images])
        distance = frechet_from_features(extract(pixels, extractor, "A"), reference)
        points.append({"step": step, "fdn": distance.fdn, "fd": distance.distance})
    trained = read_json(folder / "weights.safetensors.record.json", "train")
    content = {
        "method": method,
        "seed": seed,
        "n": settings.images,
        "steps": kept["steps"],
        "points": points,
        "parameters": trained["budget"]["params"],
    }
    out = folder / "budget/curve.json"
    write_json(out, content)
    record.write(out)


def budget(
    out: OutOption,
    profile: ProfileOption = DEFAULT_PROFILE,
    config: OverrideOption = None,
    expect_digest: DigestOption = None,
) -> None:
    """Put the curves of all methods beside what they cost, as a table and a figure."""
    from hkd.figures.save import save
    from hkd.report.csv import to_csv
    from hkd.studies.budget.figure import budget_curves, caption
    from hkd.studies.budget.table import COLUMNS, lines, mean_curves

    chosen = plan(profile, config)
    expect(budgets.table_digest(chosen), expect_digest, "budget")
    dataset, settings = budgets.dataset(chosen), budgets.study(chosen)
    titles = {method: chosen.run(dataset, method).title for method in budgets.runs(chosen)}
    record = Record("budget", settings.model_dump(), budgets.table_digest(chosen), inputs=budgets.inputs(chosen))
    table = []
    for method in budgets.runs(chosen):
        for seed in chosen.seeds:
            curve = read_json(budgets.curve(chosen, method, seed), "budget-curve")
            found = lines(curve, titles[method], _cost(chosen, dataset, method, seed))
            _check_matched(method, found[-1]["own_evaluations"], settings.evaluations)
            table += found
    path = Path(f"{chosen.layout.root}/budget.csv")
    write_text(path, to_csv(table, COLUMNS))
    record.write(path)
    text = caption(
        dataset=chosen.dataset(dataset).title,
        n=settings.images,
        seeds=chosen.profile.seeds,
        profile=chosen.profile.profile,
    )
    for written in save(budget_curves(mean_curves(table), titles), out.with_suffix(""), text):
        record.write(written)


def _check_matched(method: str, spent: int, due: int) -> None:
    if abs(spent - due) > 0.02 * due:
        raise ConfigError(
            f"studies.budget: {method} spends {spent:,} evaluations where evaluations = {due:,} are due; change its "
            "steps or batch in studies.budget.methods, or evaluations"
        )


def _cost(chosen: Plan, dataset: str, method: str, seed: int) -> Any:
    from hkd.studies.budget.table import cost

    stands_on = budgets.behind(chosen, method)
    bases = []
    for base in stands_on.runs:
        spent = _budget(chosen, dataset, base, 0)
        bases.append({**spent, "network_evals": spent["network_evals"] - _own_pairs(chosen, dataset, base)})
    sets = [_evaluations(chosen, dataset, name) for name in stands_on.sets]
    return cost(_budget(chosen, dataset, method, seed), sets, bases, _own_pairs(chosen, dataset, method))


def _budget(chosen: Plan, dataset: str, method: str, seed: int) -> dict[str, Any]:
    weights = f"{chosen.layout.run(dataset, method, seed)}/weights.safetensors"
    return dict(read_json(f"{weights}.record.json", "train")["budget"])


def _own_pairs(chosen: Plan, dataset: str, method: str) -> int:
    """Return the evaluations of the set that a run trained here reads: its record counts them as its own."""
    kind, _, name = chosen.run(dataset, method).feed.partition("/")
    if kind != "trajectories" or chosen.shipped(dataset, method):
        return 0
    return _evaluations(chosen, dataset, name)


def _evaluations(chosen: Plan, dataset: str, name: str) -> int:
    folder = chosen.layout.trajectories(dataset, name)
    return int(read_json(f"{folder}/manifest.json", "trajectories")["network_evals"])
