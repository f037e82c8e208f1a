"""The plan of the ambiguity study: one choice at a time, an equal budget, and no open choice forgotten."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest

from hkd.plan.runs import Plan
from hkd.plan.stages import TRAIN
from hkd.settings.origins import ConfigError
from hkd.settings.signatures import constructor_arguments
from hkd.studies.ambiguity import plan as ambiguity

CONFIGS = Path(__file__).resolve().parents[3] / "configs"
DATASET = "shapes16"


@cache
def plan() -> Plan:
    return Plan.load(str(CONFIGS / "benchmarks/embedded.yaml"), configs=CONFIGS)


def changed(**study) -> Plan:
    return Plan.load(str(CONFIGS / "benchmarks/embedded.yaml"), {"studies": {"ambiguity": study}}, CONFIGS)


STUDY = ambiguity.settings(plan())
RUN = [name for name, variation in STUDY.variations.items() if variation.set]
# not readings of the paper but questions of ours: abl_coupled, abl_closure_loss
EXPLAINED = {"coupling", "closure_norm"}


def flat(values: dict[str, Any], path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    found: dict[tuple[str, ...], Any] = {}
    for key, value in values.items():
        here = (*path, key)
        found |= flat(value, here) if isinstance(value, dict) and here[-1] != "ema" else {here: value}
    return found


@cache
def settings(name: str) -> dict[tuple[str, ...], Any]:
    return flat(plan().run(DATASET, f"ambiguity/{name}").model_dump())


@pytest.mark.parametrize("name", RUN)
def test_a_variation_differs_from_what_it_varies_in_what_it_states_and_nothing_else(name):
    own, other = settings(name), settings(STUDY.variations[name].against)
    stated = flat(STUDY.variations[name].set)
    different = {key for key in own if own[key] != other.get(key)}
    assert different <= set(stated), "the literal values are stated at every scale, whatever it takes otherwise"
    assert different == set(stated) or name == "all_literal"


def test_the_centre_is_hkd_as_the_embedded_scale_has_it_but_for_its_length_its_batch_and_the_number_of_images():
    hkd = flat(plan().run(DATASET, "methods/hkd").model_dump())
    assert {key for key in hkd if hkd[key] != settings("centre")[key]} == {
        ("sampling", "n_samples"),
        ("sampling", "nominal"),
        ("training", "steps"),
        ("training", "warmup_steps"),
        ("training", "batch"),
        ("training", "milestones"),
    }


@pytest.mark.parametrize("name", RUN)
def test_every_arm_has_the_same_steps_and_as_many_evaluations(name):
    def budget(arm):
        values = settings(arm)
        images = values["training", "batch"] * (1 + values["params", "n_intermediate"])
        return values["training", "steps"], images

    assert budget(name)[0] == budget("centre")[0]
    assert budget(name)[1] == pytest.approx(budget("centre")[1], rel=0.02)


@pytest.mark.parametrize("name", RUN)
def test_what_is_called_the_papers_is_what_the_full_scale_takes(name):
    paper = flat(
        Plan.load(str(CONFIGS / "benchmarks/embedded.yaml"), {"scale": "paper"}, CONFIGS)
        .run_layers("cifar10", "methods/hkd")
        .values
    )
    stated = {key: value for key, value in flat(STUDY.variations[name].set).items() if key != ("training", "batch")}
    assert STUDY.variations[name].paper == all(paper.get(key) == value for key, value in stated.items())


def test_no_choice_is_forgotten():
    choices = {
        k: get_args(t) for k, t in constructor_arguments("hkd.methods.hkd.HKD").items() if get_origin(t) is Literal
    }
    tried = {variation.choice for variation in STUDY.variations.values()}
    assert set(choices) - tried == EXPLAINED


def test_every_seed_of_every_arm_is_measured_once():
    files = [path for paths in ambiguity.arms(plan()).values() for path in paths]
    assert len(files) == len(set(files)) == STUDY.seeds * (1 + len(RUN))
    assert f"results/{DATASET}/ambiguity/centre/seed0/metrics/nfe1.json" in files


def digest(plan: Plan, name: str) -> str:
    return TRAIN.work(plan, dataset=DATASET, method=f"ambiguity/{name}", seed=0).digest


def test_a_changed_variation_is_trained_anew_and_no_other():
    other = changed(variations={"lambda2_small": {"set": {"params": {"lambda2": 0.9}}}})
    again = {name for name in RUN if digest(plan(), name) != digest(other, name)}
    assert again == {"lambda2_small"}
    assert ambiguity.TABLE.work(plan()).digest != ambiguity.TABLE.work(other).digest


def test_a_benchmark_may_ask_for_some_variations_alone():
    some = changed(only=["four_times", "combine_sum"], seeds=3)
    assert set(ambiguity.arms(some)) == {"centre", "four_times", "combine_sum"}
    assert all(len(paths) == 3 for paths in ambiguity.arms(some).values())
    with pytest.raises(ConfigError, match=r"runs no such variation"):
        some.run(DATASET, "ambiguity/lambda2_small")


def test_the_centre_of_the_overrides_is_hkd_as_the_small_scale_had_it_when_they_were_asked():
    """Its readings were seven, and Adam's memory short: what is taken back has to be there first."""
    asked = Plan.load(str(CONFIGS / "benchmarks/overrides.yaml"), configs=CONFIGS)
    run = asked.run(DATASET, "ambiguity/centre")
    readings = {"time_map": "rho", "operator_lr_scale": 10.0, "time_dist": "uniform_index", "time_states": "grid"}
    readings |= {"n_intermediate": 1, "lambda1_law": "constant", "lambda2": 0.3}
    assert readings.items() <= run.params.items()
    assert run.training.optimizer.betas == (0.9, 0.99)
    assert (run.training.steps, run.training.warmup_steps, run.training.batch) == (80, 16, 32)
    assert set(ambiguity.arms(asked)) == {"centre", *ambiguity.settings(asked).only}


