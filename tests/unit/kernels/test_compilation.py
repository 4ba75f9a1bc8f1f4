"""Where compiled code is kept, and that threads and processes do not show in results."""

import os
import subprocess
import sys
from pathlib import Path

import sidekick

LIBRARY = Path(sidekick.__file__).parents[1]

# Prints a digest of everything that kernels compute.
EVERYTHING = """
import hashlib
import numpy as np
from sidekick.methods.weight_fit import fit_weights
from sidekick.metrics import Combination, Resampler, combined_statistics, evaluate_deferral
from sidekick.metrics import evaluate_statistics, sample_statistics

rng = np.random.default_rng(0)
labels = rng.integers(0, 37, 5000)
logits = rng.normal(size=(2, 5000, 37))
logits[:, np.arange(5000), labels] += 2
halves = list((logits - logits.max(axis=2, keepdims=True)).astype(np.float16))
digest = hashlib.sha256()
for own in (halves, list(logits)):
    fit = fit_weights(own, labels)
    digest.update(np.append(fit.weights, [fit.nll, fit.gradient_norm]).tobytes())
    found, asked = combined_statistics(own, labels, [Combination([0, 1], fit.weights)])
    digest.update(found[0].nll.tobytes() + found[0].brier.tobytes() + asked.tobytes())
    weights = Resampler([[str(row) for row in range(5000)]], 20, 0).weights_and_ones(0)
    for values in evaluate_statistics(found[0], weights).values():
        digest.update(values.tobytes())
    alone = sample_statistics(own[1], labels)
    curve = evaluate_deferral(alone.confidence, alone.correct, found[0].correct, weights, [0.3])
    digest.update(curve.accuracy_at.tobytes())
print(digest.hexdigest())
"""
THREADS = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def run(code, **variables):
    return subprocess.run(
        [sys.executable, "-c", code],
        env=dict(os.environ, PYTHONPATH=str(LIBRARY), **variables),
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    ).stdout.strip()


def test_results_do_not_depend_on_the_number_of_threads():
    one, two = (run(EVERYTHING, **dict.fromkeys(THREADS, count)) for count in ("1", "2"))
    assert len(one) == 64
    assert one == two


KERNEL = """
import numpy as np
from sidekick.kernels.compilation import _cache_folder
from sidekick.kernels.replicates import weighted_sums

sums, totals = np.empty(1), np.empty(1, dtype=np.int64)
weighted_sums(np.full((1, 3), 2, dtype=np.uint8), np.array([1.0, 2.0, 4.0]), sums, totals)
print(sums[0], totals[0], sum(weighted_sums.stats.cache_hits.values()), _cache_folder())
"""


def test_a_second_process_need_not_compile(tmp_path):
    first, second = (run(KERNEL, NUMBA_CACHE_DIR=str(tmp_path)).split() for _ in range(2))
    assert first[:3] == ["14.0", "6", "0"]
    assert second[:3] == ["14.0", "6", "1"]
    assert Path(first[3]).parent == tmp_path


def test_without_a_writable_folder_kernels_are_compiled_each_time():
    """As in a read-only installation without a home."""
    code = "import tempfile\ndef refuse(*_, **__): raise OSError\ntempfile.TemporaryFile = refuse\n"
    assert run(code + KERNEL).split() == ["14.0", "6", "0", "None"]


def test_other_users_of_numba_keep_their_own_folder(tmp_path):
    code = (
        "from numba.core import config; before = config.CACHE_DIR\n"
        "import sidekick.kernels.rows; print(config.CACHE_DIR == before == r'{}')"
    )
    assert run(code.format(tmp_path), NUMBA_CACHE_DIR=str(tmp_path)) == "True"
