"""An account of what a benchmark costs, as people read it, as Markdown and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hkd.report.markdown import fitted
from hkd.settings.origins import ConfigError
from hkd.store.atomic import write_text

HEAD = ("of", "{}", "training", "images and sets", "features", "jobs", "disk GB", "device GB", "images at a time")
STAGE_HEAD = ("stage", "jobs", "{}", "host GB asked for", "device GB at least")
RELEASED = "released weights"
CORES = 2  # choice: of which `sentence` speaks
MEASURING = "measuring"
WORK = {  # stage -> what it is called in a sentence; all others are for measuring
    "prepare": "reading the images",
    "extractor": "training feature networks",
    "shard": "the teacher's trajectories",
    "train": "training",
    "sample": "drawing samples",
}


def unit(account: Any) -> tuple[str, float]:
    """Return in what times are shown, and how many of it an hour has: minutes where the whole is short."""
    return ("hours", 1.0) if account.hours >= 2 else ("minutes", 60.0)


def heading(names: Sequence[str], name: str) -> list[str]:
    """Return headings with the unit of time in its place."""
    return [one.format(name) for one in names]


def cells(line: Any, each: float) -> list[str]:
    """Return the cells of a line of an account, in the order of HEAD, times in units of which an hour has `each`."""
    held = "" if line.images is None else str(line.images) if line.images else "none"
    times = [f"{each * value:.2f}" for value in (line.hours, *line.by.values())]
    return [line.of, *times, str(line.jobs), f"{line.disk:.1f}", f"{line.device:.1f}", held, line.released]


def markdown(account: Any, about: Sequence[str]) -> str:
    """Return an account as a page: what it rests on, the lines, the stages, and what cannot be done."""
    name, each = unit(account)
    lines = fitted([*heading(HEAD, name), RELEASED], [cells(line, each) for line in account.lines], left=1)
    stages = fitted(heading(STAGE_HEAD, name), stage_rows(account.stages, each), left=1)
    return "\n".join([*about, "", *lines, "", *stages, "", *summary(account)]) + "\n"


def sentence(account: Any, *, side: int, images: int) -> str:
    """Return what an account on CORES cores comes to, in words.

    Args:
        side: of the images, in pixels.
        images: in the data set.
    """
    minutes = dict.fromkeys((*WORK.values(), MEASURING), 0.0)
    for stage, one in account.stages.items():
        minutes[WORK.get(stage, MEASURING)] += 60 * one["hours"]
    parts = ", ".join(f"{kind} {round(count) or '<1'}" for kind, count in minutes.items() if count)
    return (
        f"{images:,} image{'s' if images != 1 else ''} of {side} pixels: about {_long(60 * account.hours)} of one "
        f"core, {_long(account.schedule.seconds / 60)} on two free ones ({parts} minutes)"
    )


def _long(minutes: float) -> str:
    return f"{minutes / 60:.1f} hours" if minutes >= 90 else f"{max(round(minutes), 1)} minutes"


def csv_rows(account: Any) -> list[dict[str, str]]:
    """Return an account's lines as rows of a CSV file, times in hours."""
    names = [name.replace(" ", "_") for name in (*heading(HEAD, "hours"), RELEASED)]
    return [dict(zip(names, cells(line, 1.0), strict=True)) for line in account.lines]


def stage_rows(stages: Mapping[str, Mapping[str, float]], each: float) -> list[list[str]]:
    """Return the cells of every stage."""
    return [
        [name, f"{one['jobs']:.0f}", f"{each * one['hours']:.2f}", f"{one['host']:.0f}", f"{one['device']:.1f}"]
        for name, one in stages.items()
    ]


def summary(account: Any) -> list[str]:
    """Return what the whole comes to, and what cannot be done, a line each."""
    packed, (name, each) = account.schedule, unit(account)
    lines = [
        f"{account.jobs:,} jobs ({account.finished:,} finished ones that they read), "
        f"{each * account.hours:,.1f} {name} of one device, {account.disk:,.1f} GB of results",
        f"{each * packed.seconds / 3600:,.1f} {name} by the clock, the devices {packed.busy:.0%} busy; the longest "
        f"chain is {each * packed.longest / 3600:,.1f} {name}",
        f"of {account.uncounted:,} jobs nothing is counted but their start: they read, write, score or draw",
    ]
    lines += [f"remark: {line}" for line in account.remarks]
    return lines + [f"cannot be done: {line}" for line in account.refused]


def write(out: Path, account: Any, about: Sequence[str]) -> None:
    """Write an account: a CSV file of its lines, or the page.

    Raises:
        ConfigError: the name ends neither in .csv nor in .md.
    """
    if out.suffix == ".md":
        write_text(out, markdown(account, about))
    elif out.suffix == ".csv":
        rows = csv_rows(account)
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]) if rows else [], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(out, text.getvalue())
    else:
        raise ConfigError(f"--out {out}: expected a name that ends in .csv or .md")
