"""Weights that authors of methods released: which there are, and the files that `hkd import` makes of them.

An imported file is safetensors under our names, with a card beside it: where it is from, its digests, its licence, how
names were mapped, and what the network makes of a fixed input. A benchmark names such files under `released`.
"""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hkd.settings.origins import ConfigError
from hkd.store import bounded
from hkd.store.artifacts import load_weights
from hkd.store.atomic import sha256
from hkd.store.lines import shortened
from hkd.store.refusals import ArtifactError

CARD: dict[str, Any] = {
    "method": str,
    "dataset": str,
    "sha256": str,
    "source_sha256": str,
    "licence": str,
    "repository": str,
    "network": dict,
    "shape": dict,
    "golden": dict,
    "names": dict,
    "parameters": int,
}
SHAPE: dict[str, Any] = {"resolution": int, "channels": int, "label_dim": int}
SIDES = {"resolution": (1, 4096), "channels": (1, 64), "label_dim": (0, 1 << 16)}  # beyond what any release has
GOLDEN: dict[str, Any] = dict.fromkeys(("mean", "std", "first0", "first1", "first2", "first3", "last"), (int, float))
UNKNOWN = "unknown: what its authors say where the file is from"


@dataclass(frozen=True)
class Release:
    """Weights that answer a run: where their authors put them, and what they say of their use.

    `remark`: in what they differ from the run that the row stands for.
    """

    dataset: str
    method: str
    filename: str
    url: str
    repository: str
    licence: str
    remark: str = ""


_EDM = ("NVlabs/edm", "CC BY-NC-SA 4.0")
_EDM_URL = "https://nvlabs-fi-cdn.nvidia.com/edm/pretrained"
_SDE = ("yang-song/score_sde_pytorch", "Apache-2.0")
_RF = ("gnobitab/RectifiedFlow", "not stated for the weights; files of its code are Apache-2.0")
_RF_PAGE = "https://github.com/gnobitab/RectifiedFlow (its README links the files)"
_DRIVE = "https://drive.google.com"


def _edm(dataset: str, method: str, name: str) -> Release:
    return Release(dataset, method, f"edm-{name}.pkl", f"{_EDM_URL}/edm-{name}.pkl", *_EDM)


RELEASES = (
    _edm("cifar10", "methods/edm", "cifar10-32x32-uncond-vp"),
    _edm("cifar10", "methods/edm_ve", "cifar10-32x32-uncond-ve"),
    _edm("cifar10", "methods/edm_cond", "cifar10-32x32-cond-vp"),
    _edm("ffhq64", "methods/edm", "ffhq-64x64-uncond-vp"),
    _edm("ffhq64", "methods/edm_ve", "ffhq-64x64-uncond-ve"),
    Release(
        *("cifar10", "methods/score_sde", "ve/cifar10_ncsnpp_continuous/checkpoint_*.pth"),
        *(f"{_DRIVE}/drive/folders/1b0gy_LLgO_DaQBgoWXwlVnL_rcAUgREh", *_SDE),
        "of two checkpoints the one of the smaller number is that of the printed FID",
    ),
    Release(
        *("cifar10", "methods/score_sde_deep", "ve/cifar10_ncsnpp_deep_continuous/checkpoint_*.pth"),
        *(f"{_DRIVE}/drive/folders/11s6A_xM7qiztdj8AHQWqaIAUSC3I7uX2", *_SDE),
        "of two checkpoints the one of the smaller number is that of the printed FID",
    ),
    Release(
        *("cifar10", "methods/flow1", "checkpoint_8.pth"),
        *(f"{_DRIVE}/file/d/10aPF5KC30SjVwr6rOnNosStpSGXnELXn", *_RF),
    ),
    *(Release("cifar10", f"methods/flow{k}", f"{k}-Rectified flow", _RF_PAGE, *_RF) for k in (2, 3)),
    *(Release("cifar10", f"methods/rf{k}", f"{k}-Rectified flow, distilled", _RF_PAGE, *_RF) for k in (1, 2, 3)),
    Release(
        *("cifar10", "methods/rf2pp", "2-Rectified flow++ for CIFAR-10 (.pth)"),
        f"{_DRIVE}/open?id=13cgGNkpOacb4HxlUM75ylcFOHFa0t2d1",
        *("sangyun884/rfpp", "Clear BSD (code); its base is EDM's, CC BY-NC-SA 4.0"),
    ),
    Release(
        *("cifar10", "methods/ecm", "the network of its README (.pkl)", "https://github.com/locuslab/ect"),
        *("locuslab/ect", "not stated; its networks are EDM's, CC BY-NC-SA 4.0"),
        "chosen by FD on DINOv2 features, not the one of the printed FID",
    ),
)


