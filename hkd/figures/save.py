"""Save a figure as PDF, PNG and caption, with the same bytes for the same figure."""

from __future__ import annotations

from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from hkd.figures.style import DPI, style
from hkd.store.atomic import atomic_path, write_text


def save(figure: Figure, stem: Path | str, caption: str) -> list[Path]:
    """Write `stem`.pdf, `stem`.png and the caption as `stem`.md; return their paths."""
    paths = [Path(f"{stem}.{kind}") for kind in ("pdf", "png", "md")]
    for path in paths[:2]:
        save_picture(figure, path, caption)
    write_text(paths[2], caption.rstrip() + "\n")
    return paths


def save_picture(figure: Figure, path: Path, caption: str) -> None:
    """Write the PDF or PNG `path`.

    The caption is also written into its metadata, so that a copied picture still says what it shows. Dates and program
    names are left out, because they would change the bytes.
    """
    subject = " ".join(caption.split())
    metadata = {
        "pdf": {"Subject": subject, "Creator": None, "Producer": None, "CreationDate": None},
        "png": {"Description": subject, "Software": None},
    }
    kind = path.suffix[1:]
    FigureCanvasAgg(figure)
    with style(), atomic_path(path) as temporary:
        figure.savefig(temporary, format=kind, dpi=DPI, metadata=metadata[kind])
