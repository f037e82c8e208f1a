"""Weights inside of other packages are found without importing them, and are the pinned bytes or none."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from hkd.store.atomic import sha256
from hkd.store.packaged import EFFNET, PackagedFile, located, present
from hkd.store.refusals import ArtifactError


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PackagedFile:
    """A package whose import fails, with a file of weights in it."""
    package = tmp_path / "pretended_weights"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").write_text("raise AssertionError('imported')\n")
    file = package / "models/weights.pth"
    file.write_bytes(b"weights")
    monkeypatch.syspath_prepend(str(tmp_path))
    return PackagedFile("pretended_weights", "models/weights.pth", "pretended", "photos", sha256(file), "photographs")


def test_the_file_is_found_and_nothing_is_imported(installed):
    assert located(installed).read_bytes() == b"weights"
    assert installed.package not in sys.modules


def test_other_bytes_are_refused_with_the_way_to_the_right_ones(installed):
    present(installed).write_bytes(b"weightz")
    with pytest.raises(ArtifactError, match=r"not the pinned .*pip install --force-reinstall pretended$"):
        located(installed)


@pytest.mark.parametrize("missing", ["package", "file"])
def test_what_is_absent_is_said_with_the_extra(installed, missing):
    entry = replace(installed, package="no_such_package") if missing == "package" else installed
    if missing == "file":
        present(installed).unlink()
    with pytest.raises(ArtifactError, match=r"package pretended is not installed; run pip install 'hkd\[photos\]'"):
        present(entry)


def test_the_extra_installs_the_package_that_is_pinned():
    import tomllib

    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert [line.split("=")[0] for line in project["optional-dependencies"][EFFNET.extra]] == [EFFNET.distribution]
