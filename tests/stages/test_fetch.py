"""`hkd fetch` keeps a file only with the pinned digest, and says in one line what to do where it cannot."""

from __future__ import annotations

import ast
import json
import resource
import socket
import threading
import time
import urllib.error
import urllib.request
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256 as sha256_of
from itertools import repeat
from pathlib import Path

import pytest

from hkd.stages import fetch as module
from hkd.store import download
from hkd.store.atomic import sha256
from hkd.store.published import STATISTICS, WEIGHTS, locate
from hkd.store.refusals import ArtifactError
from tests.fuzzed import COMPARED, tried

CONTENT = b"weights" * 1000


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, serve) -> Path:
    """A file whose digest is pinned as that of the Inception weights, and a server that gives it as it is now."""
    path = tmp_path / "downloaded.pth"
    path.write_bytes(CONTENT)
    url = serve(lambda: [b"HTTP/1.1 200 OK\r\n\r\n", path.read_bytes()])
    pin(monkeypatch, url, sha256(path))
    return path


def pin(monkeypatch: pytest.MonkeyPatch, url: str, digest: str = sha256_of(CONTENT).hexdigest(), **changes) -> None:
    pinned = replace(WEIGHTS["inception"], sha256=digest, size=len(CONTENT), url=url)
    monkeypatch.setitem(WEIGHTS, "inception", replace(pinned, **changes))


@pytest.fixture
def serve():
    """Start servers on this machine: each sends what a function gives, whatever it is asked; return its address."""
    stop, listeners, threads = threading.Event(), [], []

    def answer(connection: socket.socket, pieces) -> None:
        with connection, suppress(OSError):
            connection.settimeout(10)
            while not connection.recv(65536).endswith(b"\r\n\r\n"):
                pass
            for piece in pieces():
                if stop.is_set():
                    return
                connection.sendall(piece)
            connection.shutdown(socket.SHUT_WR)

    def listen(listener: socket.socket, pieces) -> None:
        while not stop.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            answer(connection, pieces)

    def start(pieces) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)
        threads.append(threading.Thread(target=listen, args=(listener, pieces), daemon=True))
        threads[-1].start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}/weights.pth"

    yield start
    stop.set()
    for listener in listeners:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
    for thread in threads:
        thread.join(5)


def test_a_file_is_fetched_once_and_found(source, tmp_path, capsys, monkeypatch):
    module.fetch(["inception"], tmp_path / "weights")
    found = locate("inception", tmp_path / "weights")
    assert found.read_bytes() == CONTENT and "fetched, digest as pinned" in capsys.readouterr().out
    monkeypatch.setattr(download, "_opener", None)
    module.fetch(["inception"], tmp_path / "weights")
    assert "already here" in capsys.readouterr().out
    module.fetch(None, tmp_path / "weights")
    listed = dict(line.split()[:2] for line in capsys.readouterr().out.splitlines())
    assert listed == dict.fromkeys(WEIGHTS, "absent") | {"inception": "here"} | dict.fromkeys(STATISTICS, "unpinned")


def test_the_licence_is_shown_and_kept_beside_the_file(source, tmp_path, capsys):
    for _ in range(2):
        module.fetch(["inception"], tmp_path / "weights", source)
        assert "licence: Apache-2.0, of pytorch-fid" in capsys.readouterr().out
        (card,) = (tmp_path / "weights").glob("*.json")
        kept = json.loads(card.read_text())
        assert kept["licence"].startswith("Apache-2.0") and kept["sha256"] == sha256(source)
        card.unlink()  # is written again
    assert all(entry.licence for entry in WEIGHTS.values())


def test_other_bytes_are_not_kept(source, tmp_path):
    source.write_bytes(CONTENT[:-1] + b"?")
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

    monkeypatch.setattr(urllib.request.OpenerDirector, "open", unreachable)
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


@pytest.mark.parametrize("name", STATISTICS)
def test_a_file_of_which_no_digest_is_published_is_not_fetched(name, tmp_path):
    with pytest.raises(ArtifactError) as found:
        module.fetch([name], tmp_path, tmp_path / "mine.npz")
    said = str(found.value)
    assert said.startswith(f"{name}: no digest of {STATISTICS[name].filename} is published") and "\n" not in said
    assert f"statistics: {{{STATISTICS[name].dataset}: {{path: FILE, sha256:" in said and not list(tmp_path.iterdir())


