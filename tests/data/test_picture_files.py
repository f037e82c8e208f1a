"""One rule says which files of a folder or zip are pictures, and what is left out is counted, in every command."""

from __future__ import annotations

import os
import stat
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from hkd.data import DataError, formats, picture_files, picture_zip
from hkd.data.containers import find_pictures
from hkd.data.foreign import load_images
from hkd.data.picture_files import PictureFiles
from hkd.data.sources import open_source
from hkd.store.lines import printable
from tests.data.pictures_made import BLUE, GREEN, RED, Files, colour, folder, mean_colours, packed
from tests.fuzzed import COMPARED, refused


def refusal(path: Path, **options: bool) -> str:
    """The one line that both readers refuse a path with."""
    said = []
    for read in (open_source, load_images):
        with pytest.raises(DataError) as caught:
            found = read(path, **options)  # type: ignore[operator]
            list(found.items())
        said.append(str(caught.value))
    assert said[0] == said[1] and str(path) in said[0] and ";" in said[0], said
    return said[0]


def both(path: Path, **options: bool) -> tuple[list[tuple[int, int, int]], tuple[str, ...]]:
    """The mean colours and remarks that both readers agree on."""
    source = open_source(path, **options)  # type: ignore[arg-type]
    options.pop("convert_to_rgb", None)  # what is scored is converted always
    foreign = load_images(path, **options)  # type: ignore[arg-type]
    prepared = np.stack([image for image, _ in source.items()])
    assert (prepared == foreign.pixels).all() and source.remarks == foreign.remarks
    return mean_colours(prepared), source.remarks


@pytest.fixture(params=["folder", "zip"])
def kept(request: pytest.FixtureRequest, tmp_path: Path):
    """Return files as a folder or as a zip."""
    return lambda files: (
        folder(tmp_path / "set", files) if request.param == "folder" else packed(tmp_path / "set.zip", files)
    )


def test_pictures_are_known_by_their_extension_or_their_first_bytes(kept):
    files = {"0.PNG": RED, "1.jfif": colour(0, 0, 0, kind="JPEG"), "2": GREEN, "3.dat": BLUE, "notes.txt": b"hello"}
    colours, remarks = both(kept(files))
    assert colours == [(255, 0, 0), (0, 0, 0), (0, 255, 0), (0, 0, 255)]
    assert remarks == ("1 file was left out: .txt 1",)


def test_what_is_left_out_is_counted_by_kind(kept):
    files = {f"{k}.{kind}": b"?" for kind, count in (("txt", 5), ("csv", 2)) for k in range(count)}
    remarks = both(kept({"0.png": RED, "noext": b"?", **files}))[1]
    assert remarks == ("8 files were left out: .txt 5, .csv 2, without extension 1",)


def test_many_kinds_are_shortened(kept):
    remarks = both(kept({"0.png": RED, **{f"a.k{k}": b"?" for k in range(9)}}))[1]
    assert remarks[0].startswith("9 files were left out: .k0 1") and remarks[0].endswith("3 more kinds")


COPIES = [
    ".ipynb_checkpoints/0-checkpoint.png",
    ".Trash-0/files/0.png",
    ".git/0.png",
    "@eaDir/0.png/SYNOPHOTO_THUMB_M.png",
    "__MACOSX/._0.png",
    "deep/._0.png",
    "deep/.thumbnails/0.png",
    "Thumbs.db",
    "thumbnails/0.png",
    "$RECYCLE.BIN/0.png",
    "lost+found/0.png",
    "RECYCLER/0.png",
    "Recycled/0.png",
    "Trash/0.png",
    "thumbnail/0.png",
    "thumb/0.png",
    "_thumbs/0.png",
    "found.000/0.png",
    "Network Trash Folder/0.png",
    "Temporary Items/0.png",
    "a/__pycache__/0.png",
    "node_modules/x/0.png",
    "Icon\r",
]


@pytest.mark.parametrize("copy", COPIES)
def test_hidden_files_and_copies_are_left_out_and_counted(kept, copy):
    colours, remarks = both(kept({"0.png": RED, copy: GREEN}))
    hidden = next(part for part in copy.split("/") if picture_files.is_hidden(part))
    said = printable(f"1 file was left out as hidden or copies: {hidden} 1")
    assert colours == [(255, 0, 0)] and remarks == (said,)


