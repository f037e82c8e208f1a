"""Classes come from dataset.json or from folders, by one rule; what may mean two things is refused with the remedy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hkd.data import DataError, picture_labels
from hkd.data.sources import Source, open_source
from tests.data.pictures_made import BLUE, GREEN, RED, Files, folder, packed
from tests.fuzzed import COUNTS
from tests.mutations import mutations

NAMES = ("00000/a.png", "00000/b.png", "00001/c.png")
PICTURES: Files = dict(zip(NAMES, (RED, GREEN, BLUE), strict=True))


@pytest.fixture(params=["folder", "zip"])
def kept(request: pytest.FixtureRequest, tmp_path: Path):
    """Return files as a folder or as a zip."""

    def made(files: Files) -> Path:
        if request.param == "folder":
            return folder(tmp_path / "set", files)
        # a folder's entry in a zip is empty
        return packed(tmp_path / "set.zip", {name: b"" if name.endswith("/") else files[name] for name in files})

    return made


def listed(*labels: object, names: tuple[str, ...] = NAMES) -> bytes:
    return json.dumps({"labels": [list(pair) for pair in zip(names, labels, strict=True)]}).encode()


def classes(source: Source) -> list[int | None]:
    return [source.label(k) for k in range(len(source))]


def refusal(path: Path, **options: bool) -> str:
    with pytest.raises(DataError) as caught:
        open_source(path, **options)  # type: ignore[arg-type]
    said = str(caught.value)
    assert str(path) in said and ";" in said and len(said) < 700, said
    return said


@pytest.mark.parametrize("place", ["", "faces/", "a/b/"])
@pytest.mark.parametrize("called", ["dataset.json", "Dataset.JSON"])
def test_the_label_file_lies_beside_all_pictures_in_whatever_case(kept, place, called):
    files = {place + name: content for name, content in PICTURES.items()}
    source = open_source(kept({**files, place + called: listed(2, 0, 1), "readme.txt": b""}))
    assert classes(source) == [2, 0, 1] and source.label_dim == 3


@pytest.mark.parametrize("form", ["./{}", "{}", ".\\{}"])
def test_names_in_it_may_be_spelled_as_in_zips(kept, form):
    names = tuple(form.format(name) for name in NAMES)
    assert classes(open_source(kept({**PICTURES, "dataset.json": listed(2, 0, 1, names=names)}))) == [2, 0, 1]


@pytest.mark.parametrize(("stored", "said"), [("\u00e9", "e\u0301"), ("e\u0301", "\u00e9")])
def test_letters_in_it_may_be_composed_otherwise_than_in_names(kept, stored, said):
    files = {f"{stored}.png": RED, "0.png": GREEN, "dataset.json": listed(1, 0, names=(f"{said}.png", "0.png"))}
    assert classes(open_source(kept(files))) == [0, 1]


def test_letters_composed_in_two_ways_never_share_an_entry(kept):
    names = ("\u00e9.png", "e\u0301.png")
    files = {names[0]: RED, "dataset.json": listed(1, 0, names=names)}
    assert "labels for 1 absent images" in refusal(kept(files))
    assert classes(open_source(kept({**files, names[1]: GREEN}))) == [0, 1]


@pytest.mark.parametrize("place", ["00000/", "labels/"])
def test_a_label_file_away_from_some_pictures_is_refused(kept, place):
    said = refusal(kept({**PICTURES, place + "dataset.json": listed(0, 1, 2)}))
    assert f"{place}dataset.json: lies in a sub-folder" in said and "move it" in said


@pytest.mark.parametrize("second", ["Dataset.json", "00000/dataset.json"])
def test_two_label_files_are_refused(kept, second):
    assert "is a label file too" in refusal(
        kept({**PICTURES, "dataset.json": listed(0, 1, 2), second: listed(0, 0, 0)})
    )


def test_a_label_file_among_copies_is_none(kept):
    assert open_source(kept({**PICTURES, ".ipynb_checkpoints/dataset.json": b"{"})).label_dim == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (listed(0, 1, 2, 2, names=(*NAMES, NAMES[0])), f"two entries for {NAMES[0]}"),
        (listed(0, 1, 2, 0, names=(*NAMES, f"./{NAMES[0]}")), f"two entries for {NAMES[0]}"),
        (listed(0, 1, 2, 3, names=(*NAMES, "d.png")), "labels for 1 absent images, such as d.png"),
        (listed(0, 1, names=NAMES[:2]), f"no label for 1 of 3 images, first {NAMES[2]}"),
        (listed(0, None, 1), "label None of"),
        (listed(0, -1, 1), "label -1 of"),
        (listed(0, 65536, 1), "label 65536 of"),
        (listed(0, True, 1), "label True of"),
        (listed(0, 1.0, 1), "label 1.0 of"),
        (listed(0, "1", 1), "label 1 of"),
        (listed(0, [1], 1), "label [1] of"),
        (b'{"labels": [["00000/a.png", NaN]]}', "NaN is no class number"),
        (b'{"labels": [["00000/a.png", -Infinity]]}', "-Infinity is no class number"),
        (b'{"labels": null, "labels": []}', "a key occurs twice"),
        (b'{"labels": [["00000/a.png", ' + b"9" * 5000 + b"]]}", "expected"),
        (b'{"labels": {"00000/a.png": 1}}', "expected"),
        (b'{"labels": ["ab", "cd"]}', "expected"),
        (b'{"labels": [[1, 1]]}', "expected"),
        (b'{"labels": [["a", 1, 2]]}', "expected"),
        (b'{"Labels": null}', "expected"),
        (b'{"labels": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "expected"),
        (b'{"labels": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}", "expected"),
        (b'{"labels"', "expected"),
    ],
)
def test_label_files_that_do_not_fit_are_refused(kept, content, message):
    said = refusal(kept({**PICTURES, "dataset.json": content}))
    assert "dataset.json: " in said and message in said


def test_no_labels_may_be_said(kept):
    assert open_source(kept({**PICTURES, "dataset.json": b'{"labels": null}'})).label_dim == 0


def test_a_label_file_of_any_length_is_not_read(kept, monkeypatch):
    monkeypatch.setattr(picture_labels, "MAX_LABEL_BYTES", 50)
    assert "more than 50" in refusal(kept({**PICTURES, "dataset.json": listed(0, 1, 2)}))


def test_numbers_without_pictures_are_named_and_do_not_shift(kept):
    source = open_source(kept({**PICTURES, "dataset.json": listed(0, 4, 4)}))
    assert classes(source) == [0, 4, 4] and source.label_dim == 5
    assert source.remarks == ("3 classes have no picture, and numbers stay: 1, 2, 3",)


def test_entries_of_skipped_pictures_are_no_mistake(tmp_path):
    path = folder(tmp_path / "set", {**PICTURES, "dataset.json": listed(2, 0, 1)})
    (path / NAMES[0]).write_bytes(b"")
    (path / NAMES[1]).unlink()
    (path / NAMES[1]).symlink_to("gone")
    source = open_source(path, skip_unreadable=True)
    assert classes(source) == [1] and source.label_dim == 3
    assert source.remarks[0].startswith("2 files were skipped as unreadable, first 00000/a.png: ")
    assert source.remarks[1] == "2 classes have no picture, and numbers stay: 0, 2"


# -- folders -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("folders", "ordered"),
    [
        (["10", "2", "1"], ["1", "2", "10"]),
        (["class10", "class9", "class1"], ["class1", "class9", "class10"]),
        (["n02", "n01", "n10"], ["n01", "n02", "n10"]),
        (["b", "a", "c2x10", "c2x9"], ["a", "b", "c2x9", "c2x10"]),
        (["-1", "007", "7", "x"], ["007", "7", "-1", "x"]),
        (["9" * 100, "1" + "0" * 100], ["9" * 100, "1" + "0" * 100]),
    ],
)
def test_classes_are_numbered_in_the_natural_order_of_their_names(kept, folders, ordered):
    source = open_source(kept({f"{name}/0.png": RED for name in folders}), class_folders=True)
    assert list(source.class_names) == ordered and source.label_dim == len(ordered)


def test_names_of_equal_length_keep_the_order_of_their_letters():
    for names in (["n03000684", "n01443537", "n02102040"], ["a2b", "a10", "a-c"]):
        assert picture_labels.ordered(names) == tuple(sorted(names))


@pytest.mark.parametrize("place", ["data/", "a/b/", "train/"])
def test_folders_that_hold_everything_are_passed_by(kept, place):
    source = open_source(kept({f"{place}{c}/x/0.png": RED for c in ("cat", "dog")}), class_folders=True)
    assert source.class_names == ("cat", "dog") and classes(source) == [0, 1]
    assert source.remarks == (f"2 classes, the folders in {place[:-1]}: cat, dog",)


def test_one_class_is_the_first_folder(kept):
    source = open_source(kept({"cat/deep/0.png": RED, "cat/deep/1.png": GREEN}), class_folders=True)
    assert source.class_names == ("cat",) and source.label_dim == 1


@pytest.mark.parametrize(
    "files", [("0.png", "cat/0.png"), ("data/0.png", "data/cat/0.png", "data/dog/0.png"), ("0.png",)]
)
def test_pictures_beside_class_folders_are_refused(kept, files):
    assert "0.png: not in a sub-folder" in refusal(kept(dict.fromkeys(files, RED)), class_folders=True)


@pytest.mark.parametrize(
    "splits",
    [
        ("train", "test"),
        ("Train", "Val"),
        ("training", "validation", "test"),
        ("train2017", "val2017"),
        ("images_train", "images_val"),
        ("train_set", "extra"),
        ("data/train", "data/test"),
        ("test",),
        ("trainA", "trainB", "testA", "testB"),
        ("train_A", "train_B"),
        ("seg_train", "seg_test"),
        ("train_32x32", "test_32x32"),
        ("ILSVRC2012_img_train", "ILSVRC2012_img_val"),
        ("fruits-360_Training", "fruits-360_Test"),
        ("asl_alphabet_train", "asl_alphabet_test"),
        ("stage1_train", "stage1_test"),
        ("bounding_box_train", "bounding_box_test", "query"),
        ("train-clean", "test-clean"),
        ("trainval", "test"),
        ("train_val", "test"),
        ("train", "public_test", "private_test"),
        ("train.X1", "train.X2", "val.X"),
        ("data.train", "data.test"),
        ("01_train", "02_test"),
        ("train (1)", "test (1)"),
        ("trn", "tst"),
        ("fold1", "fold2"),
        ("labeled", "unlabeled"),
        ("query", "gallery"),
    ],
)
def test_splits_are_no_classes(kept, splits):
    path = kept({f"{split}/{k}.png": RED for split in splits for k in range(2)})
    said = refusal(path, class_folders=True)
    assert "look like splits, not classes" in said and "give one of them as the source" in said


def test_splits_with_classes_below_are_refused_and_one_of_them_is_read(tmp_path):
    path = folder(tmp_path / "set", {f"{s}/{c}/a.png": RED for s in ("train", "test") for c in ("cat", "dog")})
    assert f"such as {path}/test" in refusal(path, class_folders=True)
    assert open_source(path / "train", class_folders=True).class_names == ("cat", "dog")
    assert open_source(path).remarks == ("the folders test, train look like splits, and are read as one set",)


@pytest.mark.parametrize(
    "names",
    [
        ("bus", "train", "tram"),
        ("freight train", "steam train"),
        ("testudo", "trainer"),
        ("Dev_Patel", "Val_Kilmer", "art_gallery"),
        ("train_interior", "train_station", "tram"),
        ("gallery",),
    ],
)
def test_a_class_may_be_called_train(kept, names):
    source = open_source(kept({f"{name}/0.png": RED for name in names}), class_folders=True)
    assert source.class_names == names and source.remarks == ()


@pytest.mark.parametrize(
    "empty", ["bear/", "bear/notes.txt", "bear/.hidden.png", "data/"], ids=["empty", "text", "hidden", "beside"]
)
def test_a_folder_without_pictures_is_refused_for_it_would_shift_numbers(tmp_path, empty):
    path = folder(tmp_path / "set", {"ant/0.png": RED, "cat/0.png": RED})
    folder(path, {empty: b"x"})
    assert f"{empty.split('/')[0]}: a folder without pictures" in refusal(path, class_folders=True)


def test_an_empty_folder_in_a_zip_is_refused_too(tmp_path):
    for k, empty in enumerate(("bear/", "bear\\", "bear/notes.txt")):
        path = packed(tmp_path / f"{k}.zip", {"ant/0.png": RED, "cat/0.png": RED, empty: b""})
        assert "bear: a folder without pictures" in refusal(path, class_folders=True)


@pytest.mark.parametrize("files", [["cat/0.png"], ["cat/a/0.png", "cat/b/0.png"]])
def test_an_empty_class_beside_the_only_other_one_is_refused(tmp_path, files):
    path = folder(tmp_path / "set", {**dict.fromkeys(files, RED), "dog/": b""})
    assert "dog: a folder without pictures" in refusal(path, class_folders=True)


@pytest.mark.parametrize("name", ["trash", "Thumb"])
@pytest.mark.parametrize("place", ["", "data/"])
def test_a_class_that_is_called_as_copies_are_is_never_left_out(kept, name, place):
    files = {f"{place}{c}/0.png": RED for c in ("glass", "index", name)}
    assert f"{place}{name}: taken for copies" in refusal(kept(files), class_folders=True)


def test_copies_below_a_class_are_left_out(kept):
    source = open_source(kept({f"{c}/{n}.png": RED for c in "ab" for n in ("0", "thumb/0")}), class_folders=True)
    assert classes(source) == [0, 1]


@pytest.mark.parametrize("empty", ["data/dog/", "data/dog/notes.txt", "data/cat/deep/", "dog/", "a/"])
def test_an_empty_class_is_refused_though_the_other_one_is_wrapped(kept, empty):
    path = kept({"data/cat/0.png": RED, empty: b"x"})
    if empty == "data/cat/deep/":  # below a class there may be anything
        assert open_source(path, class_folders=True).label_dim == 1
    else:
        said = "data/dog: a" if empty.startswith("data/") else f"{empty[:-1]}: a"
        assert f"{said} folder without pictures" in refusal(path, class_folders=True)


def test_a_class_whose_link_is_broken_is_never_skipped(tmp_path):
    path = folder(tmp_path / "set", {"ant/0.png": RED, "cat/0.png": RED})
    (path / "bear").symlink_to("gone")
    assert "bear: a link to nothing" in refusal(path, class_folders=True)
    assert "bear: a folder without pictures" in refusal(path, class_folders=True, skip_unreadable=True)


def test_a_class_of_unreadable_pictures_keeps_its_number(tmp_path):
    path = folder(tmp_path / "set", {"ant/0.png": RED, "bear/0.png": b"", "cat/0.png": RED})
    source = open_source(path, class_folders=True, skip_unreadable=True)
    assert classes(source) == [0, 2] and source.class_names == ("ant", "bear", "cat") and source.label_dim == 3
    assert source.remarks[1] == "1 class has no picture, and its number stays: bear"


def test_folders_and_a_label_file_cannot_both_say_the_classes(kept):
    files = {**PICTURES, "dataset.json": listed(0, 1, 2)}
    assert "remove the file, or unset class_folders" in refusal(kept(files), class_folders=True)
    assert open_source(kept({"dataset.json": b'{"labels": null}', **PICTURES}), class_folders=True).label_dim == 2


@pytest.mark.parametrize("twin", ["CAT", "ｃａｔ", "cat ", " cat", "cat\u3000", "c\u200dat"])
def test_classes_almost_called_alike_are_refused(tmp_path, twin):
    path = packed(tmp_path / "set.zip", {"cat/0.png": RED, f"{twin}/0.png": RED})
    assert "a class almost called as" in refusal(path, class_folders=True)


def test_class_names_that_cannot_be_printed_are_refused(tmp_path):
    for k, letter in enumerate(("\x1b", "\n", "\x85", "\u2028", "\u2029", "\u202e", "\u2066")):
        files = {"cat/0.png": RED, f"d{letter}og/0.png": RED}
        path = packed(tmp_path / f"{k}.zip", files)
        assert "cannot be printed" in refusal(path, class_folders=True)


def test_class_names_may_have_any_space_and_joined_letters(kept):
    names = ("a\u00a0b", "c\u3000d", "می\u200cخواهم", "👨\u200d👩\u200d👧")
    source = open_source(kept({f"{name}/0.png": RED for name in names}), class_folders=True)
    assert set(source.class_names) == set(names)


@pytest.mark.parametrize("name", ["dataset.json/0.png", "Dataset.JSON/0.png", "a/dataset.json/", "dataset.json/a"])
def test_a_folder_called_as_the_label_file_is_refused(kept, name):
    path = kept({"cat/0.png": RED, name: RED})
    for options in ({"class_folders": True}, {}):
        said = refusal(path, **options)
        assert "a folder, and labels would be in a file of this name; give it another name" in said


def test_deep_paths_are_read_in_time(tmp_path):
    path = packed(tmp_path / "set.zip", {f"{'a/' * 30_000}{k}/0.png": RED for k in range(20)})
    assert open_source(path, class_folders=True).label_dim == 20


@pytest.mark.parametrize("count", COUNTS)
def test_mutated_label_files_are_read_or_refused(tmp_path, count):
    path = folder(tmp_path / "set", PICTURES)
    good = 0
    for mutated in mutations(listed(2, 0, 1), count):
        (path / "dataset.json").write_bytes(mutated)
        try:
            source = open_source(path)
        except DataError as error:
            assert str(error).isprintable()
        else:
            good += 1
            assert all(type(number) is int and 0 <= number < 65536 for number in classes(source))
    assert good < count
