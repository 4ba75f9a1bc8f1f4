import io

import pytest
from PIL import Image

from sidekick.datasets import verifying
from sidekick.datasets.samples import Sample
from sidekick.datasets.verifying import image_shape, verified
from sidekick.errors import SidekickError
from unit.datasets.made import REAL, jpeg


def encoded(kind, **options):
    stream = io.BytesIO()
    Image.linear_gradient("L").convert(options.pop("mode", "RGB")).save(stream, kind, **options)
    return stream.getvalue()


def test_shapes_are_those_as_rgb():
    assert image_shape(jpeg(0, (40, 30)), "x") == (30, 40, 3)
    assert image_shape(jpeg(0, (40, 30), "L"), "x") == (30, 40, 3)
    assert image_shape(jpeg(0, (513, 7), "CMYK"), "x") == (7, 513, 3)
    assert image_shape(encoded("PNG"), "x") == (256, 256, 3)
    assert image_shape(encoded("JPEG", progressive=True), "x") == (256, 256, 3)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "progressive"])
def test_a_truncated_image_is_refused(kind, share):
    data = encoded("JPEG", progressive=True) if kind == "progressive" else encoded(kind)
    with pytest.raises(SidekickError, match=r"a\.tar: sample x: the image does not decode"):
        image_shape(data[: int(share * len(data))], "a.tar: sample x")


def test_missing_last_bytes_are_noticed():
    data = jpeg(0, (200, 200))
    with pytest.raises(SidekickError, match="does not decode"):
        image_shape(data[:-3], "x")


def test_other_formats_are_refused():
    with pytest.raises(SidekickError, match="does not decode"):
        image_shape(encoded("GIF"), "x")


def test_an_image_of_any_claimed_size_is_not_decoded(monkeypatch):
    monkeypatch.setattr(verifying, "LARGEST_IMAGE", 1000)
    with pytest.raises(SidekickError, match=r"x: an image of 40×30 pixels; refused"):
        image_shape(jpeg(0, (40, 30)), "x")


@pytest.mark.parametrize("threads", [1, 3])
def test_order_is_kept_and_the_stream_is_not_read_far_ahead(threads):
    taken = []

    def stream():
        for number in range(500):
            taken.append(number)
            yield Sample(f"s{number}", jpeg(number % 3, (20 + number, 20)), 0, "train")

    results = verified(stream(), threads, "a.tar")
    first, shape = next(results)
    assert (first.sample_id, shape) == ("s0", (20, 20, 3))
    assert len(taken) <= 48 * threads
    rest = list(results)
    assert [sample.sample_id for sample, _ in rest] == [f"s{n}" for n in range(1, 500)]
    assert [shape[1] for _, shape in rest] == list(range(21, 520))


def test_the_image_that_does_not_decode_is_named():
    samples = [Sample(f"s{n}", jpeg(0) if n != 40 else b"x", 0, "train") for n in range(60)]
    with pytest.raises(SidekickError, match=r"a\.tar: sample s40: the image does not decode"):
        list(verified(samples, 2, "a.tar"))


@pytest.mark.skipif(not REAL.exists(), reason="needs the real slices in ../shared/data")
def test_a_third_of_a_real_photograph_is_noticed():
    from unit.datasets.made import real_food

    for data in real_food(10):
        image_shape(data, "whole")
        with pytest.raises(SidekickError):
            image_shape(data[:-100], "cut")
