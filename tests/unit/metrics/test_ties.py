import numpy as np
import pytest

from sidekick.errors import SidekickError
from sidekick.metrics.ties import tie_groups


def test_groups_of_equal_score():
    groups = tie_groups(np.array([0.5, -np.inf, 0.5, 2.0, np.inf, -0.0, 0.0]))
    np.testing.assert_array_equal(groups.order, [1, 5, 6, 0, 2, 3, 4])
    np.testing.assert_array_equal(groups.starts, [0, 1, 3, 5, 6])
    np.testing.assert_array_equal(groups.ends, [1, 3, 5, 6, 7])


@pytest.mark.parametrize("scores", [[3.0, 1.0, 2.0], [1.0, 1.0, 2.0], [1.0, 1.0, 1.0]])
def test_ends_of_groups(scores):
    groups = tie_groups(np.array(scores))
    np.testing.assert_array_equal(np.flatnonzero(groups.is_last) + 1, groups.ends)


def test_refusals():
    with pytest.raises(SidekickError, match="row 1 is NaN"):
        tie_groups(np.array([1.0, np.nan]))
    with pytest.raises(SidekickError, match="non-empty"):
        tie_groups(np.array([]))
    with pytest.raises(SidekickError, match="2 samples are ranked"):
        tie_groups(np.array([1.0, 2.0])).arrange([True])
