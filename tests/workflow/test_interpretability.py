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
    assert len(made.of("closure")) == 2 * 4 and len(made.of("band_factors")) == 2 * 3
    assert len(made.of("agreement")) == len(made.of("interpretability")) == len(made.of("spectrum")) == 1
    trained = {f"{w['group']}/{w['method']}" for w in made.of("train")}
    assert {"ablations/abl_operator_init", "ablations/abl_no_traj_equal_steps", "ablations/abl_decoder_time"} < trained
    assert made.upstream(TABLE) >= {"train", "trajectory_error", "metrics", "closure", "agreement"}


def test_another_threshold_makes_the_table_again_and_measures_nothing(graph, checkout):
    before = graph(targets=(TABLE, FIGURE)).params
    edit(checkout / SETTINGS, "closed_below: 0.1 ", "closed_below: 0.2 ")
    after = graph(targets=(TABLE, FIGURE)).params
    assert {rule for rule, _ in (k for k in after if after[k] != before[k])} == {
        "interpretability",
        "interpretability_figure",
    }


def test_more_permutations_test_again_and_train_nothing(graph, checkout):
    before = graph(targets=(TABLE,)).params
    edit(checkout / SETTINGS, "draws: 100", "draws: 300")
    edit(checkout / "configs/smoke.yaml", "draws: 100", "draws: 300")
    after = graph(targets=(TABLE,)).params
    assert {rule for rule, _ in (k for k in after if after[k] != before[k])} == {
        "band_factors",
        "agreement",
        "interpretability",
    }
