"""The columns of numbers that a table may have: their names, titles and what each is derived from.

A column is a score (`fdn`, `kid`, `fid_clean_fid`, ...) or is derived from one: `{score}_common` is the score of the
first n images of every row, where n is the smallest number of images of any row, so that rows with different numbers
may be compared; `{score}_sd` and `{score}_min` are the standard deviation and the minimum over seeds. In derived
names `fid` stands for `fid_own`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hkd.config import nearest

Derived = Literal["", "common", "sd", "min"]

# name in metrics files and tables -> heading; {name} is FID or FD
SCORES = {
    "fid_own": "{name}",
    "fid_torch_fidelity": "torch-fidelity",
    "fid_clean_fid": "clean-fid",
    "fdn": "FDn",
}
ALWAYS = ("fid_own", "fdn")  # in every metrics file: figures, quality bars and spreads are made of them
DEFAULT = ("fid_own", "fid_sd", "fid_torch_fidelity", "fid_clean_fid", "fdn", "fid_common", "fdn_common")


@dataclass(frozen=True)
class Column:
    """A column: the score it is made of, and how."""

    name: str
    score: str
    derived: Derived

    def heading(self, distance: str, n_common: int | None) -> str:
        """Return what stands above the column, where the distance is called FID or FD."""
        title = SCORES[self.score].format(name=distance)
        return {
            "": title,
            "common": f"{title} at n = {n_common:,}" if n_common else f"{title} at common n",
            "sd": f"{title}: sd",
            "min": f"{title}: min",
        }[self.derived]


def _derived(score: str, suffix: Derived) -> Column:
    stem = "fid" if score == "fid_own" else score
    return Column(f"{stem}_{suffix}", score, suffix)


_SUFFIXES: tuple[Derived, ...] = ("common", "sd", "min")
COLUMNS = {score: Column(score, score, "") for score in SCORES} | {
    column.name: column
    for score in SCORES
    for suffix in _SUFFIXES
    for column in [_derived(score, suffix)]
    if suffix != "common" or score in ALWAYS
}


def column(name: str) -> Column:
    """Return the column `name`.

    Raises:
        ValueError: there is none; the message names the nearest.
    """
    if name not in COLUMNS:
        raise ValueError(f"no column '{name}'. {nearest(name, list(COLUMNS))}")
    return COLUMNS[name]


def scores_of(columns: tuple[str, ...]) -> tuple[str, ...]:
    """Return the scores that the columns are made of, in the order of SCORES, and those that are always made."""
    wanted = {column(name).score for name in columns} | set(ALWAYS)
    return tuple(score for score in SCORES if score in wanted)


def at(score: str, n: int) -> str:
    """Return the key of a score of the first `n` images in a metrics file."""
    return f"{score}@{n}"
