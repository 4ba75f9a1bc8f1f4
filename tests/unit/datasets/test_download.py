import email.utils
import errno
import hashlib
import logging
import multiprocessing
import os
import shutil
import subprocess
import time
from types import SimpleNamespace

import numpy as np
import pytest

from http_server import Served, serve
from sidekick.datasets import download as module
from sidekick.datasets.download import download
from sidekick.datasets.registry import RemoteFile
from sidekick.errors import SidekickError

CONTENTS = np.random.default_rng(0).bytes(400_000)
SIZE = len(CONTENTS)
DIGEST = f"sha256:{hashlib.sha256(CONTENTS).hexdigest()}"


@pytest.fixture
def server():
    with serve() as server:
        yield server


@pytest.fixture
def fetch(server, tmp_path):
    """Download what the server has as a.bin; what the file should be may be changed."""

    def run(url=None, checksum=DIGEST, size=SIZE, **options):
        file = RemoteFile("a.bin", url or server.url("a.bin"), checksum, size)
        target = tmp_path / "folder/a.bin"
        download(file, target, **{"pause": 0.01, "retries": 3, **options})
        return target

    return run


@pytest.fixture
def part(tmp_path):
    """Put the beginning of a file where an earlier run would have left it."""

    def put(contents):
        path = tmp_path / "folder/.a.bin.part"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(contents)
        return path

    return put


def leftovers(target):
    return sorted(path.name for path in target.parent.iterdir() if not path.name.endswith(".lock"))


@pytest.mark.parametrize(
    "served",
    [
        pytest.param(Served(CONTENTS), id="plain"),
        pytest.param(Served(CONTENTS, ranges=False, etag=None), id="no-ranges"),
        pytest.param(Served(CONTENTS, claims=""), id="no-length"),
        pytest.param(Served(CONTENTS, chunk_pause=0.05), id="slow"),
        pytest.param(Served(CONTENTS, failures=[(500, {}), (503, {})]), id="500-then-good"),
        pytest.param(Served(CONTENTS, failures=[(429, {"Retry-After": "0"})]), id="429-then-good"),
        pytest.param(Served(CONTENTS, cut_after=150_000), id="cut-repeatedly"),
        pytest.param(Served(CONTENTS, cut_after=150_000, ranges=False, cuts=2), id="cut-no-ranges"),
        pytest.param(Served(CONTENTS, cut_after=150_000, etag='W/"1"'), id="cut-weak-etag"),
        pytest.param(Served(CONTENTS, cut_after=150_000, claims="", cuts=2), id="cut-no-length"),
    ],
)
def test_file_arrives_whole(served, server, fetch):
    server.files["a.bin"] = served
    target = fetch()
    assert target.read_bytes() == CONTENTS
    assert leftovers(target) == ["a.bin"]


def test_unknown_size_is_no_obstacle(server, fetch):
    server.files["a.bin"] = Served(CONTENTS, cut_after=150_000)
    assert fetch(size=None).read_bytes() == CONTENTS
    md5 = f"md5:{hashlib.md5(CONTENTS).hexdigest().upper()}"
    assert fetch(size=None, checksum=md5).read_bytes() == CONTENTS


def test_redirect_is_followed(server, fetch):
    server.files["a.bin"] = Served(redirect=server.url("b.bin"))
    server.files["b.bin"] = Served(CONTENTS)
    assert fetch().read_bytes() == CONTENTS


def test_no_byte_is_sent_twice_when_ranges_are_known(server, fetch):
    server.files["a.bin"] = Served(CONTENTS, cut_after=150_000)
    fetch()
    assert [answer.range for answer in server.answers] == [
        None,
        "bytes=150000-",
        "bytes=300000-",
    ]
    assert server.sent == len(CONTENTS)


def test_a_later_run_goes_on_where_the_earlier_one_stopped(server, fetch, part):
    part(CONTENTS[:300_000])
    server.files["a.bin"] = Served(CONTENTS)
    assert fetch().read_bytes() == CONTENTS
    assert server.sent == 100_000


def test_a_complete_part_needs_no_network(server, fetch, part):
    part(CONTENTS)
    assert fetch().read_bytes() == CONTENTS
    assert server.answers == []


def test_a_complete_part_of_unknown_size_is_recognised(server, fetch, part):
    part(CONTENTS)
    server.files["a.bin"] = Served(CONTENTS)
    assert fetch(size=None).read_bytes() == CONTENTS
    assert [answer.status for answer in server.answers] == [416]


