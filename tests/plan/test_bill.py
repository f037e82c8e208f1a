"""What jobs cost: by hand on the smallest benchmark, at full scale beside an earlier count, and what cannot be done."""

from __future__ import annotations

import inspect
import json
import math
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from hkd.accelerators import CARDS, card_of, peak
from hkd.data import tasks
from hkd.experiment import errors
from hkd.metrics.features import cache
from hkd.metrics.scores import components, mind
from hkd.metrics.scores.precision_recall import precision_recall
from hkd.plan import memory, run_stages
from hkd.plan.account import account
from hkd.plan.asked import SLOWEST, most_processes, processes
from hkd.plan.bill import Bill, counted_runs, device_need, images_at_a_time
from hkd.plan.counted import Counts, keep, known, name_of
from hkd.plan.graph import Graph
from hkd.plan.runs import Plan
from hkd.plan.scores import scores
from hkd.plan.speed import Speed, of_card, of_probe, of_thread
from hkd.plan.stages import FEATURES, METRICS, REFERENCE, SAMPLE, SHARD, STAGES, TRAIN, TRAJECTORY_ERROR
from hkd.plan.study import find
from hkd.plan.work import Needs
from hkd.settings.columns import SCORES
from hkd.settings.numerics import Compute
from hkd.settings.origins import ConfigError
from hkd.store.refusals import ArtifactError
from hkd.studies.nearest import plan as nearest_plan
from hkd.studies.nearest.neighbours import nearest

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "configs"
ALIKE = Counts(step=6.0, kept=100.0, fixed=50.0, forward=2.0, weights=400.0, trained=40.0, sampled=40.0)
SLOW = Speed({"train": 1.0, "evaluate": 1.0, "features": 1.0}, 0.0, "slow")
TEN_MINUTES = Speed({"train": 1.0, "evaluate": 1.0, "features": 1e30}, 0.0, "", CARDS["h100"])


def bill(plan: Plan, counts: Counts = ALIKE) -> Bill:
    return Bill(plan, lambda dataset, method: counts, lambda dataset, role: 3.0)


def costs(plan: Plan, stage: str) -> list:
    graph = Graph(plan, anew=True)
    return [bill(plan).of(work) for work in graph.jobs.values() if work.stage == stage]


def test_a_training_costs_its_steps_and_a_set_its_evaluations(smoke_plan):
    plan = smoke_plan()
    by_owner = {cost.owner: cost.operations for cost in costs(plan, "train")}
    run = plan.run("shapes8", "methods/hkd")
    assert by_owner["shapes8/methods/hkd"] == {"train": 6.0 * run.training.batch * run.training.steps}
    spec = plan.trajectory_set("shapes8", "edm-heun")
    shards = costs(plan, "shard")
    assert sum(cost.operations["evaluate"] for cost in shards) == spec.count * (2 * spec.steps - 1) * 2.0
    assert sum(cost.disk for cost in shards) == spec.count * (spec.steps + 1) * 3 * 8 * 8 * 2
    for kept, states in (("ends", 2), ("x0+seed", 1)):
        chosen = smoke_plan(trajectories={"edm-heun": {"keep": kept}})
        shard = SHARD.work(chosen, dataset="shapes8", trajectories="edm-heun", shard=0)
        assert bill(chosen).of(shard).disk == spec.count / spec.shards * states * 3 * 8 * 8 * 2


@pytest.mark.parametrize("kept", ["ends", "x0+seed"])
def test_errors_cost_an_evaluation_of_every_state_that_is_read(smoke_plan, kept):
    plan = smoke_plan(trajectories={"edm-heldout": {"keep": kept}})
    work = TRAJECTORY_ERROR.work(plan, dataset="shapes8", method="methods/hkd", seed=0)
    count = plan.trajectory_set("shapes8", "edm-heldout").count
    assert bill(plan).of(work).operations == {"evaluate": count * 2 * 2.0}


def test_images_cost_their_evaluations_and_are_seen_by_every_network_and_library(smoke_plan):
    plan = smoke_plan()
    sampled = [cost.operations["evaluate"] for cost in costs(plan, "sample") if cost.owner.endswith("edm")]
    assert sorted(sampled) == [96 * 15 * 2.0, 96 * 35 * 2.0]
    (seen,) = {cost.operations["features"] for cost in costs(plan, "features")}
    assert seen == 96 * 3 * 3.0, "fid_own and fdn in one pass, torch-fidelity and clean-fid in one each"


