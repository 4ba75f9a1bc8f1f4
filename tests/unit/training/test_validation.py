import numpy as np
import pytest
import torch

from sidekick.metrics import macro_f1 as reference
from sidekick.training.validation import macro_f1


@pytest.mark.parametrize("classes", [2, 3, 10, 200])
def test_macro_f1_is_that_of_the_metrics(classes):
    rng = np.random.default_rng(classes)
    for count in (1, 7, 60):
        labels, predicted = rng.integers(0, classes, (2, count))
        expected = reference(predicted, labels, np.ones((1, count), dtype=np.int64))[0]
        value = macro_f1(torch.from_numpy(predicted), torch.from_numpy(labels))
        assert value == pytest.approx(expected, abs=1e-12)
