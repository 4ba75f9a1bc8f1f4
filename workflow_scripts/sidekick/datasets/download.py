"""Fetch a file over HTTP: resumable, verified, and safe beside other processes.

A file arrives as `.{name}.part` beside its destination and is renamed only when its checksum is
the expected one, so that a file under its own name is always whole. A download that was cut off,
by the server, the network or the end of the run, goes on where it stopped (HTTP range); a server
that does not know ranges, or has another file by now, makes it start again.

Of a file whose checksum nobody states, the first copy is believed, if its length is the one that
the server announced. It is never pieced together from what different runs or servers sent, and the
log has its checksum, which the config can then demand.
"""

import email.utils
import fcntl
import logging
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import requests
import urllib3

from sidekick import __version__
from sidekick.datasets.checksums import file_checksum, new_hash, parse_checksum, same_checksum
from sidekick.datasets.registry import RemoteFile
from sidekick.disk import free_space, full_disk_named
from sidekick.errors import SidekickError

_logger = logging.getLogger("sidekick.datasets.download")

#: An attempt that brought this many bytes starts the count of failures anew.
_PROGRESS = 2**20
_CHUNK = 2**18
_LONGEST_PAUSE = 60.0
_LONGEST_RETRY_AFTER = 600.0
#: Answers that a later attempt may find changed.
_PASSING = {408, 425, 429, 500, 502, 503, 504}


def download(
    file: RemoteFile,
    destination: str | Path,
    *,
    mirror: str | None = None,
    offline: bool = False,
    retries: int = 5,
    pause: float = 1.0,
    timeout: tuple[float, float] = (15.0, 60.0),
    report_every: float = 10.0,
) -> None:
    """Bring a file to `destination`, unless it is there already.

    Parameters
    ----------
    file
        What to fetch.
    destination
        Where to put it. A file there that has the right checksum, or any file if none is known, is
        used as it is, without any network. The folder is made if need be.
    mirror
        URL prefix that is asked first, for `{mirror}/{file.name}`; the publisher's URL is asked
        if it fails.
    offline
        Use no network: refuse unless the file is there.
    retries
        How often a URL is asked again after failures in a row. Failures count anew after every
        MiB that arrived, so a server that keeps breaking off still delivers a large file.
    pause
        Seconds before the first repetition; doubled for each further one, up to a minute. A
        server's `Retry-After` is obeyed up to ten minutes.
    timeout
        Seconds to wait for a connection, and for each piece of the answer.
    report_every
        Seconds between lines on the progress, which go to stderr and the log.

    Raises
    ------
    SidekickError
        If it cannot be had: what was wanted, what every URL answered and what can be done; or
        if the disk is full.
    """
    algorithm = _algorithm(file)
    destination = Path(destination)
    destination.parent.mkdir(parents=True, exist_ok=True)
    with _only_process(destination):
        if destination.exists():
            found = file_checksum(destination, algorithm)
            if _is_right(file, found):
                return
            wrong = f"{destination} has the checksum {found}, not {file.checksum}"
        else:
            wrong = f"{destination} is missing"
        if offline:
            raise SidekickError(
                f"{wrong}, and downloads.offline is true. Wanted: {file.name}, {_size(file)}, "
                f"{_checksum(file)}, published at {file.url}. Put it at "
                f"{destination.resolve()}, or name it by `path` in the dataset's entry"
            )
        if destination.exists():
            _logger.warning("%s: it is downloaded anew", wrong)
        urls = [f"{mirror.rstrip('/')}/{quote(file.name)}"] if mirror else []
        _fetch_from_any(
            file,
            destination,
            [*urls, file.url],
            _Patience(retries, pause, timeout, report_every),
        )


@dataclass(frozen=True)
class _Patience:
    """How long to wait for what; see `download`."""

    retries: int
    pause: float
    timeout: tuple[float, float]
    report_every: float


class _Failure(Exception):
    """An attempt that failed: why, and whether and when to try the same URL again."""

    def __init__(self, reason: str, *, passing: bool, after: float | None = None):
        super().__init__(reason)
        self.passing = passing
        self.after = after


