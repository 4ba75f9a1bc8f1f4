import hashlib

import pytest

from sidekick.datasets.provenance import verify_files
from sidekick.datasets.sources import RemoteFile, Source
from sidekick.errors import SidekickError


def digest(contents):
    return f"sha256:{hashlib.sha256(contents).hexdigest()}"


def source(*files):
    return Source(
        name="made",
        title="Made",
        licence="none",
        citation="none",
        homepage="https://made",
        revision="v1",
        files=tuple(RemoteFile(name, f"https://made/{name}", known, None) for name, known in files),
    )


@pytest.fixture
def paths(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(name.encode())
    return {name: tmp_path / name for name in ("a", "b")}


KNOWN = source(("a", digest(b"a")), ("b", digest(b"b")))
UNKNOWN = source(("a", digest(b"a")), ("b", None))


@pytest.mark.parametrize("local", [True, False])
def test_all_the_registered_files_have_the_registered_revision(paths, local):
    origin = verify_files(KNOWN, paths, {}, local=local)
    assert (origin.revision, origin.registered) == ("v1", True)
    assert [record["verified"] for record in origin.files] == [True, True]


def test_a_file_without_a_checksum_is_believed_and_said_to_be(paths):
    origin = verify_files(UNKNOWN, paths, {}, local=False)
    assert origin.revision.startswith("v1+")
    assert "local" not in origin.revision
    assert not origin.registered
    assert [record["verified"] for record in origin.files] == [True, False]
    assert origin.files[1]["checksum"] == digest(b"b")
    paths["b"].write_bytes(b"other")
    assert verify_files(UNKNOWN, paths, {}, local=False).revision != origin.revision


def test_a_config_can_demand_the_checksum_that_nobody_states(paths):
    origin = verify_files(UNKNOWN, paths, {"b": digest(b"b")}, local=False)
    assert [record["verified"] for record in origin.files] == [True, True]
    with pytest.raises(SidekickError, match=r"give `checksum: {'b': 'sha256:\w+'}` in the config"):
        verify_files(UNKNOWN, paths, {"b": digest(b"c")}, local=False)


def test_a_download_that_differs_is_refused_but_a_local_file_is_not(paths):
    paths["a"].write_bytes(b"other")
    with pytest.raises(SidekickError, match="a: its checksum is"):
        verify_files(KNOWN, paths, {}, local=False)
    origin = verify_files(KNOWN, paths, {}, local=True)
    assert origin.revision.startswith("v1+local-")
    assert [record["verified"] for record in origin.files] == [False, True]


def test_a_folder_that_lacks_a_file_is_not_the_registered_one(paths):
    del paths["b"]
    origin = verify_files(KNOWN, paths, {}, local=True)
    assert origin.revision.startswith("v1+local-")
    assert not origin.registered
