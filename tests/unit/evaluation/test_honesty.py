"""Nothing from test reaches a fit, and nothing but data and settings reaches a number."""

import numpy as np
import polars as pl
import pytest

from unit.evaluation.benchmark import BIG, SMALL, SPLITS


def evaluate(made):
    return {"single": made.single(), "pairs": made.pairs(SMALL, BIG)}


def assert_equal(first, second, tables=("metrics", "curves", "fits")):
    for job in first:
        for table in tables:
            assert first[job][table].equals(second[job][table]), (job, table)


@pytest.fixture(scope="module")
def plain(single, pairs):
    return {"single": single, "pairs": pairs}


def test_two_runs_agree(written, plain):
    assert_equal(evaluate(written), plain)


def test_permuting_the_rows_of_files_changes_nothing(benchmark_of, plain):
    """Nor the random controls, which shuffle and defer by sample, not by place in a file."""
    assert_equal(evaluate(benchmark_of().permute().write()), plain)


def test_the_order_of_files_changes_nothing(written, plain, monkeypatch):
    ordered = written.logits
    monkeypatch.setattr(
        written, "logits", lambda *models: {s: f[::-1] for s, f in ordered(*models).items()}
    )
    assert_equal(evaluate(written), plain)


@pytest.mark.parametrize("split", ["test", "shift"])
def test_what_is_reported_on_enters_no_fit(benchmark_of, plain, split):
    made = benchmark_of()
    rng = np.random.default_rng(0)
    order = rng.permutation(made.sizes[split])
    for (own, _, _), columns in made.data.items():
        if own == split:
            labels = columns["labels"].reshape(-1, made.sizes[split])
            columns["labels"] = labels[:, order].reshape(-1)
            columns["logits"] = columns["logits"][:, ::-1] * np.float32(1.7)
    found = evaluate(made.write())
    assert_equal(found, plain, tables=["fits"])
    for job in found:
        ours, theirs = (
            own[job]["metrics"].filter(pl.col("split") == split) for own in (found, plain)
        )
        assert not ours.equals(theirs)
        # And nothing of one split reaches the rows of the other.
        ours, theirs = (
            own[job]["metrics"].filter(pl.col("split") != split) for own in (found, plain)
        )
        assert ours.equals(theirs)


def test_what_is_tuned_on_does(benchmark_of, plain):
    made = benchmark_of()
    for (split, _, _), columns in made.data.items():
        if split == "val":
            columns["labels"] = columns["labels"][::-1].copy()
    found = evaluate(made.write())
    for job in found:
        assert not found[job]["fits"].equals(plain[job]["fits"])
        raw = [pl.col("variant") == "raw", pl.col("split") == "test"]
        assert found[job]["metrics"].filter(*raw).equals(plain[job]["metrics"].filter(*raw))


def test_the_level_of_a_row_of_logits_changes_nothing(benchmark_of, plain):
    """By a power of two, so that the sums are exact."""
    made = benchmark_of()
    for columns in made.data.values():
        columns["logits"] = columns["logits"].astype(np.float64)
        columns["logits"] += 2.0 ** np.arange(len(columns["logits"]))[:, None] % 64
    assert_equal(evaluate(made.write()), plain)


def test_the_seed_of_the_resampling_moves_intervals_and_random_controls_only(benchmark_of, plain):
    made = benchmark_of()
    made.settings["seed"] = 6
    found = evaluate(made.write())
    for job in found:
        ours, theirs = found[job]["metrics"], plain[job]["metrics"]
        assert not ours["low"].equals(theirs["low"])
        sure = ~pl.col("variant").str.contains("random|noise") & (pl.col("metric") != "s_d")
        np.testing.assert_allclose(
            ours.filter(sure)["value"].to_numpy(), theirs.filter(sure)["value"].to_numpy()
        )


def test_more_resamples_leave_values_alone(benchmark_of, plain):
    made = benchmark_of()
    made.settings["replicates"] = {"test": 60, "shift": 30}
    found = evaluate(made.write())
    for job in found:
        sure = pl.col("metric") != "s_d"
        ours, theirs = (own[job]["metrics"].filter(sure)["value"] for own in (found, plain))
        assert ours.equals(theirs)


def test_there_are_controls_for_every_claim(plain):
    rows = pl.concat([job["metrics"] for job in plain.values()])
    claims = rows.filter(pl.col("split") == "test").select("predictor", "variant").unique()
    controls = {
        ("duo", "noise_sidekick"),
        ("cascade", "random"),
        ("cascade", "random_defer25"),
        ("cascade", "oracle"),
        ("temperature", "oracle_ordering"),
        ("temperature", "random_ordering"),
    }
    assert controls <= set(claims.iter_rows())
    assert set(SPLITS) == {"val", "test", "shift"}
    assert "val" not in set(rows["split"])
