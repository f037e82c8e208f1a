"""The study of interpretability in the graph: made when asked for, and what an edit of its settings makes again."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("snakemake.api")

TABLE, FIGURE = "results/smoke/interpretability.csv", "paper_figures/smoke/interpretability.pdf"
SETTINGS = "configs/studies/interpretability.yaml"


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text, f"{path} holds no '{old}'"
    path.write_text(text.replace(old, new))


def test_nothing_of_the_study_is_made_unasked(graph):
    rules = {rule for rule, _ in graph().params}
    assert not rules & {"closure", "band_factors", "agreement", "interpretability", "spectrum"}


def test_table_and_figures_are_made_from_every_run_that_a_question_needs(graph):
    made = graph(targets=(TABLE, FIGURE, "paper_figures/smoke/spectrum.pdf"), seeds=2)
    assert len(made.of("closure")) == 2 * 5 and len(made.of("band_factors")) == 2 * 3
    assert len(made.of("agreement")) == len(made.of("interpretability")) == len(made.of("spectrum")) == 1
    trained = {f"{w['group']}/{w['method']}" for w in made.of("train")}
    assert {"ablations/abl_operator_init", "ablations/abl_no_traj_equal_steps", "ablations/abl_decoder_time"} < trained
    assert made.upstream(TABLE) >= {"train", "trajectory_error", "metrics", "closure", "agreement"}


@pytest.mark.slow
@pytest.mark.ci
def test_an_edit_makes_again_what_it_is_about_and_trains_nothing(graph, checkout):
    targets = (TABLE, FIGURE)
    made = graph(targets=targets)
    edit(checkout / SETTINGS, "closed_below: 0.1 ", "closed_below: 0.2 ")
    judged = graph(targets=targets)
    assert {rule for rule, _ in made.changed(judged)} == {"interpretability", "interpretability_figure"}
    edit(checkout / "configs/benchmarks/smoke.yaml", "draws: 100", "draws: 300")
    tested = {rule for rule, _ in judged.changed(graph(targets=targets))}
    assert tested == {"band_factors", "agreement", "interpretability", "interpretability_figure"}
