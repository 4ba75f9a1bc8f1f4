import gzip
import io
import os
import tarfile
import zipfile

import pytest

from sidekick.datasets.archives import open_archive
from sidekick.errors import SidekickError
from unit.datasets.made import link, tar, unpacked, zipped

MEMBERS = {"top/a.txt": b"first", "top/deep/b.txt": b"second" * 1000, "top/c.txt": b""}


def everything(name):
    return True


def read(path, wanted=everything, **options):
    return dict(open_archive(path, "top").members(wanted, **options))


KINDS = {
    "tar": lambda folder, members: tar(folder / "a.bin", members, "w"),
    "tar.gz": lambda folder, members: tar(folder / "a.bin", members, "w:gz"),
    "zip": lambda folder, members: zipped(folder / "a.bin", members),
    "folder": unpacked,
}


@pytest.fixture(params=KINDS)
def pack(request, tmp_path):
    return lambda members: KINDS[request.param](tmp_path, members)


def test_members_are_named_below_the_top_folder(pack):
    assert read(pack(MEMBERS)) == {"a.txt": b"first", "deep/b.txt": b"second" * 1000, "c.txt": b""}


def test_the_folder_may_be_the_top_folder_itself(tmp_path):
    unpacked(tmp_path, MEMBERS)
    assert read(tmp_path / "top") == read(tmp_path)


def test_what_is_elsewhere_or_hidden_is_ignored(pack):
    path = pack({**MEMBERS, "__MACOSX/a.txt": b"", "top/._a.txt": b"", "top/.DS_Store": b""})
    assert sorted(read(path)) == ["a.txt", "c.txt", "deep/b.txt"]


def test_a_leading_dot_is_no_folder(tmp_path):
    path = tar(tmp_path / "a.tar", {f"./{name}": contents for name, contents in MEMBERS.items()})
    assert sorted(read(path)) == ["a.txt", "c.txt", "deep/b.txt"]


def test_unwanted_members_are_not_read(pack):
    assert read(pack(MEMBERS), lambda name: name == "c.txt") == {"c.txt": b""}


def test_pick(pack):
    path = pack(MEMBERS)
    archive = open_archive(path, "top")
    assert archive.pick(["a.txt"]) == {"a.txt": b"first"}
    with pytest.raises(SidekickError, match=rf"{path}: no member top/x\.txt"):
        archive.pick(["a.txt", "x.txt"])


def test_members_beyond_the_limit_are_refused(pack):
    path = pack(MEMBERS)
    with pytest.raises(SidekickError, match=rf"{path}: member top/deep/b\.txt: 6000 bytes"):
        read(path, limit=5999)


def test_a_bomb_is_not_unpacked(tmp_path):
    path = zipped(tmp_path / "a.zip", {})
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("top/a", bytes(2**27))
    assert path.stat().st_size < 2**18
    with pytest.raises(SidekickError, match=r"member top/a: 134217728 bytes"):
        read(path)


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_long_names_and_several_gzip_streams(mode, tmp_path):
    name = "x" * 300
    path = tar(tmp_path / "a.tar", {f"top/{name}": b"1"}, mode)
    if mode == "w:gz":
        plain = gzip.decompress(path.read_bytes())
        path.write_bytes(gzip.compress(plain[:700]) + gzip.compress(plain[700:]) + bytes(100))
    assert read(path) == {name: b"1"}


@pytest.mark.parametrize("mode", ["w", "w:gz"])
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../evil.txt", "leaves the archive's folder"),
        ("top/../../evil.txt", "leaves the archive's folder"),
        ("top\\..\\evil.txt", "leaves the archive's folder"),
        ("/etc/evil", "absolute path"),
        ("C:/evil", "absolute path"),
    ],
)
def test_names_that_lead_elsewhere_are_refused(name, message, mode, tmp_path):
    members = {**MEMBERS, name: b"evil"}
    for path in (tar(tmp_path / "a.tar", members, mode), zipped(tmp_path / "a.zip", members)):
        with pytest.raises(SidekickError, match=rf"{path}: member .*evil.*{message}.*tampered"):
            read(path)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.tar", "a.zip"]


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE]
)
def test_links_and_devices_are_refused(kind, tmp_path):
    path = tar(tmp_path / "a.tar", {**MEMBERS, "x": link("top/x", "/etc/passwd", kind)})
    with pytest.raises(SidekickError, match=rf"{path}: member 'top/x' is a link, a device"):
        read(path, lambda name: False)


