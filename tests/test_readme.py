"""The README can be read in two minutes, and every page and command that it names is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image

from hkd.report.markdown import WIDTH

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = sorted(path for path in (ROOT / "docs").glob("*.md") if path.name != "README.md")
SHORT = ("Your own images", "Looking inside", "GPUs and clusters")


def tables(page: str) -> list[str]:
    return [line for line in page.splitlines() if line.startswith("|")]


def section(title: str) -> str:
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def targets() -> set[str]:
    return set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_the_first_screen_has_a_sentence_two_commands_one_picture_and_then_the_table():
    first, _, rest = README.partition("<!-- table1:start -->")
    assert len(first.splitlines()) <= 16
    assert [line.split()[:2] for line in first.splitlines() if line.startswith("make ")] == [
        ["make", "table1"],
        ["make", "test"],
    ]
    assert first.count("](docs/samples.png)") == 1 and "<!-- table1:end -->" in rest
    assert len(re.findall(r"[a-z]\.(?:\s|$)", first.split("\n\n")[1])) == 1, "one sentence"


@pytest.mark.parametrize("name", ["samples", "cifar10_cpu"])
def test_a_picture_on_a_page_850_pixels_wide_leaves_room_for_its_table(name):
    with Image.open(ROOT / f"docs/{name}.png") as picture:
        assert 850 * picture.height / picture.width <= 620


def test_what_a_reader_must_not_conclude_stands_beside_what_he_may():
    after = README.split("<!-- table1:end -->")[1]
    assert after.index("**What to read from it.**") < after.index("**What not to conclude.**") < after.index("\n## ")
    assert "**not FID**" in after and "`make weights`" in after


@pytest.mark.parametrize("title", SHORT)
def test_the_further_sections_are_five_lines_each_and_their_commands(title):
    text, code = section(title), section(title).split("```")[1::2]
    said = "".join(text.split("```")[0::2]).strip().splitlines()
    assert len([line for line in said if line]) <= 5
    assert sum(len(block.strip().splitlines()) - 1 for block in code) <= 5


def test_the_second_example_has_its_picture_its_rows_and_what_not_to_conclude():
    before, _, rest = section("Photographs, on a CPU").partition("<!-- cifar10_cpu:start -->")
    table, _, after = rest.partition("<!-- cifar10_cpu:end -->")
    assert "](docs/cifar10_cpu.png)" in before and "make cifar10-cpu SOURCE=" in before
    names = {line.split("|")[1].strip() for line in tables(table)[2:]}
    assert names == {"EDM", "KD", "ECM", "HKD", "Regression (control)", "Untrained network", "Real images"}
    assert "neither is FID" in after and "one seed" in after


@pytest.mark.parametrize("page", ["README.md", "docs/findings.md"])
def test_tables_fit_a_line(page):
    assert max(map(len, tables((ROOT / page).read_text(encoding="utf-8")))) <= WIDTH


@pytest.mark.parametrize("name", ["table1", "cifar10_cpu"])
def test_each_table_says_which_row_teaches_and_what_a_training_took_in_processor_time(name):
    shown = README.split(f"<!-- {name}:start -->")[1].split(f"<!-- {name}:end -->")[0]
    assert re.search(r"^EDM: teacher or starting point of .*HKD", shown, re.MULTILINE)
    assert "| CPU-min |" in tables(shown)[0] and "Training, s" not in shown
    assert "pairs" in README.split("**CPU-min** are")[1].split("\n- ")[0]


def test_every_make_target_that_pages_name_is_one():
    found = {
        name
        for page in (README, *(path.read_text() for path in PAGES))
        for name in re.findall(r"`make ([a-z0-9-]+)", page)
    }
    known = targets()
    assert {"table1", "weights"} < found
    assert not {name for name in found if name not in known and not name.startswith("weights-")}


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "docs/README.md", *PAGES], ids=lambda path: path.name)
def test_every_link_leads_somewhere(page):
    for link in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
        assert link.startswith("https://") or (page.parent / link).exists(), link


def test_the_index_has_every_page_once():
    listed = re.findall(r"^\| \[[\w-]+\]\(([\w-]+\.md)\)", (ROOT / "docs/README.md").read_text(), re.MULTILINE)
    assert sorted(listed) == [path.name for path in PAGES]


def test_every_benchmark_that_the_pages_list_is_a_file():
    text = (ROOT / "docs/settings.md").read_text().split("Benchmarks (")[1].split(")")[0]
    named = [Path(name).stem for name in re.findall(r"`([\w./]+)`", text)]
    assert "students" in named and not [
        name for name in named if not (ROOT / f"configs/benchmarks/{name}.yaml").exists()
    ]
