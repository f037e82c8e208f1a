"""CI runs at least one test of every file that holds longer proofs: a new kind is not forgotten."""

from __future__ import annotations

import subprocess
import sys


def files(root, marks: str) -> set[str]:
    command = [sys.executable, "-m", "pytest", "--collect-only", "-p", "no:cacheprovider", "-m", marks]
    ran = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stdout[-2000:]
    return {line.partition("::")[0] for line in ran.stdout.splitlines() if "::" in line}


def test_every_kind_of_longer_proof_has_one_in_ci(root):
    slow = files(root, "slow and not gpu")
    assert len(slow) >= 7
    assert files(root, "slow and ci") == slow


def test_what_ci_runs_is_what_it_says(root):
    text = (root / ".ci/run").read_text()
    assert "make test\n" in text and "make test-ci" in text and "make lint" in text and "make test-slurm-ci" in text
