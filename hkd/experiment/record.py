"""The `config.yaml` beside weights: written with them, and read back as a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hkd.data.image_set import ImageShape
from hkd.settings.origins import ConfigError, check, digest, from_mapping, read_yaml
from hkd.settings.sections import PARTS, Run
from hkd.settings.signatures import constructor_arguments
from hkd.store.artifacts import ArtifactError


def run_document(run: Run, shape: ImageShape, **about: Any) -> dict[str, Any]:
    """Return what `config.yaml` beside the weights holds: enough to repeat the run."""
    settings = run.model_dump(mode="json")
    return {**about, "shape": asdict(shape), "settings_digest": digest(settings), "run": settings}


def read_run(path: Path) -> tuple[Run, ImageShape, Mapping[str, Any]]:
    """Return the settings, image shape and facts of the run whose `config.yaml` this is."""
    if not path.exists():
        raise ArtifactError(f"{path}: missing; run `hkd train`, or `snakemake --cores all {path}`")
    layers = read_yaml(path)
    try:
        run = check(Run, from_mapping(layers.values["run"], str(path)))
    except (ConfigError, KeyError) as error:
        raise ArtifactError(f"{path}: of another version ({error}); delete {path.parent} and train again") from None
    if odd := sorted(run.params.keys() ^ (constructor_arguments(run.target).keys() - PARTS)):
        raise ArtifactError(
            f"{path}: of another version (params.{odd[0]} is {'not known' if odd[0] in run.params else 'missing'}); "
            f"delete {path.parent} and train again"
        )
    return run, ImageShape(**layers.values["shape"]), layers.values
