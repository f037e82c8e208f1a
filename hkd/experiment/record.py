"""The `config.yaml` beside weights: written with them, and read back as a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hkd.data.image_shape import ImageShape
from hkd.settings.origins import check, digest, from_mapping, read_yaml
from hkd.settings.sections import PARTS, Run
from hkd.settings.signatures import constructor_arguments
from hkd.store import bounded
from hkd.store.lines import one_line
from hkd.store.records import check_digest, read_record, record_path
from hkd.store.refusals import ArtifactError

CONFIG_BYTES = 1 << 20
FIELDS: dict[str, Any] = {"run": dict, "shape": dict, "seed": int}
SHAPE: dict[str, Any] = {"resolution": int, "channels": int, "label_dim": int}
LARGEST = {"resolution": 1 << 14, "channels": 64, "label_dim": 1 << 20}


def run_document(run: Run, shape: ImageShape, **about: Any) -> dict[str, Any]:
    """Return what `config.yaml` beside the weights holds: enough to repeat the run."""
    settings = run.model_dump(mode="json")
    return {**about, "shape": asdict(shape), "settings_digest": digest(settings), "run": settings}


def read_run(path: Path) -> tuple[Run, ImageShape, Mapping[str, Any]]:
    """Return the settings, image shape and facts of the run whose `config.yaml` this is.

    Raises:
        ArtifactError: it is missing, damaged, of another version, or not of the training whose weights lie beside it.
    """
    check_digest(path, "train")
    _same_training(path, path.with_name("weights.safetensors"))
    try:
        bounded.read_bytes(path, CONFIG_BYTES)
        values = bounded.check_fields(read_yaml(path).values, FIELDS)
        shape = bounded.check_fields(values["shape"], SHAPE)
        for key, value in shape.items():
            if not 0 <= value <= LARGEST.get(key, -1):
                raise bounded.Damaged(f"shape.{key} = {value!r} is of no image")
        run = check(Run, from_mapping(values["run"], str(path)))
        known = constructor_arguments(run.target).keys() - PARTS
    except (ValueError, RecursionError) as error:  # ConfigError and Damaged, and what YAML makes of odd scalars
        raise ArtifactError(
            f"{path}: of another version ({one_line(str(error), 1000)}); delete {path.parent} and train again"
        ) from None
    if odd := sorted(run.params.keys() ^ known):
        raise ArtifactError(
            f"{path}: of another version (params.{odd[0]} is {'not known' if odd[0] in run.params else 'missing'}); "
            f"delete {path.parent} and train again"
        )
    return run, ImageShape(**shape), values


def _same_training(config: Path, weights: Path) -> None:
    """Refuse a config whose record is not of the training that the record of the weights beside it names."""
    if not record_path(weights).exists() or not (trained := read_record(weights, "train"))["of"]:
        return  # weights that no command has made
    about = read_record(config, "train")
    for key in ("of", "settings_digest", "seed", "inputs"):
        if about[key] != trained[key]:
            raise ArtifactError(f"{config}: not of the weights beside it ({key} differs); run `hkd train` again")
