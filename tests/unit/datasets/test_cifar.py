import numpy as np
import pytest

from sidekick.datasets.archives import open_archive
from sidekick.datasets.cifar import read_cifar10, read_cifar100, unique_ids
from sidekick.errors import SidekickError
from unit.datasets.made import REAL, cifar100, cifar_batch, pickled, tar


def read(tmp_path, members):
    path = tar(tmp_path / "c.tar.gz", pickled(members))
    return read_cifar100(open_archive(path, "cifar-100-python"))


def test_samples_of_both_parts(tmp_path):
    members = cifar100()
    reading = read(tmp_path, members)
    samples = list(reading.samples)
    assert reading.classes == ("class0", "class1", "class2")
    assert (reading.encoded, reading.image_shape) == (False, (32, 32, 3))
    assert [sample.part for sample in samples] == ["train"] * 30 + ["test"] * 12
    assert samples[4].sample_id == "train_thing_s_000004"
    assert samples[4].label == 1
    pixels = np.frombuffer(samples[4].image, np.uint8).reshape(32, 32, 3)
    np.testing.assert_array_equal(
        pixels, members["train"][b"data"][4].reshape(3, 32, 32).transpose(1, 2, 0)
    )


def test_cifar10_has_five_batches(tmp_path):
    batches = {f"data_batch_{n}": cifar_batch(4, 2, n, b"labels") for n in range(1, 6)}
    members = {
        **batches,
        "test_batch": cifar_batch(6, 2, 9, b"labels"),
        "batches.meta": {b"label_names": [b"cat", b"dog"]},
        "readme.html": b"",
    }
    folder = "cifar-10-batches-py"
    path = tar(tmp_path / "c.tar.gz", pickled(members, folder))
    samples = list(read_cifar10(open_archive(path, folder)).samples)
    assert len({sample.sample_id for sample in samples}) == 26
    assert [sample.part for sample in samples] == ["train"] * 20 + ["test"] * 6
    # Every batch of this archive has the same file names.
    assert samples[0].sample_id.startswith("train_thing_s_000000_")


def test_ids_do_not_depend_on_the_order_of_rows(tmp_path):
    members = cifar100()
    batch = members["train"]
    batch[b"filenames"][7] = batch[b"filenames"][3]
    batch[b"filenames"][8] = batch[b"filenames"][3]
    batch[b"data"][8] = batch[b"data"][3]
    order = np.random.default_rng(0).permutation(30)
    shuffled = {
        key: values[order] if key == b"data" else [values[row] for row in order]
        for key, values in batch.items()
    }
    first = {s.sample_id: (s.image, s.label) for s in read(tmp_path, members).samples}
    again = {
        s.sample_id: (s.image, s.label)
        for s in read(tmp_path, {**members, "train": shuffled}).samples
    }
    assert first == again
    assert len(first) == 42


def test_only_repeated_names_are_changed():
    pixels = [np.full(4, value, np.uint8) for value in (1, 2, 3, 3)]
    one, *others = unique_ids(["a", "b", "b", "b"], [0, 0, 1, 0], pixels)
    assert one == "a"
    assert [len(name) for name in others] == [10, 12, 10]
    assert others[1] == f"{others[2]}_1"


@pytest.mark.parametrize(
    ("member", "key", "value", "message"),
    [
        ("train", b"fine_labels", [0, 1, 3] * 10, r"label 3 in row 2; there are 3 classes"),
        ("train", b"fine_labels", [-1] * 30, r"label -1 in row 0"),
        ("train", b"fine_labels", [0] * 29, r"'fine_labels' is no list of 30 entries"),
        ("train", b"fine_labels", ["0"] * 30, r"'fine_labels' has '0' in row 0"),
        ("test", b"filenames", None, r"'filenames' is no list of 12"),
        ("test", b"data", np.zeros((12, 3000), np.uint8), r"rows of 3072 bytes"),
        ("test", b"data", b"no array", r"rows of 3072 bytes"),
        ("meta", b"fine_label_names", [], r"no list of class names"),
        ("meta", b"fine_label_names", [1], r"no list of class names"),
    ],
)
def test_contradictions_are_refused_by_member(member, key, value, message, tmp_path):
    members = cifar100()
    members[member][key] = value
    with pytest.raises(SidekickError, match=rf"c\.tar\.gz: member .*{member}: .*{message}"):
        list(read(tmp_path, members).samples)


def test_a_missing_batch_is_refused(tmp_path):
    members = cifar100()
    del members["test"]
    with pytest.raises(SidekickError, match=r"c\.tar\.gz: no member cifar-100-python/test"):
        read(tmp_path, members)


def test_a_batch_that_is_no_dictionary_is_refused(tmp_path):
    with pytest.raises(SidekickError, match=r"member cifar-100-python/train: not a batch"):
        read(tmp_path, {**cifar100(), "train": [1]})


@pytest.mark.skipif(not REAL.exists(), reason="needs the real slices in ../shared/data")
def test_real_slice():
    archive = open_archive(REAL / "cifar-100-python.tar.gz", "cifar-100-python")
    reading = read_cifar100(archive)
    samples = list(reading.samples)
    assert (reading.classes[0], reading.classes[-1], len(reading.classes)) == ("apple", "worm", 100)
    assert len({sample.sample_id for sample in samples}) == 8000
    assert samples[0].sample_id == "train_bus_s_002831"
    assert reading.classes[samples[0].label] == "bus"
    test = [sample.label for sample in samples if sample.part == "test"]
    assert np.bincount(test).tolist() == [20] * 100
