import polars as pl
import pytest

from sidekick.leaderboard.summary import write_summary

DEFAULTS = {
    "dataset": "digits",
    "split": "test",
    "predictor": "single",
    "variant": "raw",
    "large": "big",
    "small": None,
    "recipe": "finetune",
    "seeds": 3,
    "gmacs": 0.004,
    "value": 0.01,
    "low": 0.005,
    "high": 0.02,
    "accuracy": 0.95,
}
SCHEMA = {
    **dict.fromkeys(["dataset", "split", "predictor", "variant", "large", "small"], pl.String),
    **{"recipe": pl.String, "metric": pl.String, "seeds": pl.Int32},
    **dict.fromkeys(["gmacs", "value", "low", "high"], pl.Float64),
}
LONG = "a" * 64


def make_board(*predictors):
    """A board with the AURC and the accuracy of predictors, given as changes of the defaults."""
    rows = []
    for changes in predictors:
        row = {**DEFAULTS, **changes}
        accuracy = row.pop("accuracy")
        rows.append({**row, "metric": "aurc"})
        rows.append({**row, "metric": "accuracy", "value": accuracy})
    return pl.DataFrame(rows, schema=SCHEMA)


@pytest.fixture
def summarise(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*predictors, models=("big", "small")):
        write_summary(make_board(*predictors), models, "results/leaderboard/summary.txt")
        return (tmp_path / "results/leaderboard/summary.txt").read_text(encoding="utf-8")

    return run


def test_the_whole_text(summarise):
    text = summarise(
        {"predictor": "duo", "variant": "weighted", "small": "tiny", "value": 0.002, "low": 0.001},
        {"gmacs": 12.5, "accuracy": 1.0},
    )
    assert text == (
        "Leaderboard: 2 models, 3 seeds, AURC on test (lower is better)\n"
        "\n"
        "digits: 2 predictors, the best 2\n"
        "  predictor                                 MMACs   acc  AURC [95 %]\n"
        "  duo weighted: big + tiny                   4.00 0.950  0.0020 [0.0010, 0.0200]\n"
        "  single raw: big                           12500 1.000  0.0100 [0.0050, 0.0200]\n"
        "\n"
        "Table:   results/leaderboard/leaderboard.parquet (wide: leaderboard.csv)\n"
        "Figures: results/leaderboard/figures\n"
    )


def test_the_best_come_first_and_the_cheaper_among_equals(summarise):
    values = [0.03, 0.01, 0.02, 0.01, 0.05, 0.04, 0.015, 0.025]
    text = summarise(
        *({"variant": f"v{i}", "value": v, "gmacs": 1 / (i + 1)} for i, v in enumerate(values))
    )
    shown = [line.split()[1].rstrip(":") for line in text.splitlines() if "single" in line]
    assert shown == ["v3", "v1", "v6", "v2", "v7", "v0", "v5", "v4"]


def test_only_the_ten_best_are_shown_and_all_are_counted(summarise):
    text = summarise(*({"variant": f"v{i}", "value": 0.01 + i / 1000} for i in range(17)))
    assert "digits: 17 predictors, the best 10" in text
    assert text.count("single v") == 10
    assert "v9:" in text
    assert "v10" not in text


def test_each_predictor_has_its_own_accuracy(summarise):
    text = summarise(
        {"small": "tiny", "accuracy": 0.1},
        {"small": "wee", "accuracy": 0.2, "value": 0.02},
        {"small": None, "accuracy": 0.3, "value": 0.03},
        {"small": None, "accuracy": 0.4, "value": 0.04, "recipe": "mc_dropout"},
        {"small": None, "accuracy": 0.5, "value": 0.04, "dataset": "food"},
    )
    digits, food = text.split("food: ")
    rows = [line.split() for line in digits.splitlines() if "single" in line]
    assert [float(row[-4]) for row in rows] == [0.1, 0.2, 0.3, 0.4]
    assert " 0.500  0.0400" in food


