"""`hkd reference`: what the metrics keep of the reference images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hkd import job

if TYPE_CHECKING:
    from hkd.cli import Commands


def register(cli: Commands) -> None:
    """Add this file's command."""
    cli.add(reference, group="stages", short="Pass the reference images through every network")


def reference(
    dataset: job.DatasetArgument,
    benchmark: job.BenchmarkOption = job.DEFAULT_BENCHMARK,
    config: job.OverrideOption = None,
    device: job.DeviceOption = "auto",
    expect_digest: job.DigestOption = None,
) -> None:
    """Read the reference images once, with every network and library, and store what each needs of them."""
    from hkd.data.image_set import ImageSet
    from hkd.experiment.extractors import extractors, feature_cache
    from hkd.metrics.measure import reference_arrays
    from hkd.metrics.references import held_against
    from hkd.metrics.scoring import FeatureSet
    from hkd.plan.scores import scores
    from hkd.plan.stages import REFERENCE
    from hkd.store.artifacts import save_arrays
    from hkd.store.published import check_statistics

    plan = job.plan(benchmark, config)
    work = REFERENCE.work(plan, dataset=dataset).expect(expect_digest)
    known = plan.benchmark.statistics.get(dataset)
    if known:  # before hours of passes
        check_statistics(Path(known.path), known.sha256)
    to = str(job.pick_device(device))
    record = job.record(work, to)
    images = ImageSet(work.input("images").parent)
    images.verify()
    networks = extractors(plan, dataset, to)
    arrays = reference_arrays(
        images.pixels,
        networks,
        scores(plan, dataset),
        split=plan.reference_split(dataset),
        cache=feature_cache(plan),
        scratch=work.out().parent,
    )
    facts = {}
    if known:
        side = FeatureSet(arrays, "reference")
        facts["statistics"] = held_against(side, Path(known.path), layout=known.layout, within=known.within)
    save_arrays(work.out(), arrays)
    record.write(work.out(), n=len(images), extractor=networks["own"].name, **facts)
