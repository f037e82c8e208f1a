"""The cards of shipped weights: what retrained ones would be shipped with, and how they compare with what is there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from hkd.plan.chain import check
from hkd.plan.rows import rows
from hkd.plan.runs import Plan
from hkd.settings.sections import NOT_TRAINING
from hkd.store.artifacts import read_json
from hkd.store.records import read_record
from hkd.store.refusals import ArtifactError

SHAPE = ("resolution", "channels", "label_dim")


def card(plan: Plan, dataset: str, what: str) -> tuple[Path, dict[str, Any]]:
    """Return the finished weights that answer `what` in this benchmark, and the card that they would ship with.

    Args:
        what: one of the data set's shipped weights, as group/name.
    Raises:
        ArtifactError: they have not been made, nothing has measured them, or a file is not what the plan says.
    """
    group, _, name = what.partition("/")
    recipe: dict[str, Any]
    if group == "extractors":
        weights = Path(plan.layout.extractor(dataset, name))
        recipe = plan.extractor(dataset, name).model_dump()
    else:
        weights = Path(plan.base_weights(dataset, what))
        recipe = plan.run(dataset, what).model_dump(mode="json")
    check(plan, [weights])
    record = read_record(weights, "extractor" if group == "extractors" else "train")
    made = {
        "title": f"{recipe['title']} on {plan.dataset(dataset).title}",
        "licence": "Apache-2.0",
        "data": plan.dataset(dataset).data.model_dump(),
        "recipe": recipe,
        "trained_sha256": record["sha256"],
        "trained_by": "make weights",
        "commit": record["commit"],
        "versions": record["versions"],
        # of all attempts; the record's own are those of the process that made the last step
        "cpu_seconds": record.get("budget", {}).get("train_cpu_seconds") or record["cpu_seconds"],
        "quality": record.get("quality") or _quality(plan, dataset, what),
    }
    made |= {key: record[key] for key in ("checkpoint", "budget", "start", "trajectories") if key in record}
    if group != "extractors":
        made["shape"] = _shape(plan, dataset)
    return weights, made


def further(plan: Plan, dataset: str, what: str, shipped: Mapping[str, Any]) -> dict[str, list[float]]:
    """Return what the card of a shipped student says of trainings from the benchmark's seeds but the first.

    Args:
        shipped: its card, whose recipe, data, start and pairs these trainings must have.
    Returns:
        `seeds`, and for every entry of the card's quality a number of each.
    Raises:
        ArtifactError: the benchmark has one seed, trains or grades them otherwise, or a seed has no FDn.
    """
    seeds, run = list(range(1, plan.benchmark.seeds)), plan.run(dataset, what)
    if not seeds:
        raise ArtifactError(f"{what}: the benchmark has one seed; say --config seeds=3")
    routes = plan.benchmark.teacher, plan.benchmark.extractors, plan.route(dataset, what)
    if routes != ("shipped", "shipped", "train"):
        raise ArtifactError(
            f"{what}: further trainings are made here from shipped bases, and graded by the shipped network"
        )
    recipe = shipped.get("recipe", {})
    drawn = {"sampling": {"n_samples": recipe.get("sampling", {}).get("n_samples")}}
    due = {key: value for key, value in recipe.items() if key not in NOT_TRAINING} | drawn
    made = {"recipe": run.model_dump(mode="json"), "data": plan.dataset(dataset).data.model_dump(mode="json")}
    _check_same(what, {"recipe": due, "data": shipped.get("data")}, made)
    found: dict[str, list[float]] = {"seeds": [*seeds], **{f"fdn_nfe{nfe}": [] for nfe in run.sampling.nfe}}
    for seed in seeds:
        layout = plan.layout.run(dataset, what, seed)
        check(plan, [layout.weights])
        given = {key: shipped[key] for key in ("start", "trajectories") if key in shipped}
        _check_same(f"{what}, seed {seed}", given, read_record(Path(layout.weights), "train"))
        for nfe in run.sampling.nfe:
            found[f"fdn_nfe{nfe}"].append(_fdn(plan, Path(layout.metrics(nfe))))
    return found


def _fdn(plan: Plan, path: Path) -> float:
    check(plan, [path])
    value = read_json(path, "metrics").get("metrics", {}).get("fdn")
    if value is None:
        raise ArtifactError(f"{path}: holds no FDn; its training diverged, or the benchmark asks for no such column")
    return float(value)


def _check_same(what: str, shipped: Any, made: Any) -> None:
    for key, there, here in differences(shipped, made):
        raise ArtifactError(f"{what}: {key} is {here} here and {there} on its card: a training of another kind")


def differences(shipped: Any, made: Any, at: tuple[str, ...] = ()) -> Iterator[tuple[str, Any, Any]]:
    """Yield every key that the card has and in which they differ, with both values.

    One that the package was given since is as it was.
    """
    if isinstance(shipped, Mapping) and isinstance(made, Mapping):
        for key, value in shipped.items():
            yield from differences(value, made.get(key), (*at, key))
    elif shipped != made:
        yield ".".join(at), shipped, made


def retrained(plan: Plan, dataset: str, names: Iterable[str]) -> list[str]:
    """Return those of a data set's shipped weights that this benchmark trains: rows of its tables, and extractors.

    Students are not among them where rows take shipped ones: what is trained beside those is shorter.
    """
    run = {row.method for name in plan.tables for row in rows(plan, name)}
    beside = set(plan.dataset(dataset).students) if plan.benchmark.students == "shipped" else set()
    trained = [what for what in names if not plan.shipped(dataset, what) and what not in beside]
    return [what for what in trained if what in run or what.startswith("extractors/")]


def compared(what: str, name: str, made: Mapping[str, Any], shipped: Mapping[str, Any]) -> Iterator[str]:
    """Yield lines that hold retrained weights against the shipped ones: whether they are the same bits, and how good.

    Args:
        what, name: as the data set calls them, and as their files are called.
        made, shipped: their cards.
    """
    same = "the same bits" if shipped["trained_sha256"] == made["trained_sha256"] else "other bits"
    yield f"{what} ({name}): retrained to {same}"
    for key, value in made["quality"].items():
        yield f"  {key:24} retrained {value:.4f}   card {shipped['quality'].get(key, float('nan')):.4f}"


def _quality(plan: Plan, dataset: str, method: str) -> dict[str, float]:
    """Return FDn of a base's own samples, and of those that runs without a training of their own draw from it."""
    named = {row.method for name in plan.tables for row in rows(plan, name) if row.method}
    borrowed = [name for name in sorted(named) if _untrained(plan, dataset, name) == method]
    found = {}
    for name in (method, *borrowed):
        sampler = "" if name == method else f"{name.partition('/')[2]}_"
        for nfe in plan.run(dataset, name).sampling.nfe:
            path = Path(plan.layout.run(dataset, name, 0).metrics(nfe))
            if path.exists():
                check(plan, [path])
                found[f"fdn_{sampler}nfe{nfe}"] = read_json(path, "metrics")["metrics"]["fdn"]
    if not found:
        raise ArtifactError(f"{method} on {dataset}: no metrics to put on its card; run `make weights`")
    return found


def _untrained(plan: Plan, dataset: str, method: str) -> str | None:
    """Return whose weights a run uses as they are, if it has no training."""
    run = plan.run(dataset, method)
    return run.init if run.training.steps == 0 else None


def _shape(plan: Plan, dataset: str) -> dict[str, int]:
    manifest = read_json(plan.layout.data(dataset, "train").manifest, "prepare")
    return {key: manifest[key] for key in SHAPE}
