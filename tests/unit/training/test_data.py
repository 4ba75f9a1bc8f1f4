import threading

import numpy as np
import pytest
import torch

from sidekick.datasets.reading import load_split
from sidekick.errors import SidekickError
from sidekick.models.preprocessing import Preprocessing, load_image
from sidekick.training import data as training_data
from sidekick.training.data import DecodedImages, StoredImages, load_training_data
from unit.datasets.stored import encode, random_image, write_dataset

CPU = torch.device("cpu")
HALF = (0.5, 0.5, 0.5)
PREPROCESSING = Preprocessing((24, 24), 0.875, "bicubic", HALF, HALF)
SHAPE = (20, 16, 3)
IMAGES = [random_image(*SHAPE[:2], row) for row in range(60)]
FILES = [encode(random_image(30 + row, 70 - row, row), "JPEG") for row in range(60)]


@pytest.fixture(autouse=True)
def fake_dataset():
    """Real files here, in place of the room's stand-in."""


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("decode")]


@pytest.fixture
def raw(tmp_path):
    images = [image.tobytes() for image in IMAGES]
    return write_dataset(tmp_path / "raw", images, shape=SHAPE, encoded=False)


@pytest.fixture
def varying(tmp_path):
    return write_dataset(tmp_path / "varying", FILES)


def load(folder, seed=0, threads=2):
    return load_training_data(folder, seed, CPU, PREPROCESSING, threads)


def shuffled(count, batch_size=7):
    order = torch.randperm(count, generator=torch.Generator().manual_seed(0))
    return order.split(batch_size)


def test_what_it_says(raw):
    data = load(raw)
    assert data.classes == 3
    assert data.main_metric == "accuracy"
    assert data.preprocessing == PREPROCESSING
    assert (len(data.train), len(data.val)) == (20, 20)
    assert data.train.labels.dtype == torch.int64
    assert data.fingerprint == load(raw).fingerprint
    assert data.fingerprint != load(write_dataset(raw, [IMAGES[0].tobytes()] * 57, shape=SHAPE,
                                                  encoded=False)).fingerprint  # fmt: skip


@pytest.mark.parametrize("encoded", [False, True])
def test_small_images_of_one_shape_lie_decoded(raw, tmp_path, encoded):
    folder = raw
    if encoded:
        folder = write_dataset(tmp_path / "png", [encode(image) for image in IMAGES], shape=SHAPE)
    train = load(folder).train
    assert isinstance(train, DecodedImages)
    expected = load_split(raw, "train", 0)
    rows = shuffled(20)
    for batch, (pixels, labels) in zip(rows, train.batches(rows), strict=True):
        assert pixels.shape == (len(batch), 3, 20, 16)
        assert pixels.dtype == torch.uint8
        assert pixels.is_contiguous(memory_format=torch.channels_last)
        np.testing.assert_array_equal(pixels.permute(0, 2, 3, 1), expected.images[batch])
        np.testing.assert_array_equal(labels, expected.labels[batch])


@pytest.mark.parametrize("threads", [1, 4])
def test_images_of_varying_size_are_decoded_ahead(varying, threads):
    train = load(varying, threads=threads).train
    assert isinstance(train, StoredImages)
    rows = shuffled(20)
    for batch, (pixels, labels) in zip(rows, train.batches(rows), strict=True):
        assert pixels.shape == (len(batch), 3, 24, 24)
        assert pixels.dtype == torch.uint8
        assert pixels.is_contiguous(memory_format=torch.channels_last)
        assert labels.tolist() == train.labels[batch].tolist()
        for image, row in zip(pixels, batch.tolist(), strict=True):
            # Train is every third sample.
            expected = load_image(FILES[3 * row], PREPROCESSING, "a")
            np.testing.assert_array_equal(image.permute(1, 2, 0), expected)


def test_what_is_too_large_stays_stored(raw, monkeypatch):
    monkeypatch.setattr(training_data, "_MEMORY_LIMIT", 20 * 960 - 1)
    train = load(raw).train
    assert isinstance(train, StoredImages)
    ((pixels, labels),) = train.batches([torch.tensor([5, 1])])
    expected = load_image(encode(IMAGES[15]), PREPROCESSING, "a")
    np.testing.assert_array_equal(pixels[0].permute(1, 2, 0), expected)
    assert labels.tolist() == [15 % 3, 3 % 3]


def test_every_epoch_may_be_iterated(varying):
    train = load(varying).train
    first, second = (torch.cat([p for p, _ in train.batches(shuffled(20))]) for _ in range(2))
    assert torch.equal(first, second)


def test_no_rows(varying, raw):
    for folder in (varying, raw):
        assert list(load(folder).train.batches([])) == []


@pytest.mark.parametrize("leave", ["break", "raise", "close"])
def test_no_thread_survives_its_loop(varying, leave):
    train = load(varying).train
    if leave == "break":
        for _ in train.batches(shuffled(20, 2)):
            break
    elif leave == "close":
        batches = train.batches(shuffled(20, 2))
        next(batches)
        batches.close()
    else:
        with pytest.raises(KeyError):
            fail_in_a_loop(train)


def fail_in_a_loop(train):
    for _ in train.batches(shuffled(20, 2)):
        raise KeyError


def test_an_image_that_does_not_decode_is_named(tmp_path):
    files = [*FILES]
    files[12] = files[12][:200]
    train = load(write_dataset(tmp_path, files)).train
    with pytest.raises(SidekickError, match=r"samples.parquet: sample s012: the image does not"):
        list(train.batches(shuffled(20)))


def numbered_changes(seen):
    """Changes that add the number of the batch to its pixels."""

    def draw():
        seen.append(len(seen))
        number = seen[-1]
        return None if number == 2 else lambda pixels: pixels + number

    return draw


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("kind", ["raw", "varying"])
def test_changes_are_drawn_in_order_and_applied_to_their_batch(kind, threads, request):
    train = load(request.getfixturevalue(kind), threads=threads).train
    rows, seen = shuffled(20, 3), []
    plain = [pixels for pixels, _ in train.batches(rows)]
    changed = [pixels for pixels, _ in train.batches(rows, numbered_changes(seen))]
    assert seen == list(range(7))
    for number, (before, after) in enumerate(zip(plain, changed, strict=True)):
        assert torch.equal(after, before + (0 if number == 2 else number))
        assert after.is_contiguous(memory_format=torch.channels_last)


def test_a_change_that_fails_ends_the_threads(varying):
    def fail(pixels):
        raise SidekickError("no change")

    with pytest.raises(SidekickError, match="no change"):
        list(load(varying).train.batches(shuffled(20), lambda: fail))


def test_the_callers_threads_stay_as_they_are(varying):
    torch.set_num_threads(2)
    list(load(varying).train.batches(shuffled(20)))
    assert torch.get_num_threads() == 2
    torch.set_num_threads(1)
