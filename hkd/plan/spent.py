"""Where the CPU-seconds of a results folder went: of every job, as Snakemake measured it and as its record says.

What a job spends beyond its record is the start of its process: the interpreter and what it imports.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from hkd.plan.chain import Chain
from hkd.plan.runs import Plan
from hkd.plan.work import Work
from hkd.store import bounded
from hkd.store.records import RECORD
from hkd.store.refusals import ArtifactError


class Spent(NamedTuple):
    """CPU-seconds of one job: in all, and of the work that its record tells of."""

    rule: str
    row: str
    total: float
    work: float


def spent(plan: Plan) -> list[Spent]:
    """Return what each finished job of a results folder has spent; those that Snakemake did not measure are left out.

    Raises:
        ArtifactError: a measurement, or a record, is damaged.
    """
    chain = Chain(plan)
    jobs: dict[str, Work] = {}
    work: dict[str, float] = {}
    for record in sorted(Path(plan.layout.root).rglob(f"*{RECORD}")):
        made = chain.maker(str(record).removesuffix(RECORD))
        if made is None:
            continue
        log = made.files.log
        found = _read(record).get("cpu_seconds")
        jobs[log] = made
        work[log] = max(work.get(log, 0.0), float(found or 0.0))
    found = []
    for log, made in jobs.items():
        if (total := _measured(Path(f"{log}.jsonl"))) is not None:
            row = "/".join(value for name, value in made.of.items() if name in ("dataset", "method"))
            found.append(Spent(made.stage, row, max(total, work[log]), work[log]))
    return found


def _measured(path: Path) -> float | None:
    """Return the CPU-seconds of the last run of a job, or None: nobody measured it."""
    if not path.exists():
        return None
    try:
        lines = bounded.read_bytes(path, bounded.SHORT_JSON_BYTES).splitlines()
        found = bounded.check_fields(bounded.parse_json(lines[-1]), {}) if lines else {}
    except bounded.Damaged as error:
        raise ArtifactError(f"{path}: {error}; delete it") from None
    seconds = found.get("cpu_time")
    return float(seconds) if isinstance(seconds, int | float) and seconds >= 0 else None  # NA of a job of a moment


def _read(path: Path) -> dict[str, Any]:
    try:
        return bounded.check_fields(bounded.parse_json(bounded.read_bytes(path, bounded.JSON_BYTES)), {})
    except bounded.Damaged as error:
        raise ArtifactError(f"{path}: {error}; delete it and its result") from None
