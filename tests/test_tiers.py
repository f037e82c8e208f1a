"""CI runs at least one test of every file that holds longer proofs: a new kind is not forgotten."""

from __future__ import annotations

import subprocess
import sys

import pytest

LISTED = """
import sys
import pytest

class Listed:
    def pytest_collection_modifyitems(self, items):
        for item in items:
            marks = ",".join(sorted({mark.name for mark in item.iter_markers()}))
            sys.stderr.write(f"{item.nodeid.partition('[')[0]} {marks}\\n")

sys.exit(pytest.main(["--collect-only", "-qq", "-p", "no:cacheprovider", "-m", ""], plugins=[Listed()]))
"""


@pytest.fixture(scope="module")
def collected(root) -> list[tuple[str, str, set[str]]]:
    """File, function and marks of every test, each case of its own, from one collection of them all."""
    ran = subprocess.run([sys.executable, "-c", LISTED], cwd=root, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stdout[-2000:]
    found = []
    for line in ran.stderr.splitlines():
        node, _, marks = line.partition(" ")
        if "::" in node:
            file, _, test = node.partition("::")
            found.append((file, test, set(marks.split(","))))
    return found


@pytest.mark.slow
@pytest.mark.ci
def test_every_kind_of_longer_proof_has_one_in_ci(collected):
    """But for those of which the default tests run a shorter one: the same function, on fewer cases."""
    mine = [(file, test, marks) for file, test, marks in collected if not marks & {"gpu", "release"}]
    everyday = {(file, test) for file, test, marks in mine if "slow" not in marks}
    longer = {file for file, test, marks in mine if "slow" in marks and (file, test) not in everyday}
    assert len(longer) >= 7
    assert longer <= {file for file, _, marks in mine if {"slow", "ci"} <= marks}


def test_what_ci_runs_is_what_it_says(root):
    text = (root / ".ci/run").read_text()
    assert "make test\n" in text and "make test-ci" in text and "make lint" in text and "make test-slurm-ci" in text
    assert "HKD_NO_SKIP=1 make test-accounts" in text
