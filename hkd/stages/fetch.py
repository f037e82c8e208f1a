"""`hkd fetch`: the only command that touches the network, for published files of pinned digests."""

from __future__ import annotations

import http.client
import shutil
import urllib.error
import urllib.request
from pathlib import Path
from typing import Annotated

import typer

from hkd.store.artifacts import ArtifactError, atomic_path, sha256
from hkd.store.published import WEIGHTS, pinned, verified

PIECE = 1 << 20


def register(app: typer.Typer) -> None:
    """Add this file's commands."""
    app.command()(fetch)


def fetch(
    names: Annotated[
        list[str] | None, typer.Argument(help="Files to fetch; without any, the known ones are listed.")
    ] = None,
    folder: Annotated[Path, typer.Option(help="Where they are put, and where runs look for them.")] = Path("weights"),
    local: Annotated[
        Path | None,
        typer.Option("--from", help="Copy from this file instead of the network; its digest is checked too."),
    ] = None,
) -> None:
    """Fetch published weights once, and check their digests; jobs themselves never touch the network."""
    entries = [pinned(name) for name in names or []]
    if not names:
        for entry in WEIGHTS.values():
            here = "here" if (folder / entry.filename).exists() else "absent"
            typer.echo(f"{entry.name:22} {here:7} {entry.filename:42} for {entry.used_for}")
    for entry in entries:
        path = folder / entry.filename
        if path.exists() and sha256(path) == entry.sha256:
            typer.echo(f"{path}: already here, digest as pinned")
            continue
        with atomic_path(path) as temporary:
            if local is not None:
                _copy(local, temporary)
            else:
                _download(entry.url, temporary, entry.size)
            if (found := sha256(temporary)) != entry.sha256:
                raise ArtifactError(
                    f"{local or entry.url}: sha256 is {found}, pinned is {entry.sha256}; nothing was kept"
                )
        typer.echo(f"{verified(path, entry)}: fetched, digest as pinned")


def _copy(source: Path, out: Path) -> None:
    if not source.is_file():
        raise ArtifactError(f"{source}: no such file; --from takes a file that was downloaded elsewhere")
    shutil.copyfile(source, out)


def _download(url: str, out: Path, size: int) -> None:
    from tqdm import tqdm

    request = urllib.request.Request(url, headers={"User-Agent": "hkd"})
    try:
        with (
            urllib.request.urlopen(request, timeout=60) as answer,
            out.open("wb") as file,
            tqdm(total=size or None, unit="B", unit_scale=True, desc=url.rpartition("/")[2], disable=None) as bar,
        ):
            while piece := answer.read(PIECE):
                file.write(piece)
                bar.update(len(piece))
    except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
        reason = getattr(error, "reason", error)
        raise ArtifactError(f"{url}: not reachable ({reason}); download it elsewhere and say --from FILE") from None
