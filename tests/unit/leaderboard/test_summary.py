import re

import pytest

from sidekick.leaderboard.summary import write_summary
from unit.leaderboard.rows import make_rows

LONG = "a" * 64
NAN = float("nan")
DUO = {
    "predictor": "duo", "variant": "weighted", "small": "tiny", "gmacs": 0.005,
    "value": 0.002, "low": 0.001, "high": 0.004, "baseline": "temperature:scaled:big",
    "delta": -0.008, "delta_low": -0.009, "delta_high": -0.006,
}  # fmt: skip


def make_board(*predictors):
    """A board with the AURC and the accuracy of predictors, given as changes of the defaults."""
    rows = []
    for changes in predictors:
        row = dict(changes)
        accuracy = {"metric": "accuracy", "value": row.pop("accuracy", 0.95)}
        rows += [row, row | accuracy]
    return make_rows(*rows)


@pytest.fixture
def summarise(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*predictors, models=("big", "small")):
        write_summary(make_board(*predictors), models, "results/leaderboard/summary.txt")
        return (tmp_path / "results/leaderboard/summary.txt").read_text(encoding="utf-8")

    return run


def test_the_whole_text(summarise):
    text = summarise(DUO, {"gmacs": 12.5, "accuracy": 1.0}, {"dataset": "food"})
    assert text == (
        "Leaderboard: 2 models, 2 datasets, 3 seeds\n"
        "\n"
        "digits: 2 predictors, 900 test samples\n"
        "  The duo big + tiny lowers AURC by 80 % [60, 90], for 100 % less compute than\n"
        "  big alone.\n"
        "\n"
        "  best of each      MMACs    acc   AURC [interval]           change\n"
        "  duo                5.00  0.950   0.0020 [0.0010, 0.0040]   better\n"
        "    weighted: big + tiny\n"
        "  single            12500  1.000   0.0100 [0.0050, 0.0200]\n"
        "    raw: big\n"
        "\n"
        "food: 1 predictor, 900 test samples\n"
        "  Nothing adds compute to a model here: big alone has the best AURC, 0.01.\n"
        "\n"
        "  best of each      MMACs    acc   AURC [interval]           change\n"
        "  single             4.00  0.950   0.0100 [0.0050, 0.0200]\n"
        "    raw: big\n"
        "\n"
        "AURC on test: lower is better. Change: to the matched control (docs/methods.md),\n"
        "by the interval of the paired difference. The best were read off the test data.\n"
        "\n"
        "Page:    results/leaderboard/index.html\n"
        "Figures: results/leaderboard/figures\n"
        "Tables:  results/leaderboard/leaderboard.csv (all: leaderboard.parquet)\n"
        "Report:  snakemake --report report.html\n"
    )


def test_one_row_per_family_the_best_and_cheapest(summarise):
    families = ["single", "duo_cascade", "cascade"]
    values = [0.03, 0.01, 0.02, 0.01, 0.05, 0.04, 0.015, 0.025]
    text = summarise(
        *(
            {"predictor": family, "variant": f"v{i}", "value": v + j / 1000, "gmacs": 1 / (i + 1)}
            for j, family in enumerate(families)
            for i, v in enumerate(values)
        ),
    )
    assert "digits: 24 predictors" in text
    lines = text.splitlines()
    shown = {line.split()[0]: lines[i + 1] for i, line in enumerate(lines) if "0.950" in line}
    assert list(shown) == families
    assert set(shown.values()) == {"    v3: big"}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, "better"),
        ({"delta_low": 0.001, "delta_high": 0.002}, "worse"),
        ({"delta_high": 0.001}, "unclear"),
        ({"delta_low": None, "delta_high": None}, "unclear"),
    ],
)
def test_the_change_is_told_by_its_interval(summarise, changes, told):
    assert f"0.0040]   {told}\n" in summarise(DUO | changes, {})


def test_each_predictor_has_its_own_accuracy(summarise):
    text = summarise(
        {"small": "tiny", "accuracy": 0.1},
        {"small": "wee", "accuracy": 0.2, "value": 0.02},
        {"predictor": "soup", "accuracy": 0.3, "value": 0.03},
        {"predictor": "mc_dropout", "accuracy": 0.4, "value": 0.04, "recipe": "mc_dropout"},
        {"accuracy": 0.5, "value": 0.04, "dataset": "food"},
    )
    digits, food = text.split("food: ")
    rows = [line.split() for line in digits.splitlines() if "[0.0050" in line]
    assert [float(row[2]) for row in rows] == [0.1, 0.3, 0.4]
    assert " 0.500   0.0400" in food


