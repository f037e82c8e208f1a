"""`hkd figure framework` needs settings alone, and refuses runs that have nothing to draw."""

from __future__ import annotations

import sys

import pytest

from hkd import __main__ as entry
from hkd import interrupt


@pytest.fixture
def framework(monkeypatch, root, capsys, tmp_path):
    """Draw the network of a run; return the exit code and errors."""
    monkeypatch.chdir(root)
    monkeypatch.delenv("HKD_BENCHMARK", raising=False)
    interrupt.reset()

    def run(method: str, *options: str) -> tuple[int, str]:
        words = ["hkd", "figure", "framework", "shapes8", method, "--out", str(tmp_path / "framework.pdf")]
        monkeypatch.setattr(sys, "argv", [*words, "--benchmark", "configs/benchmarks/smoke.yaml", *options])
        code = entry._run()
        return code, capsys.readouterr().err

    return run


def test_the_diagram_is_drawn_without_any_result(framework, tmp_path):
    assert framework("methods/hkd")[0] == 0
    assert (tmp_path / "framework.png").stat().st_size > 10_000
    assert "parameters" in (tmp_path / "framework.md").read_text().lower()
    assert (tmp_path / "framework.pdf.record.json").exists()


@pytest.mark.parametrize(
    "method, options, expected",
    [
        ("methods/edm", (), "has no Koopman operator; name methods/hkd or one of its ablations"),
        ("methods/hkd", ("--expect-digest", "0"), "start snakemake again"),
    ],
)
def test_a_refusal_is_one_line(framework, method, options, expected):
    code, err = framework(method, *options)
    lines = [line for line in err.strip().splitlines() if line.startswith("hkd: ")]
    assert code == 1 and len(lines) == 1 and expected in lines[0]
