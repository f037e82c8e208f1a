"""`hkd compare`, `hkd verify`, `hkd claims`: what was reproduced of what was printed."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hkd import job

if TYPE_CHECKING:
    from hkd.cli import Commands
    from hkd.plan.runs import Plan

ClaimArgument = Annotated[str, typer.Argument(help="Claim, as `hkd claims` lists it: t1-hkd, o-hierarchy.")]


def register(cli: Commands) -> None:
    """Add this study's commands."""
    group = "compare and report"
    cli.add(compare, group=group, short="Say what was reproduced of what was printed")
    cli.add(verify, group=group, short="Measure finished weights again, and judge one claim")
    cli.add(claims, group=group, short="List the claims, or freeze them")


def compare(
    benchmark: job.BenchmarkOption = job.DEFAULT_BENCHMARK,
    config: job.OverrideOption = None,
    expect_digest: job.DigestOption = None,
) -> None:
    """Hold every claim against what lies in the results folder; write the comparison, and Tables 1 to 6 with it."""
    from hkd.store.atomic import write_text
    from hkd.store.records import Record
    from hkd.studies.comparison import plan as study
    from hkd.studies.comparison.judging import bypasses, judge_of
    from hkd.studies.comparison.plan import COMPARE
    from hkd.studies.comparison.table import about, read_files, summaries
    from hkd.studies.comparison.written import texts

    plan = job.plan(benchmark, config)
    work = COMPARE.work(plan).expect(expect_digest)
    known, rules, frozen = study.claims(plan), study.settings(plan), study.frozen(plan)
    lines = judge_of(plan, rules, frozen).lines(known, bypasses(plan, known))
    record = Record(work.command, {"settings": work.settings}, work.settings_digest, None, read_files(lines))
    said = about(frozen.digest, frozen.changed, rules, plan.benchmark.benchmark)
    for name, text in texts(lines, said, study.titles(plan), frozen.digest).items():
        write_text(work.out(name), text)
        record.write(work.out(name), frozen=frozen.digest)
    for line in summaries(lines):
        typer.echo(line)
    tables = [work.out(f"table{number}_markdown") for number in study.PAPER_TABLES]
    typer.echo(f"Tables 1 to 6 with verdicts: {tables[0]} to {tables[-1].name}, .csv, .tex")
    typer.echo(f"In full: {', '.join(str(work.out(name)) for name in study.SUFFIXES)} (frozen: {frozen.digest})")


def verify(
    claim: ClaimArgument,
    weights: Annotated[
        Path | None, typer.Option(help="Weights from elsewhere, with config.yaml beside them, as the only seed.")
    ] = None,
    strict: Annotated[
        bool, typer.Option(help="For CI: `better` is 1; no record, a selection or a change since frozen are 3.")
    ] = False,
    bypass: Annotated[
        str | None, typer.Option(metavar="REASON", help="Leave with 0 all the same; the reason is recorded.")
    ] = None,
    benchmark: job.BenchmarkOption = job.DEFAULT_BENCHMARK,
    config: job.OverrideOption = None,
    device: job.DeviceOption = "auto",
) -> None:
    """Sample and score finished weights again, without training, and judge one claim by that.

    Leaves with 0 reproduced or better, 1 worse, 2 inconclusive or a toy, 3 not comparable, not run or not usable:
    whatever fails is 3. A mistyped option is 2, as everywhere, with the usage on stderr and before anything is read.
    """
    from hkd.data import DataError
    from hkd.diffusion.adaptive import SolveError
    from hkd.metrics.features.inputs import MetricError
    from hkd.report.verdicts import NOT_USABLE
    from hkd.settings.origins import ConfigError
    from hkd.store.refusals import ArtifactError

    spoken = (ConfigError, ArtifactError, DataError, MetricError, SolveError, OSError)
    try:
        code = _verified(claim, weights, strict, bypass, job.plan(benchmark, config), device)
    except Exception as error:  # 1, with which Python ends on an error, would read as `worse`
        if isinstance(error, spoken):
            typer.echo(f"hkd: {error}", err=True)
        else:  # a fault of ours, or of a library: say where
            traceback.print_exc()
        code = NOT_USABLE
    raise typer.Exit(code)


def _verified(name: str, weights: Path | None, strict: bool, bypass: str | None, plan: Plan, device: str) -> int:
    """Measure, judge, record and say it; return the exit code."""
    from tqdm import tqdm

    from hkd import interrupt
    from hkd.store.atomic import write_json
    from hkd.store.records import Record
    from hkd.studies.comparison import plan as study
    from hkd.studies.comparison.claims import claim_of
    from hkd.studies.comparison.judging import judge_of, verified
    from hkd.studies.comparison.verifying import Outcome, again, measure_again

    known, frozen = study.claims(plan), study.frozen(plan)
    claim, to = claim_of(known, name), job.pick_device(device)
    record = Record(
        "verify", {"claim": name, "strict": strict, "bypass": bypass}, device=str(to), compute=job.settled(to)
    )
    with interrupt.graceful(), tqdm(desc=name, unit="image", disable=None) as bar:

        def tick(count: int) -> None:
            interrupt.check()
            bar.update(count)

        for text in measure_again(plan, claim, known, weights, to, tick):
            typer.echo(text)
    judge = judge_of(plan, study.settings(plan), frozen, again, given=weights)
    outcome = Outcome(judge.line(claim, known), strict, bypass)
    path = verified(plan, name)
    write_json(path, outcome.content(frozen.digest))
    record.write(path, frozen=frozen.digest)
    for text in outcome.said():
        typer.echo(text)
    return outcome.code


def claims(
    freeze: Annotated[bool, typer.Option(help="Write claims, margins, rules and readings as they are now.")] = False,
    benchmark: job.BenchmarkOption = job.DEFAULT_BENCHMARK,
    config: job.OverrideOption = None,
) -> None:
    """List every claim with its margin and where it stands; or freeze them, before anything is run."""
    from hkd.studies.comparison import plan as study
    from hkd.studies.comparison.claims import listed
    from hkd.studies.comparison.frozen import content
    from hkd.studies.comparison.frozen import freeze as written

    plan = job.plan(benchmark, config)
    known = study.claims(plan)
    if freeze:
        typer.echo(written(plan.configs, content(plan, known, study.settings(plan))))
        return
    for text in listed(known):
        typer.echo(text)
