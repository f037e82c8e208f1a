"""`hkd data` by the command line: a kept set is prepared from again, its licence is said, a difference is named."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from hkd.cli import Commands
from hkd.data import DataError
from hkd.data.decoding import encode_png
from hkd.settings.origins import ConfigError
from hkd.stages import data
from tests.data.test_tree import ffhq, pixels


@pytest.fixture
def call(root, monkeypatch):
    """Call `hkd data`; return what it printed."""
    monkeypatch.chdir(root)
    commands = Commands()
    data.register(commands)

    def called(*words: object) -> str:
        result = CliRunner().invoke(commands.app, ["data", *map(str, words)])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.output

    return called


def test_a_set_is_kept_checked_and_compared(call, tmp_path):
    source = ffhq(tmp_path / "images1024x1024", pixels(3, 128))
    said = call("prepare", "ffhq64", source, "--out", tmp_path / "ffhq64", "--config", "data.ffhq64.count=3")
    assert "3 images, tree sha256 " in said and "source: images1024x1024 (unknown)" in said
    assert "licence: CC BY-NC-SA 4.0 for the set" in said
    assert said.splitlines()[-1] == f"in a benchmark: data: {{ffhq64: {{path: {tmp_path}/ffhq64}}}}"
    checked = call("check", tmp_path / "ffhq64", "--against", source)
    assert checked.splitlines()[:3] == said.splitlines()[-4:-1] and checked.endswith("the same images\n")
    (source / "00000/00001.png").write_bytes(encode_png(pixels(1, 128, seed=1)[0]))
    with pytest.raises(DataError, match=r"not the images of .*: image 1 \(00000/00001.png\) is another"):
        call("check", tmp_path / "ffhq64", "--against", source)
    array = tmp_path / "ffhq64/images.npy"
    content = bytearray(array.read_bytes())
    content[-5] ^= 1
    array.write_bytes(content)
    with pytest.raises(DataError, match="ffhq64: image 2 is another than it was; prepare it again"):
        call("check", tmp_path / "ffhq64")


def test_a_drawn_set_has_no_source(call, tmp_path):
    with pytest.raises(ConfigError, match="'shapes8' is drawn, not read from files"):
        call("prepare", "shapes8", tmp_path, "--out", tmp_path / "kept")
