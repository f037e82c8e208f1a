"""The stages that measure: features, scores, and the tables and figures that show them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from hkd.plan import rows
from hkd.plan.asked import kernel_minutes, passing
from hkd.plan.memory import passing_mb, scoring_mb, statistics_bytes
from hkd.plan.runs import Plan
from hkd.plan.scores import common_n, extractor_files, feature_code, features_settings, metrics_settings
from hkd.plan.work import Definition, Files, Needs, Stage
from hkd.store.content import content
from hkd.store.paths import DATASET, METHOD, NFE, SEED, Layout


def _reference_files(layout: Layout, dataset: str = DATASET) -> Files:
    log = layout.reference_folder(dataset).log("reference")
    return Files({"features": layout.reference(dataset)}, log, recorded=("features",))


def _reference(plan: Plan, dataset: str) -> Definition:
    images, count = plan.layout.data(dataset, plan.reference_split(dataset)).manifest, _images_of(plan, dataset)
    asked = passing(plan, dataset, count, least=120)
    memory = passing_mb(plan, dataset, statistics_bytes(plan, dataset, count))
    return Definition(
        inputs={"images": images, "extractors": extractor_files(plan, dataset)},
        settings={**features_settings(plan, dataset), **_published_statistics(plan, dataset)},
        code=("hkd.data.image_set", *feature_code(plan, dataset)),
        needs=Needs(gpu=plan.gpus, mem_mb=memory, minutes=asked),
    )


def _images_of(plan: Plan, dataset: str) -> int:
    """Return how many images the metrics compare with, or 0 where the settings of a data set do not say."""
    data = plan.dataset(dataset).data
    return data.reference or data.count or 0


def _published_statistics(plan: Plan, dataset: str) -> dict[str, Any]:
    """Return what the reference is held against, by its content; empty where a benchmark names no such file."""
    known = plan.benchmark.statistics.get(dataset)
    if known is None:
        return {}
    held = content(known.path, Path(plan.layout.source_memory))
    return {"statistics": {**known.model_dump(exclude={"sha256"}), "path": None, "holds": held}}


def _features_files(
    layout: Layout, dataset: str = DATASET, method: str = METHOD, seed: int | str = SEED, nfe: int | str = NFE
) -> Files:
    run = layout.run(dataset, method, seed)
    return Files({"features": run.features(nfe)}, run.log(f"features-nfe{nfe}"), recorded=("features",))


def _features(plan: Plan, dataset: str, method: str, seed: int | str, nfe: int | str) -> Definition:
    sampling = plan.run(dataset, method).sampling
    sampled = sampling.n_samples
    memory = passing_mb(plan, dataset, statistics_bytes(plan, dataset, sampled // sampling.ranges))
    return Definition(
        inputs={
            "samples": plan.layout.run(dataset, method, seed).samples(nfe),
            "reference": plan.layout.reference(dataset),
            "extractors": extractor_files(plan, dataset),
        },
        settings=features_settings(plan, dataset),
        code=feature_code(plan, dataset),
        needs=Needs(gpu=plan.gpus, mem_mb=memory, minutes=passing(plan, dataset, sampled, 60)),
    )


def _metrics_files(
    layout: Layout, dataset: str = DATASET, method: str = METHOD, seed: int | str = SEED, nfe: int | str = NFE
) -> Files:
    run = layout.run(dataset, method, seed)
    return Files({"metrics": run.metrics(nfe)}, run.log(f"metrics-nfe{nfe}"), recorded=("metrics",))


def _metrics(plan: Plan, dataset: str, method: str, seed: int | str, nfe: int | str) -> Definition:
    run = plan.layout.run(dataset, method, seed)
    sampling, against = plan.run(dataset, method).sampling, _images_of(plan, dataset)
    memory = scoring_mb(plan, dataset, max(sampling.n_samples // sampling.ranges, against))
    asked = kernel_minutes(plan, sampling.n_samples, against, sampling.ranges, least=60)
    return Definition(
        inputs={
            "samples": run.samples(nfe),
            "features": run.features(nfe),
            "weights": run.weights,
            "reference": plan.layout.reference(dataset),
        },
        settings=metrics_settings(plan, dataset, method),
        code=("hkd.metrics.scoring", "hkd.metrics.schema"),
        needs=Needs(mem_mb=memory, minutes=asked),
    )


def _table_files(layout: Layout, table: str = "{table}") -> Files:
    stem = layout.table(table)
    return Files({"csv": f"{stem}.csv", "markdown": f"{stem}.md"}, layout.top.log(table), recorded=("csv", "markdown"))


def _table(plan: Plan, table: str) -> Definition:
    inputs: dict[str, Any] = {"metrics": rows.metrics(plan, table)}
    code: tuple[str, ...] = ("hkd.report.tables",)
    if any(row.category == rows.ANCHORS for row in rows.rows(plan, table)):
        inputs["reference"] = plan.layout.reference(plan.table(table).dataset)
        code += ("hkd.metrics.real",)
    settings = [rows.printed_side(plan, table), plan.table(table).columns, common_n(plan, table)]
    spreads = [known for known in rows.trainings(plan, table) if len(known[-1]) > 1]
    said = [part for part in (spreads, rows.spent(plan, table), rows.teachers(plan, table)) if part]
    return Definition(inputs, [*settings, *said], code)


def figure_files(name: str) -> Callable[..., Files]:
    """Return what a figure of this name leaves: PDF, PNG and caption."""

    def files(layout: Layout, **values: Any) -> Files:  # whatever it shows, its name is one
        stem = layout.figure(name)
        outputs = {"pdf": f"{stem}.pdf", "png": f"{stem}.png", "caption": f"{stem}.md"}
        return Files(outputs, layout.figure_folder.log(name))

    return files


def _table_figure(kind: str, module: str) -> Callable[..., Definition]:
    """Return what defines a figure of a table's rows: `samples` of the first seeds, or their `metrics`."""

    def defined(plan: Plan, table: str) -> Definition:
        pairs = rows.first_seeds(plan, table)
        inputs = {
            "samples": [samples for samples, _ in pairs],
            "metrics": [metrics for _, metrics in pairs],
        }
        if kind == "metrics":
            inputs = {"metrics": rows.metrics(plan, table)}
        settings = [rows.printed_side(plan, table), plan.benchmark.samples_shown]
        return Definition(inputs, settings, code=(module, "hkd.report.collect", "hkd.figures.save"))

    return defined


def _error_table_files(layout: Layout) -> Files:
    return Files({"table": layout.trajectory_errors}, layout.top.log("trajectory_error"), recorded=("table",))


def _error_table(plan: Plan) -> Definition:
    files = plan.trajectory_errors()
    return Definition(
        inputs={"errors": [path for paths in files.values() for path in paths]},
        settings=list(files),
        code=("hkd.report.error_lines",),
    )


REFERENCE = Stage("reference", _reference_files, _reference)
FEATURES = Stage("features", _features_files, _features)
METRICS = Stage("metrics", _metrics_files, _metrics)
TABLE = Stage("table", _table_files, _table, local=True)
SAMPLES_FIGURE = Stage("samples_figure", figure_files("samples"), _table_figure("samples", "hkd.figures.samples"), True)
ABLATIONS_FIGURE = Stage(
    "ablations_figure", figure_files("ablations"), _table_figure("metrics", "hkd.figures.ablations"), True
)
ERROR_TABLE = Stage("error_table", _error_table_files, _error_table, local=True)
