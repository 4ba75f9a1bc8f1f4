"""Passes of whole networks on the board, against what the passes themselves say."""

import numpy as np
import polars as pl
import pytest
from scipy.special import erfinv
from sklearn.metrics import accuracy_score, log_loss

from sidekick.errors import SidekickError
from sidekick.logit_cache import write_logits
from unit.evaluation.benchmark import SMALL, Benchmark

COUNT = 5


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory):
    return Benchmark(tmp_path_factory.mktemp("passes")).write()


@pytest.fixture(scope="module")
def tables(benchmark):
    return benchmark.passes(count=COUNT)


def values(tables, variant, metric):
    rows = tables["metrics"].filter(
        (pl.col("split") == "test") & (pl.col("variant") == variant) & (pl.col("metric") == metric)
    )
    assert len(rows) == 1
    return rows.row(0, named=True)


def by_seed(benchmark, score):
    """The mean over seeds of a score of (labels, probabilities of passes)."""
    return np.mean(
        [
            score(
                benchmark.data["test", SMALL, seed]["labels"],
                benchmark.drawn_passes("test", SMALL, seed, COUNT),
            )
            for seed in benchmark.seeds
        ]
    )


def test_the_mean_is_scored_as_a_distribution(benchmark, tables):
    def nll(labels, passes):
        return log_loss(labels, passes.mean(axis=0), labels=range(4))

    row = values(tables, f"mean_full_{COUNT}", "nll")
    # Cached in half precision.
    assert row["value"] == pytest.approx(by_seed(benchmark, nll), abs=1e-3)
    assert row["baseline"] == f"single:raw:{SMALL}"
    assert row["gmacs"] == pytest.approx(COUNT * 0.5)

    def accuracy(labels, passes):
        return accuracy_score(labels, passes.mean(axis=0).argmax(axis=1))

    row = values(tables, f"mean_full_{COUNT}", "accuracy")
    assert row["value"] == pytest.approx(by_seed(benchmark, accuracy))


def test_the_rule_is_the_papers(benchmark, tables):
    def coverage(labels, passes):
        mean, margin = passes.mean(axis=0), np.sqrt(2) * erfinv(0.7) * passes.std(axis=0)
        above = (mean - margin > 0.5).sum(axis=1)
        straddling = ((mean - margin <= 0.5) & (mean + margin >= 0.5)).sum(axis=1)
        return ((above > 0) | (straddling == 1)).mean()

    row = values(tables, f"interval70_full_{COUNT}", "coverage")
    assert row["value"] == pytest.approx(by_seed(benchmark, coverage))
    rival = f"deterministic_at_interval70_full_{COUNT}"
    assert row["baseline"] == f"mc_dropout:{rival}:{SMALL}"
    assert values(tables, rival, "coverage")["value"] == pytest.approx(row["value"], abs=1e-9)
    assert values(tables, rival, "coverage")["gmacs"] == pytest.approx(0.5)


def test_every_uncertainty_ranks_the_same_answers(tables):
    names = ("predictive_entropy", "expected_entropy", "mutual_information", "variation_ratio")
    found = [values(tables, f"{name}_full_{COUNT}", "aurc")["value"] for name in names]
    assert len(set(found)) == 4
    same = [values(tables, f"{name}_full_{COUNT}", "accuracy")["value"] for name in names]
    assert len(set(same)) == 1


def test_the_plain_model_is_left_to_its_own_job(tables):
    assert set(tables["metrics"]["predictor"]) == {"mc_dropout"}
    assert set(tables["metrics"]["split"]) == {"test", "shift"}
    assert tables["fits"].is_empty()


def test_the_shift_set_may_be_left_out(benchmark):
    tables = benchmark.passes(count=COUNT, splits=("test",))
    assert set(tables["metrics"]["split"]) == {"test"}


def test_a_cache_without_the_passes_is_refused(tmp_path):
    benchmark = Benchmark(tmp_path).write()

    def plain(split, model, seed, count):
        path = tmp_path / f"{split}{seed}.parquet"
        facts = {"benchmark": "made_up", "dataset": "toy", "model": model, "seed": seed}
        columns = benchmark.data[split, model, seed]
        write_logits(path, **columns, facts={**facts, "recipe": "passes", "split": split})
        return str(path)

    benchmark._passes = plain
    with pytest.raises(SidekickError, match="0 features per row; passes through 4 classes leave 6"):
        benchmark.passes()
