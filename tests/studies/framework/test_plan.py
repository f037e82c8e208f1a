"""The diagram is drawn again when its network changes, and by nothing else."""

from __future__ import annotations

import pytest

from hkd.plan.code import closure
from hkd.studies.framework.plan import FIGURE


@pytest.mark.parametrize(
    "changes, redrawn",
    [
        ({"set": {"network": {"model_channels": 16}}}, True),
        ({"data": {"shapes8": {"resolution": 16}}}, True),
        ({"seeds": 3}, False),
        ({"set": {"training": {"steps": 9}}}, False),
    ],
)
def test_what_the_network_is_built_of_defines_it(smoke_plan, changes, redrawn):
    assert (FIGURE.work(smoke_plan(**changes)).digest != FIGURE.work(smoke_plan()).digest) is redrawn


def test_the_workflow_draws_hkd_on_the_benchmarks_data_set(smoke_plan):
    plan = smoke_plan()
    named = FIGURE.work(plan, dataset="shapes8", method="methods/hkd")
    assert FIGURE.work(plan).digest == named.digest
    other = FIGURE.work(plan, dataset="shapes8", method="ablations/abl_encoder_constant")
    assert other.digest != named.digest and not named.inputs()


def test_its_code_is_that_of_the_diagram_and_of_the_runs_own_network(smoke_plan):
    code = set(closure(*FIGURE.work(smoke_plan()).definition.code))
    home = "hkd.studies.framework."
    assert {f"{home}figure", f"{home}outline", "hkd.experiment.build", "hkd.nets.unet", "hkd.methods.hkd"} <= code
    assert "hkd.nets.kdm" not in code
