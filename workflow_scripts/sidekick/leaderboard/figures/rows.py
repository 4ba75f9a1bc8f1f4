"""Which rows of the board a figure shows, and what they say."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import polars as pl

from sidekick.recipe_names import BASE_RECIPES

# Variants that nobody would deploy: they know the labels, or nothing, or reproduce an old mistake.
CONTROLS = "oracle|noise|random"
REPRODUCTION = "weighted_as_released"
# Ends the variants of rows that are on the board a second time, for a second control: Gatekeeper
# against the model that its sweep started from.
UNTUNED = "_vs_untuned"
# What decides unless a variant says otherwise: of choices, and of answers that are generated.
_GATES = ("max_softmax", "nent")


class Pair(NamedTuple):
    """A large model and its sidekick."""

    large: str
    small: str
    balance: float


class Predictor(NamedTuple):
    """What names a row of the board, of models' base recipes."""

    predictor: str
    variant: str
    large: str
    small: str | None = None


@dataclass(frozen=True)
class Board:
    """One dataset's part of the leaderboard.

    Attributes
    ----------
    dataset
        Its name.
    metrics, curves, fits, parts
        Its rows of the leaderboard, of the curves, of what was fitted, and of parts of `test`.
    level
        Coverage of the intervals.
    """

    dataset: str
    metrics: pl.DataFrame
    curves: pl.DataFrame
    fits: pl.DataFrame
    parts: pl.DataFrame
    level: float

    @cached_property
    def is_generated(self) -> bool:
        """Whether answers are generated, so that no row is about a distribution over classes."""
        return self.plain == _GATES[1]

    @cached_property
    def plain(self) -> str:
        """The variant of a model as it comes."""
        alone = self.test.filter(pl.col("predictor") == "single")["variant"]
        return _GATES[1] if _GATES[1] in alone else "raw"

    @cached_property
    def gate(self) -> str:
        """The variant of a plain cascade: what decides in it."""
        return _GATES[1] if self.is_generated else _GATES[0]

    @cached_property
    def test(self) -> pl.DataFrame:
        """The rows on clean test data."""
        return self.metrics.filter(pl.col("split") == "test")

    @cached_property
    def shift(self) -> pl.DataFrame:
        """The rows that average over corruptions; a null severity averages over these, too."""
        return self.metrics.filter((pl.col("split") == "shift") & (pl.col("corruption") == "mean"))

    @cached_property
    def models(self) -> list[str]:
        """All models, the largest first."""
        single = self.test.filter(pl.col("predictor") == "single")
        costs = single.group_by("large").agg(pl.col("gmacs").max())
        return costs.sort(["gmacs", "large"], descending=[True, False])["large"].to_list()

    @cached_property
    def pairs(self) -> list[Pair]:
        """All pairs, the smallest FLOPs balance first."""
        columns = ["flops_balance", "large", "small"]
        of_bases = self.test.filter(is_pair() & base_recipe())
        rows = of_bases.select(columns).unique()
        return [Pair(large, small, balance) for balance, large, small in rows.sort(columns).rows()]

    @cached_property
    def main_pair(self) -> Pair | None:
        """The largest model with its smallest sidekick: chosen by cost alone, not by result."""
        return next((pair for pair in self.pairs if pair.large == self.models[0]), None)

    def rows(self, metric: str) -> pl.DataFrame:
        """Give the test rows of a metric that have a value, one per predictor."""
        return self._with_value(metric).filter(~pl.col("variant").str.ends_with(UNTUNED))

    def compared(self, metric: str) -> pl.DataFrame:
        """Give the test rows of a metric that have a difference to a matched control.

        A predictor with two controls has two rows.
        """
        return self._with_value(metric).filter(
            pl.col("delta").is_finite() & pl.col("baseline").is_not_null()
        )

    def _with_value(self, metric: str) -> pl.DataFrame:
        return self.test.filter((pl.col("metric") == metric) & pl.col("value").is_finite())


def is_pair() -> pl.Expr:
    """Tell rows of two models from those of one, and of a large model with several sidekicks."""
    return pl.col("small").is_not_null() & ~pl.col("small").str.contains("+", literal=True)


def base_recipe() -> pl.Expr:
    """Tell rows of models as fine-tuned or imported from those of soups and the like."""
    others = pl.col("recipe").str.split("+").list.set_difference(pl.lit(list(BASE_RECIPES)))
    return others.list.len() == 0


def pick(rows: pl.DataFrame, predictor: Predictor) -> pl.DataFrame:
    """Give the rows of one predictor."""
    same = [pl.col(name).eq_missing(value) for name, value in predictor._asdict().items()]
    return rows.filter(*same, base_recipe())


def pick_made(rows: pl.DataFrame, predictor: Predictor, recipe: str) -> pl.DataFrame:
    """Give the rows of one predictor of a recipe."""
    same = [pl.col(name).eq_missing(value) for name, value in predictor._asdict().items()]
    return rows.filter(*same, pl.col("recipe") == recipe)


def operating_points(rows: pl.DataFrame, predictor: str = "duo_cascade") -> list[str]:
    """Give the variants of cascades with a chosen threshold, the fewest deferrals first."""
    own = rows.filter(pl.col("predictor") == predictor)["variant"].unique()
    kept = own.filter(own.str.contains(rf"^({'|'.join(_GATES)})_defer\d+$"))
    return sorted(kept, key=lambda variant: int(variant.rpartition("defer")[2]))


def main_estimators(rows: pl.DataFrame) -> pl.DataFrame:
    """Leave out estimators of MC dropout with fewer passes than the most, and its side lines."""
    variant, is_dropout = pl.col("variant"), pl.col("predictor") == "mc_dropout"
    # Passes of whole networks come in one number.
    passes = variant.str.extract(r"^(?:mean|score|interval\d+)_(\d+)$").cast(pl.Int64)
    most = rows.filter(is_dropout).select(passes.max()).item() or 0
    # The closed form has no passes, and neither has a network without dropout.
    sampled = passes.is_null() | (passes == most)
    side = variant.str.contains("_normalised|_entropy_|mutual_information|variation_ratio")
    return rows.filter(~is_dropout | (sampled.fill_null(False) & ~side))


def verdict(low: float | None, high: float | None, higher_is_better: bool) -> str:
    """Judge a difference by its interval: `better`, `worse`, or `none` where that includes 0."""
    if low is None or high is None or not (low > 0 or high < 0):
        return "none"
    return "better" if (low > 0) == higher_is_better else "worse"


def verdicts(rows: pl.DataFrame) -> list[str]:
    """Judge the difference of every row."""
    columns = rows.select("delta_low", "delta_high", "higher_is_better")
    return [verdict(*row) for row in columns.iter_rows()]


def improvements(rows: pl.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give each row's difference and interval with the sign that makes up the better direction."""
    sign = np.where(rows["higher_is_better"].to_numpy(), 1.0, -1.0)
    ends = [sign * rows[name].to_numpy() for name in ("delta_low", "delta_high")]
    return sign * rows["delta"].to_numpy(), np.minimum(*ends), np.maximum(*ends)


def pareto_front(cost: Sequence[float], loss: Sequence[float]) -> np.ndarray:
    """Find the points that no other point beats in both coordinates.

    Parameters
    ----------
    cost, loss
        (n,) each; lower is better. Of equal points the first is kept.

    Returns
    -------
    ndarray
        Indices, by rising cost and falling loss.
    """
    cost, loss = np.asarray(cost, float), np.asarray(loss, float)
    order = np.lexsort((loss, cost))
    best = np.minimum.accumulate(loss[order])
    return order[np.diff(best, prepend=np.inf) < 0]
