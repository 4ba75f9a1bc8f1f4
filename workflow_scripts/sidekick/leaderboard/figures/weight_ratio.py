"""How much weight a sidekick gets, against the compute it adds."""

from collections.abc import Iterator

import numpy as np
import polars as pl

from sidekick.leaderboard.figures.axes import balance_limits, log_axis
from sidekick.leaderboard.figures.look import look_of, method_name, plural
from sidekick.leaderboard.figures.page import SINGLE, Drawing, annotate, empty_figure, new_figure
from sidekick.leaderboard.figures.rows import Board, base_recipe, is_pair

_TITLE = "Weight of the sidekick against FLOPs balance"
_VARIANTS = ("weighted", "noise_sidekick")
_COLUMNS = [
    "dataset",
    "variant",
    "large",
    "small",
    "seed",
    "flops_balance",
    "weight_large",
    "weight_small",
    "ratio",
]


def draw(board: Board) -> Drawing:
    """Draw the ratio of the weights that `val` gave to the small and to the large model."""
    rows = _ratios(board)
    if rows.is_empty():
        return empty_figure(_TITLE, f"No duos on {board.dataset} have two weights above 0.")
    figure = new_figure(2.4, SINGLE)
    axes = figure.subplots()
    log_axis(axes.xaxis, *balance_limits(rows["flops_balance"]))
    # Symmetric about 0 on a log scale far from it: a weight of 0 has a place.
    axes.set_yscale("symlog", linthresh=0.1, linscale=0.6)
    axes.axhline(1, color="#666666", linewidth=0.8, linestyle=(0, (4, 2)))
    legend = []
    for variant in _VARIANTS:
        own = rows.filter(pl.col("variant") == variant)
        look = look_of("duo", variant)
        for _, seeds in own.group_by("large", "small", maintain_order=True):
            x = 100 * seeds["flops_balance"][0]
            y = seeds["ratio"].to_numpy()
            axes.vlines(x, y.min(), y.max(), color=look.color, linewidth=0.9, alpha=0.7)
            axes.plot(x, np.median(y), look.marker, color=look.color, markersize=4, zorder=3)
        legend += axes.plot(
            [], [], look.marker, color=look.color, label=method_name("duo", variant)
        )
    axes.set_yticks([0, 0.1, 0.3, 1, 3], ["0", "0.1", "0.3", "1", "3"])
    axes.set_ylim(-0.02, max(1.6, 1.2 * rows["ratio"].max()))
    axes.set_xlabel("FLOPs balance: small / large, %")
    axes.set_ylabel("Weight ratio $w_s / w_l$")
    return annotate(figure, _title(rows), _caption(board, rows), legend, [rows.select(_COLUMNS)])


def _ratios(board: Board) -> pl.DataFrame:
    """Give the ratio of weights of every pair and seed, and the pair's balance."""
    balances = board.test.filter(is_pair() & base_recipe() & (pl.col("predictor") == "duo"))
    balances = balances.select("variant", "large", "small", "flops_balance").unique()
    usual = (pl.col("predictor") == "duo") & pl.col("variant").is_in(_VARIANTS)
    fits = board.fits.filter(usual, is_pair() & base_recipe() & pl.col("budget").is_null())
    return (
        fits.join(balances, on=["variant", "large", "small"])
        .with_columns(ratio=pl.col("weight_small") / pl.col("weight_large"))
        .filter(pl.col("ratio").is_finite())
        .sort("variant", "flops_balance", "large", "small", "seed")
    )


def _title(rows: pl.DataFrame) -> str:
    weighted = rows.filter(pl.col("variant") == "weighted")
    medians = weighted.group_by("large", "small", "flops_balance").agg(pl.col("ratio").median())
    heavier = len(medians.filter(pl.col("ratio") > 1))
    words = f"In {heavier} of {plural(len(medians), 'duo')} the sidekick weighs more"
    if len(medians) < 4:
        return words
    correlation = medians.select(
        pl.corr(pl.col("flops_balance").rank(), pl.col("ratio").rank())
    ).item()
    told = f"{correlation:+.2f}".replace("-", "\N{MINUS SIGN}")
    return f"{words}; rank correlation of weight ratio and balance {told}"


def _caption(board: Board, rows: pl.DataFrame) -> Iterator[str]:
    yield (
        f"{board.dataset}, fitted on val: medians of {plural(rows['seed'].n_unique(), 'seed')}; "
        "bars: their range."
    )
    yield (
        "Multipliers of the logits as the models give them, so the ratio also holds how much "
        "larger one model's logits are. Dashed: equal weights. A noise sidekick has the same "
        "logits in the wrong rows: its weight should be 0."
    )
