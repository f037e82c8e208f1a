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
