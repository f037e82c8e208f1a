"""`hkd sample`: images of one run as bytes; image i is a function of (seed, i)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from hkd import interrupt, job
from hkd.requeue import requeued

if TYPE_CHECKING:
    from hkd.cli import Commands

Weights = Literal["ema", "raw"]


def register(cli: Commands) -> None:
    """Add this file's command."""
    cli.add(sample, group="stages", short="Generate the images of one run")


def sample(
    dataset: job.DatasetArgument,
    method: job.MethodArgument,
    nfe: job.NfeOption,
    seed: job.SeedOption = 0,
    weights: Annotated[Weights, typer.Option(help="Averaged weights, or those of the last step.")] = "ema",
    benchmark: job.BenchmarkOption = job.DEFAULT_BENCHMARK,
    config: job.OverrideOption = None,
    device: job.DeviceOption = "auto",
    expect_digest: job.DigestOption = None,
) -> None:
    """Generate the images of one run with a given number of network evaluations."""
    from tqdm import tqdm

    from hkd.experiment.sample import Sampler
    from hkd.plan.stages import SAMPLE
    from hkd.settings.origins import ConfigError
    from hkd.store.artifacts import Arrays, save_arrays
    from hkd.store.chunks import clear, joined_parts
    from hkd.store.records import identity, read_record

    plan = job.plan(benchmark, config)
    if weights == "raw" and (shipped := plan.shipped(dataset, method)):
        raise ConfigError(
            f"--weights raw: the shipped weights {shipped} of {method} are averaged; train it, or say ema"
        )
    chosen = {} if weights == "ema" else {"weights": weights}  # images of averaged ones are what they always were
    work = SAMPLE.work(plan, dataset=dataset, method=method, seed=seed, nfe=nfe, **chosen).expect(expect_digest)
    sampling, file, to = plan.run(dataset, method).sampling, work.input("weights"), job.pick_device(device)
    record = job.record(work, to, seed=seed)
    record.settings = sampling.model_dump() | chosen
    sampler = Sampler(file, seed, nfe, to)
    if read_record(file, "train").get("diverged_at") is not None:
        save_arrays(work.out(), {"images": sampler.none()})
        record.write(work.out(), n=0, nfe=nfe)  # there are no images of a training that diverged
        return
    parts = work.out().with_suffix(".parts")
    with (
        interrupt.only_writer(parts),
        requeued(parts),
        interrupt.graceful(),
        tqdm(total=sampling.n_samples, desc=f"{method} seed {seed} nfe {nfe}", unit="image", disable=None) as bar,
    ):

        def make(first: int, count: int) -> Arrays:
            images = sampler.images(first, count)
            bar.update(count)
            return {"images": images}

        name = identity(work.digest, [file])
        made = joined_parts(parts, name, sampling.n_samples, sampling.batch, make, interrupt.check)
        save_arrays(work.out(), made)
    record.write(work.out(), n=sampling.n_samples, nfe=nfe)
    clear(parts)