def test_shipped_weights_cost_no_training():
    plan = Plan.load(str(CONFIGS / "benchmarks/embedded.yaml"), configs=CONFIGS)
    trained = {cost.owner: cost.operations for cost in costs(plan, "train")}
    assert trained["shapes16/methods/edm"] == {} and trained["shapes16/methods/hkd"]["train"] > 0


def test_parts_are_of_the_size_that_the_loop_finds():
    counts = replace(ALIKE, kept=90e6, fixed=10e6, weights=200e6, trained=200e6)
    assert images_at_a_time(counts, 80e9) == int(((0.9 * 79.8e9 - 7 * 200e6) / 1.3 - 10e6) / 90e6)
    assert images_at_a_time(counts, device_need(counts) + 1) == 1
    assert images_at_a_time(counts, device_need(counts) - 2e8) == 0


def test_what_cannot_go_on_where_it_was_stopped_must_fit_its_time(smoke_plan):
    plan = smoke_plan()
    graph = Graph(plan, anew=True)
    found = account(plan, graph, bill(plan), lambda dataset, method: ALIKE, SLOW, 2)
    assert [line for line in found.refused if line.startswith("reference (dataset shapes8)")] == []
    slower = Speed({"train": 1.0, "evaluate": 1.0, "features": 0.1}, 0.0, "slow")
    found = account(plan, graph, bill(plan), lambda dataset, method: ALIKE, slower, 2)
    (line,) = [line for line in found.refused if line.startswith("features (dataset shapes8, method methods/hkd")]
    assert "144 minutes, and it asks for 60 and cannot go on where it was stopped" in line
    assert not [line for line in found.refused if line.startswith("train")]
    hours = Speed({"train": 0.1, "evaluate": 1.0, "features": 1.0}, 0.0, "slow")
    found = account(plan, graph, bill(plan), lambda dataset, method: ALIKE, hours, 2)
    assert [line for line in found.remarks if line.startswith("train") and "it goes on from where" in line]
    assert sum(line.jobs for line in found.lines) <= found.jobs == sum(graph.counts.values())
    assert found.lines == sorted(found.lines, key=lambda line: -line.hours)
    assert found.schedule.seconds >= found.schedule.longest > 0


def test_a_card_that_holds_not_one_image_is_refused(smoke_plan):
    plan = smoke_plan()
    huge = replace(ALIKE, weights=90e9)
    found = account(plan, Graph(plan, anew=True), bill(plan, huge), lambda dataset, method: huge, TEN_MINUTES, 1)
    lines = [line for line in found.refused if "needs 90 GB with one image at a time, h100 has 80" in line]
    assert len(lines) == 8, "every run that is trained"
    assert {line.images for line in found.lines if line.by["train"]} == {0}


# source: an earlier count of the same rows, by another program: H100-hours of one seed's training in bf16 at 40 %
COUNTED_BEFORE = {
    "edm": 17.5,
    "edm_ve": 18.0,
    "ddpm": 2.5,
    "score_sde": 7.7,
    "kd": 0.6,
    "ecm": 6.0,
    "hkd": 5.7,
    "cd": 100.0,
    "ct": 76.0,
    "ict": 49.0,
    "ict_deep": 88.0,
    "dmd": 45.0,
    "pd": 58.0,
    "rf2pp": 63.0,
}


@pytest.mark.parametrize("name", COUNTED_BEFORE)
def test_a_row_at_full_scale_costs_what_an_earlier_count_found(name):
    plan = Plan.load(str(CONFIGS / "benchmarks/cifar10.yaml"), configs=CONFIGS)
    run, counts = plan.run("cifar10", f"methods/{name}"), known(CONFIGS)[name_of(plan, "cifar10", f"methods/{name}")]
    hours = counts.step * run.training.batch * run.training.steps / (0.4 * 989e12) / 3600
    assert hours == pytest.approx(COUNTED_BEFORE[name], rel=0.05, abs=0.06)


@pytest.mark.parametrize("name", ["embedded", "cifar10", "cifar10_cheap", "ffhq64", "ffhq256", "paper"])
def test_the_counts_of_every_run_are_kept(name):
    plan = Plan.load(str(CONFIGS / f"benchmarks/{name}.yaml"), configs=CONFIGS)
    missing = [run for run in counted_runs(plan, Graph(plan, anew=True)) if name_of(plan, *run) not in known(CONFIGS)]
    assert missing == [], f"hkd plan --count --card h100 --benchmark configs/benchmarks/{name}.yaml"


