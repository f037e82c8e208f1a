"""Text is read and written as UTF-8 wherever it is, whatever the locale of the machine."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hkd.store.source import PACKAGE

TEXT = ("read_text", "write_text")
OPENS_TEXT = {"os", "Image", "tarfile", "zipfile", "urllib", "archive"}  # whose `open` has other arguments


def without_encoding(tree: ast.AST) -> list[int]:
    """Return the lines at which text is read or written in the encoding of the locale."""
    return [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Call) and _in_locale(node)]


def _in_locale(call: ast.Call) -> bool:
    if any(word.arg == "encoding" for word in call.keywords):
        return False
    match call.func:
        case ast.Attribute(attr=name) if name in TEXT:
            return True
        case ast.Attribute(attr="open", value=ast.Name(id=owner)) if owner in OPENS_TEXT:
            return False
        case ast.Attribute(attr="open", value=ast.Attribute() | ast.Call()):
            return False  # a member of an archive, or what an opener of addresses fetches
        case ast.Attribute(attr="open"):
            return "b" not in _mode(call, 0)
        case ast.Name(id="open"):
            return "b" not in _mode(call, 1)
        case ast.Attribute(attr="TextIOWrapper"):
            return True
    return any(word.arg in ("text", "universal_newlines") for word in call.keywords)


def _mode(call: ast.Call, place: int) -> str:
    given = [word.value for word in call.keywords if word.arg == "mode"] + call.args[place : place + 1]
    return given[0].value if given and isinstance(given[0], ast.Constant) and isinstance(given[0].value, str) else "r"


@pytest.mark.parametrize("file", sorted(PACKAGE.rglob("*.py")), ids=lambda file: str(file.relative_to(PACKAGE)))
def test_no_text_is_read_or_written_in_the_encoding_of_the_locale(file):
    assert not without_encoding(ast.parse(file.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    "text, found",
    [
        ("path.read_text()", [1]),
        ("path.read_text(encoding='utf-8')", []),
        ("path.write_text('a')", [1]),
        ("open(path)", [1]),
        ("open(path, 'w')", [1]),
        ("open(path, 'rb')", []),
        ("path.open()", [1]),
        ("path.open('wb')", []),
        ("path.open(newline='')", [1]),
        ("subprocess.run(x, text=True)", [1]),
        ("Image.open(file)", []),
    ],
)
def test_reading_without_an_encoding_is_found(text, found):
    assert without_encoding(ast.parse(text)) == found


@pytest.fixture(scope="module")
def latin1(tmp_path_factory) -> dict[str, str]:
    """An environment whose locale is ISO-8859-1."""
    if not shutil.which("localedef"):
        pytest.skip("localedef, which makes the locale, is not on this machine")
    folder = tmp_path_factory.mktemp("locale")
    command = ["localedef", "-i", "en_US", "-f", "ISO-8859-1", str(folder / "en_US.ISO-8859-1")]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("the sources of locales are not on this machine")
    return {**os.environ, "LOCPATH": str(folder), "LC_ALL": "en_US.ISO-8859-1", "PYTHONUTF8": "0"}


def said(root: Path, environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "hkd", "config", *arguments]
    return subprocess.run(command, cwd=root, env={**environment, "PYTHONPATH": str(root)}, capture_output=True)


def test_settings_are_the_same_under_another_locale(latin1, root: Path):
    utf8 = {**os.environ, "LC_ALL": "C.UTF-8"}
    first, second = (said(root, of, "show", "hkd", "--dataset", "shapes16") for of in (latin1, utf8))
    assert first.returncode == second.returncode == 0, first.stderr
    assert first.stdout.splitlines()[-1] == second.stdout.splitlines()[-1]


def test_a_message_that_the_locale_has_no_characters_for_is_printed(latin1, root: Path, tmp_path):
    file = tmp_path / "own.yaml"
    file.write_text("inherits: smoke\nκλειδί: 1\n", encoding="utf-8")
    done = said(root, latin1, "tables", "--benchmark", str(file))
    assert done.returncode == 1 and b"Traceback" not in done.stderr
    assert b"own.yaml:2: unknown key '\\u03ba" in done.stderr
