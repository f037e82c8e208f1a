"""The classes of pictures: from `dataset.json`, or from the names of folders; doubtful layouts are refused.

`dataset.json` is EDM's: {"labels": [["00000/img00000000.png", 6], ...]}, one entry for every picture, or null. It lies
beside all pictures, or, where everything lies in one folder, in that folder, and names are relative to where it lies.

Folders: the class of a picture is the first folder of its path; a folder that holds everything is passed by. Classes
are numbered from 0 in the natural order of their names, in which 2 comes before 10; names of one length, by letters.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, NoReturn

from hkd.data import DataError
from hkd.data.picture_files import PictureFiles
from hkd.data.split_names import splits_among
from hkd.store.lines import first_names

MAX_CLASSES = 1 << 16
MAX_LABEL_BYTES = 128 << 20  # ImageNet's 1.3 million entries take some 50
CONTROLS = ("Cc", "Cs", "Zl", "Zp")
DIRECTIONS = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
DIGITS = re.compile(r"([0-9]+)")


@dataclass(frozen=True)
class Labels:
    """Classes of pictures.

    Attributes:
        numbers: the class of each picture, or None without labels.
        label_dim: number of classes, 0 without labels.
        names: of the classes, where they are known.
        remarks: what a reader should know, a line each.
    """

    numbers: list[int] | None = None
    label_dim: int = 0
    names: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


def picture_labels(files: PictureFiles, *, class_folders: bool) -> Labels:
    """Return the classes of pictures, by their folders if asked for, else by `dataset.json` if there is one.

    Raises:
        DataError: the label file does not fit the pictures, or the folders may not be classes.
    """
    listed = _listed(files)
    if not class_folders:
        return _with_split_remark(listed, files.names)
    if listed.numbers is not None:
        raise DataError(
            f"{files.where(files.label_files[0])}: has classes, and class_folders asks for those of folders; "
            "remove the file, or unset class_folders"
        )
    return _folder_labels(files)


def empty_classes(numbers: Sequence[int], labels: Labels) -> tuple[str, ...]:
    """Return a remark on the classes that none of these pictures has, or none."""
    used = set(numbers)
    empty = [k for k in range(labels.label_dim) if k not in used]
    if not empty:
        return ()
    what = f"1 class has no picture, and its number stays: {_called(empty, labels)}"
    return (
        what
        if len(empty) == 1
        else f"{len(empty):,} classes have no picture, and numbers stay: {_called(empty, labels)}",
    )


def ordered(names: Iterable[str]) -> tuple[str, ...]:
    """Return names of classes in the order of their numbers: natural, or by letters where all are equally long."""
    found = sorted(set(names))
    return tuple(found if len({len(name) for name in found}) == 1 else sorted(found, key=natural))


def natural(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts names with numbers by the numbers' size: a2 before a10, and 2 before 10."""
    # the length of a number without its leading zeros, then its digits: as its value, however many digits it has
    parts = DIGITS.split(name)
    key = [(len(part.lstrip("0")), part.lstrip("0")) if k % 2 else (-1, part) for k, part in enumerate(parts)]
    return [*key, (-1, name)]


def _listed(files: PictureFiles) -> Labels:
    """Return the classes that the label file gives."""
    if not files.label_files:
        return Labels()
    name = files.label_files[0]
    if len(files.label_files) > 1:
        raise DataError(f"{files.where(name)}: {files.label_files[1]} is a label file too; keep the right one alone")
    folder = name.rpartition("/")[0]
    prefix = f"{folder}/" if folder else ""
    outside = [picture for picture in files.names if not picture.startswith(prefix)]
    if outside:
        raise DataError(
            f"{files.where(name)}: lies in a sub-folder, {outside[0]} does not; "
            "move it beside all pictures and correct its names, or remove it"
        )
    content = files.read(name)
    if len(content) > MAX_LABEL_BYTES:
        raise DataError(f"{files.where(name)}: {len(content):,} bytes, more than {MAX_LABEL_BYTES:,}; remove it")
    table = _entries(content, files.where(name))
    if table is None:
        return Labels()
    table = _as_spelled({prefix + picture: number for picture, number in table.items()}, files)
    numbers = _matched(table, files, files.where(name))
    return Labels(numbers, max(table.values()) + 1)


