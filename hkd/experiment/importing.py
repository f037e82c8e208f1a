"""Released weights become those of a run: read, mapped onto its network, proved by what it makes of a fixed input."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hkd.data.image_shape import ImageShape
from hkd.experiment.build import method as built_method
from hkd.imported.adm_names import adm_names
from hkd.imported.layouts import Found, read
from hkd.imported.mapping import Made, Mapped, fitted
from hkd.imported.song_names import song_names
from hkd.methods.base import Method
from hkd.settings.sections import Data, Run
from hkd.store.artifacts import save_weights
from hkd.store.atomic import sha256, write_json
from hkd.store.bounded import Damaged
from hkd.store.lines import shortened
from hkd.store.records import versions
from hkd.store.refusals import ArtifactError
from hkd.store.released import UNKNOWN, card_path, check_place, read_card, read_weights, release

CHANNELS = 3
WRAPPER = "model."  # how networks within a preconditioner are named, ours and EDM's
COMPUTED = "resample_filter"  # taps that the network's preset states; only EDM's files hold them
NAMINGS = {  # whose names fit which presets
    "edm": ("ddpmpp", "ncsnpp", "adm"),
    "score_sde": ("ddpmpp", "ncsnpp"),
    "guided": ("adm",),
}
LEVELS = (0.5, 10.0)  # noise levels of the fixed input
TOLERANCE = 1e-3  # of the network's answer, over its deviation: machines differ by a hundredth of that


def import_weights(
    source: Path, out: Path, run: Run, data: Data, *, dataset: str, method: str, expected: str | None = None
) -> dict[str, Any]:
    """Write the weights in a released file as safetensors under our names, and a card beside it; return the card.

    Args:
        run, data: settings of the run that they answer, and of its data set.
        dataset, method: their names.
        expected: SHA-256 that the file must have, in hexadecimal; without it any file is taken that fits.
    Raises:
        ArtifactError: the file is another than expected, damaged or refused, or is not of the run's network, or a file
            that is no card stands in the card's place; nothing is written then.
    """
    check_place(out)
    try:
        if expected is not None and (digest := sha256(source)) != expected.lower():
            raise Damaged(f"sha256 is {digest}, expected {shortened(expected)}; download it again")
        found = read(source)
        built, names = _filled(found, run, data, method)
    except FileNotFoundError:
        raise ArtifactError(f"{source}: no such file; give a file of released weights") from None
    except Damaged as error:
        raise ArtifactError(f"{source}: {error}; see docs/released.md for what is read") from None
    known = release(dataset, method)
    save_weights(out, built.artefact(), {"imported": method})
    card = {
        "method": method,
        "dataset": dataset,
        "sha256": sha256(out),
        "source": os.path.abspath(source),
        "source_sha256": sha256(source),
        "repository": known.repository if known else "unknown",
        "licence": known.licence if known else UNKNOWN,
        "remark": known.remark if known else "",
        "names_of": found.naming,
        "about": found.about,
        "network": run.network,
        "shape": asdict(_shape(built)),
        "parameters": built.sampling_parameters(),
        "tensors": len(found.tensors),
        "names": names,
        "golden": golden(built),
        "versions": versions(),
    }
    write_json(card_path(out), card)
    return card


def released(path: Path, run: Run, *, dataset: str, method: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return imported weights of a run and their card, once its network is found to make of them what it made then.

    Raises:
        ArtifactError: they are not those on the card, or are of another network than the run's.
    """
    card = read_card(path, dataset, method)
    state = read_weights(path, card)
    built = built_method(run, ImageShape(**card["shape"]), seed=0, parts=None)
    again = f"import {card.get('source', 'the file')} again"
    try:
        built.load_artefact(state)
    except RuntimeError as error:
        first = shortened(str(error).splitlines()[-1].strip())
        raise ArtifactError(f"{path}: not of the network of {method} ({first}); {again}") from None
    was, now = card["golden"], golden(built.eval())
    if off := [key for key, value in now.items() if not abs(value - was[key]) <= TOLERANCE * was["std"]]:
        raise ArtifactError(
            f"{path}: {method} makes {off[0]} = {now[off[0]]:.6g} of them, {was[off[0]]:.6g} when imported; {again}"
        )
    return state, card