def release(dataset: str, method: str) -> Release | None:
    """Return what is known to be released for a run, on this data set or else on another; None: nothing."""
    found = [entry for entry in RELEASES if entry.method == method]
    return next((entry for entry in found if entry.dataset == dataset), found[0] if found else None)


def card_path(path: Path | str) -> Path:
    """Return where the card of an imported file lies."""
    return Path(path).with_suffix(".json")


def read_card(path: Path | str, dataset: str, method: str) -> dict[str, Any]:
    """Return the card of imported weights that a benchmark names for a run.

    Raises:
        ConfigError: there are none, with what to put where.
        ArtifactError: the card is damaged, or of weights of another method.
    """
    where = f"released.{dataset}.{method} = {str(path)!r}"
    remedy = _remedy(path, dataset, method)
    if not Path(path).is_file():
        raise ConfigError(f"{where}: no such file; {remedy}")
    try:
        card = bounded.parse_json(bounded.read_bytes(card_path(path), bounded.SHORT_JSON_BYTES))
        card = bounded.check_fields(card, CARD)
        bounded.check_fields(card["shape"], SHAPE)
        if odd := [side for side, (least, most) in SIDES.items() if not least <= card["shape"][side] <= most]:
            raise bounded.Damaged(f"its shape has {odd[0]} {shortened(str(card['shape'][odd[0]]))}")
        bounded.check_fields(card["golden"], GOLDEN)
    except FileNotFoundError:
        raise ConfigError(f"{where}: no card {card_path(path).name} beside it; {remedy}") from None
    except bounded.Damaged as error:
        raise ArtifactError(f"{card_path(path)}: {error}; {remedy}") from None
    if (card["method"], card["dataset"]) != (method, dataset):
        raise ArtifactError(f"{where}: imported as {card['method']} on {card['dataset']}; {remedy}")
    return card


def check_place(out: Path) -> None:
    """Refuse to put weights and their card in the place of files of somebody else.

    Raises:
        ArtifactError: what stands there is no card, or weights without one.
    """
    path = card_path(out)
    try:
        bounded.check_fields(bounded.parse_json(bounded.read_bytes(path, bounded.SHORT_JSON_BYTES)), CARD)
    except FileNotFoundError:
        if os.path.lexists(out):
            raise ArtifactError(
                f"{out}: is there, and no card beside it says that hkd wrote it; move it away, or name another --out"
            ) from None
    except bounded.Damaged:
        raise ArtifactError(
            f"{path}: stands where the card of {out.name} would, and is none; move it away, or name another --out"
        ) from None


def read_weights(path: Path | str, card: dict[str, Any]) -> dict[str, Any]:
    """Return the tensors of imported weights, float32, by the names of a finished run.

    Raises:
        ArtifactError: they are not the ones on the card.
    """
    if (found := sha256(Path(path))) != card["sha256"]:
        raise ArtifactError(f"{path}: sha256 is {found}, its card says {card['sha256']}; import it again")
    return load_weights(path)


def _remedy(path: Path | str, dataset: str, method: str) -> str:
    known = release(dataset, method)
    source = known.filename if known and known.dataset == dataset else "FILE"
    text = f"run `hkd import {shlex.quote(source)} {method} --dataset {dataset} --out {shlex.quote(str(path))}`"
    return f"{text}; the file is at {known.url} ({known.licence})" if source != "FILE" and known else text
