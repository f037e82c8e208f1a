"""Names that enter commands: quoted wherever a shell sees them, and refused before the graph where they cannot be."""

from __future__ import annotations

import ast
import os
import re
import shlex
import string
import subprocess
import sys
from pathlib import Path

import pytest

from hkd.plan.runs import Plan
from hkd.settings.origins import ConfigError

ROOT = Path(__file__).resolve().parents[2]
RULES = sorted(ROOT.glob("rules/**/*.smk"))
ODD = 'r e\'s; $(touch stray) "q" * && touch stray'
RULE = re.compile(r"^( *)(?:rule|checkpoint) +(\w+):\n((?:\1 +.*\n|\s*\n)*)", re.MULTILINE)
SHELL = re.compile(r"^( *)shell:(.*\n(?:\1 +.*\n|\s*\n)*)", re.MULTILINE)


def commands(text: str) -> dict[str, list[str]]:
    """The shell texts of a file's rules, by rule: their string literals joined as Python would join them."""
    return {
        name: [str(ast.literal_eval(f"({shell})")) for _, shell in SHELL.findall(body)]
        for _, name, body in RULE.findall(text + "\n")
    }


@pytest.mark.parametrize("file", RULES, ids=lambda file: file.stem)
def test_every_value_in_a_command_is_quoted(file):
    text = file.read_text(encoding="utf-8")
    found = commands(text)
    # no rule is missed, and none gets its command in another way
    assert len(found) == len(re.findall(r"^\s*(?:rule|checkpoint)\b", text, re.MULTILINE))
    assert sum(map(len, found.values())) == len(re.findall(r"\bshell *:", text))
    assert not re.search(r"^\s*(run|script|notebook|wrapper) *:", text, re.MULTILINE)
    for rule, shells in found.items():
        for shell in shells:
            fields = _fields(shell)
            assert fields and all(field.endswith(":q") for field in fields), f"{rule}: {shell}"
            assert values_stay_whole(shell), f"{rule}: {shell}"


def values_stay_whole(shell: str) -> bool:
    """Whether a shell finds every value of a command, however odd, within one word: none stands in further quotes."""
    values, filled = [], ""
    for text, name, _, _ in string.Formatter().parse(shell):
        filled += text
        if name is not None:
            values.append(f"{ODD} {len(values)}.")
            filled += shlex.quote(values[-1])
    try:
        words = shlex.split(filled)
    except ValueError:  # a quote that no other one closes
        return False
    return bool(values) and all(sum(value in word for word in words) == 1 for value in values)


@pytest.mark.parametrize("shell", ["hkd {a:q} x/{b:q}/y 2> {c:q}", "hkd --at={a:q}"])
def test_values_outside_of_quotes_stay_whole(shell):
    assert values_stay_whole(shell)


@pytest.mark.parametrize("shell", ["hkd '{a:q}'", 'hkd "{a:q}"', "hkd {a:q} '{b:q}'", "hkd"])
def test_values_within_quotes_do_not(shell):
    assert not values_stay_whole(shell)


def test_commands_are_found_in_the_rules_of_every_stage():
    """Or the test above would say nothing."""
    found = [shell for file in RULES for shells in commands(file.read_text("utf-8")).values() for shell in shells]
    assert len(found) > 30 and all(_fields(shell) for shell in found)


def _fields(shell: str) -> list[str]:
    parsed = [part for part in string.Formatter().parse(shell) if part[1] is not None]
    return [f"{name}:{spec}" for _, name, spec, _ in parsed]


def test_all_string_literals_of_a_command_are_seen():
    shell = ["    shell:", '        "hkd {log:q}" " {a}"', "        r' {params.b}'", "        ' {c:q}'"]
    text = "\n".join(["rule a:", "    input:", '        "{x}",', *shell, "", "", "rule b:", "    shell: '{d!r}'"])
    assert commands(text) == {"a": ["hkd {log:q} {a} {params.b} {c:q}"], "b": ["{d!r}"]}
    assert _fields("{a:q} {{b}} {c}") == ["a:q", "c:"]


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "a\nb",
        "a\0b",
        "a{b}",
        "{dataset}",
        "~",
        "~/runs",
        "--help",
        "-n",
        "a\x1b[2Jb",
        "x" * 300,
        7,
        None,
        ["a"],
    ],
)
@pytest.mark.parametrize("key", ["results", "figures"])
def test_a_folder_that_no_command_could_name_is_one_line(key, name):
    with pytest.raises(ConfigError) as caught:
        Plan.load(str(ROOT / "configs/benchmarks/smoke.yaml"), {key: name}, ROOT / "configs")
    (line,) = str(caught.value).splitlines()
    assert f"{key} = " in line and line.isprintable() and len(line) < 400


@pytest.mark.parametrize(
    "name", ["a b", "a; touch x", "$(touch x)", "`x`", "'", '"', "ä", "./~", "./-n", "a/../b", "*?[a]"]
)
def test_an_odd_folder_is_taken_as_it_is(name):
    plan = Plan.load(str(ROOT / "configs/benchmarks/smoke.yaml"), {"results": name}, ROOT / "configs")
    assert plan.layout.root == name


@pytest.mark.slow
@pytest.mark.ci
def test_odd_names_of_results_and_of_the_folder_of_the_workflow_are_names_alone(tmp_path):
    from tests.workflow.conftest import copy_checkout

    folder = tmp_path / "c {o} $(touch stray) 'd' ;e"
    copy_checkout(tmp_path / "copy").rename(folder)
    target = f"{ODD}/shapes8/data/train/images.npy"
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--configfile", "configs/benchmarks/smoke.yaml"]
    command += ["--config", f"results={ODD}", "--directory", str(folder), "-s", str(folder / "Snakefile"), "--", target]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    before = {path.name for path in folder.iterdir()}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert (folder / target).exists()
    assert {path.name for path in folder.iterdir()} - before <= {".snakemake", ODD.split("/")[0], "__pycache__"}
