"""Agreement over training: by mode, and by place for networks whose channels have an order of their own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from hkd.store.refusals import ArtifactError
from hkd.studies.determined.courses import course_of_run, lines
from tests.studies.milestones import finished_run


def spectra(seed, count=2):
    draw = torch.Generator().manual_seed(seed)
    return [{"fine": torch.complex(*torch.randn(2, 8, 4, 4, generator=draw))} for _ in range(count)]


def measured(first, second, steps=(5, 80), **changes):
    courses = {"a": (steps, first), "b": (changes.pop("other", steps), second)}
    return lines([("seeds", "a", "b")], courses, orders=["alpha"], draws=100)


def test_shuffled_channels_agree_by_place_alone():
    course = spectra(0)
    shuffled = [{"fine": s["fine"][torch.randperm(8, generator=torch.Generator().manual_seed(k))]}
                for k, s in enumerate(course)]  # fmt: skip
    by_mode, by_place = measured(course, shuffled)
    assert (by_mode["measure"], by_place["measure"]) == ("modes", "places")
    assert max(abs(a) for a in by_mode["agreement"]) < 0.5
    assert by_place["agreement"] == pytest.approx([1.0, 1.0], abs=0.05)
    assert by_place["steps"] == [5, 80] and by_place["runs"] == ["a", "b"] and by_place["kind"] == "seeds"


def test_an_operator_without_an_order_has_no_agreement():
    still = [{"fine": torch.zeros(8, 4, 4, dtype=torch.complex64)}, spectra(1)[1]]
    by_mode, _ = measured(still, spectra(1))
    assert by_mode["agreement"][0] is None and by_mode["null"][0] is None
    assert by_mode["agreement"][1] == pytest.approx(1.0)


def test_trainings_that_kept_other_steps_are_not_compared():
    with pytest.raises(ArtifactError, match=r"steps \[5, 80\] against \[5, 40\]"):
        measured(spectra(0), spectra(1), other=(5, 40))


def test_the_course_of_a_run_is_the_spectrum_at_each_of_its_milestones(smoke_plan, tmp_path, images, perceptual):
    plan = smoke_plan(results=str(tmp_path))
    files = finished_run(plan, "methods/hkd", 0, [0, 4, 8], images, perceptual)
    steps, found = course_of_run(Path(files.config), Path(files.milestones))
    assert list(steps) == [0, 4, 8] and len(found) == 3
    assert all(values.is_complex() for spectrum in found for values in spectrum.values())


def test_a_run_without_operators_is_refused(smoke_plan, tmp_path, images, perceptual):
    files = finished_run(smoke_plan(results=str(tmp_path)), "methods/regression", 0, [4], images, perceptual)
    with pytest.raises(ArtifactError, match="is no run of HKD"):
        course_of_run(Path(files.config), Path(files.milestones))
