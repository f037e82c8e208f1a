"""`hkd fetch` keeps a file only with the pinned digest, and says in one line what to do where it cannot."""

from __future__ import annotations

import ast
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest

from hkd.stages import fetch as module
from hkd.store.artifacts import ArtifactError, sha256
from hkd.store.published import WEIGHTS, locate

CONTENT = b"weights" * 1000


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file whose digest is pinned as that of the Inception weights."""
    path = tmp_path / "downloaded.pth"
    path.write_bytes(CONTENT)
    pinned = replace(WEIGHTS["inception"], sha256=sha256(path), size=len(CONTENT), url=path.as_uri())
    monkeypatch.setitem(WEIGHTS, "inception", pinned)
    return path


def test_a_file_is_fetched_once_and_found(source, tmp_path, capsys, monkeypatch):
    module.fetch(["inception"], tmp_path / "weights")
    found = locate("inception", tmp_path / "weights")
    assert found.read_bytes() == CONTENT and "fetched, digest as pinned" in capsys.readouterr().out
    monkeypatch.setattr(urllib.request, "urlopen", None)
    module.fetch(["inception"], tmp_path / "weights")
    assert "already here" in capsys.readouterr().out
    module.fetch(None, tmp_path / "weights")
    listed = dict(line.split()[:2] for line in capsys.readouterr().out.splitlines())
    assert listed == dict.fromkeys(WEIGHTS, "absent") | {"inception": "here"}


def test_other_bytes_are_not_kept(source, tmp_path):
    source.write_bytes(CONTENT[:-1])
    for local in (None, source):
        with pytest.raises(ArtifactError, match=r"sha256 is [0-9a-f]{64}, pinned is [0-9a-f]{64}; nothing was kept"):
            module.fetch(["inception"], tmp_path / "weights", local)
    assert not list((tmp_path / "weights").iterdir())


def test_a_damaged_file_is_fetched_again(source, tmp_path):
    path = tmp_path / "weights" / WEIGHTS["inception"].filename
    path.parent.mkdir()
    path.write_bytes(b"damaged")
    with pytest.raises(ArtifactError, match=r"sha256 is .*; delete it and run `hkd fetch inception`"):
        locate("inception", path.parent)
    module.fetch(["inception"], path.parent)
    assert locate("inception", path.parent) == path


@pytest.mark.parametrize(
    "error", [urllib.error.URLError("no route"), TimeoutError("slow"), ConnectionResetError("cut")]
)
def test_without_a_network_the_way_around_it_is_named(source, tmp_path, monkeypatch, error):
    def unreachable(*arguments, **options):
        raise error

    monkeypatch.setattr(urllib.request, "urlopen", unreachable)
    with pytest.raises(
        ArtifactError, match=r"not reachable \(.*\); download it elsewhere and say --from FILE"
    ) as found:
        module.fetch(["inception"], tmp_path / "weights")
    assert "\n" not in str(found.value) and not list((tmp_path / "weights").iterdir())
    module.fetch(["inception"], tmp_path / "weights", source)
    assert locate("inception", tmp_path / "weights").read_bytes() == CONTENT


def test_an_unknown_name_and_an_absent_copy_are_named(tmp_path):
    with pytest.raises(ArtifactError, match=r"weights 'incepton': unknown; known are .*inception"):
        module.fetch(["incepton"], tmp_path)
    with pytest.raises(ArtifactError, match=r"nothing\.pth: no such file; --from takes a file"):
        module.fetch(["inception"], tmp_path, tmp_path / "nothing.pth")


@pytest.mark.parametrize("name", sorted(WEIGHTS))
def test_an_absent_file_is_named_with_its_digest_and_the_command(name, tmp_path):
    with pytest.raises(ArtifactError) as found:
        locate(name, tmp_path)
    entry = WEIGHTS[name]
    for part in (str(tmp_path / entry.filename), entry.sha256, f"`hkd fetch {name}`"):
        assert part in str(found.value)
    assert len(entry.sha256) == 64 and entry.url.startswith("https://")


def test_only_fetch_can_reach_the_network(root):
    """Jobs never do: no other file of the package imports what opens a connection."""
    reaching = set()
    for path in (root / "hkd").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if {name.split(".")[0] for name in names} & {"urllib", "http", "requests", "httpx", "aiohttp", "ftplib"}:
                reaching.add(path.relative_to(root).as_posix())
            if isinstance(node, ast.Attribute) and node.attr in ("load_state_dict_from_url", "download_url_to_file"):
                reaching.add(path.relative_to(root).as_posix())
    assert reaching == {"hkd/store/download.py"}
