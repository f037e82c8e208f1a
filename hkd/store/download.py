"""The only module that touches the network: published files of pinned digests, fetched once and checked.

A server is not trusted: the pinned size bounds what is read, a time in all bounds the wait, redirects are few and lead
to the web alone, and nothing is kept before its digest is the pinned one.
"""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from hkd.store.atomic import atomic_path, sha256, write_json
from hkd.store.lines import one_line
from hkd.store.published import WeightFile, verified
from hkd.store.refusals import ArtifactError

PIECE = 1 << 20  # bytes that are held at once
PATIENCE = 60.0  # seconds without an answer
SLOWEST = 64 << 10  # bytes a second; a file that comes slower is not waited for
MAX_BYTES = 1 << 30  # of a file whose size is not published
MAX_REDIRECTS = 5
REDIRECTS = (301, 302, 303, 307, 308)
ELSEWHERE = "download it elsewhere and say --from FILE"


def place(entry: WeightFile, folder: Path) -> Path:
    """Return where a published file lies within the folder of such files."""
    return folder / entry.filename


def card_place(path: Path) -> Path:
    """Return where it is said what a published file is, and under which licence."""
    return path.with_name(f"{path.name}.json")


def fetch(entry: WeightFile, path: Path, local: Path | None = None) -> bool:
    """Put a published file at `path` with a card beside it, unless it is there already; return whether it was not.

    Args:
        local: a copy that is taken instead of the one in the network.
    Raises:
        ArtifactError: it cannot be had in time, or its bytes are not the pinned ones; nothing is kept then.
    """
    if path.is_file() and sha256(path) == entry.sha256:
        write_json(card_place(path), asdict(entry))
        return False
    with atomic_path(path) as temporary:
        if local is not None:
            _copy(local, temporary, entry)
        else:
            _download(entry, temporary)
        if (found := sha256(temporary)) != entry.sha256:
            raise ArtifactError(f"{local or entry.url}: sha256 is {found}, pinned is {entry.sha256}; nothing was kept")
    verified(path, entry)
    write_json(card_place(path), asdict(entry))
    return True


def _copy(source: Path, out: Path, entry: WeightFile) -> None:
    if not source.is_file():
        raise ArtifactError(f"{source}: no such file; --from takes a file that was downloaded elsewhere")
    with open(source, "rb") as file:
        _pour(file.read, out, entry, str(source))


def _download(entry: WeightFile, out: Path) -> None:
    with _Deadline(entry) as deadline:
        url = entry.url
        for _ in range(MAX_REDIRECTS + 1):
            with deadline.network():
                answer, url = _ask(url, deadline)
            if answer is not None:
                break
        else:
            raise ArtifactError(f"{entry.url}: more than {MAX_REDIRECTS} redirects; {ELSEWHERE}")

        def read(size: int) -> bytes:
            with deadline.network():
                return answer.read1(size)  # what has come, and not only when all of it has

        with answer:
            _pour(read, out, entry, entry.url)


def _ask(url: str, deadline: _Deadline) -> tuple[Any, str]:
    """Return the answer, or None and where it redirects to.

    Raises:
        ArtifactError: this is no address of the web, or it leads from an encrypted one to another.
    """
    if urlsplit(url).scheme not in ("http", "https"):
        raise ArtifactError(f"{one_line(url)}: no address to fetch from, expected https://…; {ELSEWHERE}")
    request = urllib.request.Request(url, headers={"User-Agent": "hkd"})
    try:
        return _opener(deadline).open(request, timeout=PATIENCE), url
    except urllib.error.HTTPError as error:
        code, target = error.code, error.headers.get("Location")
        error.close()  # unread: the text of a redirect may be endless, too
        if code not in REDIRECTS or not target:
            raise
    target = urljoin(url, target)
    if urlsplit(url).scheme == "https" != urlsplit(target).scheme:
        raise ArtifactError(f"{one_line(url)}: leads to {one_line(target)}, expected https://…; {ELSEWHERE}")
    return None, target


def _opener(deadline: _Deadline) -> urllib.request.OpenerDirector:
    """Return what opens addresses of the web, through the user's proxy, and no other; it follows no redirect."""

    class Plain(http.client.HTTPConnection):
        def connect(self) -> None:
            super().connect()
            deadline.watch(self.sock)

    class Encrypted(http.client.HTTPSConnection):
        def connect(self) -> None:
            super().connect()
            deadline.watch(self.sock)

    class Web(urllib.request.AbstractHTTPHandler):
        def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
            return self.do_open(Plain, request)

        def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
            return self.do_open(Encrypted, request, context=ssl.create_default_context())

        http_request = https_request = urllib.request.AbstractHTTPHandler.do_request_

    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        Web(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener


def _pour(read: Callable[[int], bytes], out: Path, entry: WeightFile, where: str) -> None:
    """Write what `read` gives, and refuse more or less of it than is pinned."""
    from tqdm import tqdm

    limit, done = entry.size or MAX_BYTES, 0
    with (
        out.open("wb") as file,
        tqdm(total=entry.size or None, unit="B", unit_scale=True, desc=entry.filename, disable=None) as bar,
    ):
        while piece := read(min(PIECE, limit + 1 - done)):
            done += len(piece)
            if done > limit:
                raise ArtifactError(f"{where}: more than the {limit:,} bytes of {entry.filename}; nothing was kept")
            file.write(piece)
            bar.update(len(piece))
    if entry.size and done != entry.size:
        raise ArtifactError(f"{where}: {done:,} of the {entry.size:,} bytes of {entry.filename}; nothing was kept")


class _Deadline:
    """The time that a file may take in all: it ends the connection, whatever is being waited for on it.

    Without it a server that sends a byte a minute, or headers without end, would be waited for for ever.
    """

    def __init__(self, entry: WeightFile) -> None:
        self._url, self._seconds = entry.url, PATIENCE + (entry.size or MAX_BYTES) / SLOWEST
        self._passed = False
        self._connection: socket.socket | None = None
        self._lock = threading.Lock()
        self._timer = threading.Timer(self._seconds, self._end)
        self._timer.daemon = True

    def __enter__(self) -> _Deadline:
        self._timer.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._timer.cancel()
        with self._lock:
            self._release()

    def watch(self, connection: socket.socket) -> None:
        """Make this the connection that is ended."""
        with self._lock:
            self._release()
            # a second handle on it, as encryption and its readers close and replace the first
            self._connection = socket.socket(fileno=os.dup(connection.fileno()))
            if self._passed:
                self._shut()

    @contextmanager
    def network(self) -> Iterator[None]:
        """Turn what goes wrong in the network, or takes too long, into one line."""
        try:
            yield
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = self._late() if self._passed else one_line(str(getattr(error, "reason", error)) or repr(error))
            raise ArtifactError(f"{self._url}: not reachable ({reason}); {ELSEWHERE}") from None
        if self._passed:
            raise ArtifactError(f"{self._url}: not reachable ({self._late()}); {ELSEWHERE}")

    def _late(self) -> str:
        return f"no whole answer in {self._seconds:.0f} seconds"

    def _end(self) -> None:
        with self._lock:
            self._passed = True
            self._shut()

    def _shut(self) -> None:
        if self._connection is not None:
            with suppress(OSError):  # it ended by itself
                self._connection.shutdown(socket.SHUT_RDWR)

    def _release(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
