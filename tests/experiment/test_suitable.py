"""Shipped weights are adopted only with a card that fits them, and a card that does not is named in one line."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hkd import job
from hkd.experiment.adopting import adopt
from hkd.experiment.suitable import check_run
from hkd.plan.runs import Plan
from hkd.plan.stages import EXTRACTOR, TRAIN
from hkd.settings.origins import ConfigError
from hkd.store import shipped
from hkd.store.refusals import ArtifactError
from tests.fuzzed import COUNTS, refused

ON, GONE = "shapes16", "is taken out"
STUDENT, BASE, NETWORK = "shipped/hkd", "methods/edm", "extractors/perceptual"
NAMES = {STUDENT: "hkd-shapes16", BASE: "edm-shapes16", NETWORK: "perceptual-shapes16"}
KEYS = {STUDENT: "students", BASE: "teacher", NETWORK: "extractors"}
Give = Callable[..., None]


@pytest.fixture
def cards(tmp_path, monkeypatch) -> Path:
    """The package's weights and cards in a folder of their own."""
    folder = tmp_path / "shipped"
    folder.mkdir()
    for file in shipped.SHIPPED.iterdir():
        (folder / file.name).symlink_to(file)
    monkeypatch.setattr(shipped, "SHIPPED", folder)
    shipped.shipped_digest.cache_clear()
    return folder


@pytest.fixture
def give(cards, root, tmp_path) -> Give:
    """Adopt weights whose card has one entry otherwise, under overrides of the default benchmark."""

    def run(what: str, key: str = "", value: object = None, **overrides: Any) -> None:
        if key:
            change(cards / f"{NAMES[what]}.json", key, value)
        own = {"results": str(tmp_path / "results"), **overrides}
        plan = Plan.load(str(root / "configs/benchmarks/embedded.yaml"), own, root / "configs")
        if what == NETWORK:
            adopt(EXTRACTOR.work(plan, dataset=ON, role="perceptual"), job.record)
        else:
            adopt(TRAIN.work(plan, dataset=ON, method=what, seed=0), job.record)

    return run


def change(card: Path, key: str, value: object) -> None:
    """Write a card in place of a linked one, with another value of an entry, or without it."""
    content = json.loads(card.read_text())
    *above, last = key.split(".")
    section = content
    for name in above:
        section = section[name]
    section.pop(last, None)
    if value != GONE:
        section[last] = value
    card.unlink()
    card.write_text(json.dumps(content))


OF_A_RUN = [
    ("recipe.network.model_channels", 32, "recipe.network.model_channels is 32"),
    ("recipe.network.preset", "ncsnpp", "recipe.network.preset is 'ncsnpp'"),
    ("recipe.network.preset", "nope", "found 'nope'"),
    ("recipe.network.num_blocks", 100, "recipe.network has 3 levels of 100 blocks"),
    ("recipe.network.num_blocks", 10**12, "num_blocks = 1000000000000 is not usable"),
    ("recipe.network.model_channels", 10**30, "has a whole number of more than 64 bits"),
    ("recipe.network.channel_mult", [1] * 1000, "recipe.network has 1000 levels of 1 blocks"),
    ("recipe.network.depth", 3, "its key 'recipe.network.depth' is not known: 3"),
    ("recipe.network", "deep", "its recipe.network is no mapping: 'deep'"),
    ("recipe.conditional", True, "recipe.conditional is True"),
    ("recipe.conditional", "maybe", "recipe.conditional = 'maybe'"),
    ("recipe.target", "os.system", "its recipe.target is 'os.system'"),
    ("recipe.target", "hkd.methods.multistep.ddpm.DDPM", "its recipe.target is 'hkd.methods.multistep.ddpm.DDPM'"),
    ("recipe.training.steps", "many", "recipe.training.steps = 'many'"),
    ("recipe.params.twist", 1, "its key 'recipe.params.twist' is not known: 1"),
    ("recipe.mood", {"of": "all"}, "its key 'recipe.mood' is not known: {'of': 'all'}"),
    ("budget", GONE, "its field 'budget' is missing"),
    ("budget.steps", GONE, "its field 'budget.steps' is missing"),
    ("budget.steps", "many", "its field 'budget.steps' is of type str, not int: 'many'"),
    ("budget.steps", 7, "its budget.steps is 7, and its recipe says"),
    ("budget.params", 7, "its budget.params is 7, its network has 3"),
    ("budget.train_images", -1, "its field 'budget.train_images' is negative: -1"),
    ("budget.mood", 1, "its key 'budget.mood' is not known: 1"),
    ("data", GONE, "its field 'data' is missing"),
    ("data.seed", 3, "its data.seed is 3, and shapes16 has 0"),
    ("data.mood", 3, "its key 'data.mood' is not known: 3"),
    ("shape", GONE, "its field 'shape' is missing"),
    ("shape.resolution", 32, "its shape.resolution is 32, and shapes16 has 16 pixels a side"),
    ("shape.resolution", -1, "that of no image"),
    ("shape.channels", 4, "its network does not fit the weights"),
    ("shape.label_dim", 10**12, "its shape.label_dim is 1000000000000, that of no image"),
    ("checkpoint", 3, "its field 'checkpoint' is of type int, not str: 3"),
    ("mood", "good", "its key 'mood' is not known: 'good'"),
    ("name", "other", "its field 'name' is 'other'"),
]
OF_A_STUDENT = [
    ("start.base", "methods/nope", "its start.base is 'methods/nope', and its recipe says 'methods/edm'"),
    ("start.weights", "best", "its start.weights is 'best', neither averaged nor raw"),
    ("start.mood", 1, "its key 'start.mood' is not known: 1"),
    ("start", None, "its start is None, and its recipe says 'methods/edm'"),
    ("trajectories", {}, "its trajectories is {}, and its recipe.feed 'trajectories/edm-heun'"),
    ("trajectories.steps", "some", "trajectories.steps = 'some'"),
    ("trajectories.mood", 1, "its key 'trajectories.mood' is not known: 1"),
    ("recipe.params.levels", "bottleneck_only", "recipe.params.levels is 'bottleneck_only'"),
]
OF_A_NETWORK = [
    ("recipe", GONE, "its field 'recipe' is missing"),
    ("recipe.width", 32, "its recipe.width is 32, and its network has 16"),
    ("recipe.width", "wide", "recipe.width = 'wide'"),
    ("recipe.image_size_factor", 2.0, "its recipe.image_size_factor is 2.0, and its network has 16"),
    ("recipe.mood", 1, "its key 'recipe.mood' is not known: 1"),
    ("data.seed", 3, "its data.seed is 3, and shapes16 has 0"),
    ("mood", "good", "its key 'mood' is not known: 'good'"),
]
CASES = [
    *((what, *case) for what in (STUDENT, BASE) for case in OF_A_RUN),
    *((STUDENT, *case) for case in OF_A_STUDENT),
    *((NETWORK, *case) for case in OF_A_NETWORK),
]


