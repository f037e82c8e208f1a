"""Where the CPU-seconds of a results folder went: of every job, as Snakemake measured it and as its record says.

What a job spends beyond its work is the start of its process: the interpreter and what it imports. Snakemake does not
see processes that a fork server forks, but records tell of their starts, and of the server's own.
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


SERVER = "fork server"  # in the place of a rule


def spent(plan: Plan) -> list[Spent]:
    """Return what each finished job of a results folder has spent; those that Snakemake did not measure are left out.

    Each fork server from which any of them comes stands beside them as a job without work.

    Raises:
        ArtifactError: a measurement, or a record, is damaged.
    """
    chain = Chain(plan)
    jobs: dict[str, Work] = {}
    work: dict[str, float] = {}
    starts: dict[str, float] = {}
    servers: dict[str, float] = {}
    for record in sorted(Path(plan.layout.root).rglob(f"*{RECORD}")):
        made = chain.maker(str(record).removesuffix(RECORD))
        if made is None:
            continue
        log = made.files.log
        content = _read(record)
        start = content.get("process_start", {})
        jobs[log] = made
        work[log] = max(work.get(log, 0.0), float(content.get("cpu_seconds") or 0.0))
        starts[log] = max(starts.get(log, 0.0), start.get("cpu_seconds", 0.0))
        if server := start.get("server"):
            servers[server["name"]] = max(servers.get(server["name"], 0.0), float(server["cpu_seconds"]))
    found = []
    for log, made in jobs.items():
        if (total := _measured(Path(f"{log}.jsonl"))) is not None:
            row = "/".join(value for name, value in made.of.items() if name in ("dataset", "method"))
            found.append(Spent(made.stage, row, max(total, starts[log] + work[log]), work[log]))
    if not found:
        return []
    return found + [Spent(SERVER, "", seconds, 0.0) for _, seconds in sorted(servers.items())]


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
        found = bounded.check_fields(bounded.parse_json(bounded.read_bytes(path, bounded.JSON_BYTES)), {})
        start = bounded.check_fields(found.get("process_start", {}), {"cpu_seconds": (int, float)}, {"cpu_seconds"})
        if "server" in start:
            bounded.check_fields(start["server"], {"name": str, "cpu_seconds": (int, float)})
        return found
    except bounded.Damaged as error:
        raise ArtifactError(f"{path}: {error}; delete it and its result") from None