def test_leftovers_of_editors_and_downloads_are_counted_by_their_endings(kept):
    left = ["0.png~", "0.png.bak", "1.png.BAK", "2.png.part", "3.png.swp", "4.png.tmp", "5.png.crdownload", "~$6.png"]
    colours, remarks = both(kept({"0.png": RED, **dict.fromkeys(left, GREEN)}))
    assert colours == [(255, 0, 0)]
    assert remarks[0].startswith("8 files were left out as hidden or copies: *.bak 2, *.crdownload 1")


@pytest.mark.parametrize(
    "name", ["thumbnails128x128/0.png", "foundation.000/0.png", "a.temp", "bak.png", "gitignore/0.png", "MACOSX.png"]
)
def test_names_that_only_look_like_copies_count(kept, name):
    assert both(kept({name: RED})) == ([(255, 0, 0)], ())


def test_a_set_of_copies_alone_says_so(kept):
    assert "1 file was left out as hidden or copies: .cache 1" in refusal(kept({".cache/0.png": RED}))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a/Set.ZIP", "give {path}/a/Set.ZIP itself"),
        ("cifar-10-python.tar.gz", "give {path}/cifar-10-python.tar.gz itself"),
        ("imgs.tgz", "unpack imgs.tgz, and give its folder of pictures"),
    ],
)
def test_a_folder_with_an_archive_alone_says_what_to_give(tmp_path, name, message):
    path = folder(tmp_path / "set", {name: b"", "notes.txt": b""})
    assert message.format(path=path) in refusal(path)
    assert f"unpack {name} from it" in refusal(packed(tmp_path / "set.zip", {name: b""}))


def test_links_to_folders_and_files_are_followed(tmp_path):
    folder(tmp_path / "store", {"cat/0.png": RED, "dog/0.png": GREEN, "1.png": BLUE})
    source = folder(tmp_path / "data", {"bird/0.png": colour(1, 2, 3)})
    for name in ("cat", "dog"):
        (source / name).symlink_to(tmp_path / "store" / name)
    (source / "bird/1.png").symlink_to(tmp_path / "store/1.png")
    colours, remarks = both(source)
    assert colours == [(1, 2, 3), (0, 0, 255), (255, 0, 0), (0, 255, 0)] and remarks == ()
    classes = open_source(source, class_folders=True)
    assert classes.class_names == ("bird", "cat", "dog") and [classes.label(k) for k in range(4)] == [0, 0, 1, 2]


@pytest.mark.parametrize("target", [".", "..", "../../set"])
def test_links_that_lead_in_a_circle_are_left_out_and_named(tmp_path, target):
    source = folder(tmp_path / "set", {"a/0.png": RED})
    (source / "a/back").symlink_to(target)
    colours, remarks = both(source)
    assert colours == [(255, 0, 0)]
    assert remarks == ("links that lead back to a folder above were not followed: a/back",)


def test_two_folders_that_link_to_each_other_end(tmp_path):
    source = folder(tmp_path / "set", {"0.png": RED})
    other = folder(tmp_path / "other", {"1.png": GREEN})
    (source / "out").symlink_to(other)
    (other / "back").symlink_to(source)
    colours, remarks = both(source)
    assert colours == [(255, 0, 0), (0, 255, 0)] and "out/back" in remarks[0]


@pytest.mark.parametrize("name", ["a", "z"])
def test_a_folder_under_two_names_is_refused(tmp_path, name):
    source = folder(tmp_path / "set", {"cat/0.png": RED})
    (source / name).symlink_to("cat")
    assert "the same folder as" in refusal(source)


def test_files_under_two_names_are_counted(tmp_path):
    source = folder(tmp_path / "set", {"0.png": RED})
    (source / "1.png").symlink_to("0.png")
    (source / "2.png").hardlink_to(source / "0.png")
    colours, remarks = both(source)
    assert len(colours) == 3 and remarks == ("2 pictures are links to others of the set, and count again",)
    (source / "2.png").unlink()
    assert both(source)[1] == ("1 picture is a link to another of the set, and counts again",)


def test_links_to_what_is_left_out_count_once(tmp_path):
    source = folder(tmp_path / "set", {".store/0": RED, ".store/1": GREEN, "notes.txt": b""})
    for name, target in (("0.png", ".store/0"), ("1.png", ".store/1"), ("again.txt", "notes.txt")):
        (source / name).symlink_to(target)
    assert not any("count" in line for line in both(source)[1])


