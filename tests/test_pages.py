"""What the pages about clusters say is held by tests of the names that they give."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/what-happens.md"


def test_every_line_of_what_happens_names_a_test_that_exists():
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| ") and not line.startswith("| when")]
    rows = [row for row in rows if not row.startswith("| ---")]
    trees = [ast.parse(path.read_text()) for path in (ROOT / "tests").rglob("test_*.py")]
    tests = {node.name for tree in trees for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert len(rows) > 20
    for row in rows:
        named = re.findall(r"`(test_\w+)`", row)
        assert len(named) == 1 and named[0] in tests, row


def test_from_clone_to_submitted_are_five_commands():
    block = (ROOT / "docs/cluster.md").read_text().split("```bash\n")[1].split("```")[0]
    assert len(block.strip().splitlines()) == 5