@pytest.mark.parametrize(("what", "key", "value", "said"), CASES, ids=lambda value: str(value)[:40])
def test_a_card_that_does_not_fit_is_refused_with_its_key_its_value_and_what_gets_around_it(
    give, tmp_path, what, key, value, said
):
    with pytest.raises((ArtifactError, ConfigError)) as found:
        give(what, key, value)
    (line,) = str(found.value).splitlines()
    assert f"{NAMES[what]}.json: " in line and said in line
    assert "it is damaged or of another version: restore it from the repository, or use --config " in line
    assert f"--config {KEYS[what]}=train" in line
    assert not list((tmp_path / "results").rglob("*.safetensors"))


@pytest.mark.parametrize("what", NAMES)
def test_weights_with_their_own_card_are_adopted(give, tmp_path, what):
    give(what)
    assert list((tmp_path / "results").rglob("weights.safetensors"))


def test_all_shipped_weights_fit_their_cards(root):
    plan = Plan.load(str(root / "configs/benchmarks/embedded.yaml"), configs=root / "configs")
    known = plan.dataset(ON)
    runs = {what: name for what, name in known.shipped.items() if what.startswith("methods/")}
    runs |= {what.replace("methods/", "shipped/"): name for what, name in known.students.items()}
    for what, name in runs.items():
        arrays, card = shipped.shipped_weights(name, what)
        assert check_run(plan, ON, what, name, arrays, card).resolution == 16
    assert len(runs) > 15


@pytest.mark.parametrize("what", NAMES)
def test_a_benchmark_with_other_images_than_the_weights_were_trained_on_is_told_so(give, what):
    with pytest.raises(ArtifactError, match=r"its data.count is 20000, and shapes16 has 300 .*take that setting out"):
        give(what, data={ON: {"count": 300}})


def test_a_benchmark_with_another_network_than_a_base_has_is_told_so(give):
    other = {"network": {"model_channels": 32}}
    with pytest.raises(
        ArtifactError, match=r"model_channels is 16, and this benchmark has 32 .*--config teacher=train"
    ):
        give(BASE, set=other)
    give(STUDENT, set=other)  # whose settings are those of its card


@pytest.mark.parametrize("what", NAMES)
@pytest.mark.parametrize("file", ["json", "safetensors"])
@pytest.mark.parametrize("content", [b"{}", None], ids=["other", "missing"])
def test_what_a_refusal_advises_takes_no_shipped_file(give, cards, root, what, file, content):
    damaged = cards / f"{NAMES[what]}.{file}"
    damaged.unlink()
    if content is not None:
        damaged.write_bytes(content)
    with pytest.raises((ArtifactError, ConfigError)) as found:
        give(what)
    (advised,) = re.findall(r"--config (\w+)=train", str(found.value))
    plan = Plan.load(str(root / "configs/benchmarks/embedded.yaml"), {advised: "train"}, root / "configs")
    row = plan.student(ON, what.replace("shipped/", "methods/"))
    assert row == what.replace("shipped/", "methods/") and plan.shipped(ON, row) is None
    stage = EXTRACTOR.work(plan, dataset=ON, role="perceptual") if what == NETWORK else None
    work = stage or TRAIN.work(plan, dataset=ON, method=row, seed=0)
    assert "shipped" not in work.settings and work.inputs()


@pytest.mark.parametrize("count", COUNTS)
def test_a_damaged_card_is_refused_in_one_line_or_fits(cards, root, count):
    plan = Plan.load(str(root / "configs/benchmarks/embedded.yaml"), configs=root / "configs")
    name = NAMES[BASE]
    arrays, card = shipped.shipped_weights(name, BASE)
    (cards / f"{name}.json").unlink()
    (cards / f"{name}.json").write_text(json.dumps(card))
    read = lambda: check_run(plan, ON, BASE, name, arrays, shipped.read_card(name, BASE))  # noqa: E731
    assert refused(cards / f"{name}.json", read, count, ArtifactError) > count // 4


@pytest.mark.parametrize("key, value", [("train_cpu_seconds", 300.0), ("train_gpu_seconds", None)])
def test_a_card_of_a_training_that_counts_its_processor_time_is_taken(give, key, value):
    give(STUDENT, f"budget.{key}", value)
