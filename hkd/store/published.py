"""Published weight files that do not come with the package: their sources, and the check that a file is the right one.

Metrics and perceptual losses use them. Jobs never download anything: `locate` finds a file that `hkd fetch NAME` put in
place, and checks its bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hkd.store.atomic import sha256
from hkd.store.refusals import ArtifactError


@dataclass(frozen=True)
class WeightFile:
    """A pinned file: `size` in bytes, 0 where only the digest is published; `sha256` in hexadecimal.

    `licence`: what those who publish it say of its use.
    """

    name: str
    filename: str
    url: str
    size: int
    sha256: str
    used_for: str
    licence: str


# source: of each its repository's README or LICENSE
_INCEPTION = "Apache-2.0, as TensorFlow Models shared the network"
_VISION = "BSD-3-Clause, of torchvision; it warns that trained weights may have terms of their data, here ImageNet's"
_CLIP = "https://openaipublic.azureedge.net/clip/models"
_TORCHVISION = "https://download.pytorch.org/models"

WEIGHTS: dict[str, WeightFile] = {
    entry.name: entry
    for entry in (
        WeightFile(
            "inception",
            "pt_inception-2015-12-05-6726825d.pth",
            "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
            "pt_inception-2015-12-05-6726825d.pth",
            95_628_359,
            "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
            "FID, KID, Inception Score, sFID",
            "Apache-2.0, of pytorch-fid and of TensorFlow Models, whose network it is",
        ),
        WeightFile(
            "inception-torchscript",
            "inception-2015-12-05.pt",
            "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/inception-2015-12-05.pt",
            95_607_719,
            "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4",
            "`hkd inception-ports`: the same network as clean-fid loads it",
            f"{_INCEPTION}; the wrapper: Nvidia Source Code License",
        ),
        WeightFile(
            "lpips-alex",
            "alexnet-owt-7be5be79.pth",
            f"{_TORCHVISION}/alexnet-owt-7be5be79.pth",
            244_408_911,
            "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
            "LPIPS on AlexNet",
            _VISION,
        ),
        WeightFile(
            "lpips-vgg",
            "vgg16-397923af.pth",
            f"{_TORCHVISION}/vgg16-397923af.pth",
            553_433_881,
            "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
            "LPIPS on VGG-16",
            _VISION,
        ),
        WeightFile(
            "dinov2-vit-s-14",
            "dinov2_vits14_pretrain.pth",
            "https://dl.fbaipublicfiles.com/dinov2/dinov2_vits14/dinov2_vits14_pretrain.pth",
            88_283_115,
            "b938bf1bc15cd2ec0feacfe3a1bb553fe8ea9ca46a7e1d8d00217f29aef60cd9",
            "FD on DINOv2 features",
            "Apache-2.0",
        ),
        WeightFile(
            "clip-vit-b-32",
            "ViT-B-32.pt",
            f"{_CLIP}/40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af/ViT-B-32.pt",
            0,
            "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af",
            "FD on CLIP features",
            "MIT, of CLIP's repository",
        ),
        WeightFile(
            "clip-vit-l-14",
            "ViT-L-14.pt",
            f"{_CLIP}/b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836/ViT-L-14.pt",
            0,
            "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836",
            "FD on CLIP features",
            "MIT, of CLIP's repository",
        ),
    )
}


@dataclass(frozen=True)
class UnpinnedFile:
    """A published file of which no digest is published: nothing tells it from another, so that it is not fetched."""

    name: str
    filename: str
    url: str
    dataset: str


# source: https://github.com/NVlabs/edm, README; neither a SHA-256 nor an MD5 of them is stated there
STATISTICS: dict[str, UnpinnedFile] = {
    entry.name: entry
    for entry in (
        UnpinnedFile(
            "edm-statistics-cifar10",
            "cifar10-32x32.npz",
            "https://nvlabs-fi-cdn.nvidia.com/edm/fid-refs/cifar10-32x32.npz",
            "cifar10",
        ),
        UnpinnedFile(
            "edm-statistics-ffhq64",
            "ffhq-64x64.npz",
            "https://nvlabs-fi-cdn.nvidia.com/edm/fid-refs/ffhq-64x64.npz",
            "ffhq64",
        ),
    )
}

# weight file of LPIPS for each value of `perceptual_backbone`; `cnn`, the network that the workflow trains, has none
BACKBONES = {"lpips-vgg": "lpips-vgg", "lpips-alex": "lpips-alex", "piq-vgg": "lpips-vgg"}


def locate(name: str, directory: str | Path) -> Path:
    """Return the path of weight file `name` in `directory`, its digest verified.

    Raises:
        ArtifactError: for an unknown name, an absent file, or a file of other bytes.
    """
    entry = pinned(name)
    return verified(Path(directory) / entry.filename, entry)


def pinned(name: str) -> WeightFile:
    """Return the entry of weight file `name`.

    Raises:
        ArtifactError: there is none of that name, or its authors publish no digest of it.
    """
    if unpinned := STATISTICS.get(name):
        raise ArtifactError(
            f"{name}: no digest of {unpinned.filename} is published, so it is not fetched; download {unpinned.url} "
            f"yourself, and pin it: statistics: {{{unpinned.dataset}: {{path: FILE, sha256: (as sha256sum says), "
            "layout: edm, within: NUMBER}}"
        )
    if name not in WEIGHTS:
        raise ArtifactError(f"weights '{name}': unknown; known are {', '.join(sorted(WEIGHTS))}")
    return WEIGHTS[name]


def check_statistics(path: Path, digest: str | None) -> None:
    """Refuse published statistics that are absent, or not the file that a benchmark pins; unpinned, any is taken.

    Raises:
        ArtifactError: naming the file and both digests.
    """
    if not path.is_file():
        raise ArtifactError(f"{path}: no such published statistics; put them there, or take the key out")
    if digest and (found := sha256(path)) != digest:
        raise ArtifactError(f"{path}: sha256 is {found}, and the benchmark pins {digest}; put the right file there")


def verified(path: Path, entry: WeightFile) -> Path:
    """Return `path` if it holds exactly the bytes of `entry`.

    Raises:
        ArtifactError: naming the file, its digest and the command that fetches it.
    """
    found = sha256(present(path, entry))
    if found != entry.sha256:
        raise ArtifactError(f"{path}: sha256 is {found}, not that of {entry.filename}; delete it and {_remedy(entry)}")
    return path


def present(path: Path, entry: WeightFile) -> Path:
    """Return `path` if there is a file, without reading it.

    Raises:
        ArtifactError: naming the file, its digest and the command that fetches it.
    """
    if not path.is_file():
        raise ArtifactError(f"{path}: weights for {entry.used_for} are absent; {_remedy(entry)}")
    return path


def _remedy(entry: WeightFile) -> str:
    size = f", {entry.size} bytes" if entry.size else ""
    return f"run `hkd fetch {entry.name}`, or copy it there (sha256 {entry.sha256}{size})"
