"""`hkd figure spectrum`, `hkd figure interpretability`: what the study of interpretability stored, drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hkd.job import DEFAULT_PROFILE, DigestOption, OverrideOption, ProfileOption, expect, plan
from hkd.store.artifacts import Record, check_digest
from hkd.studies.interpretability.command import measured
from hkd.studies.interpretability.plan import InterpretabilityPlan

OutOption = Annotated[Path, typer.Option(help="The PDF; a PNG and the caption as .md are written beside it.")]


def register(figure: typer.Typer) -> None:
    """Add this file's commands to `hkd figure`."""
    figure.command()(spectrum)
    figure.command()(interpretability)


def spectrum(
    out: OutOption,
    profile: ProfileOption = DEFAULT_PROFILE,
    config: OverrideOption = None,
    expect_digest: DigestOption = None,
) -> None:
    """Eigenvalues by level, decoded bands, what each adds over time, and its frequencies."""
    import numpy as np

    from hkd.figures.save import save
    from hkd.studies.interpretability.spectrum_figure import caption, spectrum_figure

    chosen = plan(profile, config)
    lookup = InterpretabilityPlan(chosen)
    expect(lookup.spectrum_figure_digest(), expect_digest, "figure spectrum")
    settings, file, seed = lookup.spectrum, lookup.spectra_file(), 0
    record = Record("figure", settings.model_dump(), inputs=[file])
    check_digest(file, "spectrum")
    with np.load(file, allow_pickle=False) as stored:
        arrays = dict(stored)
    text = caption(
        run=lookup.title(settings.run),
        dataset=chosen.dataset(lookup.dataset).title,
        checkpoint=f"profile {chosen.profile.profile}, averaged weights at the end of training",
        seed=seed,
        order_by=settings.order_by,
        ascending=settings.ascending,
        n=len(arrays["images"]),
    )
    for written in save(spectrum_figure(arrays, images=settings.shown), out.with_suffix(""), text):
        record.write(written)


def interpretability(
    out: OutOption,
    profile: ProfileOption = DEFAULT_PROFILE,
    config: OverrideOption = None,
    expect_digest: DigestOption = None,
) -> None:
    """Closure over time, factors that follow bands, and agreement of spectra."""
    from hkd.figures.save import save
    from hkd.studies.interpretability.figure import caption, interpretability_figure

    chosen = plan(profile, config)
    lookup = InterpretabilityPlan(chosen).check()
    expect(lookup.figure_digest(), expect_digest, "figure interpretability")
    study, titles = lookup.study, lookup.titles()
    record = Record("figure", study.model_dump(), inputs=lookup.inputs())
    shown, order = study.factors[0], lookup.spectrum.order_by
    text = caption(
        dataset=chosen.dataset(lookup.dataset).title,
        profile=chosen.profile.profile,
        seeds=len(chosen.seeds),
        shown=titles[shown],
        order=order,
        draws=study.draws,
        n=study.trajectories,
    )
    for written in save(
        interpretability_figure(measured(lookup), titles, shown=shown, order=order), out.with_suffix(""), text
    ):
        record.write(written)
