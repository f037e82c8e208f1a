"""`hkd table`, `hkd show`, `hkd figure`: what was measured beside what was printed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hkd.job import DEFAULT_PROFILE, DigestOption, OverrideOption, ProfileOption, expect, plan
from hkd.plan.runs import CONFIGS, Plan
from hkd.store.artifacts import ArtifactError, Record

if TYPE_CHECKING:
    import pandas as pd

TableArgument = Annotated[str, typer.Argument(help="Table of the profile: table1, table3, ...")]


def register(app: typer.Typer) -> None:
    """Add this file's commands."""
    app.command()(table)
    app.command()(show)
    app.command()(readme)


def table(
    name: TableArgument,
    profile: ProfileOption = DEFAULT_PROFILE,
    config: OverrideOption = None,
    expect_digest: DigestOption = None,
) -> None:
    """Write a table as CSV and Markdown from the metrics of its runs."""
    from hkd.plan.scores import table_digest
    from hkd.report.tables import write

    chosen = plan(profile, config)
    settings_digest = table_digest(chosen, name)
    expect(settings_digest, expect_digest, name)
    record = Record("table", settings_digest=settings_digest, seed=None, inputs=chosen.metrics(name))
    frame, paper = _frame(chosen, name)
    for path in write(chosen.layout.table(name), frame, chosen.rows(name), paper):
        record.write(path)


def show(
    names: Annotated[
        list[str] | None, typer.Argument(help="Tables of the profile; by default those that exist.")
    ] = None,
    profile: ProfileOption = DEFAULT_PROFILE,
    config: OverrideOption = None,
) -> None:
    """Print finished tables to the terminal."""
    from hkd.report.terminal import show as print_view
    from hkd.report.view import view

    chosen = plan(profile, config)
    finished = [name for name in chosen.tables if Path(f"{chosen.layout.table(name)}.csv").exists()]
    for name in names or finished:
        frame, paper = _frame(chosen, name)
        stem = chosen.layout.table(name)
        print_view(view(frame, paper, _notes(chosen, name)), [f"{stem}.csv", f"{stem}.md"])


def readme(
    file: Annotated[Path, typer.Option(help="File whose table1 section is replaced.")] = Path("README.md"),
    profile: ProfileOption = DEFAULT_PROFILE,
    config: OverrideOption = None,
) -> None:
    """Put the measured rows of Table 1 into the README, and the sample grid beside it."""
    from hkd.report.markdown import short
    from hkd.report.view import view
    from hkd.store.artifacts import write_bytes, write_text

    chosen = plan(profile, config)
    frame, paper = _frame(chosen, "table1")
    before, start, rest = file.read_text().partition("<!-- table1:start -->\n")
    _, end, after = rest.partition("<!-- table1:end -->")
    if not (start and end):
        raise ArtifactError(f"{file}: has no lines '<!-- table1:start -->' and '<!-- table1:end -->' to write between")
    write_text(file, f"{before}{start}{short(view(frame, paper))}{end}{after}")
    write_bytes(file.parent / "docs" / "samples.png", Path(f"{chosen.profile.figures}/samples.png").read_bytes())


def _frame(chosen: Plan, name: str) -> tuple[pd.DataFrame, Any]:
    from hkd.plan.scores import common_n
    from hkd.report.collect import collect
    from hkd.report.compare import Paper
    from hkd.report.tables import table as build

    spec = chosen.table(name)
    rows: Sequence[Any] = chosen.rows(name)
    paper = Paper.read(CONFIGS / "reported" / f"{spec.reported}.yaml", spec.rows)
    frame = build(rows, collect(chosen.metrics(name)), paper, columns=spec.columns, n_common=common_n(chosen, name))
    return frame, paper


def _notes(chosen: Plan, name: str) -> list[tuple[str, str]]:
    return [(f"{row.label}, {row.nfe:,} NFE", row.note) for row in chosen.rows(name) if row.note]
