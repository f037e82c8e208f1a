"""The style of all figures: fonts, widths, ink, one colour per method."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl

DPI = 300
WIDTH = 5.5  # inches, the text width of the paper's page
INK, MUTED = "#1a1a1a", "#6b6b6b"
TITLE, BODY, SMALL = 9.0, 8.0, 7.0  # points
LINE = 0.95  # line spacing of titles on several lines

# Families share a hue and differ in lightness, so that they stay apart in grey print; the hues are chosen to stay
# apart for the common colour deficiencies. HKD is the only red.
COLOURS = {
    "hkd": "#b2182b",
    "abl_mse_only": "#8c4a52",
    "abl_no_koopman": "#e8b4ae",
    "abl_no_traj": "#d98880",
    "abl_single_scale": "#c65a55",
    "abl_no_koopman_with_traj": "#f0c9c2",
    "abl_lpips_only": "#a3727a",
    "abl_coupled": "#6f1020",
    "abl_radius_0_1": "#f6ddd3",
    "abl_radius_0_3": "#f1b8a0",
    "abl_radius_1": "#e58f6d",
    "abl_longer": "#d6404e",
    "edm": "#333333",
    "ddpm": "#5c5c5c",
    "score_sde": "#858585",
    "ddim": "#adadad",
    "regression": "#7a6a3a",
    "kd": "#08306b",
    "pd": "#2166ac",
    "cd": "#4393c3",
    "dmd": "#92c5de",
    "rf1": "#00441b",
    "rf2": "#1b7837",
    "rf3": "#5aae61",
    "rf2pp": "#a6dba0",
    "ct": "#7f3b08",
    "ict": "#b35806",
    "ict_deep": "#e08214",
    "ecm": "#fdb863",
}

# Preprocessing classes A to E of a Fréchet distance: ink and four hues of different lightness.
CLASSES = {"A": INK, "B": "#2166ac", "C": "#e08214", "D": "#7f3b08", "E": "#5aae61"}

_SETTINGS: Any = {
    "font.family": "STIXGeneral",  # comes with matplotlib, so every machine sets the same text
    "font.size": BODY,
    "mathtext.fontset": "stix",
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.linewidth": 0.6,
    "axes.labelsize": BODY,
    "axes.titlesize": TITLE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": BODY,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "pdf.fonttype": 42,  # text stays text
    "savefig.dpi": DPI,
    "figure.dpi": DPI,
    "svg.hashsalt": "hkd",
}


@contextmanager
def style() -> Iterator[None]:
    """Apply the style within a block; figures are both drawn and saved inside it."""
    with mpl.rc_context(_SETTINGS):
        yield


def wrapped(title: str, width: int = 24) -> str:
    """Return a title broken into lines that fit beside a row."""
    return "\n".join(textwrap.wrap(title, width))


def colour(method: str) -> str:
    """Return the colour of a method, given as `hkd` or `methods/hkd`; one without a colour of its own is grey."""
    return COLOURS.get(method.rpartition("/")[2], MUTED)
