import pytest

from sidekick.datasets.archives import open_archive
from sidekick.datasets.food101 import read
from sidekick.errors import SidekickError
from unit.datasets.made import REAL, food, jpeg, tar, unpacked

TOP = "food-101"


def samples_of(tmp_path, members):
    return list(read(open_archive(tar(tmp_path / "f.tar.gz", members), TOP)).samples)


def test_samples_of_both_parts(tmp_path):
    members = food()
    reading = read(open_archive(tar(tmp_path / "f.tar.gz", members), TOP))
    samples = list(reading.samples)
    assert reading.classes == ("pho", "ramen", "tacos")
    assert (reading.encoded, reading.image_shape) == (True, None)
    assert samples[8].sample_id == "ramen_100"
    assert samples[8].image == members[f"{TOP}/images/ramen/100.jpg"]
    assert [sample.label for sample in samples] == [0] * 8 + [1] * 8 + [2] * 8
    assert [sample.part for sample in samples] == ["test", "train", "train", "train"] * 6


def test_a_folder_and_another_order_give_the_same(tmp_path):
    members = food()
    first = set(samples_of(tmp_path, members))
    assert set(samples_of(tmp_path, dict(reversed(members.items())))) == first
    folder = unpacked(tmp_path / "folder", members)
    assert set(read(open_archive(folder, TOP)).samples) == first


def without(*prefixes):
    return lambda members: {
        name: contents for name, contents in members.items() if not name.startswith(prefixes)
    }


def changed(name, change):
    return lambda members: {**members, f"{TOP}/{name}": change(members.get(f"{TOP}/{name}"))}


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (without(f"{TOP}/images/ramen/"), r"images/ramen: the class folder is missing \(of 1"),
        (without(f"{TOP}/images/ramen/103"), r"images/ramen/103\.jpg: the image is missing.*train"),
        (without(f"{TOP}/meta/test"), r"no member food-101/meta/test\.txt"),
        (changed("images/pho/99.jpg", lambda _: jpeg(1)), r"pho/99\.jpg: an image that meta"),
        (changed("images/pho/99.png", lambda _: jpeg(1)), r"pho/99\.png: an image that meta"),
        (changed("meta/classes.txt", lambda _: b"pho\nramen"), r"tacos/201: its class is not in"),
        (changed("meta/classes.txt", lambda _: b"pho\npho"), r"a class occurs twice"),
        (changed("meta/classes.txt", lambda _: b"\n"), r"meta/classes\.txt: empty"),
        (changed("meta/train.txt", lambda _: b"\xff"), r"meta/train\.txt: not a text file"),
        (changed("meta/train.txt", lambda old: old + b"pho/1\n"), r"pho/1 is listed twice.*train"),
        (changed("meta/train.txt", lambda old: old + b"pho/0\n"), r"test\.txt: pho/0 is listed"),
    ],
    ids=[
        "class-folder-missing",
        "image-missing",
        "list-missing",
        "image-not-listed",
        "other-suffix",
        "class-not-listed",
        "class-twice",
        "no-classes",
        "binary-list",
        "listed-twice",
        "listed-in-both",
    ],
)
def test_contradictions_are_refused_by_name(spoil, message, tmp_path):
    with pytest.raises(SidekickError, match=rf"f\.tar\.gz: .*{message}"):
        samples_of(tmp_path, spoil(food()))


@pytest.mark.skipif(not REAL.exists(), reason="needs the real slices in ../shared/data")
def test_real_slice():
    reading = read(open_archive(REAL / "food-101.tar.gz", TOP))
    samples = list(reading.samples)
    assert len(reading.classes) == 10
    assert len(samples) == 167
    assert samples[0].sample_id == "apple_golden_delicious_100001"
    assert sum(sample.part == "test" for sample in samples) > 20
