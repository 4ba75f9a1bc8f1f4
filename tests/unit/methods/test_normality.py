import subprocess
import sys

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import shapiro

from sidekick.errors import SidekickError
from sidekick.methods.normality import normal_shares


@pytest.fixture(scope="module")
def shares():
    rng = np.random.default_rng(0)
    normal = rng.normal(3, 2, (50, 400))
    skewed = expit(3 * normal)
    constant = np.ones((50, 10))
    passes = np.concatenate([normal, skewed, constant], axis=1)
    groups = np.repeat(["normal", "skewed", "constant"], [400, 400, 10])
    return passes, groups, normal_shares(passes, groups)


def test_normal_passes_are_rejected_as_often_as_the_level_says(shares):
    found = shares[2]["normal"]
    assert found.samples == 400
    assert found.constant == 0
    # Five standard errors of a share of 400.
    assert found.normal == pytest.approx(0.95, abs=5 * np.sqrt(0.05 * 0.95 / 400))
    assert found.median_statistic > 0.95


def test_saturated_sigmoids_are_not_normal(shares):
    assert shares[2]["skewed"].normal < 0.05


def test_what_never_varies_is_not_tested(shares):
    found = shares[2]["constant"]
    assert (found.samples, found.constant) == (10, 10)
    assert np.isnan(found.normal)


def test_against_scipy_alone(shares):
    passes, groups, found = shares
    chances = [shapiro(column).pvalue for column in passes[:, groups == "skewed"].T]
    assert found["skewed"].normal == np.mean(np.array(chances) > 0.05)


def test_groups_can_be_numbers():
    passes = np.random.default_rng(0).normal(size=(10, 4))
    assert list(normal_shares(passes, np.array([3, 1, 1, 3]))) == [1, 3]


@pytest.mark.parametrize("count", [2, 5001])
def test_numbers_of_passes_that_cannot_be_tested_are_refused(count):
    with pytest.raises(SidekickError, match=f"passes: {count}"):
        normal_shares(np.zeros((count, 1)), np.zeros(1))


def test_groups_of_another_length_are_refused():
    with pytest.raises(SidekickError, match="groups: 2 for 1"):
        normal_shares(np.zeros((5, 1)), np.zeros(2))


def test_the_methods_import_without_torch_and_statistics():
    modules = (
        "dropout_moments", "dropout_sampling", "dropout_decomposition", "dropout_rule",
        "dropout_sensitivity", "normality",
    )  # fmt: skip
    code = (
        f"import sys\n{''.join(f'import sidekick.methods.{name};' for name in modules)}\n"
        "sys.exit(', '.join({'torch', 'scipy.stats', 'numba', 'onnx'} & set(sys.modules)) or 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)})