def test_a_row_has_the_weights_that_its_authors_released():
    plan = Plan.load(str(CONFIGS / "benchmarks/ffhq64.yaml"), configs=CONFIGS)
    speed = of_card("h100", plan.benchmark.compute, None)
    kept = known(CONFIGS)
    found = account(plan, Graph(plan, anew=True), bill(plan), lambda *run: kept[name_of(plan, *run)], speed, 8)
    lines = {line.of: line for line in found.lines}
    assert lines["ffhq64/methods/edm"].released == "edm-ffhq-64x64-uncond-vp.pkl"
    assert lines["ffhq64/methods/hkd"].released == ""
    assert found.refused == []


# -- speeds ------------------------------------------------------------------------------------------------------------


def test_an_assumed_share_of_the_peak_is_said_to_be_assumed():
    speed = of_card("h100", Compute(precision="bf16"), None)
    assert speed.rates == pytest.approx({"train": 0.4 * 989e12, "evaluate": 0.4 * 67e12, "features": 0.4 * 67e12})
    assert speed.said.endswith("40% of the data sheet's peak, assumed, of no measurement")
    assert of_card("h100", Compute(), 0.25).said.endswith("25% of the data sheet's peak, given")
    assert speed.seconds({"train": 989e12}) == pytest.approx(2.5)


def test_a_card_that_is_not_known_or_cannot_is_refused():
    with pytest.raises(ConfigError, match=r"--card h10: .*Did you mean 'h100'"):
        of_card("h10", Compute(), None)
    with pytest.raises(ConfigError, match=r"--card v100: has no tf32 \(it has fp32\)"):
        of_card("v100", Compute(precision="tf32"), None)


def test_a_probed_card_has_the_share_that_was_measured(tmp_path):
    file = tmp_path / "probe.json"
    file.write_text('{"device": "NVIDIA H100 80GB HBM3", "edm bf16: ms a step of 128": 100.0}')
    speed = of_probe(file, Compute(precision="bf16"), 124e9)
    assert speed.rates["train"] == pytest.approx(124e9 * 128 / 0.1) and speed.card == CARDS["h100"]
    for text, why in [
        ("[]", "holds no step of EDM in bf16"),
        ('{"device": "NVIDIA H100 80GB HBM3", "edm bf16: ms a step of x": 1}', "holds no step"),
        ('{"device": "Riva 128", "edm bf16: ms a step of 128": 100.0}', "'Riva 128' is not in the table"),
        ('{"device": "NVIDIA H100 80GB HBM3", "edm bf16: ms a step of 128": -1}', "is not in the table"),
    ]:
        file.write_text(text)
        with pytest.raises(ConfigError, match=why):
            of_probe(file, Compute(precision="bf16"), 124e9)
    with pytest.raises(ConfigError, match="holds no step"):
        of_probe(tmp_path / "absent.json", Compute(), 124e9)


def test_cards_are_known_by_what_torch_reports():
    assert card_of("NVIDIA A100-SXM4-80GB") == CARDS["a100"]
    assert peak("NVIDIA A100-SXM4-80GB", "tf32") == 156e12 and peak("Tesla V100-SXM2-32GB", "bf16") is None
    assert card_of("Some card") is None and peak("Some card", "fp32") is None
    assert max(Counter(card.reported for card in CARDS.values()).values()) == 1
    assert not [card for card in CARDS.values() if card.mfu], "say in docs/plan.md what was measured, and where"


# -- what jobs ask of a cluster --------------------------------------------------------------------------------------


def test_long_jobs_ask_for_the_time_that_their_operations_take_and_features_for_their_memory():
    plan = Plan.load(str(CONFIGS / "benchmarks/cifar10.yaml"), configs=CONFIGS)
    forward = known(CONFIGS)[name_of(plan, "cifar10", "methods/score_sde")].forward
    sample = SAMPLE.work(plan, dataset="cifar10", method="methods/score_sde", seed=0, nfe=2000).definition.needs
    assert 60 * sample.minutes * 18e12 == pytest.approx(150_000 * 2000 * forward, rel=1e-3)
    shard = SHARD.work(plan, dataset="cifar10", trajectories="flow1-reflow", shard=0).definition.needs
    flow = known(CONFIGS)[name_of(plan, "cifar10", "methods/flow1")].forward
    assert shard.minutes == max(240, math.ceil(50_000 * 127 * flow / 18e12 / 60))
    one = {"dataset": "cifar10", "method": "methods/hkd", "seed": 0, "nfe": 1}
    assert SAMPLE.work(plan, **one).definition.needs.minutes == 240


