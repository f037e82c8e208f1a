"""`hkd metrics`: from features to scores, each with its protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hkd import job

if TYPE_CHECKING:
    from hkd.cli import Commands

BUDGET = ("params", "train_images", "network_evals", "train_seconds")
COSTS = ("train_cpu_seconds", "train_gpu_seconds")  # not known of given weights, nor of older trainings


def register(cli: Commands) -> None:
    """Add this file's command."""
    cli.add(metrics, group="stages", short="Score one run from its features")


def metrics(
    dataset: job.DatasetArgument,
    method: job.MethodArgument,
    nfe: job.NfeOption,
    seed: job.SeedOption = 0,
    benchmark: job.BenchmarkOption = job.DEFAULT_BENCHMARK,
    config: job.OverrideOption = None,
    expect_digest: job.DigestOption = None,
) -> None:
    """Make the numbers of one run from its features: no network is loaded, and no image is read again."""
    from hkd.metrics.schema import SCHEMA_VERSION, check_metrics
    from hkd.metrics.scoring import FeatureSet, score
    from hkd.plan.scores import bar, scores, sizes
    from hkd.plan.stages import METRICS
    from hkd.store.artifacts import map_arrays
    from hkd.store.atomic import write_json
    from hkd.store.records import commit, read_record, recorded_digest, versions

    plan = job.plan(benchmark, config)
    work = METRICS.work(plan, dataset=dataset, method=method, seed=seed, nfe=nfe).expect(expect_digest)
    record = job.record(work, seed=seed)
    trained = read_record(work.input("weights"), "train")
    content: dict[str, Any] = {
        "schema": SCHEMA_VERSION,
        "dataset": dataset,
        "method": method,
        "title": plan.title(dataset, method),
        "seed": seed,
        "nfe": nfe,
        "route": trained["route"],
        "start": trained.get("start"),
        "diverged_at": trained.get("diverged_at"),
        **({"selected": chosen} if (chosen := trained.get("selected")) else {}),
        "scale": plan.benchmark.scale,
        "data_kind": plan.dataset(dataset).data.kind,
        "budget": {key: trained["budget"][key] for key in BUDGET} | {key: trained["budget"].get(key) for key in COSTS},
        "settings_digest": trained["settings_digest"],
        "codes": trained.get("codes", []),
        "samples_sha256": recorded_digest(work.input("samples")),
        "commit": commit(),
        "versions": versions(),
    }
    if content["diverged_at"] is None:
        sampling = plan.run(dataset, method).sampling
        numbers = score(
            scores(plan, dataset),
            FeatureSet(map_arrays(work.input("features"), "features"), "sample"),
            FeatureSet(map_arrays(work.input("reference"), "reference"), "reference"),
            sizes=sizes(plan, dataset, method),
            ranges=sampling.ranges,
            nominal=sampling.nominal,
            bar=bar(plan, dataset),
        )
        check_metrics(numbers, where=str(work.out()))
        content |= {("metrics" if key == "scores" else key): value for key, value in numbers.items() if key != "metric"}
    write_json(work.out(), content)
    record.write(work.out())
