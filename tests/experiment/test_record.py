"""The config beside weights is read only if it is theirs, and a damaged one is refused in one line."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from hkd.experiment.finished import base
from hkd.experiment.record import read_run
from hkd.store.records import Record
from hkd.store.refusals import ArtifactError
from tests.fuzzed import COUNTS, refused


@pytest.fixture
def run(teacher: Path, tmp_path: Path) -> Path:
    """A finished run of its own: weights and config, each with its record."""
    shutil.copytree(teacher.parent, tmp_path, dirs_exist_ok=True)
    record = Record("train", {}, "digest", 3, of={"dataset": "shapes8", "method": "methods/edm", "seed": "3"})
    for name in ("weights.safetensors", "config.yaml"):
        record.write(tmp_path / name)
    return tmp_path


def changed(config: Path, *keys: str, to: object) -> None:
    content = yaml.safe_load(config.read_text())
    section = content
    for key in keys[:-1]:
        section = section[key]
    section[keys[-1]] = to
    config.write_text(yaml.safe_dump(content))


def test_a_changed_sigma_max_is_found_by_the_record(run):
    assert base(run / "weights.safetensors") is not None
    changed(run / "config.yaml", "run", "params", "sigma_max", to=90.0)
    with pytest.raises(ArtifactError, match=r"config.yaml: damaged, its digest is not the recorded .*run `hkd train`"):
        base(run / "weights.safetensors")


@pytest.mark.parametrize("other", [{"of": {"dataset": "shapes8", "method": "methods/edm", "seed": "4"}}, {"seed": 4}])
def test_a_config_with_the_record_of_another_run_is_refused(run, other):
    changed(run / "config.yaml", "seed", to=4)
    facts = {"seed": 3, "of": {"dataset": "shapes8", "method": "methods/edm", "seed": "3"}, **other}
    Record("train", {}, "digest", **facts).write(run / "config.yaml")
    with pytest.raises(ArtifactError, match=r"config.yaml: not of the weights beside it \((of|seed) differs\)"):
        base(run / "weights.safetensors")


def test_a_config_without_its_record_beside_recorded_weights_is_refused(run):
    (run / "config.yaml.record.json").unlink()
    with pytest.raises(ArtifactError, match=r"config.yaml.record.json: missing, .*run `hkd train`"):
        base(run / "weights.safetensors")


@pytest.mark.parametrize(
    ("keys", "to", "expected"),
    [
        (("shape", "resolution"), "eight", "its field 'resolution' is of type str, not int"),
        (("shape", "resolution"), 10**9, "shape.resolution = 1000000000 is of no image"),
        (("shape", "label_dim"), -1, "shape.label_dim = -1 is of no image"),
        (("shape", "more"), 1, "shape.more = 1 is of no image"),
        (("shape",), [8, 3, 0], "its field 'shape' is of type list, not dict"),
        (("seed",), "three", "its field 'seed' is of type str, not int"),
        (("run",), None, "its field 'run' is of type NoneType, not dict"),
        (("run", "training", "steps"), "many", "run"),
    ],
)
def test_a_config_of_no_run_is_refused_in_one_line(teacher, tmp_path, keys, to, expected):
    shutil.copy(teacher.with_name("config.yaml"), tmp_path)
    changed(tmp_path / "config.yaml", *keys, to=to)
    with pytest.raises(ArtifactError, match=r"config.yaml: of another version .*delete .* and train again") as error:
        read_run(tmp_path / "config.yaml")
    assert expected in str(error.value) and len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("count", COUNTS)
def test_a_damaged_config_is_refused_in_one_line(teacher, tmp_path, count):
    path = Path(shutil.copy(teacher.with_name("config.yaml"), tmp_path))
    assert refused(path, lambda: read_run(path), count, ArtifactError) > count // 4