def test_memory_follows_what_is_held_at_a_time_and_not_the_number_of_images():
    """Features: a chunk of 1,024 images, and where a library forms its covariance three times a draw in float64."""

    def asked(**changes: Any) -> list[int]:
        plan = Plan.load(str(CONFIGS / "benchmarks/cifar10.yaml"), changes, CONFIGS)
        one = {"dataset": "cifar10", "method": "methods/hkd", "seed": 0, "nfe": 1}
        works = [stage.work(plan, **one) for stage in (SAMPLE, FEATURES, METRICS)]
        works.append(REFERENCE.work(plan, dataset="cifar10"))
        works.append(SHARD.work(plan, dataset="cifar10", trajectories="flow1-reflow", shard=0))
        return [work.definition.needs.mem_mb for work in works]

    plan = Plan.load(str(CONFIGS / "benchmarks/cifar10.yaml"), configs=CONFIGS)
    weights = known(CONFIGS)[name_of(plan, "cifar10", "methods/hkd")].weights
    few, many = asked(), asked(set={"sampling": {"n_samples": 450_000}})
    sample, features, metrics, reference, shard = few
    assert sample == math.ceil(8000 + (2 * weights + 6 * 250 * 3 * 32**2) / 1e6)
    squares, chunk = 12 * 8 * 2048**2, 1024 * (3 * 3 * 32**2 + 2 * 4 * 2048)
    assert features == reference == math.ceil(8000 + (chunk + squares + 24 * 50_000 * 2048) / 1e6)
    assert metrics == math.ceil(1200 + (2 * 8 * 2**14 * 2048 + squares + 24 * 50_000 * 2048) / 1e6)
    assert shard < 10_000
    more = [b - a for a, b in zip(few, many, strict=True)]
    assert more[0] == more[3] == more[4] == 0 and more[1] == more[2] == pytest.approx(24 * 100_000 * 2048 / 1e6, abs=1)
    columns = {"tables": {name: {"columns": ["fid_own", "kid"]} for name in plan.tables}}
    plain = asked(set={"sampling": {"n_samples": 450_000}}, **columns)
    assert plain[1] == math.ceil(8000 + (chunk + squares) / 1e6) and plain[2] < 2300


def test_what_is_held_at_a_time_is_what_the_library_says():
    assert memory.CHUNK == cache.CHUNK and memory.BLOCK == components.BLOCK == mind.ROWS
    assert memory.HELD_OUT == tasks.HELD_OUT and run_stages.ERROR_BATCH == errors.BATCH
    assert inspect.signature(precision_recall).parameters["block"].default == memory.NEIGHBOUR_BLOCK
    assert inspect.signature(nearest).parameters["block"].default == nearest_plan.BLOCK


@pytest.mark.parametrize(
    "part, values, key, factor",
    [
        ("stability", {"method": "methods/hkd", "seed": 0}, ("set", "sampling", "n_samples"), 40),
        ("readings", {}, ("studies", "fingerprint", "images"), 400),
        ("calibration", {}, ("studies", "calibration", "images"), 400),
        ("prepare", {"split": "train"}, ("data", "cifar10", "count"), 10),
        ("extractor", {"role": "metric"}, ("set_extractors", "steps"), 1_000),
    ],
)
def test_what_a_stage_asks_for_grows_with_its_work(part, values, key, factor):
    """Tenfold work beyond what its least minutes cover is tenfold time."""
    stage = {**STAGES, **{one.name: one for study in find().values() for one in study.parts}}[part]

    def needs(number: int) -> Needs:
        changes: dict[str, Any] = {}
        inner = changes
        for name in key[:-1]:
            inner = inner.setdefault(name, {})
        inner[key[-1]] = number
        plan = Plan.load(str(CONFIGS / "benchmarks/cifar10.yaml"), changes, CONFIGS)
        names = list(inspect.signature(stage.defined).parameters)[1:]
        given = {"dataset": "cifar10", **values}
        return stage.work(plan, **{name: given[name] for name in names if name in given}).definition.needs

    base = 50_000 * factor
    few, many = needs(base), needs(10 * base)
    assert many.minutes == pytest.approx(10 * few.minutes, rel=0.01) and few.minutes > 15
    assert many.mem_mb >= few.mem_mb


