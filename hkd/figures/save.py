"""Save a figure as PDF, PNG and caption, with the same bytes for the same figure."""

from __future__ import annotations

from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from hkd.figures.style import DPI, style
from hkd.store.atomic import atomic_path, write_text


def save(figure: Figure, stem: Path | str, caption: str) -> list[Path]:
    """Write `stem`.pdf, `stem`.png and the caption as `stem`.md; return their paths.

    The caption is also written into the metadata of both pictures, so that a copied picture still says what it shows.
    Dates and program names are left out, because they would change the bytes.
    """
    subject = " ".join(caption.split())
    metadata = {
        "pdf": {"Subject": subject, "Creator": None, "Producer": None, "CreationDate": None},
        "png": {"Description": subject, "Software": None},
    }
    FigureCanvasAgg(figure)
    paths = [Path(f"{stem}.{kind}") for kind in metadata]
    with style():
        for path, (kind, facts) in zip(paths, metadata.items(), strict=True):
            with atomic_path(path) as temporary:
                figure.savefig(temporary, format=kind, dpi=DPI, metadata=facts)
    paths.append(Path(f"{stem}.md"))
    write_text(paths[-1], caption.rstrip() + "\n")
    return paths
