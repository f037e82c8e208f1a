"""What a number may be is checked before anything runs: finite, in its range, in relation to its neighbours."""

from __future__ import annotations

import pytest

from hkd.plan.runs import Plan
from hkd.settings.origins import ConfigError
from hkd.settings.overrides import from_arguments


@pytest.fixture
def refused(root, monkeypatch):
    """Return the line by which a key of HKD's run, as typed on the command line, is refused."""
    monkeypatch.chdir(root)

    def line(typed: str) -> str:
        with pytest.raises(ConfigError) as caught:
            Plan.load("configs/benchmarks/embedded.yaml", from_arguments([typed])).run("shapes16", "methods/hkd")
        (only,) = str(caught.value).splitlines()
        return only

    return line


@pytest.mark.parametrize(
    "key, values",
    [
        ("training.steps", ["010", "true", "1.5", "-1", "1:20", "1_000", "~", "[1]", "'7'", "9" * 30]),
        ("training.batch", ["0", "true", "inf"]),
        ("training.optimizer.lr", ["inf", ".inf", "nan", ".nan", "0", "-1e-3", "true", "fast", "1e999"]),
        ("training.optimizer.betas", ["[0.9]", "[0.9, 1]", "[0.9, true]", "[0.9, nan]"]),
        ("training.clip", ["0", "inf", "true"]),
        ("training.final_lr", ["-0.1", "1.1", "nan"]),
        ("sampling.nfe", ["[1, 1]", "[]", "[0]", "[true]", "1", "['1']"]),
        ("sampling.n_samples", ["0", "1e400", "false"]),
        ("resources.mem_mb", ["0", "lots"]),
        ("title", ["7", "true", '"two\\nlines"', '"a\\tb"', "x" * 300]),
    ],
)
def test_a_number_of_a_run_that_cannot_be_is_one_line(refused, key, values):
    for value in values:
        assert "--config" in (line := refused(f"set.{key}={value}")) and len(line) < 400, value


@pytest.mark.parametrize(
    "key, values",
    [
        ("sigma_max", ["-1", "0", "inf", ".nan", "true", "'80'"]),
        ("sigma_min", ["-0.002", "0", "80", "100"]),
        ("lambda2", ["nan", "-1", "true", ".inf"]),
        ("rho", ["0", "-7"]),
        ("alpha_clamp", ["-0.1", "0", "x"]),
        ("n_intermediate", ["-1", "true", "1.5"]),
        ("frozen", ["2", "perhaps"]),
        ("pairing", ["both", "1"]),
    ],
)
def test_a_parameter_that_cannot_be_is_one_line_with_the_key_as_typed(refused, key, values):
    for value in values:
        line = refused(f"methods.hkd.params.{key}={value}")
        assert "--config" in line and (key in line or "finite" in line), value


def test_a_lowest_noise_level_above_the_highest_is_said_so(refused):
    line = refused("methods.hkd.params.sigma_min=90.0")
    assert line == "--config: methods.hkd.params.sigma_min = 90.0 is not usable: it must be below sigma_max 80"


@pytest.mark.parametrize("typed", ["seeds=1000000000", "seeds=0", "gpus=-1", "samples_shown=0", "scale=x"])
def test_a_number_of_a_benchmark_that_cannot_be_is_one_line(refused, typed):
    assert refused(typed).startswith(f"--config: {typed.partition('=')[0]} = ")


def test_the_ends_of_trajectories_are_in_order(root, monkeypatch):
    monkeypatch.chdir(root)
    plan = Plan.load("configs/benchmarks/embedded.yaml", {"set_trajectories": {"sigma_min": 90.0}})
    with pytest.raises(ConfigError, match="sigma_min 90 is not below sigma_max 80"):
        plan.trajectory_set("shapes16", "edm-heun")


@pytest.mark.parametrize(
    "typed",
    [
        "set.training.steps=10000000000",
        "set.training.batch=10000000",
        "set.training.optimizer.lr=1e7",
        "set.sampling.n_samples=1000000000",
        "set.resources.minutes=10000000",
        "set.network.model_channels=1000000000",
        "set.network.num_blocks=1000",
        "methods.hkd.params.n_intermediate=100000000000",
        "methods.hkd.params.rho=1e5",
        "methods.hkd.params.sigma_max=1e10",
        "gpus=2000",
    ],
)
def test_a_number_that_no_machine_could_serve_is_one_line_with_the_key(refused, typed):
    assert refused(typed).startswith(f"--config: {typed.partition('=')[0]} = ")


@pytest.mark.parametrize(
    "typed, why",
    [
        ("inherits=table2", "names its parent in its own file"),
        ("set.training.ema={kind: constant, decay: 1}", "decay 1"),
        ("set.training.flip=no", "true or false"),
        ("set.sampling.ranges=100000", "'ranges' of"),
        ("results=.", "of its own"),
        ("results=hkd", "of its own"),
        ("figures=configs/x", "of its own"),
        ("figures=results", "folder of the results"),
        ("tables.table1.extra=[methods/hkd, methods/hkd]", "stands here twice"),
        ("set.target=hkd.methods.edm.EDM", "as in hkd.methods.multistep.edm.EDM"),
        ("set.target=hkd.methods.__init__.x", "as in hkd.methods.multistep.edm.EDM"),
        ("set.sampling.nfe=1", "expected a list, as in [1]"),
    ],
)
def test_what_would_be_accepted_and_mean_nothing_is_refused_with_the_reason(refused, typed, why):
    line = refused(typed)
    assert why in line and "alue error" not in line


@pytest.mark.parametrize("value", ["a #2", " sp ", "'x'", "null", "a: b", "[x]", "@x", "!x", "*x", "7"])
@pytest.mark.parametrize("key", ["source", "results", "data.images.path", "set.weights_folder"])
def test_the_value_of_a_path_is_taken_as_it_stands(key, value):
    found = from_arguments([f"{key}={value}"])
    for name in key.split("."):
        found = found[name]
    assert found == value
