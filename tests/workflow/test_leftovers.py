"""Jobs of a dead workflow in SLURM's queue are found, awaited or cancelled, before any is submitted again."""

from __future__ import annotations

import errno
import json
import os
import sys
from types import SimpleNamespace

import pytest

from hkd import interrupt, launch, leftovers, owner, slurm
from hkd.interrupt import only_writer
from hkd.leftovers import leave_note, left_jobs, settle
from hkd.store.refusals import ArtifactError


@pytest.fixture
def queue(tmp_path, monkeypatch):
    """Programs of a pretend SLURM: a file of numbers is the queue, which a job leaves with every question."""
    folder = tmp_path / "bin"
    folder.mkdir()
    jobs, cancelled = tmp_path / "jobs", tmp_path / "cancelled"
    jobs.write_text("12\n13\n")
    scripts = {
        "squeue": f'test -f {jobs} || exit 1; cat {jobs}; echo "$@" >> {tmp_path}/asked; sed -i 1d {jobs}',
        "scancel": f'echo "$@" > {cancelled}',
    }
    for name, script in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(leftovers, "POLL", 0.0)
    return jobs


@pytest.fixture
def dead(tmp_path, dead_process):
    """The note of a workflow that was killed, whose jobs are called `run-1`."""
    leave_note(tmp_path / ".snakemake", "run-1")
    (path,) = (tmp_path / ".snakemake/hkd-jobs").iterdir()
    holder = json.loads(path.read_text()) | {"pid": dead_process, "user": "anna", "since": "2026-01-02 03:04:05 UTC"}
    path.write_text(json.dumps(holder))
    return path


def test_a_restart_knows_the_jobs_that_a_dead_workflow_left(queue, dead, tmp_path):
    (left,) = left_jobs(tmp_path / ".snakemake")
    assert left.jobs == ["12", "13"] and left.dead
    assert left.line().startswith("jobs 12, 13 of a workflow that died (user anna, host")
    assert "since 2026-01-02 03:04:05 UTC) are still in SLURM's queue" in left.line()
    assert "--name run-1" in (tmp_path / "asked").read_text()


def test_jobs_are_awaited_and_then_nobody_is_asked_again(queue, dead, tmp_path, capsys):
    (left,) = left_jobs(tmp_path / ".snakemake")
    settle(left, "wait")
    assert "waiting for them" in capsys.readouterr().err
    assert queue.read_text() == "" and not dead.exists() and not (tmp_path / "cancelled").exists()
    assert left_jobs(tmp_path / ".snakemake") == []


def test_jobs_are_cancelled_on_request(queue, dead, tmp_path):
    (left,) = left_jobs(tmp_path / ".snakemake")
    settle(left, "cancel")
    assert (tmp_path / "cancelled").read_text() == "12 13\n" and not dead.exists()


def test_jobs_of_a_living_workflow_are_its_own(queue, dead, tmp_path):
    dead.write_text(
        json.dumps(owner.note() | {"pid": os.getppid(), "born": owner.born(os.getppid()), "slurm": "run-1"})
    )
    assert left_jobs(tmp_path / ".snakemake") == [] and dead.exists()


def test_jobs_of_a_workflow_on_another_machine_are_awaited_too_and_the_way_out_is_said(queue, dead, tmp_path, capsys):
    dead.write_text(json.dumps(json.loads(dead.read_text()) | {"host": "elsewhere"}))
    (left,) = left_jobs(tmp_path / ".snakemake")
    assert not left.dead and "may have died on another machine" in left.line()
    settle(left, "wait")
    assert f"if it lives and makes other files, stop this and delete {left.note}" in capsys.readouterr().err
    assert queue.read_text() == "" and not dead.exists()


def test_a_dead_workflow_that_left_nothing_is_forgotten(queue, dead, tmp_path):
    queue.write_text("")
    assert left_jobs(tmp_path / ".snakemake") == [] and not dead.exists()