def said_of(card: dict[str, Any]) -> dict[str, Any]:
    """Return what the record of a run says of the imported weights that it has: their origin, and no cost of ours."""
    keys = ("sha256", "source_sha256", "repository", "licence", "remark")
    unknown = ("steps", "train_images", "network_evals", "teacher_evals", "train_seconds")
    budget = {"params": card["parameters"], **dict.fromkeys(unknown)}
    return {"budget": budget, "imported": {key: card.get(key, "") for key in keys}}


@torch.no_grad()
def golden(built: Method) -> dict[str, float]:
    """Return numbers of the network's answer to a fixed input, in float32 on the CPU.

    The input is sin(0.013 k) over the flat index k of two images, times the noise levels 0.5 and 10 where the network
    is a denoiser, with classes 3 and 7 where it knows any.
    """
    student: Any = built.student
    shape = _shape(built)
    flat = torch.arange(len(LEVELS) * CHANNELS * shape.resolution**2, dtype=torch.float64)
    images = torch.sin(0.013 * flat).float().reshape(len(LEVELS), *shape.chw)
    levels = torch.tensor(LEVELS)
    if hasattr(student, "coefficients"):
        images = images * levels[:, None, None, None]
    labels = torch.eye(shape.label_dim)[[3 % shape.label_dim, 7 % shape.label_dim]] if shape.label_dim else None
    answer = student(images, levels, labels).double()
    found = {"mean": answer.mean(), "std": answer.std()}
    found |= {f"first{k}": answer[0, 0, 0, k] for k in range(4)} | {"last": answer[-1, -1, -1, -1]}
    return {name: float(value) for name, value in found.items()}


def _filled(found: Found, run: Run, data: Data, method: str) -> tuple[Method, dict[str, list[str]]]:
    """Return the run's method with the weights of a file, and which of its names each of ours is made of."""
    preset = run.network.get("preset")
    if preset not in NAMINGS[found.naming]:
        fits = " or ".join(NAMINGS[found.naming])
        raise Damaged(f"holds a network of preset {fits}, {method} has network.preset {preset}")
    theirs = {name.removeprefix(WRAPPER): tensor for name, tensor in found.tensors.items()}
    shape = ImageShape(_resolution(data, method), CHANNELS, _classes(found, theirs, method) if run.conditional else 0)
    built = built_method(run, shape, seed=0, parts=None)
    if built.samples_with != ("student",):
        raise Damaged(f"{method} samples with more than one network, and no release has several")
    _check_facts(found.about, built, method)
    own = built.student.state_dict()  # type: ignore[union-attr]
    prefix = WRAPPER if all(name.startswith(WRAPPER) for name in own) else ""
    bare = {name.removeprefix(prefix): tensor.shape for name, tensor in own.items()}
    wanted = {name: size for name, size in bare.items() if found.naming == "edm" or not name.endswith(COMPUTED)}
    mapped = _mapped(found, list(wanted))
    state = fitted(wanted, theirs, mapped)
    built.student.load_state_dict(own | {f"{prefix}{name}": tensor for name, tensor in state.items()})  # type: ignore[union-attr]
    return built.eval(), {f"student.{prefix}{name}": list(mapped[name].of) for name in wanted}


def _mapped(found: Found, wanted: list[str]) -> Mapped:
    if found.naming == "edm":
        return {name: Made((name,)) for name in wanted}
    return song_names(wanted) if found.naming == "score_sde" else adm_names(wanted)


def _check_facts(about: dict[str, Any], built: Method, method: str) -> None:
    """Refuse a file that says of its network what is not so of the run's; its names and shapes need not show it."""
    student: Any = built.student
    ours = {key: getattr(student, key, None) for key in ("img_resolution", "img_channels", "label_dim", "sigma_data")}
    for key, value in ours.items():
        if value is not None and key in about and about[key] != value:
            raise Damaged(f"is of a network with {key} {shortened(str(about[key]))}, {method} has {value}")


def _resolution(data: Data, method: str) -> int:
    if data.resolution is None:
        raise ArtifactError(f"data set of {method}: its resolution is not set; set data.resolution")
    return data.resolution


def _classes(found: Found, theirs: dict[str, Tensor], method: str) -> int:
    """Return how many classes the network in a file knows."""
    name, axis = ("label_emb.weight", 0) if found.naming == "guided" else ("map_label.weight", 1)
    if name not in theirs or theirs[name].dim() != 2:
        raise Damaged(f"has no classes ({name!r}), {method} is conditional")
    return int(theirs[name].shape[axis])


def _shape(built: Method) -> ImageShape:
    student: Any = built.student
    return ImageShape(student.img_resolution, student.img_channels, student.label_dim)