@pytest.mark.parametrize("name", ["cat", "1.png"])
def test_a_broken_link_is_refused_or_counted(tmp_path, name):
    source = folder(tmp_path / "set", {"0.png": RED})
    (source / name).symlink_to(tmp_path / "gone")
    assert f"{name}: a link to nothing" in refusal(source)
    colours, remarks = both(source, skip_unreadable=True)
    assert (
        colours == [(255, 0, 0)] and f"1 file was skipped as unreadable, first {name}: a link to nothing" in remarks[0]
    )


def test_a_link_to_itself_is_refused(tmp_path):
    source = folder(tmp_path / "set", {"0.png": RED})
    (source / "1.png").symlink_to("1.png")
    assert "1.png: a link to nothing" in refusal(source)


def test_an_unreadable_folder_is_refused_or_counted(tmp_path, monkeypatch):
    source = folder(tmp_path / "set", {"0.png": RED, "dog/1.png": GREEN})
    scan = os.scandir

    def closed(path):
        if str(path).endswith("dog"):
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", lambda path: closed(str(path).rstrip("/")))
    assert "dog: the folder cannot be read (Permission denied)" in refusal(source)
    colours, remarks = both(source, skip_unreadable=True)
    assert colours == [(255, 0, 0)] and remarks[0].startswith(
        "1 file was skipped as unreadable, first dog: the folder cannot"
    )


def test_an_unreadable_picture_is_refused_or_counted(kept):
    path = kept({"0.png": RED, "1.png": RED[:40], "2.png": b"", "3.png": GREEN})
    assert "1.png: " in refusal(path)
    colours, remarks = both(path, skip_unreadable=True)
    assert colours == [(255, 0, 0), (0, 255, 0)]
    assert remarks[0].startswith("2 files were skipped as unreadable, first 1.png: ")


def test_a_set_of_unreadable_pictures_is_refused_even_if_they_may_be_skipped(kept):
    assert "not one of its 2 images can be read; 2 files were skipped" in refusal(
        kept({"0.png": b"", "1.png": b"x"}), skip_unreadable=True
    )


def test_pipes_are_not_opened(tmp_path):
    source = folder(tmp_path / "set", {"0.png": RED})
    os.mkfifo(source / "1.png")
    (source / "2.png").symlink_to("/dev/zero")
    assert both(source) == ([(255, 0, 0)], ("2 files were left out: pipes and devices 2",))
    assert "neither a file nor a folder" in _first_words(source / "1.png")


