import io
import threading
import time

import numpy as np
import pytest
from PIL import Image

from sidekick.datasets.decoding import Batch, decode_ahead, decode_rgb, fixed_shape_decoder
from sidekick.errors import SidekickError
from unit.datasets.stored import encode, random_image


def decoding_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("decode")]


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    assert decoding_threads() == []


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "BMP", "WEBP"])
def test_formats(file_format):
    image = random_image(20, 31)
    options = {"lossless": True} if file_format == "WEBP" else {}
    decoded = decode_rgb(encode(image, file_format, **options), "a")
    assert decoded.shape == (20, 31, 3)
    assert decoded.dtype == np.uint8
    tolerance = 40 if file_format == "JPEG" else 0
    np.testing.assert_allclose(decoded.astype(int), image, atol=tolerance)


@pytest.mark.parametrize(
    ("file_format", "mode"),
    [("JPEG", "L"), ("PNG", "L"), ("PNG", "1"), ("PNG", "LA")],
)
def test_grey_becomes_three_equal_channels(file_format, mode):
    decoded = decode_rgb(encode(random_image(17, 9), file_format, mode), "a")
    assert decoded.shape == (17, 9, 3)
    assert (decoded == decoded[..., :1]).all()


def test_cmyk():
    image = random_image(16, 16)
    decoded = decode_rgb(encode(image, "JPEG", "CMYK", quality=100, subsampling=0), "a")
    np.testing.assert_allclose(decoded.astype(int), image, atol=16)


@pytest.mark.parametrize("mode", ["RGBA", "P"])
def test_other_modes(mode):
    decoded = decode_rgb(encode(np.full((5, 6, 3), 200, np.uint8), "PNG", mode), "a")
    assert decoded.shape == (5, 6, 3)


def test_alpha_is_dropped():
    pixels = np.dstack([random_image(8, 8), np.zeros((8, 8), np.uint8)])
    file = io.BytesIO()
    Image.fromarray(pixels, "RGBA").save(file, "PNG")
    np.testing.assert_array_equal(decode_rgb(file.getvalue(), "a"), pixels[..., :3])


@pytest.mark.parametrize("file_format", ["PNG", "JPEG"])
@pytest.mark.parametrize("damage", ["empty", "truncated", "garbage", "text"])
def test_what_does_not_decode_is_named(file_format, damage):
    file = encode(random_image(60, 60), file_format)
    data = {
        "empty": b"",
        "truncated": file[: len(file) // 2],
        "garbage": b"\xff\xd8\xff\xe0" + bytes(range(256)) * 9,
        "text": b"<html>404</html>",
    }[damage]
    with pytest.raises(SidekickError, match=r"^samples: apple_7: the image does not decode \("):
        decode_rgb(data, "samples: apple_7")


def test_a_bomb_is_refused(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(SidekickError, match=r"a: the image does not decode .*exceeds limit"):
        decode_rgb(encode(random_image(30, 30)), "a")


def test_fixed_shape():
    decode = fixed_shape_decoder([4, 5, 3])
    assert decode(encode(random_image(4, 5)), "a").shape == (4, 5, 3)
    with pytest.raises(SidekickError, match=r"b: .*shape is \(5, 4, 3\); expected \(4, 5, 3\)"):
        decode(encode(random_image(5, 4)), "b")


def batches(sizes, seen=None):
    """Batches of 1×1 images, each with a number of its own in it."""
    number = 0
    for place, size in enumerate(sizes):
        if seen is not None:
            seen.append(place)
        files = [(row.to_bytes(3, "little"), f"n{row}") for row in range(number, number + size)]
        number += size
        yield Batch(files, np.empty((size, 1, 1, 3), np.uint8), place)


def load(data, name):
    # The later ones of a batch are ready sooner.
    time.sleep(0.002 * (7 - data[0] % 8))
    return np.frombuffer(data, np.uint8).reshape(1, 1, 3)


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("ahead", [0, 1, 3])
def test_order_does_not_depend_on_threads(threads, ahead):
    sizes = [3, 20, 1, 0, 9, 8]
    done = list(decode_ahead(batches(sizes), load, threads, ahead))
    assert [batch.facts for batch in done] == list(range(6))
    assert [len(batch.images) for batch in done] == sizes
    assert np.concatenate([batch.images for batch in done])[:, 0, 0, 0].tolist() == list(range(41))


def test_no_more_is_read_than_decoded_ahead():
    seen = []
    with pytest.raises(StopIteration):
        next(decode_ahead(batches([]), load, 2))
    iterator = decode_ahead(batches([2] * 10, seen), load, 2, ahead=3)
    next(iterator)
    assert seen == [0, 1, 2, 3]
    next(iterator)
    assert seen == [0, 1, 2, 3, 4]
    iterator.close()
    assert seen == [0, 1, 2, 3, 4]


def test_a_loop_that_breaks_leaves_no_thread():
    for _ in decode_ahead(batches([9] * 9), load, 3):
        assert decoding_threads()
        break
    assert decoding_threads() == []


def test_an_error_of_a_thread_arrives_and_ends_the_others():
    def failing(data, name):
        if name in ("n12", "n30"):
            raise SidekickError(f"{name}: broken")
        return load(data, name)

    iterator = decode_ahead(batches([9] * 9), failing, 3)
    assert next(iterator).facts == 0
    with pytest.raises(SidekickError, match="n12: broken"):
        next(iterator)
    assert decoding_threads() == []


def test_an_error_of_the_source_arrives():
    def source():
        yield from batches([2])
        raise SidekickError("no more")

    with pytest.raises(SidekickError, match="no more"):
        list(decode_ahead(source(), load, 2))
