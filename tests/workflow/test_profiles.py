"""Profiles say how jobs run and nothing else: they dry-run, and the rules lint."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys

import pytest
import yaml

SNAKEMAKE = [sys.executable, "-m", "snakemake"]
TARGET = "results/smoke/shapes8/methods/ecm/seed0/metrics/nfe1.json"


def dry_run(checkout, *arguments: str) -> str:
    command = [*SNAKEMAKE, "-n", "--configfile", "configs/benchmarks/smoke.yaml", *arguments, "--", TARGET]
    ran = subprocess.run(command, cwd=checkout, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


def test_the_default_profile_has_harmless_switches_only(root):
    keys = yaml.safe_load((root / "profiles/default/config.yaml").read_text()).keys()
    assert keys <= {"rerun-incomplete", "show-failed-logs", "scheduler", "keep-going"}


@pytest.mark.parametrize(
    "name", ["default", *(pytest.param(n, marks=pytest.mark.slow) for n in ("slurm", "local", "gpu"))]
)
def test_a_profile_dry_runs_with_what_the_rules_ask_for(checkout, name):
    if name == "slurm" and importlib.util.find_spec("snakemake_executor_plugin_slurm") is None:
        pytest.skip("the executor plugin of SLURM is not installed")
    chosen = [] if name == "default" else ["--cores", "2", "--workflow-profile", f"profiles/{name}"]
    out = dry_run(checkout, *chosen)
    assert "mem_mb=" in out and "runtime=" in out and "gpu=0" in out
    assert "rule train:" in out and "rule metrics:" in out


@pytest.mark.parametrize("name", ["local", "gpu", "slurm"])
def test_a_profile_names_no_setting_of_a_run(root, name):
    text = (root / f"profiles/{name}/config.yaml").read_text()
    assert "configfile" not in yaml.safe_load(text)
    for word in ("learning", "steps:", "batch:"):
        assert word not in text


def test_the_rules_lint(checkout):
    ran = subprocess.run([*SNAKEMAKE, "--lint"], cwd=checkout, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_rules_are_formatted(root):
    pytest.importorskip("snakefmt")
    ran = subprocess.run(
        [sys.executable, "-m", "snakefmt", "--check", "Snakefile", "rules", "workflow"],
        cwd=root,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr


def test_a_comparison_that_fails_after_a_run_is_one_line_and_fails_nothing(root):
    ((command, otherwise),) = re.findall(r'; (hkd compare)"\s*"( \|\| .*)"', (root / "Snakefile").read_text())
    ran = subprocess.run(["sh", "-c", f"hkd() {{ return 1; }}; {command}{otherwise}"], capture_output=True, text=True)
    assert ran.returncode == 0 and len(ran.stderr.splitlines()) == 1 and "no verdicts" in ran.stderr


def test_a_wrong_config_stops_snakemake_with_one_line(checkout):
    command = [*SNAKEMAKE, "-n", "--config", "sedes=2", "--", TARGET]
    ran = subprocess.run(command, cwd=checkout, capture_output=True, text=True)
    assert ran.returncode != 0
    assert "unknown key 'sedes'. Did you mean 'seeds'?" in ran.stdout + ran.stderr
    assert "Traceback" not in ran.stdout + ran.stderr


@pytest.mark.parametrize(
    "arguments, expected",
    [
        (["--configfile", "configs/smoke.yaml"], "configs/smoke.yaml: moved to configs/benchmarks/smoke.yaml"),
        (["--workflow-profile", "configs/profiles/local", "--cores", "1"], "say --workflow-profile profiles/local"),
        (["--config", "profile=smoke"], "key 'profile' is now 'benchmark'"),
    ],
    ids=["benchmark", "profile", "key"],
)
def test_a_name_of_the_last_release_is_refused_with_the_new_one(checkout, arguments, expected):
    ran = subprocess.run([*SNAKEMAKE, "-n", *arguments, "--", TARGET], cwd=checkout, capture_output=True, text=True)
    assert ran.returncode != 0
    assert expected in ran.stdout + ran.stderr and "Traceback" not in ran.stdout + ran.stderr


def test_the_path_of_a_data_set_comes_through_the_workflows_own_parser(checkout):
    (checkout / "mine.zip").write_bytes(b"zip")
    arguments = [
        "--configfile",
        "configs/benchmarks/own.yaml",
        "--config",
        "data={images: {path: mine.zip, resolution: 16}}",
    ]
    command = [*SNAKEMAKE, "-n", *arguments, "--", "results/own/images/data/train/manifest.json"]
    ran = subprocess.run(command, cwd=checkout, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    (told,) = (checkout / ".snakemake/hkd-environments").iterdir()
    assert '"path": "mine.zip"' in told.read_text()


def test_results_of_the_last_release_are_named_with_what_to_do(checkout):
    (checkout / "results/smoke/shapes8/audit/centre").mkdir(parents=True)
    command = [*SNAKEMAKE, "-n", "--configfile", "configs/benchmarks/smoke.yaml", "--", TARGET]
    ran = subprocess.run(command, cwd=checkout, capture_output=True, text=True)
    assert ran.returncode != 0
    assert "audit: made by an earlier version" in ran.stdout + ran.stderr
    assert "rename the folder to results/smoke/shapes8/ambiguity" in ran.stdout + ran.stderr


def pretend_finished(checkout) -> None:
    """A training of EDM by other settings, of three GPU-hours."""
    from hkd.store.records import Record
    from hkd.store.superseded import keep

    weights = checkout / "results/smoke/shapes8/methods/edm/seed0/weights.safetensors"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"weights")
    Record("train", device="cuda").write(weights, budget={"steps": 9, "train_seconds": 10800.0})
    keep(weights.parent, [weights], "other-1")
    weights.unlink()


def test_a_dry_run_says_what_it_is_about_to_supersede_and_a_real_one_asks_first(checkout):
    pretend_finished(checkout)
    weights = "results/smoke/shapes8/methods/edm/seed0/weights.safetensors"
    small = "{network: {model_channels: 8, channel_mult: [1], num_blocks: 1, attn_resolutions: []}"
    small += ", perceptual_backbone: cnn, sampling: {n_samples: 96}}"
    paper = ["--cores", "1", "--configfile", "configs/benchmarks/smoke.yaml", "--config", "scale=paper", f"set={small}"]
    shown = subprocess.run([*SNAKEMAKE, "-n", *paper, "--", weights], cwd=checkout, capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    assert "this run supersedes 1 finished training (3.00 GPU-hours as recorded)" in shown.stderr
    assert "a real run stops here: results/smoke/shapes8/methods/edm/seed0: 1 finished training" in shown.stderr
    ran = subprocess.run([*SNAKEMAKE, *paper, "--", weights], cwd=checkout, capture_output=True, text=True)
    assert ran.returncode != 0 and "say --config replace=true" in ran.stderr and "Traceback" not in ran.stderr
    assert not (checkout / "results/smoke/shapes8/data").exists(), "no job has run"


def test_folders_in_which_no_job_could_write_are_said(smoke_plan, tmp_path, monkeypatch):
    from hkd.plan.check import unwritable_folders

    (tmp_path / "taken").write_text("")
    plan = smoke_plan(results=str(tmp_path / "new/results"), figures=str(tmp_path / "taken/figures"))
    assert unwritable_folders(plan) == [
        f"{tmp_path}/taken: a file stands where the folder for results should be; move it away"
    ]
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert unwritable_folders(plan)[0].startswith(f"{tmp_path}: cannot write here; make it writable, or name another")


def test_an_absent_network_is_a_warning_of_a_dry_run(smoke_plan, tmp_path, capsys, monkeypatch):
    from types import SimpleNamespace

    from snakemake.exceptions import WorkflowError

    from hkd import launch

    monkeypatch.chdir(tmp_path)
    plan = smoke_plan(set={"perceptual_backbone": "piq-vgg", "weights_folder": str(tmp_path)})
    wildcards = SimpleNamespace(dataset="shapes8", group="methods", method="hkd")
    job = SimpleNamespace(rule=SimpleNamespace(name="train"), wildcards_dict=vars(wildcards), params=SimpleNamespace())
    dag = SimpleNamespace(needrun_jobs=lambda exclude_finished: [job, job])
    workflow = SimpleNamespace(dryrun=True, dag=dag, executor_settings=None)
    modifier = SimpleNamespace(rules=[job.rule], modify_rulename=str, avail_rulename=str)
    launch._after_dry_run(workflow, plan, modifier, str(tmp_path))
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("a real run stops here: ") and "run `hkd fetch lpips-vgg`" in line
    with pytest.raises(WorkflowError, match="hkd fetch lpips-vgg"):
        launch.begin(workflow, plan, modifier, "")
