"""Rows with shipped weights stand beside rows that a run trains, and neither takes the other's settings or files."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hkd.cli import Commands
from hkd.plan import rows
from hkd.plan.check import check_settings
from hkd.plan.runs import Plan
from hkd.plan.stages import METRICS, TABLE, TRAIN
from hkd.settings.names import check_method
from hkd.settings.origins import ConfigError
from hkd.stages import train
from hkd.store import shipped
from hkd.store.artifacts import load_weights
from hkd.store.records import read_record

ON = "shapes16"
MOST_BYTES = 14_000_000


@pytest.fixture
def plan(root, monkeypatch):
    """Return the plan of the default benchmark under overrides."""
    monkeypatch.chdir(root)
    return lambda **overrides: Plan.load("configs/benchmarks/embedded.yaml", overrides)


def methods(plan: Plan, table: str) -> list[str | None]:
    return [row.method for row in rows.rows(plan, table)]


def test_a_row_takes_shipped_weights_and_its_sibling_is_trained_beside_it_and_says_so(plan):
    found = rows.rows(plan(), "table1")
    first, beside = next(pair for pair in pairwise(found) if pair[0].method == "shipped/hkd")
    assert (first.label, beside.label, beside.method) == ("HKD", "HKD, trained in this run", "methods/hkd")
    assert first.fid == 3.3 and beside.fid is None and first.category == beside.category
    assert [plan().route(ON, str(row.method)) for row in (first, beside)] == ["shipped", "train"]
    assert rows.row_title(plan(), plan().table("table1"), "methods/hkd") == beside.label


def test_ablations_and_what_they_are_held_against_are_trained_in_the_run(plan):
    assert not [method for method in methods(plan(), "table3") if method and method.startswith("shipped/")]
    assert rows.row_title(plan(), plan().table("table3"), "methods/hkd") == "HKD"


def test_everything_is_trained_on_request_and_no_row_stands_twice(plan):
    found = methods(plan(students="train"), "table1")
    assert "methods/hkd" in found and not [method for method in found if method and method.startswith("shipped/")]
    assert found.count("methods/hkd") == 1


def test_every_shipped_student_has_its_row_and_the_card_of_its_own_training(plan):
    made = plan()
    known = made.dataset(ON).students
    assert known and set(known) <= {f"methods/{Path(str(method)).name}" for method in methods(made, "table1")}
    for method, name in known.items():
        card, run = shipped.read_card(name), made.run(ON, made.student(ON, method))
        assert run.training.steps == card["budget"]["steps"] == card["recipe"]["training"]["steps"]
        for key, value in card["recipe"]["params"].items():
            assert run.params[key] == (tuple(value) if isinstance(value, list) else value)
        assert card["cpu_seconds"] > 60 and card["quality"]["fdn_nfe1"] > 0 and card["trained_by"] == "make weights"


def test_a_table_knows_which_rows_others_stand_on(plan):
    said = rows.teachers(plan(), "table1")
    assert said[0].startswith("EDM: teacher or starting point of DMD; ECM; HKD; ")
    assert "DDPM: teacher or starting point of DDIM; KD." in said
    assert not any(line.startswith(("HKD", "KD")) or "trained in this run" in line for line in said)


def test_the_cards_of_rows_with_given_weights_say_what_their_training_took(plan):
    found = rows.spent(plan(), "table1")
    assert found["shipped/kd"] == shipped.read_card("kd-shapes16")["cpu_seconds"]
    assert found["methods/edm"] == shipped.read_card("edm-shapes16")["cpu_seconds"]
    assert not {"methods/hkd", "methods/ddim", "methods/untrained"} & found.keys()
    assert "methods/edm" not in rows.spent(plan(teacher="train"), "table1")
    work = [TABLE.work(made, table="table1") for made in (plan(), plan(teacher="train"))]
    assert work[0].digest != work[1].digest


def test_who_only_makes_the_pairs_of_a_row_is_its_teacher_too(plan):
    assert "DDIM: teacher or starting point of KD." in rows.teachers(plan(), "table1")


def test_a_card_whose_budget_has_the_processor_time_is_not_asked_twice(plan, monkeypatch):
    made, card = plan(), shipped.read_card("kd-shapes16")
    budget = card["budget"] | {"train_cpu_seconds": None}
    monkeypatch.setattr(rows, "read_card", lambda name, what="": card | {"budget": budget} if "kd" in name else {})
    assert rows.spent(made, "table1") == {}


def test_the_benchmark_of_students_trains_each_by_the_recipe_on_its_card(root):
    """Whatever the settings of rows that a run trains become since."""
    made = Plan.load(str(root / "configs/benchmarks/students.yaml"), configs=root / "configs")
    for method, name in made.dataset(ON).students.items():
        card, run = shipped.read_card(name)["recipe"], made.run(ON, method).model_dump(mode="json")
        for key in ("network", "params", "training"):  # keys that came after the card say nothing
            assert {k: run[key][k] for k in card[key]} == card[key], method
        start = ("init", "init_weights", "feed")
        assert [run[key] for key in start] == [card[key] for key in start], method


def test_the_benchmarks_settings_of_training_reach_the_live_row_alone(plan):
    other = {"training": {"steps": 7, "batch": 16}, "network": {"model_channels": 8}, "sampling": {"n_samples": 500}}
    live, student = (plan(set=other).run(ON, f"{group}/hkd") for group in ("methods", "shipped"))
    assert (live.training.steps, live.training.batch, live.network["model_channels"]) == (7, 16, 8)
    assert (student.training.steps, student.training.batch, student.network["model_channels"]) == (2000, 32, 16)
    assert live.sampling.n_samples == student.sampling.n_samples == 500
    digests = [TRAIN.work(made, dataset=ON, method="shipped/hkd", seed=0).digest for made in (plan(), plan(set=other))]
    assert digests[0] == digests[1]


def test_a_student_needs_no_trajectories_and_what_measures_it_reads_its_own_files(plan):
    work = TRAIN.work(plan(), dataset=ON, method="shipped/hkd", seed=0)
    assert work.inputs() == [] and work.settings["shipped"] == shipped.shipped_digest("hkd-shapes16")
    measured = METRICS.work(plan(), dataset=ON, method="shipped/hkd", seed=0, nfe=1)
    assert {path.split("/")[2] for path in measured.inputs("weights", "samples", "features")} == {"shipped"}


def test_settings_that_no_row_would_follow_are_refused(plan, monkeypatch):
    check_settings(plan(methods={"hkd": {"training": {"steps": 7}}}))  # its live row does
    check_settings(plan(methods={"hkd": {"sampling": {"n_samples": 500}}}))
    alone = {"methods": {"hkd": {"training": {"steps": 7}}}, "tables": {"table1": {"live": []}, "table3": {"run": []}}}
    with pytest.raises(ConfigError, match=r"--config: methods.hkd: its row of table1 takes shipped weights, which no"):
        check_settings(plan(**alone))
    check_settings(plan(**alone, students="train"))
    with pytest.raises(
        ConfigError, match=r"tables.table1.live: there is no run 'methods/hkt'. Did you mean 'methods/hkd"
    ):
        check_settings(plan(tables={"table1": {"live": ["methods/hkt"]}}))


def test_a_student_that_is_not_shipped_is_refused_with_those_that_are(plan):
    with pytest.raises(
        ConfigError, match=r"shipped/ddim: shapes16 ships no student 'methods/ddim'. Did you mean 'meth"
    ):
        plan().run(ON, "shipped/ddim")
    with pytest.raises(ConfigError, match="shipped/hkd: shapes8 ships no student 'methods/hkd'"):
        plan().run("shapes8", "shipped/hkd")
    with pytest.raises(ConfigError, match=r"no method 'shipped/hkt'. Did you mean 'shipped/hkd'"):
        check_method("shipped/hkt")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda recipe: recipe["params"].update(twist=1), "its key 'recipe.params.twist' is not known: 1"),
        (lambda recipe: recipe.update(target="hkd.methods.gone.Gone"), "gone"),
        (lambda recipe: recipe.update(mood="good"), "its key 'recipe.mood' is not known: 'good'"),
        (lambda recipe: recipe.pop("training"), "its recipe.training is no mapping: None"),
        (lambda recipe: recipe["network"].update(preset="nope"), "network.preset: expected one of"),
        (lambda recipe: recipe.update(training=3), "its recipe.training is no mapping: 3"),
    ],
)
def test_weights_of_another_version_are_refused_in_one_line(plan, tmp_path, monkeypatch, change, why):
    card = shipped.read_card("hkd-shapes16")
    change(card["recipe"])
    monkeypatch.setattr(shipped, "SHIPPED", tmp_path)
    (tmp_path / "hkd-shapes16.json").write_text(json.dumps(card))
    with pytest.raises(
        ConfigError, match=r"hkd-shapes16.json: .*; it is damaged or of another version: restore it"
    ) as refused:
        plan().run(ON, "shipped/hkd")
    assert why in str(refused.value) and "--config students=train" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_adopted_weights_carry_the_costs_and_the_recipe_of_their_own_training(plan, tmp_path):
    commands = Commands()
    train.register(commands)
    done = CliRunner().invoke(commands.app, ["train", ON, "shipped/hkd", "--config", f"results={tmp_path}"])
    assert done.exit_code == 0, done.exception
    weights = Path(plan(results=str(tmp_path)).layout.run(ON, "shipped/hkd", 0).weights)
    record, card = read_record(weights, "train"), shipped.read_card("hkd-shapes16")
    assert record["route"] == "shipped" and record["budget"] == card["budget"]
    assert record["settings"]["training"]["steps"] == card["budget"]["steps"]
    assert record["start"] == card["start"] and record["trajectories"] == card["trajectories"]
    assert load_weights(weights).keys() == load_weights(shipped.SHIPPED / "hkd-shapes16.safetensors").keys()


def test_all_shipped_weights_together_stay_small():
    files = list(shipped.SHIPPED.glob("*.safetensors"))
    assert files and sum(path.stat().st_size for path in files) <= MOST_BYTES


def test_further_trainings_of_a_card_stand_behind_the_shipped_one_and_make_the_table_anew(plan, monkeypatch):
    before, known = TABLE.work(plan(), table="table1").settings_digest, shipped.read_card
    further = {"seeds": [1], "fdn_nfe1": [11.0]}
    monkeypatch.setattr(rows, "read_card", lambda *of: {**known(*of), "further": further})
    found = {method: values for method, nfe, values in rows.trainings(plan(), "table1") if nfe == 1}
    assert found["shipped/hkd"] == [known("hkd-shapes16")["quality"]["fdn_nfe1"], 11.0]
    assert "methods/hkd" not in found and not any(method.startswith("methods/") for method in found)
    assert TABLE.work(plan(), table="table1").settings_digest != before
