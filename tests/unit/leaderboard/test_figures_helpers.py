"""The arithmetic behind the figures."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidekick.leaderboard.figures.axes import plain_number, spread
from sidekick.leaderboard.figures.comparisons import fit_page, headed_lines, methods
from sidekick.leaderboard.figures.look import (
    axis_label,
    change_unit,
    in_sentence,
    listed,
    look_of,
    method_name,
    models_name,
    plain_interval,
    short_names,
)
from sidekick.leaderboard.figures.rows import (
    Predictor,
    improvements,
    operating_points,
    pareto_front,
    pick,
    verdict,
)
from unit.leaderboard.boards import board

GRID = st.sampled_from([0.0, 0.5, 1.0, 2.0, 3.0])


@given(st.lists(st.tuples(GRID, GRID), min_size=1, max_size=12))
def test_pareto_front_against_brute_force(points):
    front = pareto_front(*zip(*points, strict=True))
    chosen = [points[index] for index in front]

    def beaten(point):
        return any(
            other != point and other[0] <= point[0] and other[1] <= point[1] for other in points
        )

    assert chosen == sorted({point for point in points if not beaten(point)})


@pytest.mark.parametrize(
    ("low", "high", "higher_is_better", "expected"),
    [
        (0.1, 0.2, True, "better"),
        (0.1, 0.2, False, "worse"),
        (-0.2, -0.1, True, "worse"),
        (-0.2, -0.1, False, "better"),
        (0.0, 0.2, True, "none"),
        (-0.2, 0.0, True, "none"),
        (-0.1, 0.1, False, "none"),
        (0.0, 0.0, True, "none"),
        (None, None, True, "none"),
        (np.nan, np.nan, True, "none"),
    ],
)
def test_verdict(low, high, higher_is_better, expected):
    assert verdict(low, high, higher_is_better) == expected


def test_improvements_turn_the_better_side_up():
    rows = pl.DataFrame(
        {
            "delta": [1.0, 1.0],
            "delta_low": [0.5, 0.5],
            "delta_high": [2.0, 2.0],
            "higher_is_better": [True, False],
        }
    )
    value, low, high = improvements(rows)
    assert value.tolist() == [1.0, -1.0]
    assert low.tolist() == [0.5, -2.0]
    assert high.tolist() == [2.0, -0.5]


@given(st.lists(st.floats(0, 10), max_size=15), st.floats(0.01, 2))
def test_spread_gives_the_gap_and_keeps_the_order(values, gap):
    values = sorted(values)
    moved = spread(values, gap)
    assert (np.diff(moved) >= gap - 1e-9).all()
    np.testing.assert_allclose(np.sum(moved), np.sum(values), atol=1e-9)


def test_spread_leaves_distant_values_alone():
    np.testing.assert_allclose(spread([1.0, 2.0, 9.0], 0.9), [1.0, 2.0, 9.0])


def test_models_and_pairs_are_ordered_by_cost():
    own = board(["tiny", "mid", "big"])
    assert own.models == ["big", "mid", "tiny"]
    assert own.main_pair[:2] == ("big", "tiny")
    assert [pair.balance for pair in own.pairs] == sorted(pair.balance for pair in own.pairs)
    assert board(["only"]).main_pair is None


def test_pick_finds_one_predictor():
    rows = board(["a", "b"]).rows("aurc")
    assert len(pick(rows, Predictor("temperature", "scaled", "a"))) == 1
    assert len(pick(rows, Predictor("duo", "weighted", "b", "a"))) == 1
    assert len(pick(rows, Predictor("duo", "weighted", "a", "b"))) == 0


@pytest.mark.parametrize(
    ("recipe", "found"),
    [("finetune", 1), ("imported", 1), ("finetune+imported", 1), ("finetune+distill", 0)],
)
def test_pick_finds_models_as_fine_tuned_or_imported(recipe, found):
    rows = board(["a", "b"]).rows("aurc").with_columns(recipe=pl.lit(recipe))
    assert len(pick(rows, Predictor("duo", "weighted", "b", "a"))) == found


def test_pairs_are_of_two_models():
    plain = board(["a", "b"])
    several = plain.metrics.filter(pl.col("predictor") == "duo").with_columns(small=pl.lit("a+c"))
    more = replace(plain, metrics=pl.concat([plain.metrics, several]))
    assert more.pairs == plain.pairs


def test_operating_points_rise_with_deferral():
    variants = ["max_softmax_defer100", "max_softmax_defer25", "max_softmax", "random_defer25"]
    rows = pl.DataFrame({"predictor": "duo_cascade", "variant": variants})
    assert operating_points(rows) == ["max_softmax_defer25", "max_softmax_defer100"]


def test_short_names_stay_apart():
    names = ["a" * 64, "a" * 30 + "b" + "a" * 33, "short", "a" * 30 + "c" + "a" * 33]
    short = short_names(names, 18)
    assert short["short"] == "short"
    assert len(set(short.values())) == len(names)
    assert max(map(len, short.values())) <= 18
    assert short == short_names(reversed(names), 18)


def test_controls_look_like_controls():
    for predictor, variant in (
        ("duo", "noise_sidekick"),
        ("cascade", "random_defer25"),
        ("temperature", "oracle_ordering"),
    ):
        assert look_of(predictor, variant).name == "Control"
    assert look_of("duo", "weighted").name == "Duo"
    assert look_of("quantum", "leap").name == "Other"


def test_words():
    assert method_name("cascade", "max_softmax_defer25") == "Cascade, defers 25 %"
    assert method_name("cascade", "max_softmax_budget50") == "Cascade, budget 50 %"
    assert method_name("duo_cascade", "learned_target97") == (
        "Duo cascade, learned gate, target 97 %"
    )
    assert method_name("cascade", "max_softmax_vs_untuned") == "Cascade"
    assert method_name("cascade", "entropy_scaled") == "Cascade, temperature-scaled entropy gate"
    assert method_name("mc_dropout", "interval70_30") == "MC dropout, 70 % interval, 30 passes"
    assert method_name("mc_dropout", "score_closed") == "MC dropout, interval score, closed form"
    assert method_name("mc_dropout", "mutual_information_9").endswith("information, 9 passes")
    assert method_name("new_kind", "some_variant") == "new kind, some variant"
    assert in_sentence("AURC") == "AURC"
    assert in_sentence("Duo cascade") == "duo cascade"
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert axis_label("accuracy") == "Accuracy (%)"
    assert axis_label("nll") == "NLL (nats)"
    assert change_unit("accuracy") == " (percentage points)"
    assert change_unit("nll") == " (nats)"
    assert change_unit("aurc") == ""
    assert plain_interval(-0.00123, -0.002, 0.0004) == "−0.0012 [−0.0020, +0.0004]"
    assert plain_interval(0.5, np.nan, np.nan) == "+0.50"


@pytest.mark.parametrize(
    ("small", "recipe", "expected"),
    [
        (None, "finetune", "A"),
        (None, "gatekeeper_a30", "A (Gatekeeper α 0.3)"),
        (None, "soup_greedy", "A"),
        ("b", "imported", "A + B"),
        ("b", "finetune+gatekeeper_chosen", "A + B (Gatekeeper, α chosen on val)"),
        ("b", "distill+finetune", "A (distilled) + B"),
        ("b", "distill+ce_control", "A (distilled) + B (cross-entropy control)"),
        ("b", "soup_greedy", "A + B (both greedy soup)"),
        ("b+c", "finetune", "A + B + C"),
    ],
)
def test_models_are_named_with_their_unusual_recipes(small, recipe, expected):
    assert models_name({"a": "A", "b": "B", "c": "C"}, "a", small, recipe) == expected


def test_second_comparisons_are_no_second_values():
    own = board(["a", "b"], gatekept=["a"])
    keys = ["predictor", "variant", "large", "small", "recipe"]
    assert not own.rows("deferral_area")["variant"].str.ends_with("_vs_untuned").any()
    compared = own.compared("deferral_area").filter(pl.col("recipe").str.contains("_a10"))
    twice = {"max_softmax", "max_softmax_vs_untuned"}
    assert twice < set(compared.filter(predictor="cascade")["variant"])
    assert not compared.select(keys).is_duplicated().any()


def headings(own):
    """Give the headings of the forest plot, each with its rows."""
    found: dict[str, list[str]] = {}
    for line in headed_lines(own, [methods(own.compared("aurc"))]):
        if line.key is None:
            found[line.text] = []
        else:
            found[list(found)[-1]].append(line.text)
    return found


def test_headings_name_the_controls():
    found = headings(board(["a", "b"], gatekept=["a"]))
    assert found["Gatekeeper, cascade against the cross-entropy control"][:2] == [
        "b + a, α 0.1: budget 50 %",
        "b + a, α 0.1: defers 25 %",
    ]
    assert found["Gatekeeper, single against the untuned model"][-1] == "a, α chosen"
    assert found["Cross-entropy control, single against the untuned model"] == ["a"]
    assert found["Cascade against random deferral of as many samples"] == [
        "b + a: budget 50 %", "b + a: defers 25 %", "b + a: target 97 %",
    ]  # fmt: skip
    assert found["Cascade against the plain cascade chosen alike"] == [
        f"b + a: learned gate, {what}" for what in ("budget 50 %", "defers 25 %", "target 97 %")
    ]
    assert len(found["Duo cascade against the learned gate's cascade chosen alike"]) == 3


def test_alphas_leave_the_page_first_and_the_chosen_one_stays():
    own = board(["a", "b", "c"], gatekept=["a"])
    rows = methods(own.compared("aurc"))
    kept, told = fit_page(own, rows)
    assert told[0] == "of Gatekeeper the α chosen on val"
    assert "finetune+gatekeeper_chosen" in set(kept["recipe"])
    assert not kept["recipe"].str.contains("gatekeeper_a").any()
    few = rows.head(36)
    assert fit_page(own, few)[0].equals(few)
    # What is not there is not left out.
    plain = methods(board(["a", "b", "c", "d"]).compared("aurc"))
    assert "of Gatekeeper the α chosen on val" not in fit_page(own, plain)[1]


@pytest.mark.parametrize(
    ("value", "text"), [(0.00005, "0.00005"), (20.000000000000004, "20"), (1e4, "10000"), (0, "0")]
)
def test_plain_numbers(value, text):
    assert plain_number(value) == text