# -- mistakes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "study, message",
    [
        ({"seeds": 1}, r"seeds = 1 is not usable"),
        ({"variations": {"x": {"choice": "a", "value": "b"}}}, r"either what it sets"),
        ({"variations": {"x": {"choice": "a", "value": "b", "set": {"params": {}}, "not_run": "c"}}}, r"either"),
        (
            {"variations": {"x": {"choice": "a", "value": "b", "against": "four_tims", "set": {"feed": "none"}}}},
            r"Did you mean 'four_times'",
        ),
        ({"only": ["four_tims"]}, r"only: 'four_tims'. Did you mean 'four_times'"),
        ({"only": ["combine_sum"]}, r"only: 'combine_sum' varies 'four_times', which is not among them; name that too"),
        ({"variatons": {}}, r"unknown key '(studies.ambiguity.)?variatons'. Did you mean 'variations'"),
    ],
)
def test_a_mistake_in_the_study_is_named(study, message):
    with pytest.raises(ConfigError, match=message):
        ambiguity.settings(changed(**study))


def test_a_mistyped_setting_of_a_variation_is_named_with_its_file_and_line(tmp_path):
    import shutil

    shutil.copytree(CONFIGS, tmp_path / "configs")
    path = tmp_path / "configs/studies/ambiguity.yaml"
    path.write_text(path.read_text().replace("{pairing: adjacent}", "{pairng: adjacent}"))
    copied = Plan.load(str(tmp_path / "configs/benchmarks/embedded.yaml"), configs=tmp_path / "configs")
    with pytest.raises(
        ConfigError, match=r"studies/ambiguity\.yaml:\d+: unknown key 'pairng'\. Did you mean 'pairing'"
    ):
        copied.run(DATASET, "ambiguity/pairing_adjacent")


def test_a_variation_that_is_not_run_has_no_settings():
    with pytest.raises(ConfigError, match=r"ambiguity/spectral: .* runs no such variation"):
        plan().run(DATASET, "ambiguity/spectral")
