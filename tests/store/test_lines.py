"""Text of others stays within one printable line of a message, whatever it holds."""

from __future__ import annotations

import pytest

from hkd.settings import yaml_text
from hkd.store.lines import as_value, first_names, one_line, printable, reason, shortened


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a b", "a b"),
        ("ä 字", "ä 字"),
        ("a\nb", r"a\nb"),
        ("\x1b[2J", r"\x1b[2J"),
        ("\u2028\u202e", r"\u2028\u202e"),
        ("\udce9", r"\udce9"),
        ("\U000e0001", r"\U000e0001"),
    ],
)
def test_what_does_not_print_is_written_as_python_would(text, shown):
    assert printable(text) == shown and shown.isprintable()
    assert shown.encode("utf-8")  # no terminal stumbles over it


def test_the_middle_of_a_long_text_is_left_out():
    assert shortened("a" * 120) == "a" * 120
    assert shortened("a" * 60 + "b" * 100 + "c" * 40) == "a" * 60 + "…" + "c" * 40
    assert len(shortened("\n" * 1000)) == 101


def test_what_a_library_says_is_its_first_words_or_its_name():
    assert reason(ValueError("a\n  b\x07")) == r"a b\x07"
    assert reason(MemoryError()) == "MemoryError"
    assert one_line("word " * 100, 9) == "word word"


def test_of_many_names_the_first_are_said():
    names = [f"n{k}" for k in range(1006)]
    assert first_names(names[:5]) == "n0, n1, n2, n3, n4"
    assert first_names(names) == "n0, n1, n2, n3, n4, ... (1,001 more)"
    assert first_names([]) == ""


@pytest.mark.parametrize(
    "path", ["results/kept.zip", "a 'b\"; c", "é: {x}", "#1", "a\nb", "~", "true", "2023_01", "1.5"]
)
def test_a_path_in_a_mapping_reads_as_itself(path):
    found = yaml_text.parse(f"released: {{x: {{path: {as_value(path)}}}}}")
    assert found["released"]["x"]["path"] == path
