"""The answer of a board in one sentence: what compute beside a large model buys."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from sidekick.metrics.registry import METRICS
from sidekick.recipe_names import BASE_RECIPES

# What a predictor with a small model is, the preferred kind first: `weighted` duos are the method
# (the other variants are special cases of their weights), and have the large model alone as their
# control. Where answers are generated there are no duos, and cascades have random deferral.
_KINDS = {
    "duo": r"weighted(_\d+_sidekicks)?",
    "cascade": r"(max_softmax|nent)_(defer|budget|target)\d+",
}
_ALONE = {"temperature": "scaled", "single": r"raw|nent"}
# Shares that are better when higher: a relative change of them says little.
_POINTS = re.compile(r"accuracy\w*|macro_f1|auroc|sac_\d+|coverage|selective_accuracy|kept_\w+_f1")


@dataclass(frozen=True)
class Headline:
    """What a dataset's board says first.

    Attributes
    ----------
    predictor, variant, large, small
        The chosen predictor: its family, variant and models; `small` is None where nothing but
        single models is on the board, and several sidekicks are joined by `+`.
    value
        Its value of the metric.
    baseline
        Its matched control as the board names it, `predictor:variant:models`; None without one.
    baseline_value
        The control's value; NaN without one.
    delta, low, high
        Its difference to the control, paired, and the interval of that; NaN without a control.
    relative, relative_low, relative_high
        The same as shares of the control's value, which is taken as fixed.
    extra_compute
        Its expected cost beyond that of the large model alone, as a share of this; negative if it
        costs less.
    rivals
        Number of predictors that it was chosen from, itself included.
    verdict
        `better`, `worse`, `none` (the interval of the difference includes 0), or `alone` (there
        was nothing to compare).
    sentence
        All of this in words; plain text with names as they are in the config.
    """

    predictor: str
    variant: str
    large: str
    small: str | None
    value: float
    baseline: str | None
    baseline_value: float
    delta: float
    low: float
    high: float
    relative: float
    relative_low: float
    relative_high: float
    extra_compute: float
    rivals: int
    verdict: str
    sentence: str


def headline(
    board: pl.DataFrame, dataset: str, split: str = "test", metric: str = "aurc"
) -> Headline:
    """Choose the best predictor that adds compute to a large model, and say what it brings.

    The candidates are the weighted duos of models as fine-tuned or imported, with one sidekick or
    several; where there are none (answers are generated), cascades at their operating points. The
    best value of the metric is chosen, of equal ones the cheapest. The choice is made on the very
    data that the numbers are about, so they are a little optimistic: `rivals` says how many there
    were to choose from.

    Parameters
    ----------
    board
        The leaderboard table.
    dataset, split
        Of the rows to look at; of `shift` those that average over corruptions and severities.
    metric
        A key of `sidekick.metrics.registry.METRICS`.

    Raises
    ------
    ValueError
        If the board has no model with that metric there.
    """
    rows = board.filter(
        pl.col("dataset") == dataset,
        pl.col("split") == split,
        pl.col("metric") == metric,
        pl.col("value").is_finite() & pl.col("gmacs").is_finite(),
        (pl.col("corruption") == "mean").fill_null(True) & pl.col("severity").is_null(),
        _of_base_recipes(),
    )
    alone = _best_first(_of_kind(rows, _ALONE), metric)
    if alone.is_empty():
        raise ValueError(f"no model has the metric '{metric}' on {dataset}, {split}")
    compared = rows.filter(pl.col("baseline").is_not_null() & pl.col("delta").is_finite())
    for kind, variants in _KINDS.items():
        candidates = _best_first(_of_kind(compared, {kind: variants}), metric)
        if len(candidates):
            return _of_row(candidates, alone, metric)
    return _of_single(alone.row(0, named=True), metric)


def first_headline(board: pl.DataFrame, dataset: str, split: str = "test") -> Headline:
    """Give the headline of AURC or, where nothing that adds compute has one, of accuracy.

    Cascades of generated answers are such: their gates rank the answers of one model each.
    Parameters and errors are those of `headline`.
    """
    found = headline(board, dataset, split)
    if found.verdict != "alone":
        return found
    try:
        accuracy = headline(board, dataset, split, "accuracy")
    except ValueError:
        return found
    return found if accuracy.verdict == "alone" else accuracy


def verdict(row: Mapping) -> str:
    """Judge a row's difference by its interval: `better`, `worse`, or `none` if it includes 0."""
    low, high = row["delta_low"], row["delta_high"]
    if low is None or high is None or not (low > 0 or high < 0):
        return "none"
    return "better" if (low > 0) == row["higher_is_better"] else "worse"


def metric_word(metric: str) -> str:
    """Give a metric's name as in a sentence, without its unit or symbol."""
    name = re.split(r" [($]", METRICS[metric].label)[0]
    return name if name[:2].isupper() else name[0].lower() + name[1:]


def models_words(large: str, small: str | None) -> str:
    """Join the ids of a large model and its sidekicks."""
    return " + ".join([large, *(small.split("+") if small else [])])


