"""`hkd findings` writes the page of its result files, and with --check names what disagrees."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from hkd.cli import Commands
from hkd.stages import findings
from hkd.store.refusals import ArtifactError

PAGE = "# Found\n\n<!-- finding:x:start -->\nNothing yet.\n<!-- finding:x:end -->\n"
ABOUT = {"command": "make x", "commit": "abc", "source": "kept"}


@pytest.fixture
def call(tmp_path):
    commands = Commands()
    findings.register(commands)
    (tmp_path / "page.md").write_text(PAGE)
    (tmp_path / "x.md").write_text("FDn is {{rows.a.fdn .1f}}.\n")
    (tmp_path / "x.json").write_text(json.dumps({"about": ABOUT, "rows": {"a": {"fdn": 3.25}}}))
    places = ["--page", str(tmp_path / "page.md"), "--folder", str(tmp_path)]
    return lambda *words: CliRunner().invoke(commands.app, ["findings", *places, *words])


def test_the_page_is_written_and_then_agrees(call, tmp_path):
    assert call("--check").exit_code == 1
    assert (tmp_path / "page.md").read_text() == PAGE, "a check writes nothing"
    assert call().exit_code == 0
    assert (tmp_path / "page.md").read_text() == PAGE.replace("Nothing yet.", "FDn is 3.2.")
    assert call("--check").exit_code == 0


def test_a_check_names_the_sentence(call, tmp_path):
    call()
    (tmp_path / "x.md").write_text("FDn is {{rows.a.fdn .2f}}.\n")
    assert "'FDn is 3.2.' is not what" in call("--check").output


def test_a_page_that_is_not_there_is_one_line(call, tmp_path):
    (tmp_path / "page.md").unlink()
    error = call().exception
    assert isinstance(error, ArtifactError) and "page.md: missing; run `hkd findings` where the repository is" in str(
        error
    )


@pytest.mark.parametrize("name", ["page.md", "x.md"])
def test_a_page_that_is_no_text_is_one_line(call, tmp_path, name):
    (tmp_path / name).write_bytes(b"# \xff\xfe")
    for words in ((), ("--check",)):
        error = call(*words).exception
        assert isinstance(error, ArtifactError) and f"{name}: not UTF-8 at byte 2; put back" in str(error)
    (tmp_path / name).unlink()
    (tmp_path / name).mkdir()
    assert "a folder or a device where a file should be" in str(call().exception)
