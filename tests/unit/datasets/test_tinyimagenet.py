import random

import pytest

from sidekick.datasets.archives import open_archive
from sidekick.datasets.tinyimagenet import class_names, read
from sidekick.errors import SidekickError
from unit.datasets.made import REAL, jpeg, tiny, unpacked, zipped

TOP = "tiny-imagenet-200"


def samples_of(tmp_path, members):
    return list(read(open_archive(zipped(tmp_path / "t.zip", members), TOP)).samples)


def test_val_is_the_test_set_and_test_is_left_out(tmp_path):
    members = tiny()
    samples = samples_of(tmp_path, members)
    assert len(samples) == 3 * (6 + 4)
    by_id = {sample.sample_id: sample for sample in samples}
    assert (by_id["n02_3"].label, by_id["n02_3"].part) == (1, "train")
    assert (by_id["val_5"].label, by_id["val_5"].part) == (1, "test")
    assert by_id["n02_0"].image == members[f"{TOP}/train/n02/images/n02_0.JPEG"]


def test_class_names_are_words_unless_they_are_not_unique(tmp_path):
    reading = read(open_archive(zipped(tmp_path / "t.zip", tiny()), TOP))
    assert reading.classes == ("crane (n01)", "crane (n02)", "goldfish")
    assert class_names(["n1", "n2"], {"n1": "cat"}) == ("cat", "n2")


def test_a_folder_and_another_order_give_the_same(tmp_path):
    members = tiny()
    first = set(samples_of(tmp_path, members))
    items = list(members.items())
    random.Random(0).shuffle(items)
    assert set(samples_of(tmp_path, dict(items))) == first
    assert set(read(open_archive(unpacked(tmp_path / "f", members), TOP)).samples) == first


def without(prefix):
    return lambda members: {
        name: contents for name, contents in members.items() if not name.startswith(prefix)
    }


def changed(name, contents):
    return lambda members: {**members, f"{TOP}/{name}": contents}


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (without(f"{TOP}/train/n02"), r"train/n02: the class folder is missing"),
        (without(f"{TOP}/val/images/val_3."), r"val_3\.JPEG: the image is missing"),
        (without(f"{TOP}/wnids"), r"no member tiny-imagenet-200/wnids\.txt"),
        (changed("val/images/val_99.JPEG", jpeg(0)), r"val_99\.JPEG: an image that val/val_ann"),
        (changed("train/n04/images/n04_0.JPEG", jpeg(0)), r"wnids\.txt lacks the class n04"),
        (changed("wnids.txt", b"n01\nn02\nn03\nn01\n"), r"wnids\.txt: a class occurs twice"),
        (changed("wnids.txt", b"n01\nn02\n"), r"val_8\.JPEG is of the class n03, which wnids"),
        (changed("val/val_annotations.txt", b"val_0.JPEG\n"), r"lines of 2 or more columns"),
        (changed("val/val_annotations.txt", b"a\tn01\na\tn01"), r"a occurs twice"),
        (changed("words.txt", b"\xff"), r"words\.txt: not a text file"),
    ],
    ids=[
        "class-folder-missing",
        "image-missing",
        "list-missing",
        "image-not-listed",
        "class-not-listed",
        "class-twice",
        "unknown-class",
        "columns-missing",
        "image-twice",
        "binary-list",
    ],
)
def test_contradictions_are_refused_by_name(spoil, message, tmp_path):
    with pytest.raises(SidekickError, match=rf"t\.zip: .*{message}"):
        samples_of(tmp_path, spoil(tiny()))


@pytest.mark.skipif(not REAL.exists(), reason="needs the real slices in ../shared/data")
def test_real_slice():
    reading = read(open_archive(REAL / "tiny-imagenet-200.zip", TOP))
    samples = list(reading.samples)
    assert len(reading.classes) == 20
    assert len(samples) == 20 * 25 + 300
    assert {"n01774750_0", "val_0"} < {sample.sample_id for sample in samples}
