"""Numbers of the full scale say where they come from, and the head of a method's file says what to expect of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
METHODS = sorted(CONFIGS.glob("methods/*.yaml"))
PAPERS = [CONFIGS / "datasets/cifar10.yaml", CONFIGS / "datasets/ffhq64.yaml"]
SOURCED = [CONFIGS / "base.yaml", *METHODS, *sorted(CONFIGS.glob("trajectories/*.yaml"))]
MARK = re.compile(r"#.*\b(source:|choice:|unknown: chosen because) \S.{4}")
LISTED = {("shards",), ("chunk",), ("seed",)}  # how a set of trajectories is cut up: nothing to do with a paper


def scalars(node: yaml.Node, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], yaml.ScalarNode]]:
    """Every single value in a file, with its keys."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from scalars(value, (*path, key.value))
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from scalars(value, path)
    else:
        yield path, node


def is_number(text: str) -> bool:
    """Whether settings may take a value for a number, quoted or not."""
    try:
        float(text.replace("_", ""))
    except ValueError:
        return False
    return True


def bare(text: str, section: tuple[str, ...] = ()) -> list[str]:
    """The lines with numbers of the full scale that say nothing of where they come from.

    Those of the smaller scales give their reasons in words of their own.
    """
    lines = text.splitlines()
    found = []
    for path, node in scalars(yaml.compose(text)):
        smaller = path[:1] == ("scales",) and path[1:2] != ("paper",)
        if smaller or path[: len(section)] != section or path in LISTED or not is_number(node.value):
            continue
        if not MARK.search(lines[node.start_mark.line]):
            found.append(f"{node.start_mark.line + 1}: {lines[node.start_mark.line].strip()}")
    return found


@pytest.mark.parametrize("path", SOURCED, ids=lambda path: path.stem)
def test_every_number_of_the_full_scale_says_where_it_comes_from(path):
    assert not bare(path.read_text()), f"{path.name}: a number without source, choice or unknown"


@pytest.mark.parametrize("path", PAPERS, ids=lambda path: path.stem)
def test_so_does_every_number_that_a_papers_data_set_gives_to_its_runs(path):
    assert not bare(path.read_text(), ("run",)), f"{path.name}: a number without source, choice or unknown"


@pytest.mark.parametrize(
    "text",
    [
        "training:\n  steps: 3",
        "training:\n  optimizer:\n    betas:\n      - 0.9",
        "training: {lr: '5e-5'}",
        "training: {lr: 5e-5}  # source:",
        "training: {lr: 5e-5}  # unknown: chosen",
        "sampling:\n  nfe: [1,\n    35]  # source: HKD, Table 1",
        "per_dataset:\n  ffhq64:\n    training: {batch: 64}",
        "scales:\n  paper:\n    training: {steps: 3}",
        "scales:\n  embedded: {}\ntraining:\n  steps: 3",
        "network:\n  seed: 3",
    ],
)
def test_a_number_without_its_source_is_found_wherever_it_hides(text):
    assert bare(text)


# -- heads -----------------------------------------------------------------------------------------------------------


def head(path: Path) -> str:
    """The comment that a file begins with, as one line."""
    lines = path.read_text().splitlines()
    count = next(number for number, line in enumerate(lines) if not line.startswith("#"))
    return " ".join(line.removeprefix("#").strip() for line in lines[:count])


def printed() -> list[tuple[str, str]]:
    """Runs and the FIDs that tables 1 and 4 print for them, of several the one with most evaluations."""
    tables = yaml.safe_load((CONFIGS / "reported/cifar10.yaml").read_text())["tables"]
    rows = [row for name in ("table1", "table4") for row in tables[name]["rows"]]
    best = {row["run"]: f"{row['fid']:.2f}" for row in sorted(rows, key=lambda row: row["nfe"])}
    return sorted(best.items())


@pytest.mark.parametrize("path", METHODS, ids=lambda path: path.stem)
def test_a_methods_head_states_source_expected_fid_and_budget(path):
    text = head(path)
    ours = yaml.safe_load(path.read_text())["title"].endswith(("(control)", "Untrained network"))
    assert ours or re.search(r"Source: .*arXiv \d{4}\.\d{5}", text), f"{path.name}: no source"
    assert re.search(r"Expected FID[^:]*: \S", text), f"{path.name}: no expected FID"
    assert re.search(r"Budget: \S", text), f"{path.name}: no budget"


@pytest.mark.parametrize(("run", "fid"), printed())
def test_a_head_expects_what_the_tables_print(run, fid):
    assert re.search(rf"Expected FID.*\b{re.escape(fid)}\b", head(CONFIGS / f"{run}.yaml")), f"{run}: not {fid}"