# -- servers that mean no good ---------------------------------------------------------------------------------------

OK = b"HTTP/1.1 200 OK\r\n"
HEAD = OK + b"Content-Length: 7000\r\n\r\n"


def drip(piece: bytes, seconds: float = 0.02):
    while True:
        yield piece
        time.sleep(seconds)


def moved(target: str) -> bytes:
    return f"HTTP/1.1 302 Found\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n".encode()


HOSTILE = {
    "endless": (lambda: [OK + b"\r\n", *repeat(bytes(1 << 16), 10_000)], "more than the 7,000 bytes"),
    "endless, of chunks": (
        lambda: [OK + b"Transfer-Encoding: chunked\r\n\r\n", *repeat(b"1000\r\n" + bytes(4096) + b"\r\n", 1000)],
        "more than the 7,000 bytes",
    ),
    "longer than it says": (
        lambda: [OK + b"Content-Length: 7001\r\n\r\n", CONTENT + b"x"],
        "more than the 7,000 bytes",
    ),
    "shorter": (lambda: [OK + b"Content-Length: 6999\r\n\r\n", CONTENT[:-1]], "6,999 of the 7,000 bytes"),
    "cut off": (lambda: [HEAD, CONTENT[:100]], "100 of the 7,000 bytes"),
    "nothing": (lambda: [HEAD], "0 of the 7,000 bytes"),
    "no answer at all": (list, "not reachable"),
    "no web server": (lambda: [b"SSH-2.0-OpenSSH_9.6\r\n"], "not reachable"),
    "chunks of nonsense": (lambda: [OK + b"Transfer-Encoding: chunked\r\n\r\n", b"zz\r\n"], "not reachable"),
    "chunks of less than none": (
        lambda: [OK + b"Transfer-Encoding: chunked\r\n\r\n", b"-5\r\n" + bytes(9000)],
        "not reachable|bytes",
    ),
    "an error": (lambda: [b"HTTP/1.1 404 Not\x1b[31m\r\n\r\n"], r"not reachable \(Not\\x1b\[31m\)"),
    "a header without end": (lambda: [OK, *repeat(b"X: " + b"x" * 60_000 + b"\r\n", 200)], "not reachable"),
    "a redirect to a file": (lambda: [moved("file:///etc/passwd")], "file:///etc/passwd: no address to fetch from"),
    "a redirect to data": (lambda: [moved("data:,x")], "data:,x: no address to fetch from"),
    "a redirect to ftp": (lambda: [moved("ftp://127.0.0.1/x")], "no address to fetch from"),
    "a redirect to itself": (lambda: [moved("/weights.pth")], "more than 5 redirects"),
    "a redirect to nowhere": (lambda: [b"HTTP/1.1 302 Found\r\n\r\n"], "not reachable"),
    "a redirect to no address": (lambda: [moved("http://[bad")], "not reachable"),
    "a redirect to a port that is none": (lambda: [moved("http://127.0.0.1:99999/")], "not reachable"),
}
ENDLESS_TEXT = moved("/x").replace(b"Length: 0", b"Length: 9999")
DRIPPING = {
    "the file": lambda: (piece for each in ([HEAD], drip(b"x")) for piece in each),
    "chunks": lambda: (p for each in ([OK + b"Transfer-Encoding: chunked\r\n\r\n"], drip(b"1\r\nx\r\n")) for p in each),
    "the line of the status": lambda: drip(b"H"),
    "headers": lambda: (piece for each in ([OK], drip(b"X: y\r\n", 0.1)) for piece in each),
    "provisional answers": lambda: drip(b"HTTP/1.1 100 Continue\r\n\r\n"),
    "the text of a redirect": lambda: (
        p for each in ([moved("/x").replace(b"h: 0", b"h: 9")], drip(b"x")) for p in each
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_answer_is_refused_in_one_line_and_nothing_is_kept(tmp_path, monkeypatch, serve, name):
    pieces, message = HOSTILE[name]
    pin(monkeypatch, serve(pieces))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ArtifactError, match=message) as found:
        module.fetch(["inception"], tmp_path / "weights")
    assert str(found.value).isprintable() and not list((tmp_path / "weights").iterdir())
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10


@pytest.mark.parametrize("name", DRIPPING)
def test_a_dripping_server_is_not_waited_for_beyond_the_time_in_all(tmp_path, monkeypatch, serve, name):
    pin(monkeypatch, serve(DRIPPING[name]))
    monkeypatch.setattr(download, "PATIENCE", 0.3)
    start = time.monotonic()
    with pytest.raises(ArtifactError, match=r"no whole answer in 0 seconds|more than 5 redirects"):
        module.fetch(["inception"], tmp_path / "weights")
    assert time.monotonic() - start < 5 and not list((tmp_path / "weights").iterdir())


def test_a_server_that_says_nothing_is_not_waited_for(tmp_path, monkeypatch, serve):
    pin(monkeypatch, serve(lambda: (time.sleep(each) or b"" for each in repeat(0.05, 100))))
    monkeypatch.setattr(download, "PATIENCE", 0.2)
    with pytest.raises(ArtifactError, match="not reachable"):
        module.fetch(["inception"], tmp_path / "weights")


def test_without_a_published_size_another_bound_holds(tmp_path, monkeypatch, serve):
    monkeypatch.setattr(download, "MAX_BYTES", 100_000)
    pin(monkeypatch, serve(HOSTILE["endless"][0]), size=0)
    with pytest.raises(ArtifactError, match="more than the 100,000 bytes"):
        module.fetch(["inception"], tmp_path / "weights")
    with pytest.raises(ArtifactError, match="more than the 100,000 bytes"):
        module.fetch(["inception"], tmp_path / "weights", endless(tmp_path))


def endless(folder: Path) -> Path:
    path = folder / "sparse"
    with open(path, "wb") as file:
        file.truncate(1 << 40)
    return path


@pytest.mark.parametrize("hops", [1, 5])
def test_a_few_redirects_are_followed(tmp_path, monkeypatch, serve, hops):
    url = serve(lambda: [HEAD, CONTENT])
    for _ in range(hops):
        url = serve(lambda target=url: [moved(target)])
    pin(monkeypatch, url)
    module.fetch(["inception"], tmp_path / "weights")
    assert locate("inception", tmp_path / "weights").read_bytes() == CONTENT


def test_an_encrypted_address_does_not_lead_to_another(monkeypatch):
    class Opener:
        def open(self, request, timeout):
            headers = {"Location": "http://example.org/x"}
            raise urllib.error.HTTPError(request.full_url, 301, "Moved", headers, None)

    monkeypatch.setattr(download, "_opener", lambda deadline: Opener())
    with pytest.raises(ArtifactError, match=r"leads to http://example.org/x, expected https"):
        download._ask("https://example.org/x", None)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:,x", "weights.pth"])
def test_only_addresses_of_the_web_are_fetched_from(tmp_path, monkeypatch, url):
    pin(monkeypatch, url)
    with pytest.raises(ArtifactError, match="no address to fetch from"):
        module.fetch(["inception"], tmp_path / "weights")


def test_a_full_disk_is_not_taken_for_the_network(source, tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hkd.store.temporary.os.fsync", full)
    with pytest.raises(ArtifactError, match="the disk is full"):
        module.fetch(["inception"], tmp_path / "weights")


ANSWERS = {
    "chunked": OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nweigh\r\n2\r\nts\r\n0\r\n\r\n",
    "whole": OK + b"Content-Length: 7\r\nContent-Type: x\r\n\r\nweights",
}


@pytest.mark.parametrize("count", COMPARED)
@pytest.mark.parametrize("how", ANSWERS)
def test_damaged_answers_are_refused_or_the_file(tmp_path, monkeypatch, serve, how, count):
    pin(monkeypatch, serve(lambda: [given.pop()]), sha256_of(b"weights").hexdigest(), size=7)
    monkeypatch.setattr(download, "PATIENCE", 5.0)
    entry, out = WEIGHTS["inception"], tmp_path / "weights.pth"
    given: list[bytes] = []

    def read(answer: bytes) -> bytes:
        given[:] = [answer]
        assert not out.exists()
        download.fetch(entry, out)
        found = out.read_bytes()
        out.unlink()
        return found

    assert tried(ANSWERS[how], read, count, ArtifactError, lambda found: found == b"weights") > 0
    assert not out.exists()


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
