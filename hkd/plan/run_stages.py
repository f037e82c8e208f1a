"""The stages of a run: the trajectories that it learns from, its training, its images, and its errors over time."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from hkd.nets.presets import PRESETS
from hkd.plan.asked import evaluating, training
from hkd.plan.counted import evaluations, states
from hkd.plan.lengths import bound
from hkd.plan.memory import evaluating_mb, pixels
from hkd.plan.runs import HELD_OUT, Plan, named_base
from hkd.plan.work import Definition, Files, Inputs, Needs, Stage
from hkd.settings.sections import NOT_TRAINING, Run
from hkd.settings.signatures import asks_for_the_grader
from hkd.store.paths import DATASET, METHOD, NFE, SEED, Layout
from hkd.store.released import read_card
from hkd.store.shipped import shipped_digest

ON_THE_WAY = 3  # copies of the states of trajectories, in float32, while they are made or read
ERROR_BATCH = 128  # trajectories at a time, of hkd.experiment.errors


def run_code(plan: Plan, dataset: str, method: str) -> tuple[str, ...]:
    """Return the modules of a run's method and of its own network: no other preset's code counts."""
    run = plan.run(dataset, method)
    return run.target.rpartition(".")[0], PRESETS[run.network["preset"]]


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
    spec = plan.trajectory_set(dataset, trajectories)
    # a chunk of trajectories: every state that the solver makes, once more over its scale, and in half floats
    held = spec.chunk * (ON_THE_WAY * 4 * ((spec.steps or 1) + 1)) * pixels(plan, dataset)
    memory = evaluating_mb(plan, dataset, named_base(spec.teacher)[0], spec.chunk, held)
    return Definition(
        inputs={"teacher": plan.base_weights(dataset, spec.teacher)},
        settings=_set_settings(plan, dataset, trajectories),
        code=trajectory_code(plan, dataset, trajectories),
        needs=Needs(gpu=plan.gpus, mem_mb=memory, minutes=_shard_minutes(plan, dataset, trajectories)),
    )


def _shard_minutes(plan: Plan, dataset: str, trajectories: str) -> int:
    spec = plan.trajectory_set(dataset, trajectories)
    each = evaluations(spec) * spec.count / spec.shards
    return evaluating(plan, dataset, named_base(spec.teacher)[0], each, least=240)


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
    needs = training(plan, dataset, method)
    settings = _training_settings(plan, run)
    # the network must still be built to read given weights, and the parameters still steer the sampler
    kept = {"network": settings["network"], "params": settings["params"]}
    if released := plan.released(dataset, method):
        digest = read_card(released, dataset, method)["sha256"]
        return Definition({}, {"released": digest, **kept}, needs=needs)
    if shipped := plan.shipped(dataset, method):
        return Definition({}, {"shipped": shipped_digest(shipped, method), **kept}, needs=needs)
    perceptual = ("hkd.experiment.perceptual",) if run.perceptual or asks_for_the_grader(run.target) else ()
    return Definition(
        inputs=_training_inputs(plan, dataset, method),
        settings=settings,
        code=("hkd.experiment.train", *run_code(plan, dataset, method), *perceptual),
        needs=needs,
        follows_code=plan.benchmark.reruns == "code",
        on_the_way=None if bound(run) else {**settings, "training": _but_steps(settings["training"])},
    )


def _but_steps(training: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in training.items() if key != "steps"}


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
    if asks_for_the_grader(run.target):
        found["grader"] = plan.layout.extractor(dataset, plan.benchmark.extractor)
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
    asked = evaluating(plan, dataset, method, run.sampling.n_samples * int(nfe), least=240)
    memory = evaluating_mb(plan, dataset, method, run.sampling.batch, 6 * run.sampling.batch * pixels(plan, dataset))
    return Definition(
        inputs={"weights": files.raw if raw else files.weights, "config": files.config},
        settings=sampling_settings(run) | ({"weights": weights} if raw else {}),
        code=("hkd.experiment.sample", *run_code(plan, dataset, method)),
        needs=Needs(gpu=plan.gpus, mem_mb=memory, minutes=asked),
    )


def sampling_settings(run: Run) -> dict[str, Any]:
    """Return the settings that images depend on, besides weights, seed and nfe."""
    settings: dict[str, Any] = {"n_samples": run.sampling.n_samples}
    if run.params.get("corrector_norms") == "batch":
        settings["batch"] = run.sampling.batch  # of all samplers, the only one whose images depend on their batch
    if run.sampling.draws != "host":
        settings["draws"] = run.sampling.draws
    return settings


# -- errors over time --------------------------------------------------------------------------------------------------


def _error_files(layout: Layout, dataset: str = DATASET, method: str = METHOD, seed: int | str = SEED) -> Files:
    run = layout.run(dataset, method, seed)
    return Files({"errors": run.trajectory_error}, run.log("trajectory_error"), recorded=("errors",))


def _error(plan: Plan, dataset: str, method: str, seed: int | str) -> Definition:
    run, spec = plan.layout.run(dataset, method, seed), plan.trajectory_set(dataset, HELD_OUT)
    held = ON_THE_WAY * 4 * ERROR_BATCH * states(spec) * pixels(plan, dataset)
    memory = evaluating_mb(plan, dataset, method, ERROR_BATCH, held)
    asked = evaluating(plan, dataset, method, spec.count * (states(spec) - 1), least=60)
    return Definition(
        inputs={
            "weights": run.weights,
            "config": run.config,
            "trajectories": plan.layout.trajectories(dataset, HELD_OUT).manifest,
        },
        settings={},
        code=("hkd.experiment.errors", *run_code(plan, dataset, method)),
        needs=Needs(gpu=plan.gpus, mem_mb=memory, minutes=asked),
    )


SHARD = Stage("shard", _shard_files, _shard, command="trajectories", resumes=True)
MANIFEST = Stage("manifest", _manifest_files, _manifest, local=True, command="trajectories")
TRAIN = Stage("train", _train_files, _train, resumes=True)
SAMPLE = Stage("sample", _sample_files, _sample, resumes=True)
TRAJECTORY_ERROR = Stage("trajectory_error", _error_files, _error)
