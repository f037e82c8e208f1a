"""The workflow runs from any folder, from a checkout that nobody may write, and as a module of another, twice over."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from hkd.plan.runs import Plan
from hkd.store.records import Record
from hkd.store.superseded import keep
from hkd.workflow import Rules
from tests.workflow.conftest import copy_checkout

ROOT = Path(__file__).resolve().parents[2]
TWO = """
module a:
    snakefile: {snakefile!r}
    config: {{"inherits": "smoke", "seeds": 2}}
    prefix: "one"
use rule * from a as a_*
module b:
    snakefile: {snakefile!r}
    config: {{"inherits": "smoke", "results": "my results", "figures": "f"}}
    prefix: "two"
use rule * from b as b_*
rule mine:
    output: "mine.txt"
    shell: "echo ${{{{HKD_BENCHMARK:-nothing}}}} > {{output}}"
rule every:
    default_target: True
    input: {targets!r}
"""


@pytest.fixture(scope="module")
def shared(tmp_path_factory) -> Path:
    """A checkout that nobody may write."""
    folder = copy_checkout(tmp_path_factory.mktemp("read only"))
    for path in (folder, *folder.rglob("*")):
        path.chmod(path.stat().st_mode & ~0o222)
    yield folder
    for path in (folder, *folder.rglob("*")):
        path.chmod(path.stat().st_mode | 0o200)


@pytest.fixture
def run(shared, tmp_path):
    """Call Snakemake in an empty folder elsewhere; return what it printed."""

    def call(*words: str, folder: Path = tmp_path, code: int = 0) -> str:
        command = [sys.executable, "-m", "snakemake", "--cores", "1", *words]
        environment = {**os.environ, "PYTHONPATH": str(shared)}
        ran = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        assert ran.returncode == code, ran.stdout + ran.stderr
        return ran.stdout + ran.stderr

    return call


def smoke(shared: Path, *words: str) -> list[str]:
    return ["-s", str(shared / "Snakefile"), "--configfile", str(shared / "configs/benchmarks/smoke.yaml"), *words]


def modules(folder: Path, shared: Path, *targets: str) -> None:
    (folder / "Snakefile").write_text(TWO.format(snakefile=str(shared / "Snakefile"), targets=targets))


def environments(folder: Path) -> list[dict]:
    """The benchmarks that jobs would be told, of every instance."""
    files = sorted((folder / ".snakemake/hkd-environments").glob("*.sh"))
    said = [re.search(r"HKD_BENCHMARK='(.*)'\n", file.read_text())[1] for file in files]
    return [json.loads(text.replace("'\"'\"'", "'"))["values"] for text in said]


def test_two_instances_of_the_module_have_files_and_settings_of_their_own(run, shared, tmp_path):
    data = "shapes8/data/train/manifest.json"
    weights = "shapes8/methods/hkd/seed1/weights.safetensors"
    modules(tmp_path, shared, f"two/my results/{data}", f"one/results/smoke/{weights}", "mine.txt")
    out = run("-n")
    assert "rule b_prepare:" in out and "rule a_train:" in out and "rule a_shard:" in out
    assert f"input: one/results/smoke/{data}" in out, "what a rule reads has the prefix too"
    told = environments(tmp_path)
    found = {(values["results"], values["seeds"], values["figures"]) for values in told}
    assert found == {("one/results/smoke", 2, "one/paper_figures/smoke"), ("two/my results", 1, "two/f")}


ASKED = """
module paper:
    snakefile: {snakefile!r}
    config: {{"inherits": "smoke", "scale": "paper", "set": {changes!r}}}
    prefix: "one"
use rule * from paper as paper_*
module small:
    snakefile: {snakefile!r}
    config: {{"inherits": "smoke"}}
    prefix: "two"
use rule * from small as small_*
onstart:
    paper.onstart()
    small.onstart()