def _first_words(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        open_source(path)
    return str(caught.value)


@pytest.mark.parametrize("name", ["a\0b", "n" * 300, "file/below"])
def test_names_that_cannot_be_are_refused(tmp_path, name):
    (tmp_path / "file").write_bytes(b"")
    for read in (open_source, load_images):
        with pytest.raises(DataError, match="no such file or folder"):
            read(tmp_path / name)  # type: ignore[operator]


# -- zips --------------------------------------------------------------------------------------------------------------


def test_a_zip_with_one_name_twice_is_refused_by_that_name(tmp_path):
    path = packed(tmp_path / "set.zip", [("0.png", RED), ("0.png", GREEN), ("1.png", BLUE)])
    assert "0.png: there are two files of this name" in refusal(path)


@pytest.mark.parametrize("twin", ["./0.png", "a//../0.png", ".\\0.png"])
def test_two_spellings_of_one_name_are_one_name_or_refused(tmp_path, twin):
    refusal(packed(tmp_path / "set.zip", [("0.png", RED), (twin, GREEN)]))


def test_twins_that_are_no_pictures_do_not_matter(tmp_path):
    path = packed(tmp_path / "set.zip", [("0.png", RED), ("notes.txt", b"a"), ("notes.txt", b"b")])
    assert both(path) == ([(255, 0, 0)], ("2 files were left out: .txt 2",))


@pytest.mark.parametrize("form", ["./{}", "{}", ".//{}"])
def test_names_of_zips_may_begin_with_the_folder_they_were_packed_in(tmp_path, form):
    files = [(form.format(f"00000/{k}.png"), content) for k, content in enumerate((RED, GREEN))]
    path = packed(tmp_path / "set.zip", [("./", b""), (form.format("00000/"), b""), *files])
    assert both(path) == ([(255, 0, 0), (0, 255, 0)], ())


def test_names_of_zips_may_have_backslashes(tmp_path):
    path = packed(tmp_path / "set.zip", [("cat\\", b""), ("cat\\0.png", RED), ("dog\\0.png", GREEN)])
    assert both(path) == ([(255, 0, 0), (0, 255, 0)], ())
    assert open_source(path, class_folders=True).class_names == ("cat", "dog")


@pytest.mark.parametrize("encoding", ["utf-8", "cp437"])
def test_names_of_zips_that_do_not_say_their_encoding_are_utf8_if_they_can_be(tmp_path, encoding):
    names = {"\u732b": "AAA", "e\u0301": "BBB"} if encoding == "utf-8" else {"\u00e9": "A", "\u00fc": "B"}
    path = packed(tmp_path / "set.zip", {f"{placeholder}/0.png": RED for placeholder in names.values()})
    content = path.read_bytes()
    for name, placeholder in names.items():
        content = content.replace(f"{placeholder}/".encode(), f"{name}/".encode(encoding))
    path.write_bytes(content)
    source = open_source(path, class_folders=True)
    assert set(source.class_names) == set(names) and len(list(source.items())) == 2


@pytest.mark.parametrize("name", ["../0.png", "/etc/0.png", "a\\..\\..\\0.png", "C:\\0.png", "\\\\host\\0.png", ".."])
def test_names_that_lead_out_of_a_zip_are_refused(tmp_path, name):
    assert "a path outside the archive" in refusal(packed(tmp_path / "set.zip", {"0.png": RED, name: GREEN}))


def test_a_zip_of_macos_and_one_in_capitals_are_read(tmp_path):
    files = {"0.png": RED, "__MACOSX/._0.png": b"\0\5\x16\7", ".DS_Store": b"x"}
    assert both(packed(tmp_path / "set.ZIP", files))[0] == [(255, 0, 0)]


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_the_usual_compressions_are_read(tmp_path, method):
    assert both(packed(tmp_path / "set.zip", {"0.png": RED}, method)) == ([(255, 0, 0)], ())


def patched(path: Path, offset_local: int, offset_central: int, value: bytes) -> Path:
    """Write `value` into the local and the central header of a zip's first member."""
    content = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", offset_local), (b"PK\x01\x02", offset_central)):
        at = content.index(signature) + offset
        content[at : at + len(value)] = value
    path.write_bytes(content)
    return path


def test_a_zip_with_a_password_is_refused(tmp_path):
    path = patched(packed(tmp_path / "set.zip", {"0.png": RED}), 6, 8, b"\x01")
    assert "0.png: needs a password" in refusal(path)


def test_a_compression_that_nobody_reads_is_refused(tmp_path):
    path = patched(packed(tmp_path / "set.zip", {"0.png": RED}), 8, 10, struct.pack("<H", 97))
    assert "0.png: " in (said := refusal(path)) and "deflate" in said


def test_a_link_inside_a_zip_is_refused_or_counted(tmp_path):
    path = packed(tmp_path / "set.zip", {"0.png": RED})
    with zipfile.ZipFile(path, "a") as archive:
        link = zipfile.ZipInfo("1.png")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "0.png")
    assert "1.png: a link, not a picture" in refusal(path)
    assert both(path, skip_unreadable=True)[0] == [(255, 0, 0)]


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_member_that_unpacks_to_too_much_is_not_unpacked(tmp_path, method, monkeypatch):
    monkeypatch.setattr(formats, "MAX_FILE_BYTES", 1 << 20)
    path = packed(tmp_path / "set.zip", {"0.png": RED, "1.png": bytes(4 << 20)}, method)
    assert "1.png: 4,194,304 bytes, more than 1,048,576" in refusal(path)
    assert both(path, skip_unreadable=True)[0] == [(255, 0, 0)]


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_member_that_lies_about_its_size_gives_no_more(tmp_path, method):
    path = packed(tmp_path / "set.zip", {"0.png": bytes(4 << 20)}, method)
    patched(path, 22, 24, struct.pack("<I", 1000))
    assert "0.png: " in refusal(path)


def test_a_zip_that_shrinks_too_far_or_has_too_many_members_is_refused(tmp_path, monkeypatch):
    path = packed(tmp_path / "set.zip", {f"{k}.png": bytes(1 << 20) for k in range(3)}, zipfile.ZIP_DEFLATED)
    monkeypatch.setattr(picture_zip, "FREE_BYTES", 1 << 20)
    assert "claim to hold 3,145,728, more than 200 times" in refusal(path)
    monkeypatch.setattr(picture_zip, "MAX_MEMBERS", 2)
    assert "3 files, more than 2" in refusal(path)


