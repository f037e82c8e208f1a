"""Names that enter commands: quoted wherever a shell sees them, and refused before the graph where they cannot be."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hkd.plan.runs import Plan
from hkd.settings.origins import ConfigError

ROOT = Path(__file__).resolve().parents[2]
RULES = sorted(ROOT.glob("rules/**/*.smk"))
ODD = 'r e\'s; $(touch stray) "q" * && touch stray'


@pytest.mark.parametrize("file", RULES, ids=lambda file: file.stem)
def test_every_value_in_a_command_is_quoted(file):
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.lstrip().startswith('"'):
            found = re.findall(r"\{([^}]*)\}", line)
            assert all(name.endswith(":q") for name in found), line


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "a\nb",
        "a\0b",
        "a{b}",
        "{dataset}",
        "~",
        "~/runs",
        "--help",
        "-n",
        "a\x1b[2Jb",
        "x" * 300,
        7,
        None,
        ["a"],
    ],
)
@pytest.mark.parametrize("key", ["results", "figures"])
def test_a_folder_that_no_command_could_name_is_one_line(key, name):
    with pytest.raises(ConfigError) as caught:
        Plan.load(str(ROOT / "configs/benchmarks/smoke.yaml"), {key: name}, ROOT / "configs")
    (line,) = str(caught.value).splitlines()
    assert f"{key} = " in line and line.isprintable() and len(line) < 400


@pytest.mark.parametrize(
    "name", ["a b", "a; touch x", "$(touch x)", "`x`", "'", '"', "ä", "./~", "./-n", "a/../b", "*?[a]"]
)
def test_an_odd_folder_is_taken_as_it_is(name):
    plan = Plan.load(str(ROOT / "configs/benchmarks/smoke.yaml"), {"results": name}, ROOT / "configs")
    assert plan.layout.root == name


@pytest.mark.slow
@pytest.mark.ci
def test_odd_names_of_results_and_of_the_folder_of_the_workflow_are_names_alone(tmp_path):
    from tests.workflow.conftest import copy_checkout

    folder = tmp_path / "c {o} $(touch stray) 'd' ;e"
    copy_checkout(tmp_path / "copy").rename(folder)
    target = f"{ODD}/shapes8/data/train/images.npy"
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--configfile", "configs/benchmarks/smoke.yaml"]
    command += ["--config", f"results={ODD}", "--directory", str(folder), "-s", str(folder / "Snakefile"), "--", target]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    before = {path.name for path in folder.iterdir()}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert (folder / target).exists()
    assert {path.name for path in folder.iterdir()} - before <= {".snakemake", ODD.split("/")[0], "__pycache__"}
