"""`hkd ambiguity`: which of the choices that the paper leaves open matters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from hkd.job import DEFAULT_PROFILE, DigestOption, OverrideOption, ProfileOption, expect, plan
from hkd.plan.runs import Plan
from hkd.store.artifacts import Record, read_json, write_text


def register(app: typer.Typer) -> None:
    """Add this file's commands."""
    app.command()(ambiguity)


def ambiguity(
    profile: ProfileOption = DEFAULT_PROFILE, config: OverrideOption = None, expect_digest: DigestOption = None
) -> None:
    """Hold every open choice's change of FDn against the smallest one that the audit could have detected."""
    from hkd.studies.ambiguity import plan as audit
    from hkd.studies.ambiguity.table import lines, percent, to_csv

    chosen = plan(profile, config)
    expect(audit.table_digest(chosen), expect_digest, "ambiguity")
    study, out = audit.study(chosen), Path(f"{chosen.layout.root}/ambiguity.csv")
    record = Record("ambiguity", study.model_dump(mode="json"), audit.table_digest(chosen))
    record.inputs = audit.metrics(chosen)
    centre, *variations = _arms(chosen)
    found, design = lines(centre, variations, level=study.level, power=study.power)
    write_text(out, to_csv(found))
    run = chosen.run(audit.dataset(chosen), audit.CENTRE_RUN)
    record.write(
        out,
        steps=run.training.steps,
        seeds=study.seeds,
        images=run.sampling.n_samples,
        centre_fdn=list(centre.scores),
        sd_percent=percent(design.sd),
        degrees_of_freedom=design.freedom,
        detectable_percent=percent(design.detectable),
    )
    for line in found:
        change = f"{line['change_percent']:+8.1f} %" if "change_percent" in line else " " * 10
        typer.echo(f"{change}  {line['choice']} = {line['value']}: {line['verdict']}")
    typer.echo(f"smallest change that this design detects: {percent(design.detectable):.1f} %")


def _arms(chosen: Plan) -> list[Any]:
    """Return the centre and every variation of the study, with what was measured of them."""
    from hkd.studies.ambiguity import plan as audit
    from hkd.studies.ambiguity.table import Arm

    files = audit.arms(chosen)
    found = [Arm(audit.CENTRE, "", "", "", **_measured(files[audit.CENTRE]))]
    for name, variation in audit.study(chosen).variations.items():
        facts = variation.model_dump(include={"choice", "value", "against", "paper", "not_run"})
        found.append(Arm(name, **facts, **_measured(files.get(name, []))))
    return found


def _measured(paths: list[str]) -> dict[str, Any]:
    contents = [read_json(path, "metrics") for path in paths]
    if not contents:
        return {}
    diverged = [content.get("diverged_at") is not None for content in contents]
    scores = [float("nan") if lost else c["metrics"]["fdn"] for lost, c in zip(diverged, contents, strict=True)]
    return {
        "scores": tuple(scores),
        "diverged": sum(diverged),
        "network_evals": contents[0]["budget"]["network_evals"],
    }