def test_a_queue_that_does_not_answer_stops_with_one_line(queue, dead, tmp_path):
    queue.unlink()
    with pytest.raises(ArtifactError, match="squeue does not answer; try again, or delete this file"):
        left_jobs(tmp_path / ".snakemake")
    assert dead.exists()


def test_a_queue_that_falls_silent_is_not_waited_for(queue, dead, tmp_path):
    (left,) = left_jobs(tmp_path / ".snakemake")
    queue.unlink()
    with pytest.raises(ArtifactError, match="squeue no longer answers; try again, or delete this file"):
        settle(left, "wait")
    assert dead.exists()


def test_a_dry_run_that_was_started_elsewhere_speaks_of_its_own_folder(queue, dead, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir("/")
    for said in ("_absent", "unwritable_folders"):
        monkeypatch.setattr(launch, said, lambda *of: [])
    monkeypatch.setattr(launch, "_superseded", lambda *of: pytest.fail("not reached"))
    workflow = SimpleNamespace(dryrun=True, dag=object())
    with pytest.raises(pytest.fail.Exception):
        launch._after_dry_run(workflow, SimpleNamespace(), SimpleNamespace(), str(tmp_path))
    assert "jobs 12, 13 of a workflow that died" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["", "[]", "{", '{"host": "a"}', "\x00"])
def test_what_is_no_note_is_passed_over(queue, dead, tmp_path, content):
    dead.write_text(content)
    assert left_jobs(tmp_path / ".snakemake") == [] and dead.exists()


def test_after_waiting_the_workflow_starts_anew_where_it_was_started(queue, dead, tmp_path, monkeypatch):
    (tmp_path / "started").mkdir()
    monkeypatch.chdir(tmp_path)
    began = []
    monkeypatch.setattr(os, "execv", lambda program, words: began.append((program, words, os.getcwd())))
    locks = SimpleNamespace(unlock=lambda: began.append("unlocked"))
    workflow = SimpleNamespace(workdir_init=str(tmp_path / "started"), persistence=locks)
    plan = SimpleNamespace(benchmark=SimpleNamespace(leftovers="wait"))
    launch._meet_leftovers(workflow, plan)
    assert began == ["unlocked", (sys.executable, [sys.executable, *sys.orig_argv[1:]], str(tmp_path / "started"))]
    os.chdir(tmp_path)
    launch._meet_leftovers(workflow, plan)
    assert len(began) == 2


def test_a_workflow_that_ends_takes_its_note_along_unless_jobs_are_left(queue, dead):
    leftovers._end(dead, "run-1")
    assert dead.exists()
    queue.write_text("")
    leftovers._end(dead, "run-1")
    assert not dead.exists()


# -- the writer's lock -----------------------------------------------------------------------------------------------


def test_a_job_does_not_hold_its_gpu_while_another_writes(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setattr(interrupt, "PATIENCE", 0.0)
    with only_writer(tmp_path):
        refused = pytest.raises(
            ArtifactError, match=r"at work \(user .*host .*process .*job 7.*since .*this job leaves"
        )
        with refused, only_writer(tmp_path):
            pytest.fail("two writers")


def test_a_disk_without_locks_is_said_and_can_be_lived_with(tmp_path, monkeypatch):
    def refused(*arguments):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(interrupt.fcntl, "flock", refused)
    with pytest.raises(ArtifactError, match=r"has no locks.*Lustre: -o flock.*HKD_LOCKS=off"), only_writer(tmp_path):
        pytest.fail("no lock was held")
    monkeypatch.setenv("HKD_LOCKS", "off")
    with only_writer(tmp_path):
        assert json.loads((tmp_path / ".writer.lock").read_text())["pid"] == os.getpid()


def test_programs_that_are_not_here_answer_nothing(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert slurm.queued("run-1") is None and not slurm.cancel(["1"]) and not slurm.requeue("1")