def _entries(content: bytes, where: str) -> dict[str, int] | None:
    """Return the class of each name from EDM's `dataset.json`, or None where it says null."""
    try:
        labels = json.loads(content, object_pairs_hook=_unique, parse_constant=_no_number)["labels"]
        pairs = None if labels is None else [_pair(entry) for entry in labels]
    except (ValueError, KeyError, TypeError, RecursionError, MemoryError) as error:
        why = f" ({error})" if isinstance(error, _Twice) else ""
        raise DataError(
            f'{where}: expected {{"labels": [["00000/img00000000.png", 6], ...]}}{why}; correct or remove it'
        ) from None
    if pairs is None:
        return None
    table: dict[str, int] = {}
    for name, label in pairs:
        if type(label) is not int or not 0 <= label < MAX_CLASSES:
            raise DataError(
                f"{where}: label {_short(label)} of {name}; expected a class number from 0 to {MAX_CLASSES - 1}, "
                "or labels: null"
            )
        if name in table:
            raise DataError(f"{where}: two entries for {name}; keep the right one")
        table[name] = label
    return table


class _Twice(ValueError):
    """A key or kind of value that JSON does not forbid, but nobody can mean."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Twice("a key occurs twice")
    return found


def _no_number(text: str) -> NoReturn:
    raise _Twice(f"{text} is no class number")


def _pair(entry: Any) -> tuple[str, Any]:
    name, label = entry
    if not isinstance(entry, list) or not isinstance(name, str):
        raise TypeError(entry)
    parts = name.replace("\\", "/").split("/")
    return "/".join(part for part in parts if part not in ("", ".")), label


def _as_spelled(table: dict[str, int], files: PictureFiles) -> dict[str, int]:
    """Return the table with names as the files spell them: one letter may be written in two ways, é or e with ´."""
    known = {*files.names, *files.skipped}
    if table.keys() <= known:
        return table
    free = {unicodedata.normalize("NFC", name): name for name in known - table.keys()}
    # each name of a file is given once: of two entries for it, the second stays unknown, and is refused
    return {
        picture if picture in known else free.pop(unicodedata.normalize("NFC", picture), picture): number
        for picture, number in table.items()
    }


def _matched(table: dict[str, int], files: PictureFiles, where: str) -> list[int]:
    """Return the classes of all pictures in their order."""
    missing = [name for name in files.names if name not in table]
    unknown = table.keys() - set(files.names) - files.skipped.keys()
    if unknown:
        raise DataError(
            f"{where}: labels for {len(unknown)} absent images, such as {min(unknown)}; correct or remove it"
        )
    if missing:
        raise DataError(
            f"{where}: no label for {len(missing)} of {len(files.names)} images, first {missing[0]}; add or remove all"
        )
    return [table[name] for name in files.names]


def _folder_labels(files: PictureFiles) -> Labels:
    """Return the class of each picture, which is the first folder of its path below one that holds everything."""
    parts = [name.split("/")[:-1] for name in files.names]
    shared = _shared(parts)
    loose = next((name for name, at in zip(files.names, parts, strict=True) if len(at) == len(shared)), None)
    deeper = any(len(at) > len(shared) for at in parts)
    if loose is not None and (deeper or not shared):
        raise DataError(
            f"{files.where(loose)}: not in a sub-folder, so without a class; move it, or unset class_folders"
        )
    level = len(shared) if deeper else 0
    folders = [at[level] for at in parts]
    names = ordered(folders)
    _check_classes(files, shared[:level], names)
    _refuse_empty(files, shared, set(names) if deeper else None)
    number = {name: k for k, name in enumerate(names)}
    said = [f"{len(names)} classes, the folders in {'/'.join(shared)}: {first_names(names)}"] if level else []
    return Labels([number[folder] for folder in folders], len(names), names, tuple(said))


def _check_classes(files: PictureFiles, shared: Sequence[str], names: Sequence[str]) -> None:
    """Refuse folders that are no classes, or whose numbers would depend on chance.

    Raises:
        DataError: folders of splits, with doubtful names, or too many.
    """
    splits = splits_among(names)
    if splits:
        first = "/".join([*shared, splits[0]])
        raise DataError(
            f"{files.where('')}: its folders {first_names(splits)} look like splits, not classes; "
            f"give one of them as the source, such as {files.where('')}/{first} "
            "(of a zip: unpacked, or packed by itself), or give classes other names"
        )
    if len(names) > MAX_CLASSES:
        raise DataError(
            f"{files.where('')}: {len(names):,} folders, more than {MAX_CLASSES:,} classes; unset class_folders"
        )
    alike: dict[str, str] = {}
    for name in names:
        if any(map(_is_control, name)):
            raise DataError(f"{files.where(name)}: a class whose name cannot be printed; give the folder another name")
        twin = alike.setdefault(_heard(name), name)
        if twin != name:
            raise DataError(f"{files.where(name)}: a class almost called as {twin}; join the two, or name them apart")


def _is_control(letter: str) -> bool:
    """Return whether a letter breaks a line, steers a terminal or the direction of writing, or is no letter at all."""
    return unicodedata.category(letter) in CONTROLS or unicodedata.bidirectional(letter) in DIRECTIONS


def _heard(name: str) -> str:
    """Return what is left of a name without case, forms of letters, letters that take no room, and spaces around."""
    plain = unicodedata.normalize("NFKC", name).casefold()
    return " ".join("".join(letter for letter in plain if unicodedata.category(letter) != "Cf").split())


def _refuse_empty(files: PictureFiles, shared: Sequence[str], names: set[str] | None) -> None:
    """Refuse a folder that lies beside the classes, or beside what holds them all, and gives no picture.

    Args:
        names: of the classes, or None where all pictures lie in the one folder `shared`.
    Raises:
        DataError: there is one, and a class more or less would shift the numbers.
    """
    lost = {name for name in files.skipped if not PurePosixPath(name).suffix}  # links to folders that are gone
    for folder in sorted((files.folders | files.set_aside | lost) - {""}):
        parts = folder.split("/")
        common = len(_shared([parts, list(shared)]))
        beside = parts[common : common + 1]
        if not beside or (common == len(shared) and (names is None or beside[0] in names)):
            continue
        empty = "/".join([*shared[:common], *beside])
        if empty in files.set_aside:
            raise DataError(
                f"{files.where(empty)}: taken for copies that a program has left, and it lies beside classes; "
                "give the folder another name if it is a class, or remove it"
            )
        raise DataError(
            f"{files.where(empty)}: a folder without pictures, beside those of classes, whose numbers it would shift; "
            "remove it, or put its pictures there"
        )


def _with_split_remark(labels: Labels, names: Sequence[str]) -> Labels:
    parts = [name.split("/")[:-1] for name in names]
    shared = _shared(parts)
    splits = splits_among(sorted({at[len(shared)] for at in parts if len(at) > len(shared)}))
    if not splits:
        return labels
    said = f"the folders {first_names(splits)} look like splits, and are read as one set"
    return Labels(labels.numbers, labels.label_dim, labels.names, (*labels.remarks, said))


def _shared(paths: Sequence[list[str]]) -> list[str]:
    """Return the folders that lead to all of these paths."""
    lowest, highest = min(paths), max(paths)  # what these share, all between them share
    count = next((k for k, (one, other) in enumerate(zip(lowest, highest, strict=False)) if one != other), None)
    return lowest[: min(len(lowest), len(highest)) if count is None else count]


def _called(numbers: Sequence[int], labels: Labels) -> str:
    return first_names([labels.names[k] if labels.names else str(k) for k in numbers])


def _short(value: object) -> str:
    try:
        return str(value)[:40]
    except (ValueError, RecursionError):
        return "with thousands of digits"
