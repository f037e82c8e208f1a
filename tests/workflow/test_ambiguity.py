"""The ambiguity study in the graph: ordinary runs, made only when they are asked for."""

from __future__ import annotations

import pytest

pytest.importorskip("snakemake.api")

TABLE = "results/smoke/ambiguity.csv"


def varied(made) -> set[str]:
    return {w["method"] for w in made.of("train") if w["group"] == "ambiguity"}


def test_the_default_targets_train_no_variation(graph):
    assert varied(graph("embedded")) == set()


def test_the_figure_is_made_from_the_table_and_the_table_from_every_arm(graph):
    figure = "paper_figures/smoke/ambiguity.pdf"
    made = graph(targets=(figure,))
    assert made.upstream(figure) >= {
        "ambiguity_figure",
        "ambiguity",
        "metrics",
        "features",
        "sample",
        "train",
        "manifest",
    }
    (table,) = made.makers(TABLE)
    assert len(made.inputs[table]) == 2 * len(varied(made))
    assert {"centre", "time_map_sigma", "combine_sum"} <= varied(made)
    assert not {"spectral", "lpips_package"} & varied(made)


def test_a_variation_waits_for_what_its_centre_waits_for(graph):
    run = "results/smoke/shapes8/ambiguity/lambda2_small/seed1/weights.safetensors"
    made = graph(targets=(run, run.replace("ambiguity/lambda2_small", "methods/hkd")))
    variation, centre = (
        made.inputs[made.makers(path)[0]] for path in (run, run.replace("ambiguity/lambda2_small", "methods/hkd"))
    )
    assert variation == centre


@pytest.mark.slow
@pytest.mark.ci
def test_a_changed_variation_makes_its_own_runs_again_and_the_table(graph, checkout):
    before = graph(targets=(TABLE,))
    path = checkout / "configs/studies/ambiguity.yaml"
    path.write_text(path.read_text().replace("{lambda2: 0.3}", "{lambda2: 0.9}"))
    changed = before.changed(graph(targets=(TABLE,)))
    assert {dict(w)["method"] for rule, w in changed if rule == "train"} == {"lambda2_small"}
    assert {rule for rule, _ in changed} == {"train", "ambiguity"}
