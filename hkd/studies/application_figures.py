"""`hkd figure trajectories`, `editing`, `inpainting`, `stability`, `framework`: stored arrays and models, drawn."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hkd.job import (
    DEFAULT_PROFILE,
    DatasetArgument,
    DigestOption,
    MethodArgument,
    OverrideOption,
    ProfileOption,
    expect,
    plan,
)
from hkd.store.artifacts import Record, read_json, recorded_digest
from hkd.studies.applications import ApplicationPlan

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OutOption = Annotated[Path, typer.Option(help="The PDF; a PNG and the caption as .md are written beside it.")]


def register(figure: typer.Typer) -> None:
    """Add this file's commands to `hkd figure`."""
    for command in (trajectories, editing, inpainting, stability, framework):
        figure.command()(command)


def trajectories(
    out: OutOption,
    profile: ProfileOption = DEFAULT_PROFILE,
    config: OverrideOption = None,
    expect_digest: DigestOption = None,
) -> None:
    """A teacher's trajectories, what the run predicts from each state, and what it decodes at each time."""
    from hkd.studies.states.figure import caption, trajectories_figure

    lookup, record, arrays, facts, about = _stored("trajectories", profile, config, expect_digest)
    drawn = trajectories_figure(arrays, facts["sigmas"], shown=lookup.states.shown)
    _save(drawn, out, caption(**about, facts=facts, n=facts["images"]), record)


def editing(
    out: OutOption,
    profile: ProfileOption = DEFAULT_PROFILE,
    config: OverrideOption = None,
    expect_digest: DigestOption = None,
) -> None:
    """Edited images beside their controls, and how far edits reach inside and outside of the region."""
    from hkd.studies.editing.figure import caption, editing_figure

    lookup, record, arrays, facts, about = _stored("editing", profile, config, expect_digest)
    settings, measured = lookup.editing, facts["edited"]
    drawn = editing_figure(arrays, measured, settings.ratios, settings.control, shown=settings.shown)
    numbers = {"mid": facts["mid"], "measured": measured, "n": facts["images"]}
    _save(drawn, out, caption(**about, settings=settings.model_dump(), **numbers), record)


def inpainting(
    out: OutOption,
    profile: ProfileOption = DEFAULT_PROFILE,
    config: OverrideOption = None,
    expect_digest: DigestOption = None,
) -> None:
    """Truth, what was given, and what was restored, for every mask and for colours."""
    from hkd.studies.inpainting.figure import caption, inpainting_figure

    lookup, record, arrays, facts, about = _stored("inpainting", profile, config, expect_digest)
    settings = lookup.inpainting
    held_out = lookup.plan.reference_split(lookup.dataset) == "reference"
    source = {"generated": "generated images", "dataset": f"images of the {'held-out' if held_out else 'training'} set"}
    numbers = {"source": source[settings.source], "steps": facts["steps"], "facts": facts["restored"]}
    text = caption(**about, **numbers, n=facts["images"])
    _save(inpainting_figure(arrays, shown=settings.shown), out, text, record)


def stability(
    out: OutOption,
    profile: ProfileOption = DEFAULT_PROFILE,
    config: OverrideOption = None,
    expect_digest: DigestOption = None,
) -> None:
    """Quality over training, mean and spread over seeds, beside the paper's Table 5."""
    from hkd.studies.stability.figure import caption, stability_figure
    from hkd.studies.stability.table import lines

    chosen = plan(profile, config)
    lookup = ApplicationPlan(chosen)
    expect(lookup.figure_digest("stability"), expect_digest, "figure stability")
    files = lookup.stability_files()
    record = Record("figure", lookup.stability.model_dump(), inputs=files)
    runs = [read_json(path, "stability") for path in files]
    rows = lines(runs, lookup.printed(), lookup.stability.epochs)
    text = caption(
        rows,
        run=chosen.run(lookup.dataset, lookup.stability.run).title,
        dataset=chosen.dataset(lookup.dataset).title,
        checkpoints=f"profile {chosen.profile.profile}, seeds 0 to {len(files) - 1}, {runs[0]['total']} steps",
        n=runs[0]["n"],
    )
    _save(stability_figure(rows), out, text, record)


def framework(
    dataset: DatasetArgument,
    method: MethodArgument,
    out: OutOption,
    profile: ProfileOption = DEFAULT_PROFILE,
    config: OverrideOption = None,
    expect_digest: DigestOption = None,
) -> None:
    """The network that a run's settings build: blocks, latents, operators, parameters. Needs no weights and no data.

    The paper's: hkd figure framework cifar10 methods/hkd --config scale=paper --out framework.pdf
    """
    from hkd.experiment.build import untrained_network
    from hkd.studies.framework.figure import Level, Parts, caption, framework_figure
    from hkd.studies.framework.outline import outline

    chosen = plan(profile, config)
    expect(ApplicationPlan(chosen).framework_digest(dataset, method), expect_digest, "figure framework")
    run, data = chosen.run(dataset, method), chosen.dataset(dataset)
    record = Record("figure", run.model_dump(mode="json"))
    found = outline(untrained_network(run, data.data))
    levels = [Level(*level) for level in found.levels]
    parts = Parts(
        found.encoder_parameters,
        found.operator_parameters,
        found.decoder_parameters,
        found.embedding_parameters,
        found.total,
        found.decoder_others,
    )
    keys = ("levels", "bottleneck_operator", "pairing", "time_map", "decoder_sigma", "output_wrapper")
    readings = {key: run.params[key] for key in keys}
    text = caption(levels, parts, run=run.title, dataset=data.title, scale=chosen.profile.scale, readings=readings)
    _save(framework_figure(levels, parts), out, text, record)


def _stored(
    name: str, profile: str, config: list[str] | None, expect_digest: str | None
) -> tuple[ApplicationPlan, Record, dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Return lookups, record, arrays and numbers of a study, and what its caption says of the run."""
    from hkd.store.artifacts import read_arrays

    chosen = plan(profile, config)
    lookup = ApplicationPlan(chosen)
    expect(lookup.figure_digest(name), expect_digest, f"figure {name}")
    file, seed, method = Path(lookup.file(name)), 0, lookup.run_of(name)
    weights = Path(chosen.layout.run(lookup.dataset, method, seed)) / "weights.safetensors"
    stage = {"editing": "edit", "inpainting": "inpaint", "trajectories": "trajectory"}[name]
    facts = read_json(file.with_suffix(".json"), stage)
    record = Record("figure", seed=seed, inputs=[file, file.with_suffix(".json"), weights])
    checkpoint = f"profile {chosen.profile.profile}, averaged weights {recorded_digest(weights)[:12]}"
    about = {
        "run": chosen.run(lookup.dataset, method).title,
        "dataset": chosen.dataset(lookup.dataset).title,
        "checkpoint": checkpoint,
        "seed": seed,
    }
    return lookup, record, read_arrays(file, stage), facts, about


def _save(drawn: Figure, out: Path, text: str, record: Record) -> None:
    from hkd.figures.save import save

    for written in save(drawn, out.with_suffix(""), text):
        record.write(written)
