"""LaTeX text of a table, with the rules of booktabs."""

from __future__ import annotations

from collections.abc import Sequence

ESCAPES = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "—": "---",
    "±": r"$\pm$",
    "×": r"$\times$",
    "−": "$-$",
    "≈": r"$\approx$",
} | {sign: f"\\{sign}" for sign in "&%$#_{}"}

Section = tuple[str, Sequence[Sequence[str]]]


def escape(text: str) -> str:
    """Return text in which no character means anything to TeX."""
    return "".join(ESCAPES.get(sign, sign) for sign in text)


def booktabs(
    headers: Sequence[str], sections: Sequence[Section], *, left: int, comments: Sequence[str] = (), long: bool = False
) -> str:
    """Return a table: `left` columns of words, then numbers; headings of sections stand in italics over their rows.

    Args:
        sections: (heading, rows of cells); the heading may be empty.
        comments: lines above it, for whoever reads the source.
        long: breaks across pages; needs the package longtable.
    """
    kind, columns = ("longtable" if long else "tabular"), "l" * left + "r" * (len(headers) - left)
    lines = [f"% {' '.join(text.split())}" for text in comments]
    lines += [f"% needs \\usepackage{{booktabs{',longtable' if long else ''}}}", f"\\begin{{{kind}}}{{{columns}}}"]
    lines += [r"\toprule", _row(headers), r"\midrule", *([r"\endhead"] if long else [])]
    for position, (heading, rows) in enumerate(sections):
        if heading:
            lines += [r"\addlinespace"] if position else []
            lines.append(f"\\multicolumn{{{len(headers)}}}{{l}}{{\\textit{{{escape(heading)}}}}} \\\\")
        lines += [_row(cells) for cells in rows]
    return "\n".join([*lines, r"\bottomrule", f"\\end{{{kind}}}"]) + "\n"


def _row(cells: Sequence[str]) -> str:
    return " & ".join(map(escape, cells)) + r" \\"
