"""What may go otherwise next time is tried again; what must fail again leaves at once; what goes on is requeued."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from hkd import __main__ as entry
from hkd import hopeless, interrupt, requeue
from hkd.interrupt import Interrupted
from hkd.requeue import requeued
from hkd.workflow import Rules

# -- exit codes, and failures that would come again ------------------------------------------------------------------


@pytest.fixture
def attempt(tmp_path, monkeypatch, capsys):
    """Run `hkd fetch nonsense` as a job of one workflow; return exit code, errors and whether anything was parsed."""
    (tmp_path / ".snakemake").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["hkd", "fetch", "nonsense"])
    parsed = []
    real = entry._command
    monkeypatch.setattr(entry, "_command", lambda: (parsed.append(1), real())[1])
    interrupt.reset()

    def run(workflow: str) -> tuple[int, str, int]:
        monkeypatch.setenv(hopeless.WORKFLOW, workflow)
        parsed.clear()
        code = entry._run()
        return code, capsys.readouterr().err, len(parsed)

    return run


def test_a_second_attempt_at_what_must_fail_leaves_at_once_with_the_same_line(attempt):
    first, second, other = attempt("one"), attempt("one"), attempt("two")
    assert first[0] == 1 and first[1].startswith("hkd: ") and first[2] == 1
    assert second == (first[0], first[1], 0)
    assert other == first, "another start of the workflow tries anew"
    hopeless.forget()
    assert attempt("one") == first


def test_outside_of_a_workflow_nothing_is_remembered(attempt, tmp_path):
    assert attempt("")[2] == attempt("")[2] == 1
    assert not (tmp_path / hopeless.FOLDER).exists()


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        ("__import__('hkd.settings.origins').settings.origins.ConfigError('bad value')", 1),
        ("__import__('hkd.store.refusals').store.refusals.ArtifactError('damaged')", 1),
        ("__import__('hkd.store.refusals').store.refusals.Refused('the disk is full')", 75),
        ("OSError(28, 'No space left on device', 'weights')", 75),
        ("RuntimeError('CUDA error: device lost')", 75),  # a card that vanished may be back
        ("__import__('torch').OutOfMemoryError('CUDA out of memory. Tried to allocate 2 GiB')", 75),
        ("RuntimeError('DefaultCPUAllocator: can\\'t allocate memory: you tried to allocate 8 bytes')", 75),
        ("MemoryError()", 75),
        ("__import__('hkd.training.ranks').training.ranks.Lost('another process has gone')", 75),
        ("__import__('hkd.training.parts').training.parts.Indivisible('training.batch 9')", 1),
        ("RuntimeError('a fault')", 70),
        ("__import__('hkd.interrupt').interrupt.Interrupted()", 85),
    ],
)
def test_an_exit_code_says_whether_the_same_command_would_fail_again(raised, code, monkeypatch):
    def fail(*arguments, **options):
        raise eval(raised)

    monkeypatch.setattr("hkd.cli.commands", lambda asked: fail)
    monkeypatch.setattr(entry.interrupt, "install", lambda: None)
    monkeypatch.delenv(hopeless.WORKFLOW, raising=False)
    with pytest.raises(SystemExit) as left:
        entry.main()
    assert left.value.code == code


# -- requeueing ------------------------------------------------------------------------------------------------------


@pytest.fixture
def job(tmp_path, monkeypatch):
    """A job of a pretend SLURM that says in which state it is and takes it back when asked."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, script in {"squeue": f"cat {tmp_path}/state", "scontrol": f'echo "$@" > {tmp_path}/asked'}.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setattr(requeue, "END", 0.0)
    (tmp_path / "state").write_text("RUNNING\n")

    def stopped(*, progress: bool, state: str = "RUNNING") -> bool:
        (tmp_path / "state").write_text(f"{state}\n")
        work = tmp_path / "work"
        work.mkdir()
        (work / "step1").touch()
        with pytest.raises(Interrupted), requeued(work):
            if progress:
                (work / "step2").touch()
            raise Interrupted
        asked = tmp_path / "asked"
        return asked.exists() and asked.read_text() == "requeue 7\n"

    return stopped


def test_work_that_came_further_puts_its_job_back_into_the_queue(job, capsys):
    assert job(progress=True)
    assert "job 7 is in the queue again" in capsys.readouterr().err


def test_work_that_did_not_come_further_fails_and_is_no_endless_loop(job):
    assert not job(progress=False)


@pytest.mark.parametrize("state", ["CANCELLED", "COMPLETING", "PENDING", ""])
def test_who_cancels_a_job_is_obeyed(job, state):
    assert not job(progress=True, state=state)


def test_without_slurm_nothing_is_asked(job, monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID")
    assert not job(progress=True)


# -- what is asked for -----------------------------------------------------------------------------------------------


def test_memory_grows_with_attempts_and_time_where_an_attempt_begins_anew(smoke_plan):
    rules = Rules(smoke_plan(gpus=1))
    of_a_run = {"dataset": "shapes8", "group": "methods", "method": "edm", "seed": "0", "nfe": "35"}
    for stage, grows in (("train", False), ("sample", False), ("features", True), ("metrics", True)):
        wildcards = {k: v for k, v in of_a_run.items() if stage != "train" or k != "nfe"}
        asks = rules.resources(stage)
        assert asks["runtime"](wildcards, 2) == asks["runtime"](wildcards, 1) * (2 if grows else 1)
        assert asks["mem_mb"](wildcards, 3) == 3 * asks["mem_mb"](wildcards, 1)


def test_every_stage_that_goes_on_is_warned_before_its_time_is_up(root):
    """By whatever name a module's user calls its rule, and alike for all jobs of one group."""
    import yaml

    said = yaml.safe_load((root / "profiles/slurm/config.yaml").read_text())
    assert "--signal=TERM@120" in said["default-resources"]["slurm_extra"] and "set-resources" not in said


def test_a_fault_of_ours_prints_its_traceback_and_has_a_code_of_its_own():
    code = "from hkd import __main__ as m\nm._run = lambda: 1 / 0\nm.main()"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 70 and "ZeroDivisionError" in ran.stderr


def test_a_job_that_fails_says_why_first_and_then_where_its_log_is(tmp_path):
    log = tmp_path / "train.log"
    environment = {**os.environ, "HKD_WORKFLOW_PID": str(os.getpid())}
    command = [sys.executable, "-m", "hkd", "fetch", "nonsense"]
    with log.open("w") as errors:
        ran = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True, timeout=60)
    first, second = ran.stdout.splitlines()
    assert ran.returncode == 1 and first == log.read_text().strip() and "nonsense" in first
    assert second.strip() == f"log: {log}"
