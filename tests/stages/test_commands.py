"""The command line: every command explains itself, and a mistake is one line, exit code 1 and no traceback."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from hkd import __main__ as entry
from hkd import interrupt, job
from hkd.cli import commands
from hkd.settings.origins import ConfigError
from hkd.store.artifacts import load_weights


def names(group, prefix=()):
    """Every command, as the words that call it."""
    found = []
    for command in group.registered_commands:
        word = command.name or command.callback.__name__.replace("_", "-")
        found.append((*prefix, word))
    for inner in group.registered_groups:
        found += names(inner.typer_instance, (*prefix, inner.name or inner.typer_instance.info.name))
    return found


COMMANDS = [command for command in names(commands()) if all(isinstance(word, str) for word in command)]


@pytest.fixture
def hkd(monkeypatch, root, tmp_path, capsys):
    """Run a command in this process as the entry point does; return exit code, output and errors."""
    monkeypatch.chdir(root)
    monkeypatch.delenv("HKD_BENCHMARK", raising=False)
    interrupt.reset()

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["hkd", *arguments])
        code = entry._run()
        out = capsys.readouterr()
        return code, out.out, out.err

    return run


@pytest.fixture
def smoke(hkd, tmp_path):
    """Run a stage of the smoke benchmark with its results in a temporary folder."""

    def run(*arguments: str) -> tuple[int, str, str]:
        return hkd(
            *arguments, "--benchmark", "configs/benchmarks/smoke.yaml", "--config", f"results={tmp_path / 'results'}"
        )

    return run


def test_a_call_puts_together_the_command_that_it_names_and_no_other():
    words = {command[0] for command in COMMANDS}
    for word in words:
        assert {command[0] for command in names(commands(word))} == {word}


def test_a_mistyped_command_is_told_the_nearest_of_all(hkd):
    code, _, err = hkd("shw")
    assert code == 2 and "Did you mean 'show'?" in err


def one_line(err: str) -> str:
    lines = err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("hkd: "), err
    assert "Traceback" not in err
    return lines[0]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help(hkd, command):
    code, out, _ = hkd(*command, "--help")
    assert code == 0
    assert len(out.splitlines()) > 4 and "Usage" in out


def test_the_stages_of_the_workflow_are_commands(hkd):
    words = {command[0] for command in COMMANDS}
    assert {"prepare", "extractor", "trajectories", "train", "sample", "reference", "features", "metrics", "table",
            "show", "figure"} <= words  # fmt: skip


@pytest.mark.parametrize(
    "arguments, expected",
    [
        (("train", "shapes8", "methods/ecn"), "Did you mean 'methods/ecm'"),
        (("train", "shape8", "methods/ecm"), "Did you mean 'shapes8'"),
        (("train", "shapes8", "methods/ecm", "--expect-digest", "0"), "start snakemake again"),
        (("prepare", "shapes8", "test"), "has no split 'test'"),
        (("trajectories", "shapes8", "edm-heun", "--shard", "99"), "shard 99 is not in 0..1"),
        (("table", "table9"), "Its tables: table1"),
    ],
)
def test_a_wrong_name_is_one_line(smoke, arguments, expected):
    code, _, err = smoke(*arguments)
    assert code == 1
    assert expected in one_line(err)


@pytest.mark.parametrize(
    "arguments, expected",
    [
        (("train", "shapes8", "methods/ecm"), "run `hkd prepare`"),
        (("trajectories", "shapes8", "edm-heun", "--shard", "0"), "run `hkd train`"),
        (("trajectories", "shapes8", "edm-heun"), "run `hkd trajectories shapes8 edm-heun --shard 0`"),
        (("sample", "shapes8", "methods/ecm", "--nfe", "1"), "run `hkd train`"),
        (("features", "shapes8", "methods/ecm", "--nfe", "1"), "missing"),
        (("table", "table1"), "missing"),
    ],
)
def test_a_stage_that_comes_too_early_names_the_one_before(smoke, arguments, expected):
    code, _, err = smoke(*arguments)
    assert code == 1
    assert expected in one_line(err)


@pytest.mark.parametrize(
    "override, expected",
    [
        ("sedes=2", "unknown key 'sedes'. Did you mean 'seeds'"),
        ("seeds=two", "seeds = 'two'"),
        ("seeds", "expected KEY=VALUE"),
        ("set.training.stesp=3", "Did you mean 'steps'"),
    ],
)
def test_a_wrong_override_is_one_line(hkd, override, expected):
    code, _, err = hkd("config", "show", "methods/ecm", "--config", override)
    assert code == 1
    assert expected in one_line(err)


def test_all_problems_of_a_config_are_told_at_once(hkd):
    wrong = ["--config", "set.training.stesp=3", "--config", "set.training.batch=0"]
    code, _, err = hkd("config", "show", "methods/ecm", *wrong)
    lines = err.strip().splitlines()
    assert code == 1 and len(lines) == 2 and all(line.startswith("hkd: ") for line in lines)


def test_settings_are_shown_with_the_line_they_come_from(hkd):
    code, out, _ = hkd("config", "show", "ecm", "--config", "set.training.batch=7")
    assert code == 0
    shown = {line.split("#")[0].strip(): line.partition("#")[2].strip() for line in out.splitlines() if "#" in line}
    assert shown["q: 2.0"].startswith("configs/methods/ecm.yaml:")
    assert shown["batch: 7"] == "--config"
    line = int(shown["q: 2.0"].rpartition(":")[2])
    with open("configs/methods/ecm.yaml") as file:
        assert "q: 2.0" in file.read().splitlines()[line - 1]


def test_a_data_set_is_prepared_and_said_to_be(smoke, tmp_path):
    assert smoke("prepare", "shapes8")[0] == 0
    folder = tmp_path / "results/shapes8/data/train"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (manifest["count"], manifest["resolution"], manifest["channels"]) == (256, 8, 3)
    assert (folder / "images.npy.record.json").exists()
    assert not list(folder.glob(".*tmp"))


def test_a_results_folder_that_cannot_be_written_is_one_line(hkd, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    for arguments in (("prepare", "shapes8"), ("train", "shapes8", "methods/edm")):
        code, _, err = hkd(
            *arguments, "--benchmark", "configs/benchmarks/smoke.yaml", "--config", f"results={tmp_path / 'file'}"
        )
        assert code == 1
        assert "a file stands where a folder should be" in one_line(err)


def test_a_full_disk_is_one_line_and_leaves_nothing(smoke, tmp_path, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hkd.store.temporary.os.fsync", full)
    code, _, err = smoke("prepare", "shapes8")
    assert code == 75  # it may have space next time
    assert "the disk is full" in one_line(err)
    assert not [path for path in (tmp_path / "results").rglob("*") if path.is_file()]


def test_damaged_images_are_found_before_a_step_is_made(smoke, tmp_path, flip_byte):
    assert smoke("prepare", "shapes8")[0] == 0
    flip_byte(tmp_path / "results/shapes8/data/train/images.npy")
    code, _, err = smoke("train", "shapes8", "methods/edm")
    assert code == 1
    assert "images.npy: damaged" in err and "hkd prepare" in err
    assert "Traceback" not in err


def test_a_run_keeps_raw_and_averaged_weights_and_a_student_says_from_which_it_started(smoke, tmp_path):
    assert smoke("prepare", "shapes8")[0] == 0
    for method in ("methods/edm_ve", "methods/pd"):
        code, _, err = smoke("train", "shapes8", method)
        assert code == 0, err
    runs = tmp_path / "results/shapes8/methods"
    names = [runs / f"{name}/seed0/weights.safetensors.record.json" for name in ("edm_ve", "pd")]
    base, student = (json.loads(path.read_text()) for path in names)
    assert (base["start"], base["nonfinite_steps"], base["checkpoint"], base["trajectories"]) == (None, 0, "last", {})
    assert student["start"] == {"base": "methods/edm_ve", "weights": "raw", "source": "raw"}
    raw, averaged = (load_weights(runs / f"edm_ve/seed0/{name}.safetensors") for name in ("raw", "weights"))
    assert raw.keys() == averaged.keys()
    assert any(not torch.equal(value, averaged[key]) for key, value in raw.items())
    read = {Path(path).name for path in student["inputs"]}
    assert {"raw.safetensors", "weights.safetensors"} <= read
    assert "selected" not in base and "selected" not in student


def test_what_is_trained_on_the_network_that_grades_is_marked_selected_in_its_record(smoke, tmp_path):
    steps = ("prepare", "shapes8"), ("extractor", "shapes8", "metric"), ("train", "shapes8", "methods/edm")
    for words in (*steps, ("train", "shapes8", "methods/metric_trained")):
        code, _, err = smoke(*words)
        assert code == 0, err
    run = tmp_path / "results/shapes8/methods/metric_trained/seed0"
    for name in ("weights", "raw"):
        record = json.loads((run / f"{name}.safetensors.record.json").read_text())
        assert record["selected"] == "trained on the features of the network that grades"
    assert str(tmp_path / "results/shapes8/extractors/metric/weights.safetensors") in record["inputs"]


def test_a_request_to_stop_is_its_own_exit_code(hkd, monkeypatch):
    def stopped(*args, **kwargs):
        raise interrupt.Interrupted

    monkeypatch.setattr("hkd.plan.runs.Plan.load", stopped)
    code, _, err = hkd("config", "tables")
    assert code == interrupt.EXIT_CODE
    assert "the same command goes on from here" in err


def test_a_mistake_of_ours_keeps_its_traceback(hkd, monkeypatch):
    def broken(*args, **kwargs):
        raise ValueError("not for users")

    monkeypatch.setattr("hkd.plan.runs.Plan.load", broken)
    with pytest.raises(ValueError, match="not for users"):
        hkd("config", "tables")


# -- what is typed -----------------------------------------------------------------------------------------------------

PREPARE = ("prepare", "shapes16", "--config")


@pytest.mark.parametrize(
    "arguments, expected",
    [
        (("distance", "tests", "shapes99"), "no data set 'shapes99'. Did you mean .*'shapes16'"),
        (("edit", "shapes16", "hkd", "--out", "x.png"), "group/name.*did you mean methods/hkd"),
        (("train", "shapes8", "ecn"), "did you mean methods/ecm"),
        (("train", "shapes8", "abl_mse_only"), "did you mean ablations/abl_mse_only"),
        (("train", "shapes16", "studies/editing"), "is no method"),
        (("train", "shapes16", "editing/hkd"), "is no method"),
        (("train", "shapes16", "../../etc/passwd"), "is no method"),
        (("train", "../shapes16", "methods/hkd"), "no data set"),
        (("trajectories", "shapes16", "edm-huen"), "no set of trajectories 'edm-huen'. Did you mean 'edm-heun'"),
        (("config", "show", "hkd", "--dataset", "shapes99"), "no data set 'shapes99'"),
        (("config", "tables", "--benchmark", "smoke"), "Did you mean 'configs/benchmarks/smoke.yaml'"),
        (("config", "tables", "--benchmark", "configs/benchmarks/smok.yaml"), "benchmarks/smoke.yaml"),
        (("config", "tables", "--benchmark", "configs"), "a folder, not a settings file"),
        (("config", "tables", "--benchmark", "x" * 300), "no such settings file|cannot be read"),
        (("config", "tables", "--benchmark", "{" * 2000), "not valid JSON"),
        ((*PREPARE, "set.data.resolution=16"), "unknown key 'set.data'|unknown key 'data'"),
        ((*PREPARE, "data.shapes16.pth=a"), "unknown key 'data.shapes16.pth'. Did you mean 'path'"),
        ((*PREPARE, "data.shapes16.path=a"), "data.shapes16.path: 'shapes16' is drawn, not read from files"),
        ((*PREPARE, "data.shapes99.path=a"), "data.shapes99: there is no 'shapes99'"),
        ((*PREPARE, "methods.nope.params.q=1"), "methods.nope: there is no 'nope'"),
        ((*PREPARE, "studies.edting.order=alpha"), "Did you mean 'editing'"),
        ((*PREPARE, "studies.editing.order=alpha"), "unknown key 'studies.editing.order'. Did you mean 'order_by'"),
        ((*PREPARE, "set_trajectories.cuont=4"), "unknown key 'set_trajectories.cuont'. Did you mean 'count'"),
        ((*PREPARE, "benchmark=7"), "in a file write it in quotes; a path also as ./NAME"),
        ((*PREPARE, "source=mine"), "source = 'mine': shapes16 is drawn, not read from files"),
        (("edit", "shapes16", "methods/hkd", "--out", "x.png", "--region", "up"), "--region: studies.editing.region"),
        (("inpaint", "shapes16", "methods/hkd", "--out", "x.png", "--steps", "0"), "--steps: studies.inpainting.steps"),
        (("calibrate", "shapes16", "--n", "0"), "--n: studies.calibration.images"),
        (("show", "--config", "results=nowhere/at/all"), "no finished table; run `snakemake"),
    ],
)
def test_what_is_typed_wrongly_is_one_line_that_names_it(hkd, arguments, expected):
    code, _, err = hkd(*arguments)
    assert code == 1
    assert re.search(expected, one_line(err))


def test_where_no_settings_are_the_folder_is_named(hkd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # this process took the settings for those of its folder when it started
    for arguments in (("config", "show", "ecm"), ("show",), ("train", "shapes8", "methods/ecm")):
        code, _, err = hkd(*arguments)
        assert code == 1 and "run it in the folder of the checkout" in one_line(err)


@pytest.mark.parametrize(
    "device, expected",
    [("cuda", "device cuda: no GPU here; use --device cpu"), ("cuda:7", "device cuda:7: no GPU here; use --device cpu"),
     ("mps", "expected auto, cpu"), ("nonsense", "expected auto, cpu"), ("meta", "expected auto, cpu"),
     ("", "expected")],
)  # fmt: skip
def test_a_device_that_is_not_here_is_one_line(device, expected, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ConfigError, match=expected):
        job.pick_device(device)


def test_a_gpu_beyond_the_last_is_one_line(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    taken = []
    monkeypatch.setattr("torch.cuda.set_device", taken.append)
    assert [str(job.pick_device(name)) for name in ("cuda:1", "cuda")] == ["cuda:1", "cuda"]
    assert taken == [1, 0]  # what names no device later means the one that was picked
    with pytest.raises(ConfigError, match=r"there are 2 GPUs here, cuda:0 to cuda:1; name one"):
        job.pick_device("cuda:2")


def test_results_of_an_old_name_are_named_by_the_command_too(hkd, tmp_path):
    (tmp_path / "shapes16/audit").mkdir(parents=True)
    code, _, err = hkd("ambiguity", "--config", f"results={tmp_path}")
    assert code == 1 and f"rename the folder to {tmp_path}/shapes16/ambiguity" in one_line(err)


@pytest.mark.slow
@pytest.mark.ci
def test_more_steps_go_on_from_fewer_on_the_command_line_or_a_line_says_why_not(hkd, tmp_path):
    def trained(results: str, steps: int, schedule: str = "constant") -> str:
        options = [f"results={tmp_path / results}", f"set.training.steps={steps}"]
        options += ["set.training.warmup_steps=1", f"set.training.schedule={schedule}"]
        told = ""
        for command in (("prepare", "shapes8", "train"), ("train", "shapes8", "methods/edm")):
            changes = [word for option in options for word in ("--config", option)]
            code, _, err = hkd(*command, "--benchmark", "configs/benchmarks/smoke.yaml", *changes)
            told += err
            assert code == 0, err
        return told

    def weights(results: str):
        return load_weights(tmp_path / results / "shapes8/methods/edm/seed0/weights.safetensors")

    trained("raised", 2)
    told = trained("raised", 4)
    assert "going on from step 2" in told and "lies in" in told and "begins anew" not in told
    trained("whole", 4)
    expected = weights("whole")
    assert all(torch.equal(value, expected[key]) for key, value in weights("raised").items())
    assert "going on" not in trained("raised", 3), "nor is a longer training's state the end of a shorter one"
    trained("falls", 2, "cosine")
    told = trained("falls", 4, "cosine")
    assert "a longer training begins anew too, because of training.schedule cosine" in told and "going on" not in told


def trained_twice(run: Path) -> None:
    """A run that was trained by other settings before; Snakemake has just deleted what it declares."""
    from hkd.store.records import Record
    from hkd.store.superseded import keep, set_aside

    run.mkdir(parents=True)
    for identity in ("old-1", "new-1"):
        set_aside(run, identity)
        (run / "weights.safetensors").write_text(identity)
        Record("train").write(run / "weights.safetensors", budget={"steps": 9, "train_seconds": 36.0})
        keep(run, [run / "weights.safetensors"], identity)
        (run / "weights.safetensors").unlink()


def test_records_are_listed_from_elsewhere_of_results_anywhere_and_of_a_checkout_that_is_read_only(tmp_path, root):
    checkout, campaign = tmp_path / "read only", tmp_path / "my campaign"
    for name in ("configs", "hkd"):
        shutil.copytree(root / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in (checkout, *checkout.rglob("*")):
        path.chmod(path.stat().st_mode & ~0o222)
    run = campaign / "my results/shapes8/methods/edm/seed0"
    trained_twice(run)
    environment = {**os.environ, "PYTHONPATH": str(checkout), "PYTHONDONTWRITEBYTECODE": "1"}

    def listed(*words: str) -> str:
        command = [sys.executable, "-m", "hkd", "records", *words]
        ran = subprocess.run(command, cwd=campaign, env=environment, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    here = "my results/shapes8/methods/edm/seed0"
    assert listed("--config", "results=my results").startswith(f"{here}  in place  ")
    assert listed("my results").startswith(f"{here}  in place  ")
    (line,) = listed("--superseded", "--config", "results=my results").splitlines()
    assert line.startswith(f"{here}  ") and listed("--superseded", "my results") == f"{line}\n"
    name = line.removeprefix(here).split()[0]
    assert "is in place again" in listed(here, "--restore", name)
    assert (run / "weights.safetensors").read_text() == "old-1"
    assert not list(checkout.rglob("*.pyc")) and {path.name for path in checkout.iterdir()} == {"configs", "hkd"}


def test_superseded_trainings_are_listed_and_restored_by_name(smoke, tmp_path):
    run = tmp_path / "results/shapes8/methods/edm/seed0"
    trained_twice(run)
    code, out, _ = smoke("records", "--superseded")
    assert code == 0 and out.startswith(f"{run}  ") and "9 steps  0.01 CPU-hours  finished" in out
    name = out.split()[1]
    code, out, err = smoke("records", str(run), "--restore", name)
    assert code == 0 and f"{name} is in place again" in out and "lies in" in err
    assert (run / "weights.safetensors").read_text() == "old-1"
    assert "in place" in smoke("records", str(run))[1]
    for more in ((), ("--restore", "x")):
        code, _, err = smoke("records", str(run / "other"), *more)
        assert code == 1 and "other: no such folder" in err and not (run / "other").exists()
    (run / "empty").mkdir()
    assert "no superseded training in" in smoke("records", str(run / "empty"), "--superseded")[2]
    code, _, err = smoke("records", "--restore", name)
    assert code == 1 and "of which run?" in one_line(err)
