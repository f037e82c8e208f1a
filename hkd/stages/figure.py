"""`hkd figure`: pictures from stored arrays and tables; restyling one needs no training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hkd.job import DEFAULT_PROFILE, DigestOption, OverrideOption, ProfileOption, expect, plan
from hkd.store.artifacts import Record, check_digest, read_json
from hkd.studies import application_figures
from hkd.studies.interpretability import draw as interpretability_figures

TableArgument = Annotated[str, typer.Argument(help="Table of the profile: table1, table3, ...")]
OutOption = Annotated[Path, typer.Option(help="The PDF; a PNG and the caption as .md are written beside it.")]


def register(app: typer.Typer) -> None:
    """Add this file's commands."""
    figure = typer.Typer(help="Draw a figure as PDF, PNG and caption.", no_args_is_help=True, rich_markup_mode=None)
    figure.command()(samples)
    figure.command()(ablations)
    figure.command()(ambiguity)
    interpretability_figures.register(figure)
    application_figures.register(figure)
    app.add_typer(figure, name="figure")


def samples(
    table: TableArgument,
    out: OutOption,
    profile: ProfileOption = DEFAULT_PROFILE,
    config: OverrideOption = None,
    expect_digest: DigestOption = None,
) -> None:
    """A row of images for each row of a table, every column from the same noise."""
    import numpy as np

    from hkd.figures.samples import SampleRow, caption, sample_grid
    from hkd.figures.save import save
    from hkd.report.collect import collect

    chosen = plan(profile, config)
    expect(chosen.figure_digest("samples", table), expect_digest, "figure samples")
    spec, shown, files = chosen.table(table), chosen.profile.samples_shown, chosen.samples(table)
    metrics = [path.replace("/samples/", "/metrics/").removesuffix("npz") + "json" for path in files]
    record = Record("figure", inputs=[*files, *metrics])
    rows = []
    for path, line in zip(files, collect(metrics).to_dict("records"), strict=True):
        with np.load(path, allow_pickle=False) as arrays:
            images = arrays["images"][:shown]
        title = chosen.run(spec.dataset, line["method"]).title
        weights = f"{line['method']} ({line['route']}, {line['settings_digest'][:8]})"
        few = line["n_generated"] if line["protocols"]["fdn"]["estimate"] else None
        rows.append(SampleRow(title, images, nfe=line["nfe"], fdn=line["fdn"], few=few, checkpoint=weights))
    text = caption(rows, columns=shown, dataset=chosen.dataset(spec.dataset).title, seed=0)
    for written in save(sample_grid(rows, columns=shown), out.with_suffix(""), text):
        record.write(written)


def ablations(
    table: TableArgument,
    out: OutOption,
    profile: ProfileOption = DEFAULT_PROFILE,
    config: OverrideOption = None,
    expect_digest: DigestOption = None,
) -> None:
    """Bars: each variant's FDn, mean and spread over seeds, beside what the paper printed."""
    from hkd.figures.ablations import Bar, ablation_bars, caption
    from hkd.figures.save import save
    from hkd.report.collect import collect

    chosen = plan(profile, config)
    expect(chosen.figure_digest("bars", table), expect_digest, "figure ablations")
    spec = chosen.table(table)
    record = Record("figure", inputs=chosen.metrics(table))
    bars = []
    for row, paths in chosen.cells(table):
        values = tuple(collect(paths)["fdn"].tolist()) if paths else ()
        title = chosen.run(spec.dataset, row.method).title if row.method else row.label
        bars.append(Bar((row.method or row.label).rpartition("/")[2], title, values, row.fid))
    scale = f"profile {chosen.profile.profile}, averaged weights at the end of training"
    text = caption(bars, quantity="FDn", dataset=chosen.dataset(spec.dataset).title, checkpoints=scale)
    for written in save(ablation_bars(bars, quantity="FDn"), out.with_suffix(""), text):
        record.write(written)


def ambiguity(
    out: OutOption,
    profile: ProfileOption = DEFAULT_PROFILE,
    config: OverrideOption = None,
    expect_digest: DigestOption = None,
) -> None:
    """Bars: what each open choice changes, beside the smallest change that the audit could have detected."""
    from hkd.figures.save import save
    from hkd.studies.ambiguity import plan as audit
    from hkd.studies.ambiguity.figure import caption, tornado
    from hkd.studies.ambiguity.table import from_csv

    chosen = plan(profile, config)
    expect(audit.figure_digest(chosen), expect_digest, "figure ambiguity")
    table = Path(f"{chosen.layout.root}/ambiguity.csv")
    record = Record("figure", inputs=[table])
    check_digest(table, "ambiguity")
    found, facts = from_csv(table), read_json(f"{table}.record.json", "ambiguity")
    dataset, study = audit.dataset(chosen), audit.study(chosen)
    titles = {"dataset": chosen.dataset(dataset).title, "centre": chosen.run(dataset, study.centre).title}
    text = caption(found, facts, **titles, scale=chosen.profile.scale, level=study.level, power=study.power)
    figure = tornado(found, detectable=facts["detectable_percent"] / 100, level=study.level)
    for written in save(figure, out.with_suffix(""), text):
        record.write(written)
