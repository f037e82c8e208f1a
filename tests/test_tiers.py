"""CI runs at least one test of every file that holds longer proofs: a new kind is not forgotten."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable


def collected(root, marks: str, files: Iterable[str] = ()) -> dict[str, set[str]]:
    """The names of tests with these marks, by file; of all files, or of some."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-p", "no:cacheprovider", "-m", marks, *files]
    ran = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stdout[-2000:]
    found: dict[str, set[str]] = {}
    for line in ran.stdout.splitlines():
        if "::" in line:
            file, _, test = line.partition("::")
            found.setdefault(file, set()).add(test.partition("[")[0])
    return found


def test_every_kind_of_longer_proof_has_one_in_ci(root):
    """But for those of which the default tests run a shorter one: the same function, on fewer cases."""
    slow = collected(root, "slow and not gpu and not release")
    everyday, in_ci = collected(root, "not slow and not gpu", slow), collected(root, "slow and ci", slow)
    longer = {file for file, tests in slow.items() if tests - everyday.get(file, set())}
    assert len(longer) >= 7
    assert longer <= in_ci.keys()


def test_what_ci_runs_is_what_it_says(root):
    text = (root / ".ci/run").read_text()
    assert "make test\n" in text and "make test-ci" in text and "make lint" in text and "make test-slurm-ci" in text
