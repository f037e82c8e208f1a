"""`hkd ship` compares unless it is told to write, and writes into the package's own folder alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from hkd.cli import Commands
from hkd.experiment.cards import retrained
from hkd.plan.runs import Plan
from hkd.settings.origins import ConfigError
from hkd.stages import ship
from hkd.store import shipped
from hkd.store.artifacts import save_weights
from hkd.store.atomic import write_json
from hkd.store.refusals import ArtifactError
from tests.fuzzed import COUNTS, refused
from tests.recorded import recorded

METRIC = "extractors/metric"
KNOWN = {"name": "tiny", "sha256": "a" * 64, "trained_sha256": "b" * 64, "quality": {"fdn_nfe1": 2.5}}


@pytest.fixture
def call(root, tmp_path, monkeypatch):
    """Call the command on the embedded benchmark, whose metric network was trained anew; nothing else was."""
    monkeypatch.chdir(root)
    commands, places = Commands(), ["--config", f"results={tmp_path}/results", "--config", "students=train"]
    ship.register(commands)
    plan = Plan.load("configs/benchmarks/embedded.yaml", {"results": f"{tmp_path}/results"})
    weights = Path(plan.layout.extractor("shapes16", "metric"))
    save_weights(weights, {"w": torch.ones(2)}, {"name": "FD-tiny"})
    recorded(plan, weights, quality={"class": 0.5})
    return lambda *words: CliRunner().invoke(commands.app, ["ship", "shapes16", *places, *words])


def test_retrained_weights_are_held_against_the_card(call):
    result = call("--only", METRIC)
    assert result.exit_code == 0, result.exception
    assert "extractors/metric (metric-shapes16): retrained to other bits" in result.output
    assert "class                    retrained 0.5000   card " in result.output


def test_writing_replaces_weights_and_card(call, tmp_path, monkeypatch):
    monkeypatch.setattr(shipped, "SHIPPED", tmp_path / "shipped")
    result = call("--only", METRIC, "--write")
    assert result.exit_code == 0, result.exception
    card = json.loads((tmp_path / "shipped/metric-shapes16.json").read_text())
    assert card["quality"] == {"class": 0.5} and card["trained_by"] == "make weights"
    assert shipped.shipped_weights("metric-shapes16")[0]["w"].tolist() == [1.0, 1.0]


def test_weights_are_not_replaced_and_kept_at_once(call):
    with pytest.raises(ConfigError, match=r"--write and --further: .* say one of the two"):
        raise call("--only", METRIC, "--write", "--further").exception


def test_what_a_data_set_does_not_ship_is_refused_with_the_nearest(call):
    with pytest.raises(ConfigError, match=r"shapes16: ships no 'extractors/metrics'. Did you mean 'extractors/metric'"):
        raise call("--only", "extractors/metrics").exception


def test_a_benchmark_ships_what_it_trains_itself(root, monkeypatch):
    monkeypatch.chdir(root)
    for name, trained in (("weights", "methods/edm"), ("students", "methods/hkd"), ("embedded", None)):
        plan = Plan.load(f"configs/benchmarks/{name}.yaml")
        known = plan.dataset("shapes16")
        found = retrained(plan, "shapes16", {**known.shipped, **known.students})
        assert set(found) <= ({trained} | set(known.students if name == "students" else known.shipped))
        assert trained in found if trained else not found


def test_a_row_that_is_trained_beside_its_shipped_sibling_never_takes_its_place(call):
    with pytest.raises(ConfigError, match="methods/hkd: this benchmark trains it beside the shipped one; name bench"):
        raise call("--only", "methods/hkd", "--write", "--config", "students=shipped").exception


@pytest.fixture
def card(tmp_path, monkeypatch) -> Path:
    """A card of its own in place of the package's."""
    monkeypatch.setattr(shipped, "SHIPPED", tmp_path)
    budget, shape = {"params": 5}, {"resolution": 8, "channels": 3, "label_dim": 0}
    further = {"seeds": [1, 2], "fdn_nfe1": [2.25, 2.75]}
    write_json(tmp_path / "tiny.json", {**KNOWN, "budget": budget, "shape": shape, "further": further})
    return tmp_path / "tiny.json"


