"""Where CPU-seconds went, as text: by rule and by row, and what of them was work."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from hkd.report.markdown import fitted

HEADERS = ("", "Jobs", "CPU, s", "Work, s", "Starts, s", "Work, %", "Of all, %")


class Job(Protocol):
    """CPU-seconds of one job."""

    @property
    def rule(self) -> str: ...
    @property
    def row(self) -> str: ...
    @property
    def total(self) -> float: ...
    @property
    def work(self) -> float: ...


def spending(jobs: Sequence[Job]) -> str:
    """Return two tables, by rule and by row, the dearest first, each with the sum below."""
    everything = sum(job.total for job in jobs)
    parts = []
    for name, key in (("Rule", [job.rule for job in jobs]), ("Row", [job.row or "all rows" for job in jobs])):
        groups: dict[str, list[Job]] = {}
        for label, job in zip(key, jobs, strict=True):
            groups.setdefault(label, []).append(job)
        body = [_line(label, of, everything) for label, of in groups.items()]
        body.sort(key=lambda cells: -float(cells[2]))
        lines = fitted((name, *HEADERS[1:]), [*body, _line("in all", jobs, everything)], left=1)
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _line(label: str, jobs: Iterable[Job], everything: float) -> list[str]:
    held = list(jobs)
    total, work = sum(job.total for job in held), sum(job.work for job in held)
    shares = [f"{100 * part / whole:.0f}" if whole else "0" for part, whole in ((work, total), (total, everything))]
    return [label, str(len(held)), f"{total:.1f}", f"{work:.1f}", f"{total - work:.1f}", *shares]
