"""LaTeX text: nothing in a cell means anything to TeX, and every row has as many cells as there are columns."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from hkd.report.latex import booktabs, escape


def test_what_tex_reads_otherwise_is_escaped():
    assert escape("50 % & $x_1^2$ #3 {a} ~") == (r"50 \% \& \$x\_1\textasciicircum{}2\$ \#3 \{a\} \textasciitilde{}")
    assert escape("9.36 ± 0.08 — ≈") == r"9.36 $\pm$ 0.08 --- $\approx$"
    assert escape("\\input{x}") == r"\textbackslash{}input\{x\}"


@given(st.text(max_size=40))
def test_no_bare_special_character_is_left(text):
    bare = re.sub(
        r"\\(textbackslash|textasciitilde|textasciicircum)\{\}|\\[&%$#_{}]|\$\\(pm|times|approx)\$|\$-\$",
        "",
        escape(text),
    )
    assert not set(bare) & set("&%$#_{}^~\\")


def test_a_table_has_the_rules_of_booktabs_and_its_headings_in_italics():
    text = booktabs(
        ["Row", "FID"], [("Multi-step", [["A & B", "1"]]), ("", [["C", "2"]])], left=1, comments=["two\nlines"]
    )
    assert text.splitlines() == [
        "% two lines",
        r"% needs \usepackage{booktabs}",
        r"\begin{tabular}{lr}",
        r"\toprule",
        r"Row & FID \\",
        r"\midrule",
        r"\multicolumn{2}{l}{\textit{Multi-step}} \\",
        r"A \& B & 1 \\",
        r"C & 2 \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


def test_a_long_table_repeats_its_head():
    text = booktabs(["Row"], [("", [["C"]])], left=1, long=True)
    assert r"\begin{longtable}{l}" in text and r"\endhead" in text and "booktabs,longtable" in text