def test_controls_and_undefined_values_are_left_out(summarise):
    text = summarise(
        {},
        {"variant": "oracle_ordering", "value": 0.0},
        {"variant": "random_defer25", "value": 0.001},
        {"variant": "noise_sidekick", "value": 0.002},
        {"variant": "broken", "value": float("nan")},
        {"variant": "corrupted", "split": "shift"},
    )
    assert "1 predictor, the best 1" in text
    for word in ("oracle", "random", "noise", "broken", "corrupted"):
        assert word not in text


def test_one_of_a_kind_is_no_plural(summarise):
    text = summarise({"seeds": 1}, models=["big"])
    assert text.startswith("Leaderboard: 1 model, 1 seed, AURC")


def test_a_second_comparison_is_no_second_predictor(summarise):
    text = summarise({}, {"variant": "raw_vs_untuned"})
    assert "1 predictor, the best 1" in text
    assert "untuned" not in text


@pytest.mark.parametrize(
    ("recipe", "told"),
    [
        ("finetune", "big\n"),
        ("distill", "big (distilled)"),
        ("gatekeeper_a30", "big (Gatekeeper α 0.3)"),
        ("gatekeeper_chosen", "big (Gatekeeper, α chosen on val)"),
        ("ce_control", "big (cross-entropy control)"),
        ("soup_greedy", "big\n"),
    ],
)
def test_an_unusual_recipe_is_told(summarise, recipe, told):
    text = summarise({"recipe": recipe, "variant": "v" * 40})
    assert f"    {told}" in text


def test_of_a_pair_the_unusual_recipe_is_told(summarise):
    text = summarise({"small": "tiny", "recipe": "finetune+gatekeeper_a05"})
    assert "big + tiny (Gatekeeper α 0.05)\n" in text


def test_a_board_without_a_single_value_is_no_crash(summarise):
    assert "digits: 0 predictors" in summarise({"value": float("nan")})


NUMBERS = [
    {"gmacs": 1e-6, "value": 0.0, "low": 0.0, "high": 0.0, "accuracy": 0.0},
    {"gmacs": 9999.99, "value": 1.0, "low": 1.0, "high": 1.0, "accuracy": 1.0},
    {"value": 0.5, "low": float("nan"), "high": float("nan"), "accuracy": 0.5},
]


@pytest.mark.parametrize("large", ["a", "resnet", "efficientnet_b0_with_a_name", LONG])
@pytest.mark.parametrize("small", [None, "b", "small_cnn_narrow", LONG[:-1] + "b"])
@pytest.mark.parametrize("variant", ["raw", "max_softmax_defer50", "v" * 60])
def test_lines_fit_and_columns_are_aligned_whatever_the_names(summarise, large, small, variant):
    rows = [{"large": large, "small": small, "variant": variant + str(i)} for i in range(3)]
    text = summarise(
        *({**row, **numbers} for row, numbers in zip(rows, NUMBERS, strict=True)),
        {"dataset": LONG},
        models=[large, small],
    )
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert not any(line != line.rstrip() for line in lines)
    heads = [line for line in lines if "AURC [95 %]" in line]
    assert len(set(heads)) == 1
    column = heads[0].index("AURC [95 %]")
    values = [line for line in lines if " [" in line[column:] and line not in heads]
    assert len(values) == 4
    for line in values:
        # Two blanks before the value, and numbers end below the ends of their headings.
        assert line[column - 2 : column] == "  "
        assert line[column].isdigit()
        float(line[column - 7 : column - 2])
        float(line[column - 17 : column - 8])


def test_both_names_of_a_pair_can_be_read(summarise):
    text = summarise(
        {
            "predictor": "duo_cascade",
            "variant": "max_softmax_defer50",
            "large": "test_resnet",
            "small": "small_cnn_narrow",
        }
    )
    assert "duo_cascade max_softmax_defer50:" in text
    assert "    test_resnet + small_cnn_narrow\n" in text


def test_a_value_without_interval_says_so(summarise):
    assert "0.0100 [no interval]" in summarise({"low": float("nan"), "high": float("nan")})
