"""A local HTTP server that serves bytes well, or as badly as the internet does.

with serve() as server:
    server.files["a.zip"] = Served(contents, cut_after=1000)
    download(…, url=server.url("a.zip"))
    assert server.answers[0].status == 200
"""

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Served:
    """What is at a path, and how it is answered.

    `failures` are (status, headers) of answers before the first good one; `cut_after` closes the
    connection after so many bytes of each answer's body, `cuts` times at most; `ranges` says
    whether range requests are understood; `claims` is a Content-Length that differs from the
    truth, or "" for none; `chunk_pause` are seconds before every chunk of 64 KiB; `redirect` is
    another URL.
    """

    contents: bytes = b""
    failures: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    cut_after: int | None = None
    cuts: int = 10**9
    ranges: bool = True
    etag: str | None = '"1"'
    claims: int | str | None = None
    chunk_pause: float = 0.0
    redirect: str | None = None


@dataclass
class Answer:
    """What was asked and answered: `sent` counts the bytes of the body."""

    path: str
    range: str | None
    status: int
    sent: int = 0


class Server:
    """The server's files, by name, and its answers, in their order."""

    def __init__(self, port: int):
        self.port = port
        self.files: dict[str, Served] = {}
        self.answers: list[Answer] = []

    @property
    def prefix(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def url(self, name: str) -> str:
        return f"{self.prefix}/{name}"

    @property
    def sent(self) -> int:
        return sum(answer.sent for answer in self.answers)


@contextmanager
def serve() -> Iterator[Server]:
    """Run a server on a free port of this machine while the block runs."""
    http = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    http.daemon_threads = True
    server = http.described = Server(http.server_address[1])
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        """Keep the tests' output clean."""

    def do_GET(self):
        server = self.server.described
        answer = Answer(self.path, self.headers.get("Range"), 200)
        server.answers.append(answer)
        served = server.files.get(self.path.removeprefix("/"))
        if served is None:
            self._refuse(answer, 404)
        elif served.redirect is not None:
            self._refuse(answer, 302, {"Location": served.redirect})
        elif served.failures:
            self._refuse(answer, *served.failures.pop(0))
        else:
            self._send(answer, served)

    def _refuse(self, answer, status, headers=None):
        answer.status = status
        self.send_response(status)
        for key, value in {"Content-Length": "0", **(headers or {})}.items():
            self.send_header(key, value)
        self.end_headers()

    def _send(self, answer, served):
        start = self._start(served)
        if start >= len(served.contents) and start:
            self._refuse(answer, 416, {"Content-Range": f"bytes */{len(served.contents)}"})
            return
        body = served.contents[start:]
        answer.status = 206 if start else 200
        self.send_response(answer.status)
        if start:
            last = len(served.contents) - 1
            self.send_header("Content-Range", f"bytes {start}-{last}/{len(served.contents)}")
        if served.etag:
            self.send_header("ETag", served.etag)
        length = len(body) if served.claims is None else served.claims
        if length != "":
            self.send_header("Content-Length", str(length))
        else:
            self.send_header("Connection", "close")
        self.end_headers()
        if served.cut_after is not None and served.cuts > 0 and len(body) > served.cut_after:
            body = body[: served.cut_after]
            served.cuts -= 1
        with suppress(ConnectionError):
            for first in range(0, len(body), 2**16):
                time.sleep(served.chunk_pause)
                chunk = body[first : first + 2**16]
                self.wfile.write(chunk)
                answer.sent += len(chunk)
        self.close_connection = True

    def _start(self, served):
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if match is None or not served.ranges:
            return 0
        condition = self.headers.get("If-Range")
        return int(match[1]) if condition in (None, served.etag) else 0