@pytest.mark.parametrize("count", COUNTS)
def test_a_damaged_card_is_refused_in_one_line(card, count):
    assert refused(card, lambda: shipped.read_card("tiny"), count, ArtifactError) > count // 4


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"sha256": 3}, "its field 'sha256' is of type int, not str: 3"),
        ({"quality": {"fdn_nfe1": "low"}}, "its field 'quality.fdn_nfe1' is of type str, not int or float: 'low'"),
        ({"mood": "good"}, "its key 'mood' is not known: 'good'"),
        ({"name": "other"}, "its field 'name' is 'other'"),
        ({"budget": {"params": -5}}, "its field 'budget.params' is negative: -5"),
        ({"start": {"base": "methods/edm", "weights": "raw"}}, "its field 'start.source' is missing"),
        ({"shape": {"resolution": 8}}, "its field 'shape.channels' is missing"),
        ({"further": {"fdn_nfe1": [2.0]}}, "its field 'further' has other entries than 'seeds' and those of 'quality'"),
        ({"further": {"seeds": [1]}}, "its field 'further' has other entries than 'seeds' and those of 'quality'"),
        ({"further": {"seeds": [1], "fdn_nfe1": [2.0, 3.0]}}, "its field 'further' has 2 of 'fdn_nfe1' for 1 seeds"),
        ({"further": {"seeds": [True], "fdn_nfe1": [2.0]}}, "its field 'seeds 0' is of type bool, not int"),
        (
            {"further": {"seeds": [1, 1], "fdn_nfe1": [2.0, 2.0]}},
            "its field 'further' has seeds that are none",
        ),
        ({"further": {"seeds": [0], "fdn_nfe1": [2.0]}}, "its field 'further' has seeds that are none"),
        ({"further": {"seeds": [], "fdn_nfe1": []}}, "its field 'further' has seeds that are none"),
        ({"further": {"seeds": [1], "fdn_nfe1": ["low"]}}, "its field 'fdn_nfe1 0' is of type str, not int or float"),
    ],
)
def test_a_card_of_other_fields_is_refused(card, change, expected):
    card.write_text(json.dumps({**json.loads(card.read_text()), **change}))
    with pytest.raises(
        ArtifactError, match=f"tiny.json: {expected}.*; it is damaged or of another version: restore it"
    ):
        shipped.read_card("tiny")


def test_further_trainings_are_put_on_a_card_and_its_weights_stay(card):
    before = json.loads(card.read_text())
    shipped.add_further("tiny", {"seeds": [1, 2], "fdn_nfe1": [2.5, 3.5]})
    assert shipped.read_card("tiny") == {**before, "further": {"seeds": [1, 2], "fdn_nfe1": [2.5, 3.5]}}
    with pytest.raises(ArtifactError, match=r"tiny.json: further trainings: its field 'further' has 1 of 'fdn_nfe1'"):
        shipped.add_further("tiny", {"seeds": [1, 2], "fdn_nfe1": [2.5]})
    assert shipped.read_card("tiny")["further"]["seeds"] == [1, 2], "a refused one changes nothing"


def test_the_command_puts_further_trainings_on_all_cards_or_on_none(call, tmp_path, monkeypatch):
    monkeypatch.setattr(shipped, "SHIPPED", tmp_path / "shipped")
    rows = ("methods/hkd", "methods/kd")
    for row in rows:
        name = f"{row.partition('/')[2]}-shapes16"
        write_json(tmp_path / f"shipped/{name}.json", KNOWN | {"name": name})
    found = {rows[0]: {"seeds": [1], "fdn_nfe1": [2.0]}}
    monkeypatch.setattr("hkd.experiment.cards.further", lambda plan, dataset, what, known: found[what])
    assert isinstance(call("--only", rows[0], "--only", rows[1], "--further").exception, KeyError)
    assert "further" not in shipped.read_card("hkd-shapes16")
    found[rows[1]] = {"seeds": [1], "fdn_nfe1": [3.0]}
    result = call("--only", rows[0], "--only", rows[1], "--further")
    assert result.exit_code == 0 and "methods/kd: wrote " in result.output
    assert shipped.read_card("hkd-shapes16")["further"] == found[rows[0]]
    with pytest.raises(ConfigError, match=r"extractors/metric: further trainings are told of rows alone"):
        raise call("--only", METRIC, "--further").exception


def test_shipped_runs_are_the_last_of_their_steps_and_their_cards_say_so():
    cards = [shipped.read_card(path.stem) for path in shipped.SHIPPED.glob("*.json")]
    runs = [card for card in cards if "budget" in card]
    assert runs and {card["checkpoint"] for card in runs} == {"last"}
    assert all(card["budget"]["steps"] == card["recipe"]["training"]["steps"] for card in runs)