@pytest.mark.parametrize("size", [len(CONTENTS), None], ids=["known-size", "unknown-size"])
@pytest.mark.parametrize(
    "beginning",
    [b"x" * 300_000, CONTENTS + b"more"],
    ids=["of-another-file", "too-long"],
)
def test_a_part_that_is_not_the_beginning_is_replaced(beginning, size, server, fetch, part):
    part(beginning)
    server.files["a.bin"] = Served(CONTENTS)
    assert fetch(size=size).read_bytes() == CONTENTS


def test_a_file_that_changes_between_attempts_is_fetched_anew(server, fetch):
    old = b"x" * len(CONTENTS)
    server.files["a.bin"] = Served(old, cut_after=150_000, etag='"old"')

    class Changing(dict):
        def get(self, name):
            if len(server.answers) > 1:
                self[name] = Served(CONTENTS, etag='"new"')
            return super().get(name)

    server.files = Changing(server.files)
    assert fetch().read_bytes() == CONTENTS
    assert [answer.status for answer in server.answers] == [200, 200]


def test_a_file_that_is_there_is_not_fetched(server, fetch):
    server.files["a.bin"] = Served(CONTENTS)
    fetch()
    sent = server.sent
    assert fetch().read_bytes() == CONTENTS
    assert fetch(offline=True).read_bytes() == CONTENTS
    assert server.sent == sent


def test_a_wrong_file_that_is_there_is_replaced(server, fetch):
    server.files["a.bin"] = Served(CONTENTS)
    fetch().write_bytes(b"something else")
    assert fetch().read_bytes() == CONTENTS


def test_a_part_is_kept_when_attempts_run_out_and_named(server, fetch, tmp_path):
    server.files["a.bin"] = Served(CONTENTS, cut_after=50_000)
    with pytest.raises(SidekickError) as caught:
        fetch(retries=2)
    message = str(caught.value)
    assert server.url("a.bin") in message
    assert "the 150000 bytes that arrived are kept" in message
    assert "broke off with 150000 of 400000 bytes" in message
    assert "mirror" in message
    assert (tmp_path / "folder/.a.bin.part").read_bytes() == CONTENTS[:150_000]


def test_attempts_that_bring_much_do_not_count_as_failures(server, fetch):
    contents = bytes(5 * 2**20)
    server.files["a.bin"] = Served(contents, cut_after=2**20)
    checksum = f"sha256:{hashlib.sha256(contents).hexdigest()}"
    assert fetch(retries=1, checksum=checksum, size=len(contents)).stat().st_size == len(contents)


@pytest.mark.parametrize(
    ("served", "message"),
    [
        (Served(CONTENTS[:-1] + b"?"), r"has the checksum sha256:\w+; expected sha256:"),
        (Served(CONTENTS[:-5]), r"its file has 399995 bytes; expected 400000"),
        (Served(CONTENTS + b"more"), r"its file has 400004 bytes; expected 400000"),
        (Served(CONTENTS + b"more", claims=""), r"it sent more than 400000 bytes"),
        (Served(b"<html>", failures=[(403, {})]), r"HTTP 403 Forbidden"),
    ],
    ids=["wrong-content", "too-short", "too-long", "too-long-unannounced", "forbidden"],
)
def test_a_wrong_answer_is_refused_and_not_asked_for_again(served, message, server, fetch):
    server.files["a.bin"] = served
    with pytest.raises(SidekickError, match=message):
        fetch()
    assert len(server.answers) == 1


def test_wrong_content_leaves_nothing(server, fetch, tmp_path):
    server.files["a.bin"] = Served(CONTENTS[:-1] + b"?")
    with pytest.raises(SidekickError, match=server.url("a.bin")):
        fetch()
    assert leftovers(tmp_path / "folder/a.bin") == []


def test_a_missing_file_is_refused_at_once(server, fetch):
    with pytest.raises(SidekickError, match=r"HTTP 404 .*put the file at .*/folder/a\.bin"):
        fetch()
    assert len(server.answers) == 1


def test_a_server_that_is_not_there_is_named(fetch):
    with pytest.raises(SidekickError, match=r"http://127\.0\.0\.1:9/a\.bin: broke off"):
        fetch(url="http://127.0.0.1:9/a.bin", retries=1)


@pytest.mark.parametrize("url", ["gopher://host/a.bin", "http://", "nonsense"])
def test_a_url_that_is_none_is_refused(url, fetch):
    with pytest.raises(SidekickError, match=url):
        fetch(url=url)


