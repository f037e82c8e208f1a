"""From flat settings to the arguments of a constructor: dataclasses are built, what is unknown or missing is named."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from hkd.experiment.build import arguments
from hkd.koopman.choices import KoopmanSettings
from hkd.methods.hkd import LossSettings
from hkd.methods.times import TimeLaw
from hkd.settings.origins import ConfigError

FLOW = "hkd.methods.flow.rectified.RectifiedFlow"


def test_settings_and_parts_become_the_arguments_of_a_constructor():
    params = {"t_min": 1e-3, "rtol": 1e-5, "atol": 1e-5}
    given = {"student": "network", "teacher": "not asked for"}
    assert arguments(FLOW, params, given) == {"student": "network", **params}


@pytest.mark.parametrize(
    "change, expected",
    [
        ({"t_mim": 1.0}, r"unknown key 'params\.t_mim'\. Did you mean 't_min'\?"),
        ({"student": 1.0}, r"unknown key 'params\.student'"),
    ],
)
def test_a_setting_that_is_not_known_is_refused(change, expected):
    with pytest.raises(ConfigError, match=expected):
        arguments(FLOW, {"t_min": 1e-3, "rtol": 1e-5, "atol": 1e-5, **change}, {"student": None})


def test_a_setting_that_is_missing_is_named():
    with pytest.raises(ConfigError, match=r"key 'params\.rtol' is missing; add it"):
        arguments(FLOW, {"t_min": 1e-3, "atol": 1e-5}, {"student": None})


# -- settings in groups ----------------------------------------------------------------------------------------------

GIVEN = {"student": None, "distance": None, "total_steps": 4}
GROUPS = {"koopman": KoopmanSettings, "times": TimeLaw, "loss": LossSettings}


@pytest.fixture
def params(tiny_run):
    return tiny_run("methods/hkd").params


def test_flat_settings_are_gathered_into_the_dataclasses_of_a_constructor(params):
    made = arguments("hkd.methods.hkd.HKD", params, GIVEN)
    assert {name: type(made[name]) for name in GROUPS} == GROUPS
    assert {name: made[name] for name in made.keys() - GROUPS.keys()} == GIVEN
    held = {key: value for name in GROUPS for key, value in asdict(made[name]).items()}
    assert held == params


def test_a_setting_of_two_groups_reaches_both(params):
    made = arguments("hkd.methods.hkd.HKD", {**params, "sigma_min": 0.01, "sigma_max": 40.0, "rho": 3.0}, GIVEN)
    for group in (made["koopman"], made["times"]):
        assert (group.sigma_min, group.sigma_max, group.rho) == (0.01, 40.0, 3.0)


def test_a_setting_that_no_group_knows_suggests_the_nearest(params):
    with pytest.raises(ConfigError, match=r"unknown key 'params\.time_dits'\. Did you mean 'time_dist'\?"):
        arguments("hkd.methods.hkd.HKD", {**params, "time_dits": "uniform_t"}, GIVEN)


@pytest.mark.parametrize("key", ["coupling", "time_draw", "combine", "sigma_max"])
def test_a_setting_that_a_group_lacks_is_named_though_it_may_have_a_default(params, key):
    less = {name: value for name, value in params.items() if name != key}
    with pytest.raises(ConfigError, match=rf"key 'params\.{key}' is missing"):
        arguments("hkd.methods.hkd.HKD", less, GIVEN)


def test_a_choice_that_a_group_refuses_is_named(params):
    with pytest.raises(ValueError, match="levels: 'all' is not one of per_skip"):
        arguments("hkd.methods.hkd.HKD", {**params, "levels": "all"}, GIVEN)