def _of_base_recipes() -> pl.Expr:
    others = pl.col("recipe").str.split("+").list.set_difference(pl.lit(list(BASE_RECIPES)))
    return others.list.len() == 0


def _of_kind(rows: pl.DataFrame, kinds: dict[str, str]) -> pl.DataFrame:
    is_kind = [
        (pl.col("predictor") == name) & pl.col("variant").str.contains(f"^({variants})$")
        for name, variants in kinds.items()
    ]
    return rows.filter(pl.any_horizontal(is_kind))


def _best_first(rows: pl.DataFrame, metric: str) -> pl.DataFrame:
    keys = ["value", "gmacs", "predictor", "variant", "large", "small"]
    down = [METRICS[metric].higher_is_better, *[False] * (len(keys) - 1)]
    return rows.sort(keys, descending=down)


def _of_row(candidates: pl.DataFrame, alone: pl.DataFrame, metric: str) -> Headline:
    row = candidates.row(0, named=True)
    reference = row["value"] - row["delta"]
    changes = (row[name] for name in ("delta", "delta_low", "delta_high"))
    ends = [math.nan if change is None else change for change in changes]
    shares = [end / reference if reference > 0 else math.nan for end in ends]
    found = verdict(row)
    extra = _extra_compute(row, alone)
    words = _Words(row, ends, shares, found, extra, len(candidates), metric)
    return Headline(
        *(row[name] for name in ("predictor", "variant", "large", "small", "value", "baseline")),
        reference,
        *ends,
        *shares,
        extra,
        len(candidates),
        found,
        " ".join(filter(None, [words.claim(), _caveat(row, alone, metric)])),
    )


def _of_single(row: dict, metric: str) -> Headline:
    names = [row[name] for name in ("predictor", "variant", "large")]
    sentence = (
        f"Nothing adds compute to a model here: {row['large']} alone has the best "
        f"{metric_word(metric)}, {row['value']:.3g}."
    )
    unknown = [math.nan] * 7
    return Headline(*names, None, row["value"], None, *unknown, 0.0, 1, "alone", sentence)


def _extra_compute(row: dict, alone: pl.DataFrame) -> float:
    own = alone.filter(pl.col("large") == row["large"])["gmacs"]
    return row["gmacs"] / own[0] - 1 if len(own) and own[0] > 0 else math.nan


def _caveat(row: dict, alone: pl.DataFrame, metric: str) -> str:
    """Name the best model alone where it is not the one that was added to."""
    best = alone.row(0, named=True)
    sign = 1 if METRICS[metric].higher_is_better else -1
    reference = row["value"] - row["delta"]
    # A scaled model may tie with itself unscaled.
    if best["large"] == row["large"] or sign * (best["value"] - reference) <= 0:
        return ""
    still = " better still," if sign * (best["value"] - row["value"]) > 0 else ""
    return f"The best model alone is{still} {best['large']}, with {best['value']:.3g}."


@dataclass(frozen=True)
class _Words:
    row: dict
    ends: list[float]
    shares: list[float]
    verdict: str
    extra: float
    rivals: int
    metric: str

    def claim(self) -> str:
        kind = self.row["predictor"].replace("_", " ")
        models = models_words(self.row["large"], self.row["small"])
        what = metric_word(self.metric)
        verb = "raise" if METRICS[self.metric].higher_is_better else "lower"
        against = "" if kind == "duo" else " against random deferral of as many samples"
        tail = f"{self._change()}{against}{self._compute()}"
        among = f"best of {self.rivals}" if self.rivals > 1 else "only"
        if self.verdict == "better":
            best = f" (the {among} {kind}s)" if self.rivals > 1 else ""
            return f"The {kind} {models} {verb}s {what} by {tail}{best}."
        plural = "s" * (self.rivals > 1)
        return (
            f"The {among} {kind}{plural}, {models}, does not clearly {verb} {what}: "
            f"it changes by {tail}."
        )

    def _compute(self) -> str:
        if not math.isfinite(self.extra):
            return ""
        more = "more" if self.extra >= 0 else "less"
        percent = 100 * abs(self.extra)
        told = f"{percent:.0f}" if percent >= 10 else f"{percent:.2g}"
        return f", for {told} % {more} compute than {self.row['large']} alone"

    def _change(self) -> str:
        """Write the difference and its interval: shares in points, others in percent."""
        numbers = self.ends
        unit, form = "", ".2g"
        is_share = _POINTS.fullmatch(self.metric)
        # Without any error of the control's there is no percentage of it.
        if is_share or math.isfinite(self.shares[0]):
            numbers = [100 * number for number in (numbers if is_share else self.shares)]
            unit = " points" if is_share else " %"
            form = ".1f" if abs(numbers[0]) < 10 else ".0f"
        # The verb tells the direction of what is better.
        if self.verdict != "better":
            form = f"+{form}"
        elif numbers[0] < 0:
            numbers = [-numbers[0], -numbers[2], -numbers[1]]
        value, low, high = (f"{number:{form}}" for number in numbers)
        interval = f" [{low}, {high}]" if all(map(math.isfinite, numbers)) else ""
        return f"{value}{unit}{interval}".replace("-", "\N{MINUS SIGN}")