class _Part:
    """The beginning of a file, on disk, hashed as it grows."""

    def __init__(self, path: Path, algorithm: str):
        self.path = path
        self.algorithm = algorithm
        self.digest = new_hash(algorithm)
        # Unbuffered, so that a full disk shows where data are written and not again on closing.
        self.stream = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b", buffering=0)
        self.size = 0
        while chunk := self.stream.read(_CHUNK):
            self.digest.update(chunk)
            self.size += len(chunk)
        #: Whether it may be pieced together from different files; and the tag of the latest.
        self.pieced = self.size > 0
        self.etag: str | None = None

    def append(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            written = self.stream.write(rest)
            self.digest.update(rest[:written])
            self.size += written
            rest = rest[written:]

    def restart(self) -> None:
        self.stream.seek(0)
        self.stream.truncate(0)
        self.digest = new_hash(self.algorithm)
        self.size = 0
        self.pieced = False

    def checksum(self) -> str:
        return f"{self.algorithm}:{self.digest.hexdigest()}"

    def move_to(self, destination: Path) -> None:
        os.fsync(self.stream.fileno())
        self.path.replace(destination)

    def close(self) -> None:
        """Keep what arrived; leave nothing if nothing did."""
        self.stream.close()
        if self.size == 0:
            self.path.unlink(missing_ok=True)


def _fetch_from_any(
    file: RemoteFile, destination: Path, urls: list[str], patience: _Patience
) -> None:
    path = destination.with_name(f".{destination.name}.part")
    failures = []
    with closing(_Part(path, _algorithm(file))) as part:
        _require_space(file.bytes, part, destination)
        for url in urls:
            try:
                _fetch(file, url, part, destination, patience)
            except _Failure as failure:
                _logger.warning("%s: %s", url, failure)
                failures.append(f"{url}: {failure}")
                continue
            part.move_to(destination)
            verdict = "verified" if file.checksum else "not verified: no checksum is known"
            _logger.info("%s: complete, %s %s", destination, part.checksum(), verdict)
            return
        kept = f"; the {part.size} bytes that arrived are kept in {path}" if part.size else ""
    raise SidekickError(
        f"{file.name} ({_size(file)}, {_checksum(file)}) could not be downloaded{kept}. "
        + ". ".join(failures)
        + ". Start the run again to go on, set a `mirror`, or put the file at "
        f"{destination.resolve()}"
    )


def _fetch(file: RemoteFile, url: str, part: _Part, destination: Path, patience: _Patience) -> None:
    """Complete and verify `part` from one URL, with as many attempts as patience allows.

    Raises
    ------
    _Failure
        If that was of no use.
    """
    failures_in_a_row = 0
    restarted = False
    part.etag = None
    while True:
        before = part.size
        try:
            if part.size != file.bytes:
                _attempt(file, url, part, destination, patience)
        except _Failure as failure:
            failures_in_a_row = 1 if part.size - before >= _PROGRESS else failures_in_a_row + 1
            if not failure.passing or failures_in_a_row > patience.retries:
                raise
            wait = failure.after
            if wait is None:
                wait = min(patience.pause * 2 ** (failures_in_a_row - 1), _LONGEST_PAUSE)
            _logger.warning("%s: %s; next attempt in %.3g s", url, failure, wait)
            time.sleep(wait)
            continue
        found = part.checksum()
        if _is_right(file, found):
            return
        pieced = part.pieced
        part.restart()
        if restarted or not pieced:
            raise _Failure(
                f"the file has the checksum {found}; expected {file.checksum}", passing=False
            )
        # The beginning may be from a run long ago, from a mirror, or of another version.
        _logger.warning("%s: wrong checksum after resuming; starting again", url)
        restarted = True


def _attempt(
    file: RemoteFile, url: str, part: _Part, destination: Path, patience: _Patience
) -> None:
    """Ask once for what is missing of `part`.

    Raises
    ------
    _Failure
        If the answer is not the file, or breaks off.
    """
    # Only a tag ensures that what follows belongs to what is here, where no checksum does.
    is_unsure = file.checksum is None and part.etag is None
    if is_unsure or (file.bytes is not None and part.size > file.bytes):
        part.restart()
    # A proxy that compresses on the way would change lengths and ranges.
    headers = {"Accept-Encoding": "identity", "User-Agent": f"sidekick/{__version__}"}
    if part.size:
        headers["Range"] = f"bytes={part.size}-"
        if part.etag:
            headers["If-Range"] = part.etag
    unusable = requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema
    try:
        with requests.get(url, headers=headers, stream=True, timeout=patience.timeout) as answer:
            if _is_complete(answer, part):
                return
            total = _understand(answer, file, part)
            tag = answer.headers.get("ETag", "")
            # A weak tag ("W/…") does not promise the same bytes.
            part.etag = tag if tag.startswith('"') else None
            _require_space(total, part, destination)
            _receive(answer, part, total, file.name, destination, patience.report_every)
    except unusable as error:
        raise _Failure(str(error), passing=False) from None
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise _Failure(
            f"broke off with {part.size} of {_size(file)} ({_cause(error)})", passing=True
        ) from None


def _is_complete(answer: requests.Response, part: _Part) -> bool:
    """Say whether the server has nothing beyond what is here of a file of unknown size."""
    content_range = answer.headers.get("Content-Range", "").strip()
    return answer.status_code == 416 and content_range == f"bytes */{part.size}"


def _understand(answer: requests.Response, file: RemoteFile, part: _Part) -> int | None:
    """Give how long the whole file is; cut `part` to where the answer's body starts.

    Raises
    ------
    _Failure
        If the answer has no body that could be used.
    """
    status = answer.status_code
    if status == 416:
        part.restart()
        raise _Failure("the partial file is not the beginning of it", passing=True, after=0)
    if status not in (200, 206):
        raise _Failure(
            f"HTTP {status} {answer.reason}", passing=status in _PASSING, after=_retry_after(answer)
        )
    continued = re.fullmatch(
        rf"bytes {part.size}-\d+/(\d+|\*)", answer.headers.get("Content-Range", "").strip()
    )
    if status == 206 and continued is None:
        part.restart()
        raise _Failure("it sent another range than was asked for", passing=True)
    length = continued[1] if status == 206 else answer.headers.get("Content-Length", "")
    total = int(length) if length.isdigit() else file.bytes
    if file.bytes is not None and total != file.bytes:
        raise _Failure(f"its file has {total} bytes; expected {file.bytes}", passing=False)
    if total is None and file.checksum is None:
        raise _Failure("it states no length, and no checksum is known", passing=False)
    if status == 200:
        part.restart()
    part.pieced = part.size > 0
    return total


def _receive(
    answer: requests.Response,
    part: _Part,
    total: int | None,
    name: str,
    destination: Path,
    report_every: float,
) -> None:
    progress = _Progress(name, part.size, total, report_every)
    advice = f"What arrived is kept in {part.path}: make room and start the run again"
    # The raw stream: `iter_content` would unpack archives that are sent in gzip "encoding".
    for chunk in answer.raw.stream(_CHUNK, decode_content=False):
        with full_disk_named(destination, advice):
            part.append(chunk)
        progress.at(part.size)
        if total is not None and part.size > total:
            part.restart()
            raise _Failure(f"it sent more than {total} bytes", passing=False)
    if total is not None and part.size < total:
        raise _Failure(f"broke off with {part.size} of {total} bytes", passing=True)


class _Progress:
    """Lines such as "x.tar.gz: 64 of 169 MB (38 %), 12.3 MB/s, 9 s left"."""

    def __init__(self, name: str, start: int, total: int | None, every: float):
        self.name, self.start, self.total, self.every = name, start, total, every
        self.began = self.reported = time.monotonic()

    def at(self, position: int) -> None:
        now = time.monotonic()
        if now - self.reported < self.every:
            return
        self.reported = now
        rate = (position - self.start) / (now - self.began)
        line = f"{self.name}: {position / 1e6:.0f} MB, {rate / 1e6:.1f} MB/s"
        if self.total:
            left = f", {(self.total - position) / rate:.0f} s left" if rate else ""
            line = (
                f"{self.name}: {position / 1e6:.0f} of {self.total / 1e6:.0f} MB "
                f"({100 * position / self.total:.0f} %), {rate / 1e6:.1f} MB/s{left}"
            )
        _logger.info("%s", line)
        print(line, file=sys.stderr, flush=True)


@contextmanager
def _only_process(destination: Path) -> Iterator[None]:
    """Keep other processes from downloading the same file; they wait here, then find it.

    The system releases the lock of a killed process. The lock's file stays: removing it would let
    a third process lock another file of the same name.
    """
    path = destination.with_name(f".{destination.name}.lock")
    with path.open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _logger.info("%s: another process is downloading it; waiting", destination)
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _require_space(total: int | None, part: _Part, destination: Path) -> None:
    """Refuse to start what cannot fit."""
    free = free_space(destination.parent)
    if total is not None and total - part.size > free:
        raise SidekickError(
            f"{destination}: {total - part.size} bytes are still to come, but the folder "
            f"{destination.parent.resolve()} has only {free} bytes free. Make room, or set "
            "downloads.folder to a larger disk"
        )


def _retry_after(answer: requests.Response) -> float | None:
    """Read the seconds, or the date, of a Retry-After header."""
    text = answer.headers.get("Retry-After", "").strip()
    if text.isdigit():
        return min(float(text), _LONGEST_RETRY_AFTER)
    try:
        date = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    seconds = (date - datetime.now(UTC)).total_seconds()
    return min(max(seconds, 0.0), _LONGEST_RETRY_AFTER)


def _algorithm(file: RemoteFile) -> str:
    return parse_checksum(file.checksum)[0] if file.checksum else "sha256"


def _is_right(file: RemoteFile, found: str) -> bool:
    return file.checksum is None or same_checksum(found, file.checksum)


def _checksum(file: RemoteFile) -> str:
    return f"checksum {file.checksum}" if file.checksum else "no known checksum"


def _size(file: RemoteFile) -> str:
    return "unknown size" if file.bytes is None else f"{file.bytes} bytes"


def _cause(error: Exception) -> str:
    """Name the innermost reason, which requests and urllib3 wrap several times."""
    while error.args and isinstance(error.args[0], Exception):
        error = error.args[0]
    reason = getattr(error, "reason", None)
    return str(reason if isinstance(reason, Exception) else error)