def test_links_in_a_zip_are_refused(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        info = zipfile.ZipInfo("top/x")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(SidekickError, match=rf"{path}: member 'top/x' is a link"):
        read(path)


def test_links_out_of_a_folder_are_refused(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("secret")
    folder = unpacked(tmp_path / "data", MEMBERS)
    (folder / "top/x").symlink_to(secret)
    for use in (lambda archive: archive.pick(["x"]), lambda archive: archive.spans(everything)):
        with pytest.raises(SidekickError, match=r"top/x: a link that leaves the folder"):
            use(open_archive(folder, "top"))
    with pytest.raises(SidekickError, match=r"top/x: a link that leaves the folder"):
        read(folder)


def test_links_within_a_folder_are_read_and_those_to_folders_refused(tmp_path):
    folder = unpacked(tmp_path / "data", MEMBERS)
    (folder / "top/x").symlink_to(folder / "top/a.txt")
    assert read(folder)["x"] == b"first"
    (folder / "top/y").symlink_to(folder / "top/deep")
    with pytest.raises(SidekickError, match=r"top/y: a link to a folder"):
        read(folder)


def test_a_pipe_in_a_folder_does_not_hang(tmp_path):
    folder = unpacked(tmp_path / "data", MEMBERS)
    os.mkfifo(folder / "top/x")
    with pytest.raises(SidekickError, match=r"top/x: not a file"):
        read(folder)


def test_a_name_that_occurs_twice_is_refused(tmp_path):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        for contents in (b"1", b"2"):
            info = tarfile.TarInfo("top/x")
            info.size = 1
            archive.addfile(info, io.BytesIO(contents))
    with pytest.raises(SidekickError, match=rf"{path}: member top/x: occurs twice"):
        read(path)
    twice = tmp_path / "a.zip"
    with zipfile.ZipFile(twice, "w") as archive:
        archive.writestr("top/x", "1")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("top/x", "2")
    with pytest.raises(SidekickError, match=rf"{twice}: member top/x: occurs twice"):
        read(twice)


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "zip"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.95])
def test_truncated_archives_are_refused_by_name(share, kind, tmp_path):
    members = {f"top/{number}": os.urandom(1000) for number in range(30)}
    path = KINDS[kind](tmp_path, members)
    whole = path.read_bytes()
    end = len(whole) if kind != "tar" else whole.rindex(b"ustar")
    path.write_bytes(whole[: max(600, int(share * end))])
    with pytest.raises(SidekickError, match=rf"{path}: the archive is truncated or damaged"):
        read(path)


def test_a_tar_cut_between_members_is_refused(tmp_path):
    path = tar(tmp_path / "a.tar", {"top/a": bytes(512), "top/b": bytes(512)}, "w")
    path.write_bytes(path.read_bytes()[:1024])
    with pytest.raises(SidekickError, match="no end mark"):
        read(path)


def test_a_damaged_header_is_not_taken_for_the_end(tmp_path):
    path = tar(tmp_path / "a.tar", {"top/a": b"1" * 512, "top/b": b"2" * 512}, "w")
    contents = bytearray(path.read_bytes())
    contents[1024 + 150] ^= 1
    path.write_bytes(contents)
    with pytest.raises(SidekickError, match="damaged"):
        read(path)


@pytest.mark.parametrize("kind", ["tar.gz", "zip"])
def test_flipped_bits_are_noticed(kind, tmp_path):
    path = KINDS[kind](tmp_path, {"top/a": os.urandom(10_000)})
    contents = bytearray(path.read_bytes())
    contents[5000] ^= 1
    path.write_bytes(contents)
    with pytest.raises(SidekickError, match=rf"{path}: the archive is truncated or damaged"):
        read(path)


@pytest.mark.parametrize("contents", [b"", b"<html>", b"x" * 1000], ids=["empty", "page", "other"])
def test_what_is_no_archive_is_refused(contents, tmp_path):
    path = tmp_path / "a.tar.gz"
    path.write_bytes(contents)
    with pytest.raises(SidekickError, match=rf"{path}: neither a tar nor a zip archive"):
        open_archive(path, "top")


def test_a_missing_archive_is_refused(tmp_path):
    with pytest.raises(SidekickError, match=r"a\.tar: cannot be read \(No such file"):
        open_archive(tmp_path / "a.tar", "top")


@pytest.mark.parametrize("kind", ["tar", "folder"])
def test_spans_lead_to_the_contents(kind, tmp_path):
    path = KINDS[kind](tmp_path, MEMBERS)
    spans = open_archive(path, "top").spans(lambda name: name.startswith("deep"))
    assert list(spans) == ["deep/b.txt"]
    span = spans["deep/b.txt"]
    with span.path.open("rb") as file:
        file.seek(span.offset)
        assert file.read(span.size) == b"second" * 1000


@pytest.mark.parametrize("kind", ["tar.gz", "zip"])
def test_what_is_compressed_has_no_spans(kind, tmp_path):
    path = KINDS[kind](tmp_path, MEMBERS)
    with pytest.raises(SidekickError, match="as published, or a folder"):
        open_archive(path, "top").spans(everything)


def test_fingerprint_is_of_names_and_contents(tmp_path):
    def fingerprint(folder, members):
        return open_archive(unpacked(tmp_path / folder, members), "top").fingerprint()

    first = fingerprint("a", MEMBERS)
    assert first[1] == 6005
    assert fingerprint("b", dict(reversed(MEMBERS.items()))) == first
    assert fingerprint("c", {**MEMBERS, "top/a.txt": b"First"}) != first
    assert fingerprint("d", {**MEMBERS, "top/d.txt": b""}) != first
