"""`headline`: which predictor it chooses, its numbers, and its honesty in words."""

import math

import polars as pl
import pytest

from sidekick.leaderboard.headline import first_headline, headline, metric_word, models_words
from unit.leaderboard.boards import DATASET, board_tables
from unit.leaderboard.rows import make_rows

BIG = {"predictor": "temperature", "variant": "scaled", "large": "big", "gmacs": 4.0, "value": 0.02}
SMALL = {**BIG, "large": "tiny", "gmacs": 1.0, "value": 0.05}


def duo(value=0.015, delta=-0.005, low=-0.008, high=-0.002, **changes):
    return {
        "predictor": "duo", "variant": "weighted", "large": "big", "small": "tiny", "gmacs": 5.0,
        "value": value, "baseline": "temperature:scaled:big",
        "delta": delta, "delta_low": low, "delta_high": high,
    } | changes  # fmt: skip


def find(*rows, dataset="digits", split="test", metric="aurc"):
    return headline(make_rows(*rows), dataset, split, metric)


def test_a_better_duo_is_told_with_its_price():
    found = find(BIG, SMALL, duo())
    assert (found.predictor, found.variant, found.large, found.small) == (
        "duo", "weighted", "big", "tiny",
    )  # fmt: skip
    assert found.verdict == "better"
    assert found.baseline == "temperature:scaled:big"
    assert found.baseline_value == pytest.approx(0.02)
    assert (found.delta, found.low, found.high) == (-0.005, -0.008, -0.002)
    assert found.relative == pytest.approx(-0.25)
    assert (found.relative_low, found.relative_high) == pytest.approx((-0.4, -0.1))
    assert found.extra_compute == pytest.approx(0.25)
    assert found.sentence == (
        "The duo big + tiny lowers AURC by 25 % [10, 40], for 25 % more compute than big alone."
    )


def test_an_interval_that_includes_zero_is_no_claim():
    found = find(BIG, SMALL, duo(high=0.001))
    assert found.verdict == "none"
    assert found.sentence == (
        "The only duo, big + tiny, does not clearly lower AURC: it changes by "
        "−25 % [−40, +5], for 25 % more compute than big alone."
    )


def test_a_worse_duo_is_told_as_it_is():
    found = find(BIG, SMALL, duo(value=0.025, delta=0.005, low=0.002, high=0.008))
    assert found.verdict == "worse"
    assert "does not clearly lower AURC: it changes by +25 % [+10, +40]" in found.sentence


def test_the_best_value_wins_and_the_rivals_are_counted():
    second = duo(value=0.016, small="wee", delta=-0.004)
    found = find(BIG, SMALL, second, duo())
    assert found.small == "tiny"
    assert found.rivals == 2
    assert found.sentence.endswith("(the best of 2 duos).")


def test_of_equals_the_cheaper_wins():
    assert find(BIG, duo(small="wee", gmacs=4.5), duo()).small == "wee"


@pytest.mark.parametrize(
    "changes",
    [
        {"variant": "unweighted"},
        {"variant": "weighted_as_released"},
        {"variant": "noise_sidekick"},
        {"recipe": "finetune+gatekeeper_a10"},
        {"recipe": "distill"},
        {"dataset": "food"},
        {"split": "shift"},
        {"metric": "nll"},
        {"value": math.nan},
        {"delta": math.nan},
        {"baseline": None},
    ],
)
def test_what_is_no_candidate(changes):
    assert find(BIG, duo(value=0.001) | changes, duo()).value == 0.015


def test_several_sidekicks_are_a_duo_too():
    found = find(BIG, duo(variant="weighted_2_sidekicks", small="tiny+wee", gmacs=5.5))
    assert found.extra_compute == pytest.approx(0.375)
    assert "The duo big + tiny + wee lowers" in found.sentence


def test_a_better_model_alone_is_not_kept_quiet():
    best = {**SMALL, "value": 0.01, "large": "wise"}
    assert find(BIG, best, duo()).sentence.endswith(
        "The best model alone is better still, wise, with 0.01."
    )
    between = {**SMALL, "value": 0.018, "large": "wise"}
    assert find(BIG, between, duo()).sentence.endswith("The best model alone is wise, with 0.018.")