def test_controls_and_undefined_values_are_left_out(summarise):
    text = summarise(
        {},
        {"predictor": "a", "variant": "oracle_ordering", "value": 0.0},
        {"predictor": "b", "variant": "random_defer25", "value": 0.001},
        {"predictor": "c", "variant": "noise_sidekick", "value": 0.002},
        {"predictor": "d", "variant": "weighted_as_released", "value": 0.002},
        {"predictor": "e", "variant": "broken", "value": NAN, "accuracy": NAN},
        {"predictor": "f", "variant": "corrupted", "split": "shift"},
        {"variant": "raw_vs_untuned"},
    )
    assert "digits: 1 predictor, " in text
    for word in ("oracle", "random", "noise", "released", "broken", "corrupted", "untuned"):
        assert word not in text


def test_one_of_a_kind_is_no_plural(summarise):
    text = summarise({"seeds": 1, "samples": 1}, models=["big"])
    assert text.startswith("Leaderboard: 1 model, 1 dataset, 1 seed\n")
    assert "1 predictor, 1 test sample\n" in text


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
    assert f"    raw: {told}" in summarise({"recipe": recipe})


def test_of_a_pair_the_unusual_recipe_is_told(summarise):
    text = summarise({"small": "tiny", "recipe": "finetune+gatekeeper_a05"})
    assert "big + tiny (Gatekeeper α 0.05)\n" in text


def test_a_board_without_a_single_value_is_no_crash(summarise):
    text = summarise({"value": NAN, "accuracy": NAN})
    assert "digits: 0 predictors" in text
    assert "best of each" not in text


def test_a_family_without_an_aurc_is_told_by_its_accuracy(summarise):
    text = summarise(DUO, {}, {"predictor": "cascade", "value": NAN, "accuracy": 0.99})
    assert "  cascade            4.00  0.990   none\n    raw: big\n" in text


def test_a_board_without_a_model_alone_is_no_crash(summarise):
    assert "No model alone has an AURC" in summarise(DUO)


NUMBERS = [
    {"gmacs": 1e-6, "value": 0.0, "low": 0.0, "high": 0.0, "accuracy": 0.0},
    {"gmacs": 9999.99, "value": 1.0, "low": 1.0, "high": 1.0, "accuracy": 1.0},
    {"value": 0.5, "low": float("nan"), "high": float("nan"), "accuracy": 0.5},
]
HEADING = "AURC [interval]"


@pytest.mark.parametrize("large", ["a", "efficientnet_b0_with_a_name", LONG])
@pytest.mark.parametrize("small", [None, "small_cnn_narrow", LONG[:-1] + "b"])
@pytest.mark.parametrize("variant", ["raw", "v" * 60])
def test_lines_fit_and_columns_are_aligned_whatever_the_names(summarise, large, small, variant):
    names = {"large": large, "small": small, "variant": variant}
    rows = [{**names, "predictor": f"{'p' * 20 * i}{i}"} for i in range(3)]
    text = summarise(
        *({**row, **numbers} for row, numbers in zip(rows, NUMBERS, strict=True)),
        DUO | {"large": large, "small": small or "tiny"},
        {"large": large},
        {"dataset": LONG},
        models=[large, small],
    )
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert not any(line != line.rstrip() for line in lines)
    heads = [line for line in lines if HEADING in line]
    assert len(set(heads)) == 1
    column = heads[0].index(HEADING)
    values = [line for line in lines if re.match(r"\d\.\d{4} \[", line[column:])]
    assert len(values) == 6
    for line in values:
        # Blanks before the value, and numbers end below the ends of their headings.
        assert line[column - 3 : column] == "   "
        float(line[column - 8 : column - 3])
        float(line[column - 17 : column - 9])


def test_a_value_without_interval_says_so(summarise):
    assert "0.0100 [no interval]" in summarise({"low": float("nan"), "high": float("nan")})
