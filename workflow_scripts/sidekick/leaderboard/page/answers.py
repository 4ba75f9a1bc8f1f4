"""What the page says in words and counts: the answers, and how methods fare in general."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl

from sidekick.leaderboard.figures.look import method_name
from sidekick.leaderboard.figures.rows import UNTUNED
from sidekick.leaderboard.headline import headline
from sidekick.leaderboard.recipe_words import recipes_in_words
from sidekick.recipe_names import GATEKEEPER_CHOSEN, MC_DROPOUT, MC_DROPOUT_INT8, is_base

_MAIN_RECIPES = (GATEKEEPER_CHOSEN, MC_DROPOUT, MC_DROPOUT_INT8)
_MAIN_VARIANTS = (
    r"raw|scaled|mean_softmax|best_trials|uniform|greedy|weighted\w*|uq_only"
    r"|(max_softmax|nent)(_(defer|budget|target)\d+)?|learned|(mean|score|interval\d+)_closed"
)


def findings_by_method(findings: pl.DataFrame, metrics: Sequence[str]) -> dict[str, list]:
    """Give how often each method that one would use beats its control, column by column."""
    rows = findings.filter(
        ~pl.col("variant").str.contains(f"oracle|noise|random|deterministic_at_|{UNTUNED}$")
        & (pl.col("variant") != "weighted_as_released")
        & pl.col("metric").is_in(list(metrics))
    )
    names = [_method(*row) for row in rows.select("predictor", "variant", "recipe").iter_rows()]
    columns = ("split", "better", "worse", "undecided", "median_improvement")
    return {
        "method": names,
        "family": rows["predictor"].to_list(),
        "main": [_is_main(*row) for row in rows.select("variant", "recipe").iter_rows()],
        "metric": [metrics.index(name) for name in rows["metric"]],
        **{name: rows[name].to_list() for name in columns},
    }


def _is_main(variant: str, recipe: str) -> bool:
    """Tell what one asks about first from other gates, estimators and recipes."""
    usual = is_base(recipe) or recipe.split("+")[-1] in _MAIN_RECIPES
    return usual and re.fullmatch(_MAIN_VARIANTS, variant) is not None


def _method(predictor: str, variant: str, recipe: str) -> str:
    name, words = method_name(predictor, variant), recipes_in_words(recipe)
    return f"{name} ({words})" if words else name


def headlines(board: pl.DataFrame, metrics: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Give the answer of one dataset's board for each split and each metric that has one."""
    whole = board.filter(pl.col("severity").is_null())
    return {
        split: dict(_headlines_of(whole, split, metrics))
        for split in ("test", "shift")
        if split in whole["split"]
    }


def _headlines_of(
    board: pl.DataFrame, split: str, metrics: Sequence[str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    dataset = board["dataset"][0]
    for metric in metrics:
        rows = board.filter(pl.col("metric") == metric)
        try:
            found = headline(rows, dataset, split, metric)
        except ValueError:
            continue  # Of whole curves only: no model alone has it.
        models = "+".join(filter(None, [found.large, found.small]))
        yield (
            metric,
            {
                "sentence": found.sentence,
                "key": f"{found.predictor}:{found.variant}:{models}",
                "baseline": found.baseline,
                "verdict": found.verdict,
                "rivals": found.rivals,
            },
        )
