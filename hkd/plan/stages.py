"""Every stage of the pipeline, described once: what it reads and leaves, what defines it, what it asks of the machine.

Rules, commands and records all read these descriptions; the parts of studies have ones of their own, of the same type,
in `hkd.studies.{study}.plan`. A stage names the modules of the library that it calls: their closure is its code.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from hkd.nets.presets import PRESETS
from hkd.plan import rows
from hkd.plan.counted import evaluations, minutes
from hkd.plan.runs import HELD_OUT, Plan, named_base
from hkd.plan.scores import (
    OWN,
    common_n,
    extractor_files,
    feature_code,
    features_settings,
    metrics_settings,
)
from hkd.plan.work import Definition, Files, Inputs, Needs, Stage
from hkd.settings.sections import NOT_TRAINING, Run
from hkd.store.content import content
from hkd.store.paths import DATASET, METHOD, NFE, SEED, Layout
from hkd.store.released import read_card
from hkd.store.shipped import shipped_digest

DIMENSIONS = 2048  # of Inception's features; the other published networks have fewer
COPIES = 4  # choice: of all features in memory: as they are, in float64, and once more within a library


def run_code(plan: Plan, dataset: str, method: str) -> tuple[str, ...]:
    """Return the modules of a run's method and of its own network: no other preset's code counts."""
    run = plan.run(dataset, method)
    return run.target.rpartition(".")[0], PRESETS[run.network["preset"]]


# -- data and feature networks -----------------------------------------------------------------------------------------


def _prepare_files(layout: Layout, dataset: str = DATASET, split: str = "{split}") -> Files:
    data = layout.data(dataset, split)
    outputs = {"images": data.images, "manifest": data.manifest}
    return Files(outputs, data.log("prepare"), recorded=("images", "manifest"))


def _prepare(plan: Plan, dataset: str, split: str) -> Definition:
    data = plan.dataset(dataset).data
    held = content(data.path, Path(plan.layout.source_memory))
    return Definition(
        # files of the user count by what they hold: they may be moved, and touched, and are therefore no inputs
        inputs={},
        settings={**data.model_dump(), "path": None},
        code=(f"hkd.data.kinds.{data.kind}",),
        needs=Needs(mem_mb=2000, minutes=60),
        watched=[held] if held else [],
    )


def _extractor_files(layout: Layout, dataset: str = DATASET, role: str = "{role}") -> Files:
    folder = layout.extractor_folder(dataset, role)
    return Files({"weights": layout.extractor(dataset, role)}, folder.log("extractor"), recorded=("weights",))


def _extractor(plan: Plan, dataset: str, role: str) -> Definition:
    needs = Needs(gpu=plan.gpus, mem_mb=4000, minutes=120)
    if shipped := plan.shipped(dataset, f"extractors/{role}"):
        return Definition({}, {"shipped": shipped_digest(shipped)}, needs=needs)
    settings = plan.extractor(dataset, role)
    return Definition(
        inputs={"images": plan.layout.data(dataset, "train").manifest},
        settings={**settings.model_dump(exclude={"bar"}), "title": ""},
        code=("hkd.experiment.extractor",),
        needs=needs,
    )


# -- trajectories ------------------------------------------------------------------------------------------------------


def _shard_files(
    layout: Layout, dataset: str = DATASET, trajectories: str = "{trajectories}", shard: int | str = "{shard}"
) -> Files:
    folder = layout.trajectories(dataset, trajectories)
    return Files({"shard": folder.shard(shard)}, folder.log(f"shard{shard}"), recorded=("shard",))


def _shard(plan: Plan, dataset: str, trajectories: str, shard: int | str = 0) -> Definition:
    return _any_shard(plan, dataset, trajectories)


@lru_cache(maxsize=64)  # there are thousands of one set, and all are defined alike
def _any_shard(plan: Plan, dataset: str, trajectories: str) -> Definition:
    return Definition(
        inputs={"teacher": plan.base_weights(dataset, plan.trajectory_set(dataset, trajectories).teacher)},
        settings=_set_settings(plan, dataset, trajectories),
        code=trajectory_code(plan, dataset, trajectories),
        needs=Needs(gpu=plan.gpus, mem_mb=4000, minutes=_shard_minutes(plan, dataset, trajectories)),
    )


def _shard_minutes(plan: Plan, dataset: str, trajectories: str) -> int:
    spec = plan.trajectory_set(dataset, trajectories)
    each = evaluations(spec) * spec.count / spec.shards
    return minutes(plan, dataset, named_base(spec.teacher)[0], each, least=240)


def _set_settings(plan: Plan, dataset: str, trajectories: str) -> dict[str, Any]:
    return {**plan.trajectory_set(dataset, trajectories).model_dump(exclude_defaults=True), "title": ""}


def trajectory_code(plan: Plan, dataset: str, trajectories: str) -> tuple[str, ...]:
    """Return the modules that solve a set: the solver, and the teacher whose ODE it is."""
    return "hkd.experiment.solve", *run_code(plan, dataset, plan.trajectory_set(dataset, trajectories).teacher)


def _manifest_files(layout: Layout, dataset: str = DATASET, trajectories: str = "{trajectories}") -> Files:
    folder = layout.trajectories(dataset, trajectories)
    return Files({"manifest": folder.manifest}, folder.log("manifest"), recorded=("manifest",))


def _manifest(plan: Plan, dataset: str, trajectories: str) -> Definition:
    folder = plan.layout.trajectories(dataset, trajectories)
    count = plan.trajectory_set(dataset, trajectories).shards
    return Definition(
        inputs={"shards": [folder.shard(number) for number in range(count)]},
        settings=_set_settings(plan, dataset, trajectories),
        code=trajectory_code(plan, dataset, trajectories),
    )


# -- training and sampling ---------------------------------------------------------------------------------------------


def _train_files(layout: Layout, dataset: str = DATASET, method: str = METHOD, seed: int | str = SEED) -> Files:
    run = layout.run(dataset, method, seed)
    outputs = {"weights": run.weights, "raw": run.raw, "config": run.config, "milestones": run.milestones}
    recorded = ("weights", "raw", "config")
    return Files(outputs, run.log("train"), recorded=recorded, folders=("milestones",), beside=("config",))


def _train(plan: Plan, dataset: str, method: str, seed: int | str) -> Definition:
    run = plan.run(dataset, method)
    gpu = plan.processes(run) if plan.gpus else 0
    needs = Needs(gpu=gpu, mem_mb=run.resources.mem_mb, minutes=run.resources.minutes)
    settings = _training_settings(plan, run)
    # the network must still be built to read given weights, and the parameters still steer the sampler
    kept = {"network": settings["network"], "params": settings["params"]}
    if released := plan.released(dataset, method):
        digest = read_card(released, dataset, method)["sha256"]
        return Definition({}, {"released": digest, **kept}, needs=needs)
    if shipped := plan.shipped(dataset, method):
        return Definition({}, {"shipped": shipped_digest(shipped), **kept}, needs=needs)
    perceptual = ("hkd.experiment.perceptual",) if run.perceptual else ()
    return Definition(
        inputs=_training_inputs(plan, dataset, method),
        settings=settings,
        code=("hkd.experiment.train", *run_code(plan, dataset, method), *perceptual),
        needs=needs,
        follows_code=plan.benchmark.reruns == "code",
    )


def _training_settings(plan: Plan, run: Run) -> dict[str, Any]:
    settings = {key: value for key, value in run.model_dump().items() if key not in NOT_TRAINING}
    if not run.training.milestones:
        del settings["training"]["milestones"]
    for key, default in (("nonfinite", "skip"), ("draws", "stream")):
        if settings["training"][key] == default:
            del settings["training"][key]
    if run.init_weights == "averaged":
        del settings["init_weights"]
    if (precision := plan.benchmark.compute.precision) != "fp32":
        settings["precision"] = precision
    if weights := plan.backbone(run):
        settings["perceptual_weights"] = weights.sha256
    return settings


def _training_inputs(plan: Plan, dataset: str, method: str) -> Inputs:
    run = plan.run(dataset, method)
    found = {"images": plan.layout.data(dataset, "train").manifest}
    kind, _, name = run.feed.partition("/")
    if kind == "trajectories":
        found["trajectories"] = plan.layout.trajectories(dataset, name).manifest
    if start := plan.start(dataset, method):
        base = plan.layout.run(dataset, *named_base(start.base))
        found["init"] = base.raw if start.weights == "raw" else base.weights
    if run.teacher:
        found["teacher"] = plan.base_weights(dataset, run.teacher)
    if run.perceptual and run.perceptual_backbone == "cnn":
        found["perceptual"] = plan.layout.extractor(dataset, "perceptual")
    return found


def _sample_files(
    layout: Layout,
    dataset: str = DATASET,
    method: str = METHOD,
    seed: int | str = SEED,
    nfe: int | str = NFE,
    weights: str = "ema",
) -> Files:
    run = layout.run(dataset, method, seed)
    samples = run.samples_raw(nfe) if weights == "raw" else run.samples(nfe)
    return Files({"samples": samples}, run.log(f"sample-nfe{nfe}"), recorded=("samples",))


def _sample(plan: Plan, dataset: str, method: str, seed: int | str, nfe: int | str, weights: str = "ema") -> Definition:
    run, files = plan.run(dataset, method), plan.layout.run(dataset, method, seed)
    raw = weights == "raw"
    asked = minutes(plan, dataset, method, run.sampling.n_samples * int(nfe), least=240)
    return Definition(
        inputs={"weights": files.raw if raw else files.weights, "config": files.config},
        settings=sampling_settings(run) | ({"weights": weights} if raw else {}),
        code=("hkd.experiment.sample", *run_code(plan, dataset, method)),
        needs=Needs(gpu=plan.gpus, mem_mb=4000, minutes=asked),
    )


def sampling_settings(run: Run) -> dict[str, Any]:
    """Return the settings that images depend on, besides weights, seed and nfe."""
    settings: dict[str, Any] = {"n_samples": run.sampling.n_samples}
    if run.params.get("corrector_norms") == "batch":
        settings["batch"] = run.sampling.batch  # of all samplers, the only one whose images depend on their batch
    if run.sampling.draws != "host":
        settings["draws"] = run.sampling.draws
    return settings


# -- features, scores, tables ------------------------------------------------------------------------------------------


def _reference_files(layout: Layout, dataset: str = DATASET) -> Files:
    log = layout.reference_folder(dataset).log("reference")
    return Files({"features": layout.reference(dataset)}, log, recorded=("features",))


def _reference(plan: Plan, dataset: str) -> Definition:
    images = plan.layout.data(dataset, plan.reference_split(dataset)).manifest
    return Definition(
        inputs={"images": images, "extractors": extractor_files(plan, dataset)},
        settings={**features_settings(plan, dataset), **_published_statistics(plan, dataset)},
        code=("hkd.data.image_set", *feature_code(plan, dataset)),
        needs=Needs(gpu=plan.gpus, mem_mb=8000 + _rows_mb(plan, images_of(plan, dataset)), minutes=120),
    )


def images_of(plan: Plan, dataset: str) -> int:
    """Return how many images the metrics compare with, or 0 where the settings of a data set do not say."""
    data = plan.dataset(dataset).data
    return data.reference or data.count or 0


def _rows_mb(plan: Plan, images: int) -> int:
    """Return the memory (MB) of features of published networks; those of ours have 64 numbers an image."""
    return 0 if plan.benchmark.extractor in OWN else images * COPIES * 4 * DIMENSIONS // 10**6


def _published_statistics(plan: Plan, dataset: str) -> dict[str, Any]:
    """Return what the reference is held against, by its content; empty where a benchmark names no such file."""
    known = plan.benchmark.statistics.get(dataset)
    if known is None:
        return {}
    held = content(known.path, Path(plan.layout.source_memory))
    return {"statistics": {**known.model_dump(), "path": None, "holds": held}}


def _features_files(
    layout: Layout, dataset: str = DATASET, method: str = METHOD, seed: int | str = SEED, nfe: int | str = NFE
) -> Files:
    run = layout.run(dataset, method, seed)
    return Files({"features": run.features(nfe)}, run.log(f"features-nfe{nfe}"), recorded=("features",))


def _features(plan: Plan, dataset: str, method: str, seed: int | str, nfe: int | str) -> Definition:
    sampled = plan.run(dataset, method).sampling.n_samples
    return Definition(
        inputs={
            "samples": plan.layout.run(dataset, method, seed).samples(nfe),
            "reference": plan.layout.reference(dataset),
            "extractors": extractor_files(plan, dataset),
        },
        settings=features_settings(plan, dataset),
        code=feature_code(plan, dataset),
        needs=Needs(gpu=plan.gpus, mem_mb=4000 + _rows_mb(plan, sampled), minutes=60),
    )


def _metrics_files(
    layout: Layout, dataset: str = DATASET, method: str = METHOD, seed: int | str = SEED, nfe: int | str = NFE
) -> Files:
    run = layout.run(dataset, method, seed)
    return Files({"metrics": run.metrics(nfe)}, run.log(f"metrics-nfe{nfe}"), recorded=("metrics",))


def _metrics(plan: Plan, dataset: str, method: str, seed: int | str, nfe: int | str) -> Definition:
    run = plan.layout.run(dataset, method, seed)
    rows_mb = _rows_mb(plan, plan.run(dataset, method).sampling.n_samples + images_of(plan, dataset))
    return Definition(
        inputs={
            "samples": run.samples(nfe),
            "features": run.features(nfe),
            "weights": run.weights,
            "reference": plan.layout.reference(dataset),
        },
        settings=metrics_settings(plan, dataset, method),
        code=("hkd.metrics.scoring", "hkd.metrics.schema"),
        needs=Needs(mem_mb=8000 + rows_mb, minutes=60),
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
    return Definition(inputs, settings, code)


def figure_files(name: str) -> Callable[..., Files]:
    """Return what a figure of this name leaves: PDF, PNG and caption."""

    def files(layout: Layout, **values: Any) -> Files:  # whatever it shows, its name is one
        stem = layout.figure(name)
        outputs = {"pdf": f"{stem}.pdf", "png": f"{stem}.png", "caption": f"{stem}.md"}
        return Files(outputs, layout.figure_folder.log(name))

    return files


def table_figure(kind: str, module: str) -> Callable[..., Definition]:
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


# -- errors over time --------------------------------------------------------------------------------------------------


def _error_files(layout: Layout, dataset: str = DATASET, method: str = METHOD, seed: int | str = SEED) -> Files:
    run = layout.run(dataset, method, seed)
    return Files({"errors": run.trajectory_error}, run.log("trajectory_error"), recorded=("errors",))


def _error(plan: Plan, dataset: str, method: str, seed: int | str) -> Definition:
    run = plan.layout.run(dataset, method, seed)
    return Definition(
        inputs={
            "weights": run.weights,
            "config": run.config,
            "trajectories": plan.layout.trajectories(dataset, HELD_OUT).manifest,
        },
        settings={},
        code=("hkd.experiment.errors", *run_code(plan, dataset, method)),
        needs=Needs(gpu=plan.gpus, mem_mb=4000, minutes=60),
    )


def _error_table_files(layout: Layout) -> Files:
    return Files({"table": layout.trajectory_errors}, layout.top.log("trajectory_error"), recorded=("table",))


def _error_table(plan: Plan) -> Definition:
    files = plan.trajectory_errors()
    return Definition(
        inputs={"errors": [path for paths in files.values() for path in paths]},
        settings=list(files),
        code=("hkd.report.error_lines",),
    )


PREPARE = Stage("prepare", _prepare_files, _prepare)
EXTRACTOR = Stage("extractor", _extractor_files, _extractor, resumes=True)
SHARD = Stage("shard", _shard_files, _shard, command="trajectories", resumes=True)
MANIFEST = Stage("manifest", _manifest_files, _manifest, local=True, command="trajectories")
TRAIN = Stage("train", _train_files, _train, resumes=True)
SAMPLE = Stage("sample", _sample_files, _sample, resumes=True)
REFERENCE = Stage("reference", _reference_files, _reference)
FEATURES = Stage("features", _features_files, _features)
METRICS = Stage("metrics", _metrics_files, _metrics)
TABLE = Stage("table", _table_files, _table, local=True)
SAMPLES_FIGURE = Stage("samples_figure", figure_files("samples"), table_figure("samples", "hkd.figures.samples"), True)
ABLATIONS_FIGURE = Stage(
    "ablations_figure", figure_files("ablations"), table_figure("metrics", "hkd.figures.ablations"), True
)
TRAJECTORY_ERROR = Stage("trajectory_error", _error_files, _error)
ERROR_TABLE = Stage("error_table", _error_table_files, _error_table, local=True)
STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (
        PREPARE,
        EXTRACTOR,
        SHARD,
        MANIFEST,
        TRAIN,
        SAMPLE,
        REFERENCE,
        FEATURES,
        METRICS,
        TABLE,
        SAMPLES_FIGURE,
        ABLATIONS_FIGURE,
        TRAJECTORY_ERROR,
        ERROR_TABLE,
    )
}
