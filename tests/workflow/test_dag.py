"""The graph of jobs: which there are, what feeds what, and what an edit makes again."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("snakemake.api")

RUN = "results/smoke/shapes8"


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text, f"{path} holds no '{old}'"
    path.write_text(text.replace(old, new))


def methods_of(keys) -> set[str]:
    return {f"{dict(w)['group']}/{dict(w)['method']}" for rule, w in keys if "method" in dict(w)}


def test_every_stage_has_its_jobs(smoke_graph):
    counts = Counter(rule for rule, _ in smoke_graph.params)
    runs = {(w["group"], w["method"]) for w in smoke_graph.of("train")}
    assert {("methods", m) for m in ("edm", "ecm", "hkd", "regression")} < runs
    assert counts["train"] == len(runs)
    assert counts["prepare"] == 2 and counts["reference"] == 1
    assert counts["shard"] == 2 and counts["manifest"] == 1
    assert counts["extractor"] == 2
    assert counts["sample"] == counts["features"] == counts["metrics"] >= len(runs) + 1  # EDM is sampled twice
    assert counts["table"] == 2 and counts["samples_figure"] == 1


def test_an_output_has_one_maker(smoke_graph):
    outputs = Counter(path for files in smoke_graph.outputs.values() for path in files)
    assert max(outputs.values()) == 1


@pytest.mark.parametrize(
    "method, through, without",
    [
        ("methods/edm", {"prepare", "train", "sample", "features", "reference", "extractor"}, {"shard", "manifest"}),
        ("methods/ecm", {"prepare", "train"}, {"shard", "manifest"}),
        ("methods/hkd", {"prepare", "train", "shard", "manifest", "extractor"}, set()),
        ("methods/regression", {"prepare", "train", "shard", "manifest"}, set()),
    ],
)
def test_a_number_is_made_through_the_stages_that_it_needs(smoke_graph, method, through, without):
    nfe = 35 if method.endswith("edm") else 1
    stages = smoke_graph.upstream(f"{RUN}/{method}/seed0/metrics/nfe{nfe}.json")
    assert through <= stages and not without & stages


def test_a_student_waits_for_its_base_its_trajectories_and_its_eye(smoke_graph):
    (train,) = smoke_graph.makers(f"{RUN}/methods/hkd/seed0/weights.safetensors")
    assert set(smoke_graph.inputs[train]) == {
        f"{RUN}/data/train/manifest.json",
        f"{RUN}/trajectories/edm-heun/manifest.json",
        f"{RUN}/methods/edm/seed0/weights.safetensors",
        f"{RUN}/extractors/perceptual/weights.safetensors",
    }
    (train,) = smoke_graph.makers(f"{RUN}/methods/ecm/seed0/weights.safetensors")
    assert f"{RUN}/trajectories/edm-heun/manifest.json" not in smoke_graph.inputs[train]


def test_training_state_is_declared_nowhere(smoke_graph):
    paths = [path for files in (*smoke_graph.outputs.values(), *smoke_graph.inputs.values()) for path in files]
    assert not [path for path in paths if "checkpoints" in path or "parts" in path]


def test_shipped_weights_need_neither_data_nor_training(graph):
    made = graph("embedded")
    (teacher,) = made.makers("results/shapes16/methods/edm/seed0/weights.safetensors")
    assert made.inputs[teacher] == []
    (student,) = made.makers("results/shapes16/methods/hkd/seed0/weights.safetensors")
    assert "results/shapes16/data/train/manifest.json" in made.inputs[student]


def test_seeds_multiply_runs_and_leave_the_teacher_at_seed_0(graph):
    made = graph(seeds=3)
    assert Counter(w["method"] for w in made.of("train"))["ecm"] == 3
    for key in made.makers(f"{RUN}/methods/hkd/seed2/weights.safetensors"):
        assert f"{RUN}/methods/edm/seed0/weights.safetensors" in made.inputs[key]


def test_a_single_number_is_a_target_of_its_own(graph):
    made = graph(targets=(f"{RUN}/methods/ecm/seed0/metrics/nfe1.json",))
    assert {w["method"] for w in made.of("train")} == {"edm", "ecm"}


# -- resources -------------------------------------------------------------------------------------------------------


def test_the_cpu_default_asks_for_no_gpu(graph):
    for name in ("embedded", "smoke"):
        assert {r.get("gpu", 0) for r in graph(name).resources.values()} == {0}


def test_gpus_are_asked_for_by_the_profile_and_change_nothing_that_is_made(smoke_graph, graph):
    after = graph(gpus=1)
    assert after.resources[("train", tuple(sorted(after.of("train")[0].items())))]["gpu"] == 1
    assert smoke_graph.changed(after) == set()


LIGHT = {"all", "tables", "figures", "table", "manifest", "samples_figure", "ablations_figure", "bars", "error_table",
         "framework_figure", "trajectories_figure", "editing_figure", "inpainting_figure", "stability_table",
         "stability_figure", "comparison"}  # fmt: skip


def test_every_job_says_what_it_needs(smoke_graph):
    for key, resources in smoke_graph.resources.items():
        if key[0] not in LIGHT:
            assert {"mem_mb", "runtime"} <= resources.keys(), key
            assert key[0] in ("prepare", "metrics") or "gpu" in resources, key  # these two load no network
            assert resources["_cores"] == 1


# -- what an edit makes again ----------------------------------------------------------------------------------------


def test_building_twice_changes_nothing(smoke_graph, graph):
    assert smoke_graph.changed(graph()) == set()


def test_the_learning_rate_of_ecm_reruns_ecm_only(smoke_graph, graph, checkout):
    path = checkout / "configs/methods/ecm.yaml"
    edit(path, "optimizer: {betas:", "optimizer: {lr: 1.5e-3, betas:")
    changed = smoke_graph.changed(graph())
    assert {rule for rule, _ in changed} == {"train"}
    assert methods_of(changed) == {"methods/ecm"}


@pytest.mark.parametrize(
    "old, new",
    [
        pytest.param("params:\n", "# a comment\nparams:\n", id="comment", marks=pytest.mark.slow),
        pytest.param("  q: 2.0 ", "  q: 2 ", id="2.0 to 2"),
        pytest.param("stage_steps: 25000 ", "stage_steps: 25000.0 ", id="25000 to 25000.0", marks=pytest.mark.slow),
        pytest.param("  p_std: 2.0                   # source: ECT, Table 5\n", "", id="reordered values"),
        pytest.param(
            "title: ECM\ncategory: Consistency Model\n",
            "category: Consistency Model\ntitle: ECM\n",
            id="reordered keys",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_what_means_the_same_reruns_nothing(smoke_graph, graph, checkout, old, new):
    edit(checkout / "configs/methods/ecm.yaml", old, new)
    if not new:  # put the line back, before its neighbour
        edit(checkout / "configs/methods/ecm.yaml", "  p_mean:", f"{old}  p_mean:")
    assert smoke_graph.changed(graph()) == set()


def test_a_statement_in_ecm_reruns_ecm_only(smoke_graph, graph, checkout):
    path = checkout / "hkd/methods/consistency/ecm.py"
    edit(path, "return (t * (1 - q ** -(stage + 1) * n))", "return (0.99 * t * (1 - q ** -(stage + 1) * n))")
    changed = smoke_graph.changed(graph())
    assert {rule for rule, _ in changed} == {"train", "sample"}
    assert methods_of(changed) == {"methods/ecm"}


def test_a_comment_in_ecm_reruns_nothing(smoke_graph, graph, checkout):
    edit(checkout / "hkd/methods/consistency/ecm.py", "class ECM(", "# easy consistency tuning\nclass ECM(")
    edit(
        checkout / "hkd/methods/consistency/ecm.py",
        '"""Return images from one evaluation at sigma_max."""',
        '"""One pass."""',
    )
    assert smoke_graph.changed(graph()) == set()


# what runs a network in the smoke benchmark, and what scores its images
NETWORKS = {"train", "sample", "shard", "manifest", "edit", "inpaint", "states", "stability"}


@pytest.mark.parametrize(
    "file, old, new, rules",
    [
        ("training/optim.py", "ramp * fall", "ramp * fall * 1.0", {"train", "extractor"}),
        ("nets/unet.py", "F.silu(self.dec[", "1.0 * F.silu(self.dec[", NETWORKS | {"framework_figure"}),
        pytest.param(
            "metrics/scores/frechet.py",
            "    return ",
            "    return 1.0 * ",
            {"reference", "features", "metrics", "stability"},
            marks=pytest.mark.slow,
        ),
        pytest.param("diffusion/samplers.py", "0.5 * (here", "0.500 * 1.0 * (here", NETWORKS, marks=pytest.mark.slow),
        ("report/tables.py", "def table(", "A = 1\n\n\ndef table(", {"table"}),
    ],
)
def test_a_shared_module_reruns_what_it_makes(smoke_graph, graph, checkout, file, old, new, rules):
    edit(checkout / "hkd" / file, old, new)
    changed = {rule for rule, _ in smoke_graph.changed(graph())}
    assert changed and changed <= rules
    assert "train" in changed or "train" not in rules


def test_the_number_of_samples_reruns_what_draws_and_compares_them(smoke_graph, graph, checkout):
    changed = smoke_graph.changed(graph(set={"sampling": {"n_samples": 64}}))
    assert {rule for rule, _ in changed} in ({"sample", "table"}, {"sample", "table", "stability"})


def test_a_seed_more_adds_jobs_and_touches_the_tables_only(smoke_graph, graph):
    after = graph(seeds=2)
    touched = {rule for rule, key in smoke_graph.changed(after) if (rule, key) in smoke_graph.params}
    assert touched <= LIGHT


def test_results_elsewhere_are_the_same_results(smoke_graph, graph):
    after = graph(results="elsewhere", figures="elsewhere/figures")
    assert smoke_graph.params.keys() == after.params.keys()
    assert smoke_graph.params == after.params


# -- mistakes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "file, old, new, expected",
    [
        ("methods/ecm.yaml", "stage_steps: 25000", "stage_step: 25000", "Did you mean 'stage_steps'"),
        ("benchmarks/smoke.yaml", "teacher: train", "teacher: trained", "teacher = 'trained'"),
        ("methods/hkd.yaml", "pairing: half", "pairing: halves", "'half' or 'adjacent'"),
    ],
)
def test_a_mistake_stops_before_any_job(graph, checkout, file, old, new, expected):
    from snakemake.exceptions import WorkflowError

    edit(checkout / "configs" / file, old, new)
    with pytest.raises(WorkflowError, match=expected):
        graph()


def test_touching_or_moving_a_data_archive_reruns_nothing_and_another_content_does(graph, checkout):
    import os

    archive = checkout / "mine.zip"
    archive.write_bytes(b"z" * 2_000_000)
    target = ("results/own/images/data/train/manifest.json",)

    def built(path):
        return graph("own", target, data={"images": {"path": str(path), "resolution": 16}})

    before = built(archive)
    os.utime(archive, (1, 1))
    assert before.changed(built(archive)) == set()
    moved = archive.rename(checkout / "elsewhere.zip")
    assert before.changed(built(moved)) == set()
    assert not any(str(moved) in paths for paths in before.inputs.values()), "its time would count"
    moved.write_bytes(b"z" * 1_999_999 + b"y")
    assert {rule for rule, _ in before.changed(built(moved))} == {"prepare"}
