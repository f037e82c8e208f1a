"""Metrics files made by hand, as the scoring stage writes them."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hkd.report.compare import Paper


def protocol(name: str, preprocessing: str) -> dict[str, Any]:
    return {
        "name": name,
        "preprocessing": preprocessing,
        "extractor_digest": "e" * 64,
        "reference_digest": "r" * 64,
        "n_generated": 2000,
        "n_reference": 10000,
        "estimate": [],
        "versions": {"numpy": "2.4.6"},
    }


GOOD: dict[str, Any] = {
    "schema": 2,
    "dataset": "shapes16",
    "method": "methods/hkd",
    "title": "HKD",
    "seed": 0,
    "nfe": 1,
    "route": "train",
    "scale": "embedded",
    "data_kind": "shapes",
    "n_generated": 2000,
    "n_reference": 10000,
    "extractor": "FD-shapes16",
    "extractor_digest": "e" * 64,
    "metrics": {"fid_own": 3.0, "fid_torch_fidelity": 3.0, "fid_clean_fid": 2.5, "fdn": 12.0},
    "protocols": {
        "fid_own": protocol("hkd", "A"),
        "fdn": protocol("hkd", "A"),
        "fid_torch_fidelity": protocol("torch-fidelity", "A"),
        "fid_clean_fid": protocol("clean-fid", "C"),
    },
    "budget": {
        "params": 300123,
        "train_images": 32000,
        "network_evals": 160000,
        "train_seconds": 61.52,
        "train_cpu_seconds": 48.0,
        "train_gpu_seconds": None,
    },
    "settings_digest": "0123456789abcdef",
    "samples_sha256": "5" * 64,
    "commit": "unknown",
    "versions": {"python": "3.11"},
}

Changes = dict[str, Any]
Write = Callable[..., Path]


@pytest.fixture
def metrics_file(tmp_path: Path) -> Write:
    """A writer: `metrics_file(seed=1, **{"metrics.fid_own": 4.0})`; a value of ... removes the key."""

    def write(**changes: Any) -> Path:
        content = copy.deepcopy(GOOD)
        for key, value in changes.items():
            *path, last = key.split(".")
            section = content
            for name in path:
                section = section[name]
            if value is ...:
                del section[last]
            else:
                section[last] = value
        path_ = tmp_path / f"{len(list(tmp_path.iterdir()))}.json"
        path_.write_text(json.dumps(content))
        return path_

    return write


@pytest.fixture
def paper() -> Paper:
    return Paper(
        title="Table 1: unconditional CIFAR-10",
        dataset="cifar10",
        dataset_title="CIFAR-10",
        n_reference=50000,
        extractor="FID",
        n_generated=50000,
        train_images={"methods/edm": 200_000_000, "methods/hkd": None},
    )
