"""Classifiers that several test modules of the metrics use."""

import functools
from pathlib import Path

import numpy as np
import pytest

from unit.metrics.strategies import make_logits

_REAL = Path(__file__).parents[4] / "shared" / "data" / "softmax_cifar100"
_REAL_MODELS = ("wideresnet-16-4", "densenet-bc-100", "lenet-5")


@functools.cache
def _load_real(name):
    path = _REAL / f"{name}-cifar-100.npz"
    if not path.exists():
        return None
    with np.load(path) as file:
        return file["predictions"], file["ground_truth"]


@pytest.fixture(scope="session", params=_REAL_MODELS)
def real(request):
    """Float32 probabilities (10000, 100) and labels of a CIFAR-100 classifier."""
    outputs = _load_real(request.param)
    if outputs is None:
        pytest.skip(f"no real softmax outputs in {_REAL}")
    return outputs


@pytest.fixture(scope="session")
def synthetic():
    """Logits (500, 7) and labels."""
    return make_logits(seed=3, n=500, classes=7)


@pytest.fixture(scope="session", params=["synthetic", *_REAL_MODELS])
def classifier(request):
    """Float64 logits and labels, of a made-up classifier and of the real ones."""
    if request.param == "synthetic":
        return request.getfixturevalue("synthetic")
    outputs = _load_real(request.param)
    if outputs is None:
        pytest.skip(f"no real softmax outputs in {_REAL}")
    probabilities, labels = outputs
    return np.log(probabilities.astype(np.float64)), labels
