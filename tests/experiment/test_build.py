"""From flat settings to the arguments of a constructor: what is unknown or missing is named."""

from __future__ import annotations

import pytest

from hkd.experiment.build import arguments
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
