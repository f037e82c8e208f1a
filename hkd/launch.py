"""What the workflow does when its graph is known and before its first job: who and what is in the way is said."""

from __future__ import annotations

import atexit
import sys
from typing import Any

from hkd.plan.runs import Plan
from hkd.plan.superseding import Job, Superseded, check_replacing, superseded_by
from hkd.settings.origins import ConfigError


def announce(workflow: Any, plan: Plan) -> None:
    """Let a dry run end with what a real one would supersede. Snakemake has no hook at the end of a dry run."""
    if workflow.is_main_process:
        atexit.register(_after_dry_run, workflow, plan)


def begin(workflow: Any, plan: Plan) -> None:
    """Say what the jobs supersede, and stop where they may not; for `onstart`.

    Raises:
        WorkflowError: Snakemake prints it without a traceback.
    """
    from snakemake.exceptions import WorkflowError

    found = _superseded(workflow)
    try:
        check_replacing(plan, found.certain)
    except ConfigError as error:
        raise WorkflowError(str(error)) from None
    if line := found.line():
        print(line, file=sys.stderr)


def _after_dry_run(workflow: Any, plan: Plan) -> None:
    if not workflow.dryrun or workflow.dag is None:
        return
    found = _superseded(workflow)
    if line := found.line():
        print(line, file=sys.stderr)
    try:
        check_replacing(plan, found.certain)
    except ConfigError as error:
        print(f"a real run stops here: {error}", file=sys.stderr)


def _superseded(workflow: Any) -> Superseded:
    jobs = [job for job in workflow.dag.needrun_jobs(exclude_finished=False) if hasattr(job.params, "digest")]
    return superseded_by([Job(list(job.input), list(job.output), job.params.digest) for job in jobs])