def test_at_the_small_scales_nothing_more_is_asked_for(smoke_plan):
    values = {"dataset": "shapes8", "method": "methods/hkd", "seed": 0, "nfe": 1}
    for plan, process in ((smoke_plan(), 1200), (smoke_plan(gpus=1), 8000)):
        needs = [stage.work(plan, **values).definition.needs for stage in (SAMPLE, FEATURES, METRICS)]
        assert [one.minutes for one in needs] == [240, 60, 60]
        assert 4000 <= needs[0].mem_mb <= max(process, 4000) + 2, "of its network nothing is counted"
        assert process < needs[1].mem_mb < process + 10 and 1200 < needs[2].mem_mb < 1210


def test_a_cpu_is_asked_for_the_time_that_its_thread_takes():
    cpu = Plan.load(str(CONFIGS / "benchmarks/cifar10_fid.yaml"), configs=CONFIGS)
    rates, one = of_thread(CONFIGS, forked=False).rates, {"dataset": "cifar10", "method": "methods/edm", "seed": 0}
    counts = known(CONFIGS)[name_of(cpu, "cifar10", "methods/edm")]
    sample, features = (stage.work(cpu, **one, nfe=35).definition.needs.minutes for stage in (SAMPLE, FEATURES))
    assert sample == max(240, math.ceil(50_000 * 35 * counts.forward / (rates["evaluate"] / 4) / 60)) > 240
    # classes A and B in passes of our own, and three libraries in theirs
    passes = 1 + len([name for name in scores(cpu, "cifar10") if SCORES[name].kind == "library"])
    assert features == math.ceil(50_000 * passes * 11.426e9 / (rates["features"] / 4) / 60) > 60
    training = cpu.run("cifar10", "methods/edm").training
    asked = TRAIN.work(cpu, **one).definition.needs.minutes
    assert asked == math.ceil(training.batch * training.steps * counts.step / (rates["train"] / 4) / 60)


