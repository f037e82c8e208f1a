"""Folders that are named as the splits of a set, by words such as train and test: these are no classes."""

from __future__ import annotations

import re
from collections.abc import Sequence

AROUND = "images?|imgs?|data|set"
# A whole name, and such as train2017 or images_val
WHOLE = re.compile(
    rf"(({AROUND})[-_ ]?)?"
    r"(train|training|trainval|trn|test|testing|tst|val|valid|validation|dev|eval|evaluation|h[oe]ld[-_ ]?out"
    r"|unlabell?ed|extra|fold)"
    rf"([-_ ]?({AROUND}|split))?[-_ ]?[0-9]*"
)
PARTNERS = frozenset(["labeled", "labelled", "query", "gallery"])  # one alone may well be a class
# A word of a name, such as of seg_train, 01_test or trainA; a name may hold several
WORD = re.compile(r"[A-Z]+(?![^\W\d_A-Z])|[A-Z]?[^\W\d_A-Z]+")
KINDS = re.compile(
    rf"({AROUND})?(?:(?P<train>train(?:ing|val)?|trn)|(?P<test>test(?:ing)?|tst)"
    rf"|(?P<val>val|valid|validation|dev|eval|evaluation))({AROUND}|split)?"
)


def splits_among(names: Sequence[str]) -> list[str]:
    """Return those of a level's folders that are named as splits; one alone beside others may be a class.

    A word within a name counts where two kinds of splits have one, or where all names do: of freight trains and steam
    trains alone there may be classes, of train_A and train_B hardly.
    """
    whole = {name for name in names if WHOLE.fullmatch(name.casefold()) or name.casefold() in PARTNERS}
    kinds = {name: kind for name in names if (kind := _kind(name))}
    if len(set(kinds.values())) > 1 or (len(kinds) == len(names) > 1 and all(map(_hardly_a_class, names))):
        whole |= kinds.keys()
    several = len(whole) > 1 or (len(whole) == len(names) and not PARTNERS.issuperset(map(str.casefold, whole)))
    return [name for name in names if name in whole] if several else []


def _kind(name: str) -> str:
    """Return train, test or val by the first word of a name that says so, or nothing."""
    found = (KINDS.fullmatch(word.casefold()) for word in WORD.findall(name))
    return next((kind for match in found if match for kind, text in match.groupdict().items() if text), "")


def _hardly_a_class(name: str) -> bool:
    """Return whether a name that has a split's word is none of a thing: trains are things, tests are not."""
    return _kind(name) != "train" or all(
        len(word) == 1 or KINDS.fullmatch(word.casefold()) for word in WORD.findall(name)
    )
