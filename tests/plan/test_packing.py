"""List scheduling: by hand on small graphs, and never shorter than what no schedule can beat."""

from __future__ import annotations

import random

import pytest

from hkd.plan.packing import packed

ONE = dict.fromkeys("abcd", 1)


def test_jobs_that_wait_for_nothing_fill_the_devices():
    free = dict.fromkeys("abcd", ())
    assert packed(dict.fromkeys("abcd", 3.0), ONE, free, 2) == (6.0, 3.0, 1.0)
    assert packed(dict.fromkeys("abcd", 3.0), ONE, free, 4).seconds == 3.0


def test_the_longest_chain_comes_first():
    """b waits for a; c and d are free: a, then b beside c and d, is 5; beginning with c and d would be 7."""
    seconds = {"c": 2.0, "d": 2.0, "a": 1.0, "b": 4.0}
    found = packed(seconds, ONE, {"a": (), "b": ("a",), "c": (), "d": ()}, 2)
    assert (found.seconds, found.longest) == (5.0, 5.0)


def test_a_job_that_takes_no_device_delays_none_and_waits_for_its_inputs():
    needs = {"a": (), "b": ("a",), "c": ("b",), "d": ()}
    found = packed({"a": 2.0, "b": 10.0, "c": 1.0, "d": 3.0}, {**ONE, "b": 0}, needs, 1)
    assert found.seconds == 13.0 and found.busy == pytest.approx(6 / 13)


def test_a_job_of_two_devices_waits_until_both_are_free():
    found = packed({"a": 3.0, "b": 1.0, "c": 1.0}, {"a": 1, "b": 2, "c": 1}, {"a": (), "b": (), "c": ()}, 2)
    assert found.seconds == 4.0
    with pytest.raises(ValueError, match="a job takes 2 devices, and there are 1"):
        packed({"b": 1.0}, {"b": 2}, {"b": ()}, 1)


@pytest.mark.parametrize("seed", range(20))
def test_no_schedule_is_shorter_than_its_chain_or_its_work_nor_twice_the_best(seed):
    """Graham (1969): a list schedule of jobs of one device is shorter than the work over m and the chain together."""
    drawn = random.Random(seed)
    jobs = range(30)
    seconds = {job: drawn.uniform(0.1, 5) for job in jobs}
    needs = {job: tuple(one for one in range(job) if drawn.random() < 0.08) for job in jobs}
    count = drawn.randint(1, 5)
    found = packed(seconds, dict.fromkeys(jobs, 1), needs, count)
    work = sum(seconds.values()) / count
    assert max(work, found.longest) <= found.seconds + 1e-9
    assert found.seconds <= work + found.longest + 1e-9
    assert found.busy == pytest.approx(work / found.seconds)


def test_nothing_takes_no_time():
    assert packed({}, {}, {}, 1) == (0.0, 0.0, 0.0)