def test_a_silent_server_is_given_up(server, fetch):
    server.files["a.bin"] = Served(CONTENTS, chunk_pause=0.5)
    with pytest.raises(SidekickError, match=r"timed out"):
        fetch(retries=0, timeout=(1, 0.1))


def test_mirror_goes_first(server, fetch):
    server.files["mirror/a.bin"] = Served(CONTENTS)
    fetch(mirror=server.url("mirror/"))
    assert [answer.path for answer in server.answers] == ["/mirror/a.bin"]


@pytest.mark.parametrize(
    "served",
    [Served(b"<html>not here</html>"), Served(b"", failures=[(404, {})]), Served(b"x" * 400_000)],
    ids=["error-page", "404", "wrong-content"],
)
def test_a_mirror_that_fails_is_logged_and_the_publisher_asked(served, server, fetch, caplog):
    server.files["mirror/a.bin"] = served
    server.files["a.bin"] = Served(CONTENTS)
    with caplog.at_level(logging.WARNING, "sidekick"):
        assert fetch(mirror=server.url("mirror")).read_bytes() == CONTENTS
    assert server.url("mirror/a.bin") in caplog.text


def test_the_publisher_continues_what_the_mirror_began(server, fetch):
    server.files["mirror/a.bin"] = Served(CONTENTS, cut_after=300_000, ranges=True)
    server.files["a.bin"] = Served(CONTENTS)
    fetch(mirror=server.url("mirror"), retries=0)
    assert server.sent == len(CONTENTS)


def test_an_error_page_does_not_cost_what_arrived(server, fetch, part):
    part(CONTENTS[:300_000])
    server.files["mirror/a.bin"] = Served(b"<html>not here</html>", ranges=False)
    server.files["a.bin"] = Served(CONTENTS)
    fetch(mirror=server.url("mirror"))
    assert server.answers[-1].range == "bytes=300000-"


def test_offline_says_what_is_wanted_and_where_to_put_it(fetch, server, tmp_path):
    with pytest.raises(SidekickError) as caught:
        fetch(offline=True)
    for words in ("a.bin", "400000 bytes", DIGEST, server.url("a.bin"), str(tmp_path / "folder")):
        assert words in str(caught.value)
    assert server.answers == []


def pauses(monkeypatch):
    """Let the module's pauses pass at once, and collect them; other threads sleep as ever."""
    waits = []
    clock = SimpleNamespace(sleep=waits.append, monotonic=time.monotonic)
    monkeypatch.setattr(module, "time", clock)
    return waits


def test_retry_after_is_obeyed(server, fetch, monkeypatch):
    waits = pauses(monkeypatch)
    future = email.utils.formatdate(time.time() + 100, usegmt=True)
    server.files["a.bin"] = Served(
        CONTENTS,
        failures=[
            (429, {"Retry-After": "7"}),
            (503, {"Retry-After": future}),
            (503, {"Retry-After": "soon"}),
        ],
    )
    fetch(pause=1.0)
    assert [round(wait) for wait in waits] == [7, pytest.approx(100, abs=2), 4]


def test_pauses_double_up_to_a_minute(server, fetch, monkeypatch):
    waits = pauses(monkeypatch)
    server.files["a.bin"] = Served(CONTENTS, failures=[(500, {})] * 9)
    with pytest.raises(SidekickError, match="HTTP 500"):
        fetch(pause=1.0, retries=8)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]


def test_progress_is_reported(server, fetch, capsys):
    server.files["a.bin"] = Served(CONTENTS, chunk_pause=0.05)
    fetch(report_every=0.05)
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("a.bin: 0 of 0 MB (")
    assert line.endswith(" s left")


def _fetch_in_process(port, target, started):
    started.wait()
    file = RemoteFile("a.bin", f"http://127.0.0.1:{port}/a.bin", DIGEST, len(CONTENTS))
    download(file, target)


def test_two_processes_fetch_a_file_once(server, tmp_path):
    server.files["a.bin"] = Served(CONTENTS, chunk_pause=0.05)
    context = multiprocessing.get_context("fork")
    started = context.Event()
    target = tmp_path / "a.bin"
    both = [
        context.Process(target=_fetch_in_process, args=(server.port, target, started))
        for _ in range(2)
    ]
    for process in both:
        process.start()
    started.set()
    for process in both:
        process.join(30)
        assert process.exitcode == 0
    assert target.read_bytes() == CONTENTS
    assert server.sent == len(CONTENTS)


