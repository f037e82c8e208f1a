"""`hkd prepare`: images as one memory-mapped array per split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from hkd import job

if TYPE_CHECKING:
    from hkd.cli import Commands

SplitArgument = Annotated[str, typer.Argument(help="train, or reference: fresh images of a procedural set.")]
FACTS = ("count", "resolution", "channels", "label_dim")


def register(cli: Commands) -> None:
    """Add this file's command."""
    cli.add(prepare, group="stages", short="Draw or convert a data set")


def prepare(
    dataset: job.DatasetArgument,
    split: SplitArgument = "train",
    skip_unreadable: job.SkipOption = False,
    benchmark: job.BenchmarkOption = job.DEFAULT_BENCHMARK,
    config: job.OverrideOption = None,
    expect_digest: job.DigestOption = None,
) -> None:
    """Draw or convert a data set: images.npy, labels.npy where there are labels, manifest.json."""
    from hkd.data.kinds import kind
    from hkd.plan.check import unread_source
    from hkd.plan.scores import refuse_few
    from hkd.plan.stages import PREPARE
    from hkd.settings.origins import ConfigError

    plan = job.plan(benchmark, config)
    if split not in plan.splits(dataset):
        raise ConfigError(f"data set '{dataset}' has no split '{split}': {', '.join(plan.splits(dataset))}")
    work = PREPARE.work(plan, dataset=dataset, split=split).expect(expect_digest)
    data = plan.dataset(dataset).data
    if not plan.reads_files(dataset) and (lines := unread_source(plan, [dataset])):
        raise ConfigError(lines[0])
    record = job.record(work, seed=data.seed)
    source = kind(data.kind)
    if skip_unreadable and not hasattr(source, "READS"):
        raise ConfigError(f"data set '{dataset}' is drawn, not read from files; leave out --skip-unreadable")
    reading = {"skip_unreadable": True} if skip_unreadable else {}
    made = source.prepare(data, split, work.out().parent, dataset, **reading)
    if split == plan.reference_split(dataset):
        refuse_few(plan, dataset, made["count"])
    remarks = made.get("remarks", ())
    job.say((*remarks, *_classes(made.get("class_names", ()), remarks)), data.path)
    licence = plan.dataset(dataset).licence
    job.say([f"licence: {licence}"] if licence else [], dataset)
    for name in ("images", "manifest"):
        record.write(work.out(name), source=data.path, licence=licence, **{fact: made[fact] for fact in FACTS})


def _classes(names: Sequence[str], remarks: Sequence[str]) -> list[str]:
    """Return a line that names the classes, unless a remark has: folders may be none of what a reader means."""
    from hkd.store.lines import first_names, printable

    named = printable(first_names(names))
    count = "1 class" if len(names) == 1 else f"{len(names):,} classes"
    return [f"{count}: {named}"] if names and not any(line.endswith(f": {named}") for line in remarks) else []
