"""`hkd inception-ports`: do the two published ports of FID's network hold the same weights?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hkd import job

if TYPE_CHECKING:
    from hkd.cli import Commands


def register(cli: Commands) -> None:
    """Add this file's command."""
    cli.add(inception_ports, group="maintain", short="Hold the two ports of Inception against each other")


def inception_ports(
    dataset: job.DatasetArgument,
    n: Annotated[int, typer.Option(min=2, help="Images of the data set that both networks are shown.")] = 64,
    folder: Annotated[Path, typer.Option(help="Where `hkd fetch` has put both files.")] = Path("weights"),
    benchmark: job.BenchmarkOption = job.DEFAULT_BENCHMARK,
    config: job.OverrideOption = None,
    device: job.DeviceOption = "auto",
) -> None:
    """Show both published ports of Inception the same images; fail if their features differ by more than rounding."""
    from hkd.data.image_set import ImageSet
    from hkd.metrics.features.ports import ports_apart
    from hkd.store.atomic import write_json
    from hkd.store.published import locate
    from hkd.store.records import Record

    plan, to = job.plan(benchmark, config), str(job.pick_device(device))
    files = [locate(name, folder) for name in ("inception", "inception-torchscript")]
    source = plan.layout.data(dataset, plan.reference_split(dataset))
    record = Record("inception-ports", {"n": n}, inputs=[source.images, *files], device=to, compute=job.settled(to))
    images = ImageSet(source)
    images.verify()
    found = ports_apart(images.pixels[:n], *files, device=to)
    out = plan.layout.reference_folder(dataset).of("inception-ports.json")
    write_json(out, {"n": found.n, "relative_l2": found.relative_l2, "same": found.same})
    record.write(out)
    verdict = "the same network" if found.same else "NOT the same network"
    typer.echo(f"features of {found.n} images of {dataset} are {found.relative_l2:.2g} apart (relative L2): {verdict}")
    if not found.same:
        raise typer.Exit(1)
