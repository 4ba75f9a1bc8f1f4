import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidekick.errors import SidekickError
from sidekick.logit_cache import CachedLogits, require_same_samples
from unit.logit_cache.samples import make_cache


def same_columns(first, second):
    for name in ("sample_ids", "labels", "logits", "logit_max", "corruption", "severity"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


@settings(deadline=None)
@given(st.permutations(range(9)), st.booleans())
def test_permuted_rows_are_put_in_the_order_of_the_first(order, shift):
    first = make_cache(n=9, shift=shift)
    second = first.take(np.array(order))
    same_columns(require_same_samples(first, second), first)


def test_the_second_keeps_its_own_logits_and_source():
    first = make_cache(seed=0)
    second = CachedLogits(
        first.sample_ids[::-1],
        first.labels[::-1],
        make_cache(seed=1).logits,
        make_cache(seed=1).logit_max,
        source="b.parquet",
    )
    joined = require_same_samples(first, second)
    np.testing.assert_array_equal(joined.logits, second.logits[::-1])
    assert joined.source == "b.parquet"
    assert joined.sample_ids.tolist() == first.sample_ids.tolist()


def changed(cache, **columns):
    return CachedLogits(**{**vars(cache), "source": "b.parquet", **columns})


def refuse(first, second, message):
    with pytest.raises(SidekickError, match=message) as caught:
        require_same_samples(first, second)
    assert "a.parquet and b.parquet" in str(caught.value)


def test_ids_that_differ_are_refused_with_the_first_row():
    first = make_cache()
    ids = first.sample_ids.copy()
    ids[[2, 4]] = ["other", "img_999"]
    refuse(first, changed(first, sample_ids=ids), r"sample img_002 \(row 2 of the first\)")


def test_samples_that_only_one_file_has_are_refused():
    first = make_cache()
    refuse(first, changed(first.take(np.arange(5))), r"sample img_005 \(row 5 of the first\)")
    refuse(
        first.take(np.arange(5)),
        changed(first),
        r"sample img_005 \(row 5 of the second\) is in one",
    )


def test_labels_that_differ_are_refused_with_the_row_also_after_joining():
    first = make_cache()
    labels = first.labels.copy()
    labels[3] = (labels[3] + 1) % 4
    message = (
        rf"sample img_003 \(row 3 of the first\) has label {first.labels[3]} in one and {labels[3]}"
    )
    second = changed(first, labels=labels)
    refuse(first, second, message)
    refuse(first, second.take(np.arange(6)[::-1]), message)


def test_class_counts_that_differ_are_refused():
    first = make_cache()
    refuse(first, changed(first, logits=first.logits[:, :3]), "4 and 3 classes")


def test_shift_parts_that_differ_are_refused():
    first = make_cache(shift=True)
    severity = first.severity.copy()
    severity[4] = 5
    refuse(
        first, changed(first, severity=severity), r"\('img_001', 'fog', 2\) \(row 4 of the first"
    )
    refuse(first, changed(make_cache()), "is in one only")
