import numpy as np
import pytest

from sidekick.datasets.archives import open_archive
from sidekick.datasets.cifar_c import PublishedShift
from sidekick.errors import SidekickError
from unit.datasets.made import corrupted, npy, tar, unpacked

TOP = "CIFAR-100-C"
LABELS = np.array([2, 0, 1, 1, 0, 2], np.int32)
ROWS = 5 * len(LABELS)


def published(tmp_path, members, corruptions=("gaussian_noise", "fog"), mode="w"):
    return PublishedShift(
        open_archive(tar(tmp_path / "c.tar", members, mode), TOP), corruptions, LABELS
    )


def test_severities_follow_one_another_in_the_official_order(tmp_path):
    shift = published(tmp_path, corrupted(LABELS))
    images = shift.images("gaussian_noise", 3, np.array([0, 5, 1]))
    assert images.shape == (3, 32, 32, 3)
    assert images[:, 0, 0, 0].tolist() == [12, 17, 13]
    assert shift.images("fog", 5, np.array([5]))[0, 9, 9, 2] == 30


def test_a_folder_gives_the_same(tmp_path):
    folder = unpacked(tmp_path / "folder", corrupted(LABELS))
    shift = PublishedShift(open_archive(folder, TOP), ["fog"], LABELS)
    assert shift.images("fog", 1, np.array([1]))[0, 0, 0, 0] == 2


def test_only_the_wanted_arrays_are_needed(tmp_path):
    published(tmp_path, corrupted(LABELS, ["fog"]), ["fog"])
    with pytest.raises(SidekickError, match=r"c\.tar: no member CIFAR-100-C/snow\.npy"):
        published(tmp_path, corrupted(LABELS, ["fog"]), ["fog", "snow"])


def test_a_compressed_tar_is_refused(tmp_path):
    with pytest.raises(SidekickError, match=r"compressed, so its arrays cannot be read in place"):
        published(tmp_path, corrupted(LABELS), mode="w:gz")


SPOILT = np.tile(LABELS, 5)
SPOILT[7] = 2


@pytest.mark.parametrize(
    ("member", "contents", "message"),
    [
        ("labels", npy(SPOILT), r"label 2 in row 7, where the clean test image has 0"),
        ("labels", npy(LABELS), r"shape \(6,\) .*expected \(30,\) integers"),
        ("labels", npy(np.tile(LABELS, 5).astype("f8")), r"type float64; expected"),
        ("fog", npy(np.zeros((ROWS, 32, 32, 3), "f4")), r"type float32; expected"),
        ("fog", npy(np.zeros((ROWS - 1, 32, 32, 3), "u1")), r"shape \(29, 32, 32, 3\)"),
        ("fog", npy(np.array([{}])), r"an array of type object, or of another order; refused"),
        ("fog", npy(np.asfortranarray(np.zeros((9, 9), "u1"))), r"another order; refused"),
        ("fog", npy(np.zeros((ROWS, 32, 32, 3), "u1"))[:-1], r"92159 bytes of values; shape"),
        ("fog", b"\x93NUMPY\x01\x00\x10\x00{'descr': xxxxx}", r"not an \.npy array"),
        ("fog", b"\x93NUMPY\x09\x00", r"not an \.npy array"),
        ("fog", b"", r"not an \.npy array"),
    ],
    ids=[
        "wrong-label",
        "too-few-labels",
        "no-integers",
        "no-bytes",
        "wrong-shape",
        "pickled-objects",
        "fortran",
        "cut-off",
        "bad-header",
        "bad-version",
        "empty",
    ],
)
def test_what_does_not_belong_is_refused(member, contents, message, tmp_path):
    members = {**corrupted(LABELS), f"{TOP}/{member}.npy": contents}
    with pytest.raises(SidekickError, match=rf"c\.tar: member {TOP}/{member}\.npy: .*{message}"):
        published(tmp_path, members)


def test_a_truncated_tar_is_refused(tmp_path):
    path = tar(tmp_path / "c.tar", corrupted(LABELS), "w")
    path.write_bytes(path.read_bytes()[:150_000])
    with pytest.raises(SidekickError, match=rf"{path}: .*truncated"):
        PublishedShift(open_archive(path, TOP), ["fog"], LABELS)
