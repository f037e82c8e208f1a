"""The judge of a benchmark's results: where it looks for what was measured of each claim."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from hkd.plan import rows
from hkd.plan.runs import Plan
from hkd.report.compare import Paper
from hkd.store.artifacts import read_json
from hkd.store.lines import one_line
from hkd.store.paths import RunFiles
from hkd.store.refusals import ArtifactError
from hkd.studies.comparison.claims import Claim
from hkd.studies.comparison.frozen import Frozen
from hkd.studies.comparison.gathered import Found, RunFile, of_cell, of_run
from hkd.studies.comparison.judged import Judge
from hkd.studies.comparison.line import Mark
from hkd.studies.comparison.rules import Comparison
from hkd.studies.comparison.said import Number, Statement

Metrics = Callable[[RunFiles, int], str]


def judge_of(
    plan: Plan, rules: Comparison, frozen: Frozen, metrics: Metrics = RunFiles.metrics, *, given: Path | None = None
) -> Judge:
    """Return the judge of a benchmark.

    Args:
        metrics: the metrics file of a run at a number of evaluations; by default what the workflow measured.
        given: weights from elsewhere, which are the only seed.
    """

    @cache
    def paper(reported: str, table: str) -> Paper:
        return Paper.read(plan.configs / "reported" / f"{reported}.yaml", table)

    @cache
    def run(dataset: str, name: str, nfe: int) -> Found:
        return of_run(run_files(plan, dataset, name, nfe, metrics, given), dataset, name, nfe)

    def found(claim: Claim) -> Found:
        said = claim.said
        if isinstance(said, Statement) or (isinstance(said, Number) and said.cell):
            assert said.cell is not None
            file = said.cell.file.replace("{dataset}", plan.study_dataset(None))
            return of_cell(Path(plan.layout.root) / file, said.cell)
        assert isinstance(said, Number)
        return run(str(stands_for(plan, said.reported)), answering(plan, said, str(claim.run)), int(claim.nfe or 1))

    return Judge(rules, frozen, paper, lambda reported: stands_for(plan, reported), found, plan.benchmark.scale)


def stands_for(plan: Plan, reported: str) -> str | None:
    """Return the data set that stands in this benchmark for the one of a file of configs/reported."""
    return next((table.dataset for table in plan.tables.values() if table.reported == reported), None)


def answering(plan: Plan, said: Number, run: str) -> str:
    """Return the run that answers a number: the one with shipped weights, where its table takes those."""
    of = [table for table in plan.tables.values() if (table.reported, table.rows) == (said.reported, said.conditions)]
    return rows.answering(plan, of[0], run) if of else run


def run_files(
    plan: Plan, dataset: str, run: str, nfe: int, metrics: Metrics, given: Path | None = None
) -> list[RunFile]:
    """Return where every seed of a run was measured; of weights from elsewhere, the first seed alone."""
    runs = [(seed, plan.layout.run(dataset, run, seed)) for seed in plan.seeds]
    if given:
        return [RunFile(seed, Path(metrics(files, nfe)), given, given=True) for seed, files in runs[:1]]
    return [RunFile(seed, Path(metrics(files, nfe)), Path(files.weights)) for seed, files in runs]


def numbers_of(claim: Claim, claims: Mapping[str, Claim]) -> list[Claim]:
    """Return the numbers of a claim that runs answer: itself, or both sides of an ordering; none of a study's."""
    sides = [claims[name] for name in claim.sides]
    return [side for side in sides if isinstance(side.said, Number) and side.run and not side.said.cell]


def verified(plan: Plan, claim: str) -> Path:
    """Return where `hkd verify` leaves what it found of a claim."""
    return Path(plan.layout.top.of(f"verified/{claim}.json"))


def bypasses(plan: Plan, claims: Mapping[str, Claim]) -> dict[str, str]:
    """Return marks by claim: with which reason its verdict was bypassed, or that the file saying so is unusable."""
    found = {}
    for name in claims:
        path = verified(plan, name)
        if os.path.lexists(path):
            try:
                content: Any = read_json(path, "verify")
            except ArtifactError as error:
                found[name] = Mark.NO_BYPASS.of(str(error))
                continue
            reason = content.get("bypass", content) if isinstance(content, Mapping) else content
            if isinstance(reason, str) and reason:
                found[name] = Mark.BYPASSED.of(one_line(reason))
            elif reason is not None or content is None:
                found[name] = Mark.NO_BYPASS.of(f"{path} is nothing that `hkd verify` left; remove it")
    return found
