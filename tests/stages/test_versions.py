"""A training that an earlier version of the package began: with other words it goes on, with other code as asked."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hkd import interrupt
from hkd.store.atomic import sha256

STOP = (
    "stages/train.py",  # which no digest of code follows
    "    run, folder, inputs = plan.run(",
    "    interrupt.requested = lambda asked=[]: asked.append(1) or len(asked) > 3\n    run, folder, inputs = plan.run(",
)
WORDS = [
    ("__init__.py", '__version__ = "', '__version__ = "0.0.'),
    ("training/loop.py", "checkpoint passed over", "checkpoint not used"),
]
CODE = [*WORDS, ("training/ema.py", "1.0 - decay)", "(1.0 - decay) * 1.0)")]  # the same number by another formula


def checkout(folder: Path, root: Path, *edits: tuple[str, str, str]) -> Path:
    """Return a copy of the package and its settings with some texts replaced."""
    for name in ("hkd", "configs"):
        shutil.copytree(root / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "shipped"))
    for file, old, new in edits:
        path = folder / "hkd" / file
        assert old in path.read_text(), f"{file} holds no {old!r}"
        path.write_text(path.read_text().replace(old, new, 1))
    return folder


def hkd(tree: Path, results: Path, *words: str) -> subprocess.CompletedProcess[str]:
    config = ["--benchmark", "configs/benchmarks/smoke.yaml", "--config", f"results={results}"]
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    return subprocess.run(
        [sys.executable, "-m", "hkd", *words, *config], cwd=tree, env=environment, capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def straight(root, tmp_path_factory):
    """The images, and the weights of a training that this version made alone."""
    results = tmp_path_factory.mktemp("straight") / "results"
    for words in (("prepare", "shapes8"), ("train", "shapes8", "methods/edm")):
        ran = hkd(root, results, *words)
        assert ran.returncode == 0, ran.stderr
    return results


@pytest.mark.slow
@pytest.mark.parametrize(
    ("edits", "rerun", "codes"),
    [
        (WORDS, "code", 1),
        (WORDS, "settings", 1),
        pytest.param(CODE, "settings", 2, marks=pytest.mark.ci),
        (CODE, "code", 0),
    ],
    ids=["words", "words at full scale", "code at full scale", "code"],
)
def test_a_training_of_an_earlier_version_goes_on_to_the_same_bytes(straight, root, tmp_path, edits, rerun, codes):
    """`codes`: how many are noted in the record of a training that went on; 0: it begins anew."""
    older, results = checkout(tmp_path / "older", root, *edits, STOP), tmp_path / "results"
    shutil.copytree(straight / "shapes8", results / "shapes8", ignore=shutil.ignore_patterns("methods"))
    words = ("train", "shapes8", "methods/edm", "--config", f"rerun={rerun}")
    stopped = hkd(older, results, *words)
    assert stopped.returncode == interrupt.EXIT_CODE, stopped.stderr
    ran = hkd(root, results, *words)
    assert ran.returncode == 0, ran.stderr
    assert ("going on from step" in ran.stderr) is bool(codes)
    run = results / "shapes8/methods/edm/seed0"
    assert sha256(run / "weights.safetensors") == sha256(straight / "shapes8/methods/edm/seed0/weights.safetensors")
    record = json.loads((run / "weights.safetensors.record.json").read_text())
    assert len(record["codes"]) == max(codes, 1) and record["budget"]["steps"] > 3
    assert (run / "superseded").exists() is not codes
