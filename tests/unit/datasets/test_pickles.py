import os
import pickle

import numpy as np
import pytest

from sidekick.datasets.pickles import load_pickle
from sidekick.errors import SidekickError

ARRAY = np.arange(12, dtype=np.uint8).reshape(3, 4)


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_batch_comes_out_as_it_went_in(order, protocol):
    batch = {b"data": np.array(ARRAY, order=order), b"labels": [1, 2], b"filenames": [b"a.png"]}
    loaded = load_pickle(pickle.dumps(batch, protocol), "a batch")
    np.testing.assert_array_equal(loaded.pop(b"data"), ARRAY)
    assert loaded == {b"labels": [1, 2], b"filenames": [b"a.png"]}


def test_pickles_of_python_2_and_old_numpy_are_read():
    # As cPickle of Python 2.7 and numpy 1.6 wrote it.
    old = (
        b"\x80\x02}q\x01U\x04dataq\x02cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\n"
        b"q\x04K\x00\x85U\x01b\x87Rq\x05(K\x01K\x02K\x02\x86cnumpy\ndtype\nq\x06U\x02u1K\x00K\x01"
        b"\x87Rq\x07(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x04abcdtbs."
    )
    np.testing.assert_array_equal(load_pickle(old, "x")[b"data"], [[97, 98], [99, 100]])


class Evil:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (os.system, "posix.system"),
        (eval, "__builtin__.eval"),
        (getattr, "__builtin__.getattr"),
        (np.load, "numpy.load"),
        (np.frombuffer, "frombuffer"),
    ],
)
def test_a_pickle_that_calls_a_function_is_refused(function, name, tmp_path):
    data = pickle.dumps({b"data": Evil(function, f"touch {tmp_path}/evil")}, 2)
    with pytest.raises(SidekickError, match=rf"c\.tar: member train: .*{name}.*tampered"):
        load_pickle(data, "c.tar: member train")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(np.array([object()]), id="objects"),
        pytest.param(np.zeros(3, "f4"), id="floats"),
        pytest.param(np.zeros(3, [("a", "u1")]), id="structure"),
    ],
)
def test_other_arrays_are_refused(value):
    with pytest.raises(SidekickError, match=r"a batch: "):
        load_pickle(pickle.dumps({b"data": value}, 2), "a batch")


def test_other_encodings_are_refused():
    import _codecs

    data = pickle.dumps(Evil(_codecs.encode, "abc", "rot13"), 2)
    with pytest.raises(SidekickError, match="rot13"):
        load_pickle(data, "a batch")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80\x02",
        pickle.dumps([1, 2, 3], 2)[:-3],
        b"not a pickle",
        b"\x80\x02P1\n.",
        pickle.dumps({b"data": ARRAY}, 2).replace(b"K\x03K\x04", b"K\x7fK\x7f"),
    ],
    ids=["empty", "header", "cut-off", "text", "outside", "wrong-shape"],
)
def test_damaged_pickles_are_refused(data):
    with pytest.raises(SidekickError, match=r"a batch: "):
        load_pickle(data, "a batch")
