"""`hkd features`: what the metrics keep of the images of one run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hkd import job

if TYPE_CHECKING:
    from hkd.cli import Commands


def register(cli: Commands) -> None:
    """Add this file's command."""
    cli.add(features, group="stages", short="Pass the samples of one run through every network")


def features(
    dataset: job.DatasetArgument,
    method: job.MethodArgument,
    nfe: job.NfeOption,
    seed: job.SeedOption = 0,
    benchmark: job.BenchmarkOption = job.DEFAULT_BENCHMARK,
    config: job.OverrideOption = None,
    device: job.DeviceOption = "auto",
    expect_digest: job.DigestOption = None,
) -> None:
    """Pass the samples of one run through the networks, once per preprocessing class, and ask each library."""
    from hkd.experiment.extractors import extractors, feature_cache, networks_beside
    from hkd.metrics.measure import sample_arrays
    from hkd.plan.scores import scores
    from hkd.plan.stages import FEATURES
    from hkd.store.artifacts import map_arrays, save_arrays
    from hkd.store.records import read_record

    plan = job.plan(benchmark, config)
    work = FEATURES.work(plan, dataset=dataset, method=method, seed=seed, nfe=nfe).expect(expect_digest)
    to, samples = str(job.pick_device(device)), work.input("samples")
    record = job.record(work, to, seed=seed)
    images = map_arrays(samples, "sample")["images"]
    if not len(images):  # of a training that diverged
        save_arrays(work.out(), {})
        record.write(work.out(), n=0)
        return
    networks = extractors(plan, dataset, to)
    arrays = sample_arrays(
        images,
        networks,
        scores(plan, dataset),
        map_arrays(work.input("reference"), "reference"),
        ranges=plan.run(dataset, method).sampling.ranges,
        network_scores=networks_beside(plan, dataset),
        claimed=read_record(samples, "sample")["n"],
        cache=feature_cache(plan),
        scratch=work.out().parent,
    )
    save_arrays(work.out(), arrays)
    own = networks["own"]
    record.write(work.out(), n=len(images), extractor=own.name, extractor_digest=own.digest)
