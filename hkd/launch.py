"""What the workflow does when its graph is known and before its first job: who and what is in the way is said."""

from __future__ import annotations

import atexit
import os
import sys
from pathlib import Path
from typing import Any

from hkd import forkserver, hopeless
from hkd.handover import SOCKET
from hkd.leftovers import leave_note, left_jobs, settle
from hkd.partitions import check_requests
from hkd.plan.check import absent_files, unwritable_folders
from hkd.plan.runs import Plan
from hkd.plan.scores import scores
from hkd.plan.stages import STAGES, TRAIN
from hkd.plan.superseding import Job, Superseded, check_replacing, superseded_by
from hkd.settings.columns import SCORES
from hkd.settings.origins import ConfigError
from hkd.store.paths import METHOD
from hkd.store.refusals import ArtifactError

FOLDER = Path(".snakemake")
WORTH = 4  # choice: jobs from which on one start of all libraries costs less than theirs
PROGRAMS = {"torch-fidelity": "torch_fidelity.metric_fid", "clean-fid": "cleanfid.fid"}  # those that are slow to load


def announce(workflow: Any, plan: Plan) -> None:
    """Let a dry run end with what a real one would meet. Snakemake has no hook at the end of a dry run."""
    if workflow.is_main_process:
        atexit.register(_after_dry_run, workflow, plan, workflow.modifier, os.getcwd())


def begin(workflow: Any, plan: Plan, modifier: Any, environment: str) -> None:
    """Await the jobs of a dead workflow, and stop where finished trainings may not be superseded; for `onstart`.

    Args:
        environment: the file that every job sources.
        modifier: what Snakemake had as `workflow.modifier` when it read our rules: it knows which they are, and what
            they are called in a workflow that uses this one as a module.
    Raises:
        WorkflowError: Snakemake prints it without a traceback.
    """
    from snakemake.exceptions import WorkflowError

    try:
        hopeless.forget()
        _meet_leftovers(workflow, plan)
        check_requests(workflow)
        _hand_on_groups(workflow)
        if lines := [*unwritable_folders(plan), *_absent(workflow, plan, modifier)]:
            raise ArtifactError("; ".join(lines))
        found = _superseded(workflow, plan, modifier)
        check_replacing(plan, found.certain)
    except (ConfigError, ArtifactError) as error:
        raise WorkflowError(str(error)) from None
    if line := found.line():
        print(line, file=sys.stderr)
    os.environ[hopeless.WORKFLOW] = hopeless.workflow()  # which jobs of a cluster inherit
    # of all executors only SLURM's has it: the name of every job that it submits
    if name := getattr(getattr(workflow.scheduler, "_executor", None), "run_uuid", None):
        leave_note(FOLDER, str(name))
    _start_server(workflow, plan, environment)


def _start_server(workflow: Any, plan: Plan, environment: str) -> None:
    """Start the process from which jobs are forked, where they run here, on the CPU, and are enough of them."""
    if os.environ.get(SOCKET) not in forkserver.started:  # but of a workflow that runs this one
        os.environ.pop(SOCKET, None)
    here = workflow.local_exec and workflow.is_main_process and not workflow.touch
    on_cpu = not plan.gpus and os.environ.get("HKD_DEVICE", "cpu") == "cpu"
    jobs = sum(1 for _ in workflow.dag.needrun_jobs(exclude_finished=False))
    if plan.benchmark.fork_server and here and on_cpu and jobs >= WORTH:
        asked = {SCORES[name].implementation for table in plan.tables.values() for name in scores(plan, table.dataset)}
        further = [module for program, module in PROGRAMS.items() if program in asked]
        forkserver.start(environment, [*forkserver.LIBRARIES, *further])


def _hand_on_groups(workflow: Any) -> None:
    """Let what is submitted to SLURM know which of its jobs are a group.

    The executor does not pass `--groups` and `--group-components` on unless told. The Snakemake in the allocation then
    takes the members for jobs of their own, and its executor runs such one after the other (`slurm-jobstep`, which
    waits for each): a group of two trainings would hold two devices and use one.
    """
    if hasattr(workflow.executor_settings, "partition_config"):  # of all executors only SLURM's has it
        workflow.executor_plugin.common_settings.pass_group_args = True


def _meet_leftovers(workflow: Any, plan: Plan) -> None:
    """Settle what dead workflows left in the queue; then this one starts anew, for the graph has changed meanwhile."""
    found = left_jobs(FOLDER)
    for left in found:  # one that lives and makes the same files would have kept us out by Snakemake's lock
        settle(left, plan.benchmark.leftovers)
    if found:
        if persistence := getattr(workflow, "persistence", None):
            persistence.unlock()  # or the new start would find our own locks
        os.chdir(workflow.workdir_init)
        sys.stdout.flush(), sys.stderr.flush()
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def _after_dry_run(workflow: Any, plan: Plan, modifier: Any, folder: str) -> None:
    if not workflow.dryrun or workflow.dag is None:
        return
    try:
        os.chdir(folder)  # from which Snakemake has gone back to where it was started
        for left in left_jobs(FOLDER):
            print(f"{left.line()}; a real run awaits or cancels them (--config leftovers=cancel)", file=sys.stderr)
        for line in [*unwritable_folders(plan), *_absent(workflow, plan, modifier)]:
            print(f"a real run stops here: {line}", file=sys.stderr)
        found = _superseded(workflow, plan, modifier)
        if line := found.line():
            print(line, file=sys.stderr)
        check_replacing(plan, found.certain)
    except (ConfigError, ArtifactError, OSError) as error:
        print(f"a real run stops here: {error}", file=sys.stderr)


def _absent(workflow: Any, plan: Plan, modifier: Any) -> list[str]:
    """Return what the jobs of the graph need of the user's files and published networks, and do not find."""
    own = {modifier.modify_rulename(name): name for name in STAGES if modifier.avail_rulename(name)}
    jobs = [job for job in _own_jobs(workflow, modifier) if job.rule.name in own]
    return absent_files(plan, [(own[job.rule.name], job.wildcards_dict) for job in jobs])


def _superseded(workflow: Any, plan: Plan, modifier: Any) -> Superseded:
    jobs = [job for job in _own_jobs(workflow, modifier) if hasattr(job.params, "digest")]
    trains = modifier.modify_rulename(TRAIN.name)
    return superseded_by([_described(plan, job, trains=job.rule.name == trains) for job in jobs])


def _described(plan: Plan, job: Any, *, trains: bool) -> Job:
    found = Job(list(job.input), list(job.output), job.params.digest)
    if not trains:
        return found
    values = job.wildcards_dict
    dataset, method = values["dataset"], METHOD.format(group=values["group"], method=values["method"])
    work = TRAIN.work(plan, dataset=dataset, method=method, seed=values["seed"])
    return found._replace(states=work.states_digest, steps=plan.run(dataset, method).training.steps)


def _own_jobs(workflow: Any, modifier: Any) -> list[Any]:
    """Return the jobs that will run of the rules that were read under a modifier: another module's plan is not ours."""
    jobs = workflow.dag.needrun_jobs(exclude_finished=False)
    return [job for job in jobs if job.rule in modifier.rules]
