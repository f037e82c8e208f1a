"""Finished sets of trajectories, held against a new solution of the teacher's ODE."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hkd.data.shards import shard_name
from hkd.experiment.solve import solved_again
from tests.experiment.sets_solved import solved_set

CPU = torch.device("cpu")


@pytest.fixture
def finished(teacher, tmp_path):
    """A finished set of six trajectories in two shards of that teacher."""
    spec = solved_set(tmp_path, teacher)
    return spec, tmp_path, teacher


def test_a_set_is_what_its_teacher_solves(finished):
    spec, folder, teacher = finished
    found = solved_again(spec, folder, teacher, CPU, 4)
    assert len(found) == 4 and max(found) < 2e-3  # a half float keeps eleven bits
    assert len(solved_again(spec, folder, teacher, CPU, 100)) == 6


def test_one_state_of_other_values_is_found(finished):
    spec, folder, teacher = finished
    path = folder / shard_name(1)
    states = np.load(path)
    states[2, 1] += 0.1
    np.save(path, states)
    found = solved_again(spec, folder, teacher, CPU, 6)
    assert sorted(gap > 0.09 for gap in found) == [False] * 5 + [True]