def test_the_large_model_unscaled_is_no_other_model():
    raw = {**BIG, "predictor": "single", "variant": "raw", "value": 0.01}
    assert "best model alone" not in find(BIG, raw, duo()).sentence


def test_shares_that_are_better_when_higher_are_told_in_points():
    up = {"metric": "accuracy", "higher_is_better": True}
    rows = (BIG | up | {"value": 0.95}, duo(0.96, 0.01, 0.004, 0.021) | up)
    found = find(
        *rows, duo(0.97, -0.01, -0.02, -0.001, large="odd", metric="nll"), metric="accuracy"
    )
    assert found.value == 0.96
    assert "raises accuracy by 1.0 points [0.4, 2.1]" in found.sentence


def test_generated_answers_have_cascades():
    cascade = duo(
        predictor="cascade", variant="nent_defer25", gmacs=2.0,
        baseline="cascade:random_defer25:big+tiny",
    )  # fmt: skip
    alone = {"predictor": "single", "variant": "nent"}
    found = find(BIG | alone, SMALL | alone, cascade)
    assert found.extra_compute == pytest.approx(-0.5)
    assert found.sentence == (
        "The cascade big + tiny lowers AURC by 25 % [10, 40] against random deferral of as many "
        "samples, for 50 % less compute than big alone."
    )


def test_without_an_aurc_of_cascades_their_accuracy_is_the_first_headline():
    up = {"metric": "accuracy", "higher_is_better": True}
    alone = {"predictor": "single", "variant": "nent"}
    cascade = duo(0.8, 0.1, 0.05, 0.2, predictor="cascade", variant="nent_defer25", gmacs=2.0)
    board = make_rows(BIG | alone, BIG | alone | up | {"value": 0.7}, cascade | up)
    assert headline(board, "digits").verdict == "alone"
    found = first_headline(board, "digits")
    assert (found.predictor, found.verdict) == ("cascade", "better")
    assert "raises accuracy by 10 points [5, 20]" in found.sentence
    assert first_headline(make_rows(BIG, duo()), "digits").predictor == "duo"
    assert first_headline(make_rows(BIG, BIG | up), "digits").verdict == "alone"


def test_one_model_is_nothing_to_compare():
    found = find(BIG)
    assert (found.verdict, found.small, found.baseline) == ("alone", None, None)
    assert math.isnan(found.relative)
    assert found.sentence == (
        "Nothing adds compute to a model here: big alone has the best AURC, 0.02."
    )


def test_under_shift_the_mean_over_all_counts():
    shift = {"split": "shift", "corruption": "mean"}
    rows = [
        BIG | shift,
        duo(0.001, **shift, severity=5),
        duo(0.002) | shift | {"corruption": "fog"},
        duo(0.012) | shift,
    ]
    assert find(*rows, split="shift").value == 0.012


def test_a_control_without_error_has_no_relative_change():
    found = find(BIG | {"value": 0.0}, duo(0.0, 0.0, 0.0, 0.0))
    assert math.isnan(found.relative)
    assert found.verdict == "none"
    assert "it changes by +0 [+0, +0], for" in found.sentence


def test_without_the_metric_it_is_refused():
    with pytest.raises(ValueError, match="no model has the metric 'nll' on digits, test"):
        find(BIG, metric="nll")


def test_names_are_told_as_they_are():
    rude = '<script>"x"</script>'
    assert f"The duo {rude} + tiny" in find(BIG | {"large": rude}, duo(large=rude)).sentence


def test_words():
    assert [metric_word(name) for name in ("aurc", "nll", "accuracy", "overlap")] == [
        "AURC", "NLL", "accuracy", "overlap",
    ]  # fmt: skip
    assert models_words("a", "b+c") == "a + b + c"
    assert models_words("a", None) == "a"


def test_it_takes_a_whole_board():
    board = board_tables(["a", "b", "c"], gatekept=["a"])[0]
    found = headline(board, DATASET)
    weighted = board.filter(
        (pl.col("variant") == "weighted")
        & (pl.col("metric") == "aurc")
        & (pl.col("split") == "test")
        & (pl.col("recipe") == "finetune")
    )
    assert found.value == weighted["value"].min()
    assert found.rivals == 3
