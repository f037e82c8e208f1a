"""The jobs behind a benchmark's targets, and which feed which, from the plan alone: those of a dry run of Snakemake."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from hkd.plan.chain import Chain
from hkd.plan.runs import Plan
from hkd.plan.stages import STAGES
from hkd.plan.targets import figures, tables
from hkd.plan.work import Stage, Work
from hkd.settings.origins import ConfigError

Key = tuple[str, tuple[tuple[str, str], ...]]


class Graph:
    """All jobs that targets need, those whose results are there left out with all that only they need.

    Args:
        targets: files; None for all that the benchmark makes.
        anew: whether results that are there count as not there.
    Attributes:
        jobs: by stage and values.
        needs: the jobs that each must wait for.
        finished: jobs whose results are there, as far as they were asked for.
        whole: whether nothing was named, so that Snakemake has one more job, `all`.
    Raises:
        ConfigError: no stage makes a target.
    """

    def __init__(self, plan: Plan, targets: Iterable[str] | None = None, *, anew: bool = False) -> None:
        self._chain, self._anew = Chain(plan), anew
        self.jobs: dict[Key, Work] = {}
        self.needs: dict[Key, list[Key]] = {}
        self.finished: dict[Key, Work] = {}
        self.whole = targets is None
        known = {str(path): work for work in (*tables(plan), *figures(plan)) for path in work.outputs.values()}
        parts = _parts_without_wildcards(plan)
        for path in targets if targets is not None else known:
            work = known.get(path) or (parts[path].work(plan) if path in parts else self._chain.maker(path))
            if work is None:
                raise ConfigError(f"{path}: no stage makes this file; name a table, a figure or another result")
            self._add(work)

    @property
    def counts(self) -> dict[str, int]:
        """How many jobs each rule has, in the order of the stages."""
        found = Counter(work.stage for work in self.jobs.values())
        order = {stage: number for number, stage in enumerate(STAGES)}
        counted = dict(sorted(found.items(), key=lambda item: (order.get(item[0], len(order)), item[0])))
        return {**counted, "all": 1} if self.whole and self.jobs else counted

    def _add(self, work: Work) -> Key | None:
        """Add a job and all that it needs; None if its results are there."""
        key = work.stage, tuple(sorted(work.of.items()))
        if key in self.jobs:
            return key
        if key in self.finished:
            return None
        if not self._anew and all(Path(path).exists() for path in work.files.declared().values()):
            self.finished[key] = work
            return None
        self.jobs[key], self.needs[key] = work, []
        behind = [self._chain.maker(path) for path in work.inputs()]
        found = [self._add(one) for one in behind if one is not None]
        self.needs[key] = list(dict.fromkeys(one for one in found if one is not None))
        return key


def _parts_without_wildcards(plan: Plan) -> dict[str, Stage]:
    """Return the parts of studies that leave a file of one name only, such as a figure that only its name asks for."""
    parts = [part for study in plan.studies.values() for part in study.parts]
    found = [(path, part) for part in parts for path in part.files(plan.layout).outputs.values()]
    return {path: part for path, part in found if "{" not in path}
