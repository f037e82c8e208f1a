"""A folder of images is prepared again when its content changes, wherever its links lead."""

from __future__ import annotations

from pathlib import Path

import pytest

from hkd.plan.runs import Plan
from hkd.plan.stages import PREPARE
from tests.data.pictures_made import GREEN, RED, folder


@pytest.fixture
def digest(root, monkeypatch):
    """Return the digest of preparing a folder."""
    monkeypatch.chdir(root)

    def of(source: Path) -> str:
        plan = Plan.load("configs/benchmarks/own.yaml", {"source": str(source)})
        return PREPARE.work(plan, dataset="images", split="train").digest

    return of


def test_what_a_linked_folder_holds_is_noticed(tmp_path, digest):
    source = folder(tmp_path / "set", {"a/0.png": RED})
    before = digest(source)
    other = folder(tmp_path / "store", {"1.png": GREEN})
    (source / "b").symlink_to(other)
    linked = digest(source)
    (other / "2.png").write_bytes(RED)
    assert len({before, linked, digest(source)}) == 3


def test_links_that_lead_back_end(tmp_path, digest):
    source = folder(tmp_path / "set", {"a/0.png": RED})
    (source / "a/back").symlink_to("..")
    (source / "gone").symlink_to("nothing")
    assert digest(source) == digest(source)