def test_too_little_space_is_refused_before_the_network_is_used(server, fetch, monkeypatch):
    monkeypatch.setattr(module, "free_space", lambda folder: 1000)
    with pytest.raises(SidekickError, match=r"400000 bytes are still to come.* only 1000 bytes"):
        fetch()
    assert server.answers == []


def test_space_that_the_part_has_already_is_not_asked_for_again(server, fetch, part, monkeypatch):
    part(CONTENTS[:399_500])
    server.files["a.bin"] = Served(CONTENTS)
    monkeypatch.setattr(module, "free_space", lambda folder: 1000)
    assert fetch().read_bytes() == CONTENTS


def test_a_disk_that_fills_up_is_named_and_the_part_is_kept(server, fetch, monkeypatch, tmp_path):
    server.files["a.bin"] = Served(CONTENTS)
    append = module._Part.append

    def fill_up(self, data):
        if self.size >= 2**18:
            raise OSError(errno.ENOSPC, "No space left on device")
        append(self, data)

    monkeypatch.setattr(module._Part, "append", fill_up)
    with pytest.raises(SidekickError, match=r"folder/a\.bin: no space left .*kept in .*\.part"):
        fetch()
    monkeypatch.undo()
    assert (tmp_path / "folder/.a.bin.part").stat().st_size == 2**18
    assert fetch().read_bytes() == CONTENTS
    assert server.answers[-1].sent == len(CONTENTS) - 2**18


@pytest.fixture
def small_disk(tmp_path):
    """Mount a disk of 256 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if os.geteuid() or not shutil.which("mount") or subprocess.run(command, check=False).returncode:
        pytest.skip("mounting a small disk needs more rights")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("size", [len(CONTENTS), None], ids=["foreseen", "unforeseen"])
def test_a_full_disk(size, small_disk, server):
    server.files["a.bin"] = Served(CONTENTS, claims="")
    file = RemoteFile("a.bin", server.url("a.bin"), DIGEST, size)
    with pytest.raises(SidekickError, match=f"{small_disk}.*free.*ake room"):
        download(file, small_disk / "a.bin")
    assert not (small_disk / "a.bin").exists()


def test_a_malformed_checksum_is_refused(fetch):
    with pytest.raises(SidekickError, match=r"checksum 'sha1:abc': expected 'md5:'"):
        fetch(checksum="sha1:abc")


def test_a_file_without_a_checksum_is_believed_once(fetch, server, caplog):
    server.files["a.bin"] = Served(CONTENTS)
    caplog.set_level("INFO", "sidekick.datasets.download")
    target = fetch(checksum=None, size=None)
    assert target.read_bytes() == CONTENTS
    assert f"{DIGEST} not verified: no checksum is known" in caplog.text
    asked = len(server.answers)
    assert fetch(checksum=None, size=None) == target
    assert fetch(checksum=None, size=None, offline=True) == target
    assert len(server.answers) == asked


def test_without_a_checksum_what_an_earlier_run_left_is_not_continued(fetch, server, part):
    server.files["a.bin"] = Served(CONTENTS)
    part(b"?" * 1000)
    assert fetch(checksum=None, size=None).read_bytes() == CONTENTS
    assert server.answers[0].range is None


def test_without_a_checksum_a_tag_lets_a_broken_download_go_on(fetch, server):
    server.files["a.bin"] = Served(CONTENTS, cut_after=SIZE // 2, cuts=1)
    assert fetch(checksum=None, size=None).read_bytes() == CONTENTS
    assert [answer.status for answer in server.answers] == [200, 206]


def test_without_checksum_and_tag_a_broken_download_starts_again(fetch, server):
    server.files["a.bin"] = Served(CONTENTS, cut_after=SIZE // 2, cuts=1, etag=None)
    assert fetch(checksum=None, size=None).read_bytes() == CONTENTS
    assert [answer.status for answer in server.answers] == [200, 200]


def test_without_checksum_and_length_nothing_tells_that_a_file_is_whole(fetch, server):
    server.files["a.bin"] = Served(CONTENTS, claims="")
    with pytest.raises(SidekickError, match="it states no length, and no checksum is known"):
        fetch(checksum=None, size=None)


def test_offline_says_that_no_checksum_is_known(fetch):
    with pytest.raises(SidekickError, match="unknown size, no known checksum, published at"):
        fetch(checksum=None, size=None, offline=True)