local = sorted(rule.name for rule in workflow.rules if rule.name in workflow._localrules)
print(f"local: {{' '.join(local)}}")
"""


@pytest.mark.slow
@pytest.mark.ci
def test_a_module_is_asked_at_its_start_and_knows_its_rules_by_their_names_there(run, shared, tmp_path):
    network = {"model_channels": 8, "channel_mult": [1], "num_blocks": 1, "attn_resolutions": []}
    changes = {"network": network, "sampling": {"n_samples": 96}, "perceptual_backbone": "piq-vgg"}
    changes |= {"weights_folder": str(tmp_path)}
    (tmp_path / "Snakefile").write_text(ASKED.format(snakefile=str(shared / "Snakefile"), changes=changes))
    trained = ["shapes8/methods/edm/seed0/weights.safetensors", "shapes8/methods/hkd/seed0/weights.safetensors"]
    for root in ("one", "two"):
        folder = tmp_path / root / "results/smoke" / Path(trained[0]).parent
        folder.mkdir(parents=True)
        (folder / "weights.safetensors").write_bytes(b"weights")
        Record("train", device="cuda").write(
            folder / "weights.safetensors", budget={"steps": 9, "train_seconds": 10800.0}
        )
        keep(folder, [folder / "weights.safetensors"], "other-1")
        (folder / "weights.safetensors").unlink()
    edm, hkd = (f"one/results/smoke/{path}" for path in trained)
    out = run("-n", edm, hkd, f"two/results/smoke/{trained[0]}")
    assert out.count("this run supersedes 1 finished training (3.00 GPU-hours as recorded)") == 2, "of each module"
    assert "a real run stops here: one/results/smoke/shapes8/methods/edm/seed0: 1 finished training" in out
    assert "a real run stops here: two/" not in out, "another instance's scale is not this one's"
    assert "a real run stops here: " in out and "run `hkd fetch lpips-vgg`" in out, "a training by another name is one"
    (local,) = re.findall("^local: (.*)$", out, re.M)
    alone = [name for name, stage in Rules(Plan.load("configs/benchmarks/smoke.yaml")).stages.items() if stage.local]
    assert set(local.split()) == {f"{module}_{name}" for module in ("paper", "small") for name in alone}
    refused = run(edm, code=1)
    assert "say --config replace=true" in refused and "Traceback" not in refused
    assert not (tmp_path / "one/results/smoke/shapes8/data").exists(), "no job has run"


def test_the_catalogues_snakefile_is_the_roots(root):
    lines = (root / "workflow/Snakefile").read_text().splitlines()
    assert [line for line in lines if line and not line.startswith("#")] == ['include: "../Snakefile"']
    assert [path.name for path in (root / "config").iterdir()] == ["README.md"]
    usage = yaml.safe_load((root / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert usage["report"] and usage["software-stack-deployment"] == {"apptainer": True}
    assert 'min_version("9.19")' in (root / "Snakefile").read_text()
    assert '"snakemake>=9.19,<10"' in (root / "pyproject.toml").read_text()


def test_every_key_on_the_configuration_page_is_one(root):
    from hkd.settings.benchmark import Benchmark

    text = (root / "config/README.md").read_text()
    keys = {key for row in re.findall(r"^\| (`.*?) \|", text, re.M) for key in re.findall(r"`(\w+)`", row)}
    assert {"inherits", "replace"} <= keys <= Benchmark.model_fields.keys()


@pytest.mark.slow
@pytest.mark.ci
def test_the_workflow_runs_from_anywhere_and_then_has_nothing_left_to_do(run, shared, tmp_path):
    target = "my results/shapes8/data/train/manifest.json"
    words = smoke(shared, "--config", "results=my results", "--", target)
    run(*words)
    assert (tmp_path / target).exists() and "Nothing to be done" in run(*words)
    other = tmp_path / "other folder"
    other.mkdir()
    run("--directory", str(other), *smoke(shared, "--", "results/smoke/shapes8/data/train/manifest.json"))
    assert (other / "results/smoke/shapes8/data/train/manifest.json").exists()
    run("-s", str(shared / "workflow/Snakefile"), "-n", "--", "results/table1.csv")


@pytest.mark.slow
@pytest.mark.ci
def test_a_training_of_a_module_lies_below_its_prefix_and_other_rules_see_nothing_of_it(run, shared, tmp_path):
    weights = "shapes8/methods/edm/seed0/weights.safetensors"
    modules(tmp_path, shared, f"two/my results/{weights}", f"one/results/smoke/{weights}", "mine.txt")
    run()
    made = [(tmp_path / root / weights).read_bytes() for root in ("one/results/smoke", "two/my results")]
    assert made[0] == made[1]
    assert (tmp_path / "mine.txt").read_text() == "nothing\n"
    assert "Nothing to be done" in run()
