"""The only module that touches the network: published files of pinned digests, fetched once and checked."""

from __future__ import annotations

import http.client
import shutil
import urllib.error
import urllib.request
from pathlib import Path

from hkd.store.artifacts import ArtifactError, atomic_path, sha256
from hkd.store.published import WeightFile, verified

PIECE = 1 << 20  # bytes that are held at once
PATIENCE = 60  # seconds without an answer


def place(entry: WeightFile, folder: Path) -> Path:
    """Return where a published file lies within the folder of such files."""
    return folder / entry.filename


def fetch(entry: WeightFile, path: Path, local: Path | None = None) -> bool:
    """Put a published file at `path`, unless it is there already; return whether it was not.

    Args:
        local: a copy that is taken instead of the one in the network.
    Raises:
        ArtifactError: it cannot be had, or its bytes are not the pinned ones; nothing is kept then.
    """
    if path.exists() and sha256(path) == entry.sha256:
        return False
    with atomic_path(path) as temporary:
        if local is not None:
            _copy(local, temporary)
        else:
            _download(entry.url, temporary, entry.size)
        if (found := sha256(temporary)) != entry.sha256:
            raise ArtifactError(f"{local or entry.url}: sha256 is {found}, pinned is {entry.sha256}; nothing was kept")
    verified(path, entry)
    return True


def _copy(source: Path, out: Path) -> None:
    if not source.is_file():
        raise ArtifactError(f"{source}: no such file; --from takes a file that was downloaded elsewhere")
    shutil.copyfile(source, out)


def _download(url: str, out: Path, size: int) -> None:
    from tqdm import tqdm

    request = urllib.request.Request(url, headers={"User-Agent": "hkd"})
    try:
        with (
            urllib.request.urlopen(request, timeout=PATIENCE) as answer,
            out.open("wb") as file,
            tqdm(total=size or None, unit="B", unit_scale=True, desc=url.rpartition("/")[2], disable=None) as bar,
        ):
            while piece := answer.read(PIECE):
                file.write(piece)
                bar.update(len(piece))
    except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
        reason = getattr(error, "reason", error)
        raise ArtifactError(f"{url}: not reachable ({reason}); download it elsewhere and say --from FILE") from None
