"""What users get: sdist and wheel hold all that a run needs, and the wheel runs in an empty folder.

`make test-release` installs the wheel with its dependencies from the index. Run by hand, the environment has no package
of ours either, and borrows the dependencies of this one.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
CARRIED = ("Snakefile", "configs", "rules", "profiles")
pytestmark = [pytest.mark.release, pytest.mark.slow]


def tracked(*names: str) -> set[str]:
    listed = subprocess.run(["git", "ls-files", *names], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(listed.stdout.split())


def ran(*words: str | Path, folder: Path, **more: str) -> str:
    kept = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "HKD_CONFIGS")}
    done = subprocess.run([str(word) for word in words], cwd=folder, capture_output=True, text=True, env=kept | more)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> tuple[Path, Path]:
    """Sdist and wheel, made of a copy of what git tracks, the wheel from the sdist."""
    setuptools = pytest.importorskip("setuptools.build_meta", reason="needs setuptools")
    assert setuptools
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in tracked():
        target = source / name
        if (ROOT / name).is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((ROOT / name).read_bytes())
    hook = "import sys, setuptools.build_meta as b; print(getattr(b, 'build_' + sys.argv[1])(sys.argv[2]))"
    sdist = out / ran(sys.executable, "-c", hook, "sdist", out, folder=source).splitlines()[-1]
    unpacked = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        archive.extractall(unpacked, filter="data")
    (inside,) = unpacked.iterdir()
    return sdist, out / ran(sys.executable, "-c", hook, "wheel", out, folder=inside).splitlines()[-1]


def test_the_sdist_holds_what_git_tracks(built):
    with tarfile.open(built[0]) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    due = tracked("hkd", "tests", "docs", "benchmarks", "Makefile", "constraints.txt", *CARRIED)
    assert due - held == set()


def test_the_wheel_holds_the_library_the_workflow_and_the_weights(built):
    with zipfile.ZipFile(built[1]) as archive:
        held = set(archive.namelist())
    assert tracked("hkd") - held == set()
    assert {f"hkd/release/{name}" for name in tracked(*CARRIED)} - held == set()
    assert any(name.endswith(".safetensors") for name in held)
    assert not any(name.startswith(("tests/", "configs/")) for name in held)


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory) -> Path:
    """The programs of an environment in which the wheel is installed."""
    environment = tmp_path_factory.mktemp("environment")
    ran(sys.executable, "-m", "venv", environment, folder=environment)
    programs, options = environment / "bin", os.environ.get("HKD_RELEASE_INSTALL")
    if options is None:
        ran(programs / "python", "-m", "pip", "install", "--quiet", "--no-deps", built[1], folder=environment)
        packages = ran(programs / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", folder=ROOT)
        (Path(packages.strip()) / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    else:
        words = shlex.split(options)
        ran(programs / "python", "-m", "pip", "install", "--quiet", *words, built[1], folder=ROOT)
    return programs


@pytest.fixture(scope="module")
def empty(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("empty")


def test_the_library_is_that_of_the_wheel_and_helps(installed, empty):
    where = ran(installed / "python", "-c", "import hkd; print(hkd.__file__)", folder=empty)
    assert where.startswith(str(installed.parent))
    assert "forecast" in ran(installed / "python", "-m", "hkd", "--help", folder=empty)
    assert "methods/hkd" in ran(installed / "python", "-m", "hkd", "config", "tables", folder=empty)


def test_the_smoke_table_is_made_in_an_empty_folder_and_its_weights_edit(installed, empty):
    snakefile = Path(ran(installed / "python", "-m", "hkd", "config", "snakefile", folder=empty).strip())
    smoke = snakefile.parent / "configs/benchmarks/smoke.yaml"
    path = os.pathsep.join([str(installed), os.environ["PATH"]])
    words = ["-m", "snakemake", "--cores", "2", "-s", snakefile, "--configfile", smoke]
    ran(installed / "python", *words, "--", "results/smoke/table1.csv", folder=empty, PATH=path)
    assert "HKD" in (empty / "results/smoke/table1.csv").read_text()
    named = ["--benchmark", "configs/benchmarks/smoke.yaml", "--out", "edited.png"]  # as in a checkout
    ran(installed / "python", "-m", "hkd", "edit", "shapes8", "methods/hkd", *named, folder=empty)
    assert (empty / "edited.png").stat().st_size > 500


def test_the_edit_of_the_readme_works_at_once_in_an_empty_folder(installed, tmp_path):
    (written,) = re.findall(r"^\.venv/bin/hkd (edit .*)$", (ROOT / "README.md").read_text(), re.MULTILINE)
    for number, name in enumerate(("mine.png", "other.png")):
        Image.linear_gradient("L").resize((16, 16)).rotate(90 * number).convert("RGB").save(tmp_path / name)
    ran(installed / "python", "-m", "hkd", *shlex.split(written), folder=tmp_path)
    with Image.open(tmp_path / "edited.png") as edited:
        assert edited.size == (16, 16)
    weights = {path.parent.name for path in (tmp_path / "results").rglob("weights.safetensors")}
    assert weights == {"seed0", "finished", "perceptual"}, "the shipped ones, and nothing was trained"
    assert not list((tmp_path / "results").rglob("history.jsonl"))
