"""`hkd inception-ports`: do the two published ports of FID's network hold the same weights?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hkd.job import DEFAULT_PROFILE, DatasetArgument, DeviceOption, OverrideOption, ProfileOption, plan
from hkd.store.artifacts import Record, write_json
from hkd.store.published import locate

SAME = 2e-4  # relative; between loaders of one file 1e-6 was measured, and 2e-4 bounds what arithmetic may do


def register(app: typer.Typer) -> None:
    """Add this file's commands."""
    app.command()(inception_ports)


def inception_ports(
    dataset: DatasetArgument,
    n: Annotated[int, typer.Option(min=2, help="Images of the data set that both networks are shown.")] = 64,
    folder: Annotated[Path, typer.Option(help="Where `hkd fetch` has put both files.")] = Path("weights"),
    profile: ProfileOption = DEFAULT_PROFILE,
    config: OverrideOption = None,
    device: DeviceOption = "auto",
) -> None:
    """Show both published ports of Inception the same images; fail if their features differ by more than rounding."""
    import numpy as np

    from hkd.data.images import ImageSet
    from hkd.experiment.build import device as pick
    from hkd.metrics.features.extract import extract
    from hkd.metrics.features.inception import published_inception, torchscript_inception

    chosen, to = plan(profile, config), str(pick(device))
    files = [locate(name, folder) for name in ("inception", "inception-torchscript")]
    source = Path(chosen.layout.data(dataset, chosen.reference_split(dataset)))
    record = Record("inception-ports", {"n": n}, inputs=[source / "images.npy", *files], device=to)
    images = np.asarray(ImageSet(source).pixels)[:n]
    ours = extract(images, published_inception(files[0], device=to), "A")
    theirs = extract(images, torchscript_inception(files[1], device=to), "A")
    apart = float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))
    out = Path(chosen.layout.reference(dataset)).with_name("inception-ports.json")
    write_json(out, {"n": len(images), "relative_l2": apart, "same": apart < SAME})
    record.write(out)
    verdict = "the same network" if apart < SAME else "NOT the same network"
    typer.echo(f"features of {len(images)} images of {dataset} are {apart:.2g} apart (relative L2): {verdict}")
    if apart >= SAME:
        raise typer.Exit(1)