SMALL: Files = {"a/0.png": RED, "b/1.png": GREEN, "notes.txt": b"hello"}


@pytest.mark.parametrize("count", COMPARED)
@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_a_damaged_zip_is_read_as_it_was_or_refused(tmp_path, count, method):
    """Names have no checksum: one that is no picture's any more is left out, and said to be."""
    path = packed(tmp_path / "set.zip", SMALL, method)
    good, said = both(path)

    def same(found) -> bool:
        colours, remarks = found
        return sorted(colours) == sorted(good) or (set(colours) <= set(good) and remarks != said)

    assert refused(path, lambda: both(path), count, DataError, same) > 0


def test_a_zip_whose_directory_lost_members_is_refused(tmp_path):
    path = packed(tmp_path / "set.zip", SMALL)
    content = bytearray(path.read_bytes())
    content[-12] += 1  # of the number of members that its end states
    path.write_bytes(content)
    assert "its directory lists 3 members, and its end says 4" in refusal(path)


def test_a_zip_with_a_member_that_is_not_listed_is_refused(tmp_path):
    for lost in range(len(SMALL)):
        path = packed(tmp_path / f"{lost}.zip", SMALL)
        with zipfile.ZipFile(path, "a") as archive:
            at = archive.filelist.pop(lost).header_offset
            archive._didModify = True  # so that the directory is written anew
        assert f"its directory does not list the member at byte {at:,}" in refusal(path)


def test_a_zip_whose_folder_holds_bytes_is_refused(tmp_path):
    """It was a file, whose name lost its end."""
    path = packed(tmp_path / "set.zip", {**SMALL, "c/": RED})
    assert "'c/' is named as a folder and holds bytes" in refusal(path)


@pytest.mark.parametrize("streamed", [False, True])
def test_a_whole_zip_is_read_however_it_was_written(tmp_path, streamed):
    """A program that cannot go back writes sizes behind each member; one may write anything before the first."""
    path = packed(tmp_path / "set.zip", SMALL)
    if streamed:
        with open(path, "wb") as file, zipfile.ZipFile(Pipe(file), "w") as archive:
            for name, content in SMALL.items():
                archive.writestr(name, content)
    else:
        path.write_bytes(b"#!/bin/sh, or whatever unpacks it\n" * 9 + path.read_bytes())
    assert sorted(both(path)[0]) == [(0, 255, 0), (255, 0, 0)]


class Pipe:
    """A file that cannot go back."""

    def __init__(self, file) -> None:
        self.write, self.flush = file.write, file.flush


def test_a_finder_never_gives_what_it_did_not_find(tmp_path):
    files: PictureFiles = find_pictures(folder(tmp_path / "set", SMALL))
    assert files.names == ["a/0.png", "b/1.png"] and files.read("a/0.png") == RED
    with pytest.raises(DataError, match="cannot be read"):
        files.read("absent.png")


def test_every_format_that_is_read_counts_in_every_command(tmp_path):
    source = folder(tmp_path / "set", {"8": RED, "9.PNG": RED})
    kinds = {
        "0.png": "PNG",
        "1.JPG": "JPEG",
        "2.JPEG": "JPEG",
        "3.jfif": "JPEG",
        "4.tif": "TIFF",
        "5.gif": "GIF",
        "6.ppm": "PPM",
        "7.jpe": "JPEG",
        "a.bmp": "BMP",
        "b.webp": "WEBP",
        "c": "GIF",
        "d.dat": "TIFF",
    }
    for name, kind in kinds.items():
        (source / name).write_bytes(colour(0, 0, 0, kind=kind))
    colours, remarks = both(source, convert_to_rgb=True)
    assert len(colours) == 14 and remarks == ()


def test_remarks_are_printable_whatever_they_quote(tmp_path):
    source = folder(tmp_path / "set", {"0.png": RED, "a\n\x1b[31mb.png": b"", "x.\x1b[2J": b""})
    remarks = both(source, skip_unreadable=True)[1]
    assert len(remarks) == 2 and all(line.isprintable() for line in remarks)
    assert not any(str(tmp_path) in line for line in remarks)
    assert refusal(source).count(str(tmp_path)) == 1