def test_a_training_asks_for_its_own_minutes_and_memory_and_never_for_more_than_its_settings_say():
    def needs(method: str, **changes) -> Needs:
        plan = Plan.load(str(CONFIGS / "benchmarks/cifar10.yaml"), changes, CONFIGS)
        return TRAIN.work(plan, dataset="cifar10", method=method, seed=0).definition.needs

    plan = Plan.load(str(CONFIGS / "benchmarks/cifar10.yaml"), configs=CONFIGS)
    kd, ddpm = (known(CONFIGS)[name_of(plan, "cifar10", f"methods/{name}")] for name in ("kd", "ddpm"))
    training = plan.run("cifar10", "methods/kd").training
    found = needs("methods/kd")
    assert 60 * found.minutes * SLOWEST == pytest.approx(training.batch * training.steps * kd.step, rel=1e-2)
    assert found.mem_mb == int(8000 + (kd.weights + 10 * kd.trained) / 1e6)
    assert needs("methods/cd").minutes == 10080, "the most: it goes on after a time limit"
    short = needs("methods/ddpm").minutes
    several = needs("methods/ddpm", gpus=4, set={"resources": {"minutes": short // 2}})
    assert several.gpu == 4 and several.minutes == pytest.approx(short / 4, abs=1)  # two do not quite keep it
    assert several.mem_mb == int(4 * (8000 + (ddpm.weights + 10 * ddpm.trained) / 1e6))
    assert needs("methods/ddim").minutes == 15, "it trains nothing"
    limited = needs("methods/kd", set={"resources": {"mem_mb": 500, "minutes": 20}})
    assert (limited.mem_mb, limited.minutes) == (500, 20)


def test_a_training_takes_several_gpus_only_where_fewer_would_not_keep_its_wall_time():
    def taken(method: str, gpus: int = 8, **resources: int) -> int:
        changes = {"gpus": gpus, "set": {"resources": resources}}
        plan = Plan.load(str(CONFIGS / "benchmarks/cifar10.yaml"), changes, CONFIGS)
        needs = TRAIN.work(plan, dataset="cifar10", method=method, seed=0).definition.needs
        assert processes(plan, "cifar10", method) == needs.gpu <= most_processes(plan)
        return needs.gpu

    plan = Plan.load(str(CONFIGS / "benchmarks/cifar10.yaml"), {"gpus": 1}, CONFIGS)
    alone = TRAIN.work(plan, dataset="cifar10", method="methods/ddpm", seed=0).definition.needs.minutes
    for minutes, gpus in ((alone, 1), (alone - 1, 2), (alone // 2 + 1, 2), (alone // 2 - 1, 4), (alone // 8 - 1, 8)):
        assert taken("methods/ddpm", minutes=minutes) == gpus, "a batch of 128 has no share of three"
    assert taken("methods/ddpm", gpus=3, minutes=16) == 2 and taken("methods/ddpm", minutes=16, gpus=1) == 1
    assert taken("methods/ddpm", minutes=1) == 8, "where none is enough, all"
    assert taken("methods/kdm", minutes=1) == 1, "which sees its batch whole"
    assert taken("methods/ddim", minutes=1) == 1, "it trains nothing"
    other = Plan.load(
        str(CONFIGS / "benchmarks/cifar10.yaml"),
        {"gpus": 8, "set": {"network": {"model_channels": 24}, "resources": {"minutes": 1}}},
        CONFIGS,
    )
    assert processes(other, "cifar10", "methods/edm") == 1, "of which nothing is counted"


def test_a_training_on_a_cpu_has_room_for_its_whole_batch(smoke_plan):
    plan = Plan.load(str(CONFIGS / "benchmarks/embedded.yaml"), configs=CONFIGS)
    counts, run = known(CONFIGS)[name_of(plan, "shapes16", "methods/hkd")], plan.run("shapes16", "methods/hkd")
    needs = TRAIN.work(plan, dataset="shapes16", method="methods/hkd", seed=0).definition.needs
    held = counts.weights + 10 * counts.trained + 2 * (counts.fixed + counts.kept * run.training.batch)
    assert (needs.mem_mb, needs.minutes) == (int(1200 + held / 1e6), 15)
    own = plan.run("shapes16", "methods/hkd").resources
    uncounted = Plan.load(
        str(CONFIGS / "benchmarks/embedded.yaml"), {"set": {"network": {"model_channels": 24}}}, CONFIGS
    )
    asked = TRAIN.work(uncounted, dataset="shapes16", method="methods/hkd", seed=0).definition.needs
    assert (asked.mem_mb, asked.minutes) == (own.mem_mb, own.minutes) == (2000, 60)


def test_kernel_distances_of_many_features_are_asked_their_time():
    plan = Plan.load(str(CONFIGS / "benchmarks/cifar10.yaml"), configs=CONFIGS)
    needs = METRICS.work(plan, dataset="cifar10", method="methods/hkd", seed=0, nfe=1).definition.needs
    pairs = 3 * 2 * 50_000**2  # of three draws, within and between two sets
    assert needs.minutes == math.ceil(pairs * 2 * 2048 / 5e9 / 60) == 205


@pytest.mark.parametrize("text", ["", "[]", '{"a": 1}', '{"a": {"step": "x"}}', '{"a": {"step": 1.0}}'])
def test_damaged_counts_are_refused_and_absent_ones_are_none(tmp_path, text):
    assert known(tmp_path) == {}
    folder = tmp_path / "damaged"
    folder.mkdir()
    (folder / "counted.json").write_text(text)
    with pytest.raises(ArtifactError, match=r"counted\.json: holds no counts .*restore it"):
        known(folder)


@pytest.mark.parametrize("value", [-1, True, "6", None])
def test_a_count_that_is_none_is_no_cost(tmp_path, value):
    (tmp_path / "counted.json").write_text(json.dumps({"a": {"of": "a run", **asdict(ALIKE), "step": value}}))
    with pytest.raises(ArtifactError, match=f"holds no counts .{value!r} is no count.; restore it"):
        known(tmp_path)


def test_new_counts_take_the_place_of_those_of_the_same_run(tmp_path):
    keep(tmp_path, {"old": ALIKE, "other": ALIKE}, {"old": "a run", "other": "another"})
    keep(tmp_path, {"new": ALIKE}, {"new": "a run"})
    assert known(tmp_path) == {"new": ALIKE, "other": ALIKE}
