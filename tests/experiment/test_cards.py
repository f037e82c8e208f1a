"""What retrained weights would be shipped with, and how they are held against the shipped ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hkd.experiment.cards import card, compared, further
from hkd.plan.runs import Plan
from hkd.store.artifacts import read_json
from hkd.store.atomic import sha256, write_text
from hkd.store.records import record_path
from hkd.store.refusals import ArtifactError
from tests.recorded import recorded

DATASET = "shapes16"
BASES = ("methods/edm", "methods/edm_ve", "methods/ddpm")


@pytest.fixture
def plan(root, tmp_path) -> Plan:
    """The embedded benchmark, with a teacher and an extractor that were trained and measured."""
    made = Plan.load(
        str(root / "configs/benchmarks/embedded.yaml"), {"results": str(tmp_path), "teacher": "train"}, root / "configs"
    )
    for weights in (made.layout.extractor(DATASET, "metric"), *(made.base_weights(DATASET, base) for base in BASES)):
        write_text(weights, f"weights of {weights}")
    recorded(made, made.layout.extractor(DATASET, "metric"), quality={"class": 0.99})
    recorded(made, made.base_weights(DATASET, "methods/edm"), budget={"params": 5})
    recorded(made, made.base_weights(DATASET, "methods/edm_ve"))
    shape = {"resolution": 16, "channels": 3, "label_dim": 4}
    put(made.layout.data(DATASET, "train").manifest, {**shape, "count": 9})
    measure(made, "methods/edm", 35, 3.25)
    return made


def measure(plan: Plan, method: str, nfe: int, fdn: float, seed: int = 0) -> None:
    path = plan.layout.run(DATASET, method, seed).metrics(nfe)
    put(path, {"metrics": {"fdn": fdn}})
    recorded(plan, path)


def put(path: str, content: Any) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(json.dumps(content))


def test_the_card_of_a_run_says_what_made_it_of_what_shape_at_which_cost_and_how_good_it_is(plan):
    weights, made = card(plan, DATASET, "methods/edm")
    assert str(weights) == plan.base_weights(DATASET, "methods/edm")
    assert made["quality"] == {"fdn_nfe35": 3.25} and made["budget"] == {"params": 5}
    assert made["shape"] == {"resolution": 16, "channels": 3, "label_dim": 4}
    assert made["recipe"] == plan.run(DATASET, "methods/edm").model_dump(mode="json")
    assert made["trained_sha256"] == sha256(weights) and made["title"].endswith(f" on {plan.dataset(DATASET).title}")


def test_the_processor_time_on_a_card_is_that_of_all_attempts_where_the_training_counted_it(plan):
    record = read_json(record_path(plan.base_weights(DATASET, "methods/edm")), "train")
    assert card(plan, DATASET, "methods/edm")[1]["cpu_seconds"] == record["cpu_seconds"]
    recorded(plan, plan.base_weights(DATASET, "methods/edm"), budget={"params": 5, "train_cpu_seconds": 1234.5})
    assert card(plan, DATASET, "methods/edm")[1]["cpu_seconds"] == 1234.5


def test_the_card_of_an_extractor_has_the_quality_of_its_record_and_no_shape(plan):
    weights, made = card(plan, DATASET, "extractors/metric")
    assert str(weights) == plan.layout.extractor(DATASET, "metric")
    assert made["quality"] == {"class": 0.99} and not {"shape", "budget"} & made.keys()


def test_a_card_has_the_quality_of_runs_that_sample_the_same_weights_otherwise(plan):
    weights = plan.base_weights(DATASET, "methods/ddpm")
    recorded(plan, weights)
    measure(plan, "methods/ddim", 10, 9.5)
    _, made = card(plan, DATASET, "methods/ddpm")
    assert made["quality"] == {"fdn_ddim_nfe10": 9.5}


def test_weights_that_nothing_has_measured_get_no_card(plan):
    with pytest.raises(ArtifactError, match=r"methods/edm_ve on shapes16: no metrics .*run `make weights`"):
        card(plan, DATASET, "methods/edm_ve")


def test_weights_that_were_never_trained_are_named(plan):
    with pytest.raises(ArtifactError, match=r"score_sde/seed0.*missing; run `hkd train`"):
        card(plan, DATASET, "methods/score_sde")


@pytest.mark.parametrize(("theirs", "said"), [("a", "the same bits"), ("b", "other bits")])
def test_a_comparison_says_whether_the_bits_are_the_same_and_both_qualities(theirs, said):
    made = {"trained_sha256": "a", "quality": {"fdn_nfe35": 3.25, "new": 1.0}}
    first, known, new = compared(
        "methods/edm", "edm-shapes16", made, {"trained_sha256": theirs, "quality": {"fdn_nfe35": 3.5}}
    )
    assert first == f"methods/edm (edm-shapes16): retrained to {said}"
    assert known.split() == ["fdn_nfe35", "retrained", "3.2500", "card", "3.5000"]
    assert new.split() == ["new", "retrained", "1.0000", "card", "nan"]


PAIRS = {"count": 4096, "seed": 1000}


@pytest.fixture
def students(root, tmp_path):
    """Return the benchmark of the shipped students, of three seeds unless told otherwise."""
    path = str(root / "configs/benchmarks/students.yaml")
    return lambda **changes: Plan.load(path, {"results": str(tmp_path), "seeds": 3, **changes}, root / "configs")


def trained(plan: Plan, seed: int, **facts: Any) -> None:
    weights = plan.layout.run(DATASET, "methods/hkd", seed).weights
    write_text(weights, f"weights of {weights}")
    recorded(plan, weights, **{"trajectories": PAIRS, **facts})


def on_its_card(plan: Plan) -> dict[str, Any]:
    run, data = plan.run(DATASET, "methods/hkd"), plan.dataset(DATASET).data
    made = {"recipe": run.model_dump(mode="json"), "data": data.model_dump(mode="json"), "trajectories": PAIRS}
    return {**made, "quality": {"fdn_nfe1": 10.0}}


def test_further_trainings_are_those_of_the_cards_recipe_from_other_seeds(students):
    plan = students()
    for seed, fdn in ((1, 11.5), (2, 12.5)):
        with pytest.raises(ArtifactError, match=rf"hkd/seed{seed}.*missing"):
            further(plan, DATASET, "methods/hkd", on_its_card(plan))
        trained(plan, seed)
        measure(plan, "methods/hkd", 1, fdn, seed=seed)
    assert further(plan, DATASET, "methods/hkd", on_its_card(plan)) == {"seeds": [1, 2], "fdn_nfe1": [11.5, 12.5]}
    older = on_its_card(plan)
    del older["recipe"]["training"]["nonfinite"]
    assert further(plan, DATASET, "methods/hkd", older), "a key that the card is older than says nothing"
    trained(plan, 2, trajectories={**PAIRS, "count": 64})
    with pytest.raises(ArtifactError, match=r"methods/hkd, seed 2: trajectories.count is 64 here and 4096 on its card"):
        further(plan, DATASET, "methods/hkd", on_its_card(plan))


def test_a_further_training_without_a_score_is_named(students):
    plan = students(seeds=2)
    trained(plan, 1)
    path = plan.layout.run(DATASET, "methods/hkd", 1).metrics(1)
    put(path, {"diverged_at": 7})
    recorded(plan, path)
    with pytest.raises(ArtifactError, match=r"seed1/metrics/nfe1.json: holds no FDn; its training diverged"):
        further(plan, DATASET, "methods/hkd", on_its_card(plan))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seeds": 1}, "the benchmark has one seed; say --config seeds=3"),
        ({"teacher": "train"}, "further trainings are made here from shipped bases"),
        ({"extractors": "train"}, "further trainings are made here from shipped bases"),
        ({"methods": {"hkd": {"training": {"steps": 9}}}}, "recipe.training.steps is 9 here and 2000 on its card"),
        ({"set": {"sampling": {"n_samples": 50}}}, "recipe.sampling.n_samples is 50 here and 1000 on its card"),
        ({"data": {"shapes16": {"count": 999}}}, "data.count is 999 here and 20000 on its card"),
    ],
)
def test_trainings_of_another_kind_are_no_further_ones(students, changes, said):
    with pytest.raises(ArtifactError, match=f"methods/hkd: {said}"):
        further(students(**changes), DATASET, "methods/hkd", on_its_card(students()))
