"""Runs whose weights others released: pinned by digest, never trained, and refused in one line where there are none."""

from __future__ import annotations

import shlex

import pytest

from hkd.plan.check import check_settings
from hkd.plan.stages import SAMPLE, TRAIN
from hkd.settings.origins import ConfigError
from hkd.store import released
from hkd.store.atomic import write_json
from hkd.store.refusals import ArtifactError
from tests.fuzzed import COUNTS, refused

GOLDEN = dict.fromkeys(("mean", "std", "first0", "first1", "first2", "first3", "last"), 0.5)
CARD = {
    "method": "methods/edm",
    "dataset": "shapes8",
    "sha256": "a" * 64,
    "source_sha256": "b" * 64,
    "licence": "free",
    "repository": "somebody/something",
    "network": {},
    "shape": {"resolution": 8, "channels": 3, "label_dim": 0},
    "golden": GOLDEN,
    "names": {},
    "parameters": 3,
}


@pytest.fixture
def given(tmp_path, smoke_plan):
    """Return a plan whose EDM has a file with a card that says some digest."""

    def build(digest: str = "a" * 64, **changes):
        (tmp_path / "edm.safetensors").write_bytes(b"tensors")
        write_json(tmp_path / "edm.json", {**CARD, "sha256": digest, **changes})
        return smoke_plan(released={"shapes8": {"methods/edm": str(tmp_path / "edm.safetensors")}})

    return build


def test_a_released_run_is_neither_trained_nor_of_any_images(given, smoke_plan):
    plan = given()
    work = TRAIN.work(plan, dataset="shapes8", method="methods/edm", seed=0)
    assert plan.route("shapes8", "methods/edm") == "released" and not work.inputs()
    assert work.settings["released"] == "a" * 64
    other = TRAIN.work(given("c" * 64), dataset="shapes8", method="methods/edm", seed=0)
    assert len({work.digest, other.digest, TRAIN.work(smoke_plan(), **work.of).digest}) == 3
    sampled = SAMPLE.work(plan, dataset="shapes8", method="methods/edm", seed=0, nfe=35)
    assert plan.layout.run("shapes8", "methods/edm", 0).weights in map(str, sampled.inputs())


def test_students_start_from_it_with_its_averaged_weights(given):
    plan = given()
    start = TRAIN.work(plan, dataset="shapes8", method="methods/ecm", seed=0)
    assert plan.layout.run("shapes8", "methods/edm", 0).weights in map(str, start.inputs())
    assert plan.route("shapes8", "methods/ecm") == "train"
    assert plan.released("shapes8", "methods/edm@1") and not plan.released("shapes16", "methods/edm")


@pytest.mark.parametrize("method", ["methods/cd", "methods/pd", "methods/rf2pp"])
def test_students_start_from_a_released_ve_base(tmp_path, smoke_plan, method):
    path = tmp_path / "ve.safetensors"
    path.write_bytes(b"tensors")
    write_json(path.with_suffix(".json"), {**CARD, "method": "methods/edm_ve"})
    plan = smoke_plan(released={"shapes8": {"methods/edm_ve": str(path)}})
    start = TRAIN.work(plan, dataset="shapes8", method=method, seed=0)
    assert plan.layout.run("shapes8", "methods/edm_ve", 0).weights in map(str, start.inputs())
    assert plan.route("shapes8", "methods/edm_ve") == "released" and plan.route("shapes8", method) == "train"


@pytest.mark.parametrize("known", released.RELEASES, ids=lambda known: f"{known.dataset} {known.method}")
def test_of_every_row_with_a_release_it_is_said_where_it_is_and_under_which_licence(tmp_path, known):
    path = tmp_path / "none.safetensors"
    with pytest.raises(ConfigError) as said:
        released.read_card(path, known.dataset, known.method)
    line = str(said.value)
    assert f"--dataset {known.dataset} --out {path}`; the file is at {known.url} ({known.licence})" in line
    assert shlex.quote(known.filename) in line and "\n" not in line


def test_what_is_missing_is_said_with_what_to_put_where(tmp_path, smoke_plan):
    def asked(dataset: str, method: str):
        path = str(tmp_path / "none.safetensors")
        plan = smoke_plan(released={dataset: {method: path}})
        return TRAIN.work(plan, dataset=dataset, method=method, seed=0)

    with pytest.raises(
        ConfigError, match=r"released.shapes8.methods/edm = '.*none.safetensors': no such file; run `hkd"
    ) as said:
        asked("shapes8", "methods/edm")
    assert "import FILE methods/edm --dataset shapes8" in str(said.value)
    with pytest.raises(ConfigError) as said:
        released.read_card(tmp_path / "none.safetensors", "cifar10", "methods/edm_ve")
    assert "edm-cifar10-32x32-uncond-ve.pkl (CC BY-NC-SA 4.0)" in str(said.value) and "\n" not in str(said.value)
    (tmp_path / "none.safetensors").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"no card none\.json beside it"):
        asked("shapes8", "methods/edm")


def test_names_that_mean_nothing_are_refused(smoke_plan):
    with pytest.raises(ConfigError, match="there is no 'shape8'"):
        check_settings(smoke_plan(released={"shape8": {"methods/edm": "x"}}))
    with pytest.raises(ConfigError, match=r"there is no run 'methods/edn'\. Did you mean 'methods/edm'"):
        check_settings(smoke_plan(released={"shapes8": {"methods/edn": "x"}}))


def test_weights_that_are_not_there_are_refused_before_anything_runs(given, smoke_plan, tmp_path):
    assert check_settings(given())
    with pytest.raises(ConfigError, match="no such file; run `hkd import"):
        check_settings(smoke_plan(released={"shapes8": {"methods/edm": str(tmp_path / "none.safetensors")}}))
    with pytest.raises(ConfigError, match="--out 'a b; c'`"):  # for a shell
        check_settings(smoke_plan(released={"shapes8": {"methods/edm": "a b; c"}}))


def test_a_card_of_another_run_is_refused(given):
    with pytest.raises(ArtifactError, match="imported as methods/ecm on shapes8"):
        TRAIN.work(given(method="methods/ecm"), dataset="shapes8", method="methods/edm", seed=0)


@pytest.mark.parametrize("count", COUNTS)
def test_damaged_cards_are_refused_in_one_line(tmp_path, count):
    (tmp_path / "edm.safetensors").write_bytes(b"tensors")
    write_json(tmp_path / "edm.json", CARD)

    def read():
        return released.read_card(tmp_path / "edm.safetensors", "shapes8", "methods/edm")

    assert refused(tmp_path / "edm.json", read, count, (ArtifactError, ConfigError)) > count // 4


def test_every_release_is_of_a_run_that_there_is(root):
    for entry in released.RELEASES:
        assert (root / f"configs/{entry.method}.yaml").exists() and (
            root / f"configs/datasets/{entry.dataset}.yaml"
        ).exists()
        assert released.release(entry.dataset, entry.method) is entry
        assert entry.url.startswith("https://") and entry.licence and entry.repository
