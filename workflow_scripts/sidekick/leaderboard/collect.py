"""Put the tables of all evaluation jobs on one board."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

import polars as pl

from sidekick.artifacts import atomic_path, read_table, write_table
from sidekick.errors import SidekickError
from sidekick.evaluation.tables import PARTS_SCHEMA, to_table
from sidekick.leaderboard.budgets import what_budgets_buy
from sidekick.leaderboard.findings import summarise_comparisons
from sidekick.leaderboard.promises import what_promises_brought
from sidekick.leaderboard.quantisation import what_quantisation_costs
from sidekick.leaderboard.summary import write_summary

# What identifies a row; the board is sorted by these, so it never depends on the order of jobs.
KEYS = [
    "benchmark",
    "dataset",
    "split",
    "corruption",
    "severity",
    "predictor",
    "variant",
    "large",
    "small",
    "recipe",
]
_DESCRIPTION = ["seeds", "samples", "gmacs", "flops_balance"]
_REMEDY = "snakemake --cores all --forcerun evaluate_pairs evaluate_generations"


def collect_leaderboard(
    *,
    metrics: Sequence[str],
    curves: Sequence[str],
    fits: Sequence[str],
    parts: Sequence[str],
    models: Sequence[str],
    benchmark: str,
    outputs: Mapping[str, str],
    quantisation_reports: Sequence[str] = (),
    quantisation_errors: Sequence[str] = (),
) -> None:
    """Write the leaderboard, its wide form, curves, fits, what follows from them, and the summary.

    Parameters
    ----------
    metrics, curves, fits, parts
        The tables of the evaluation jobs.
    models
        The models on the board. Tables may hold pairs with models that were removed from the
        config since; these are left out.
    benchmark
        Its name.
    outputs
        Where to write the `leaderboard`, its `curves` and `parts` (Parquet), its `wide` form and
        that of its parts, `wide_parts`, the `fits`,
        `findings`, `budgets`, `promises` and `quantisation` (CSV) and the `summary` (text).
    quantisation_reports, quantisation_errors
        What the quantisation jobs say of each network, in the same order: see
        `what_quantisation_costs`.

    Raises
    ------
    SidekickError
        If a pair of listed models was not evaluated, or two tables disagree about a row; the
        message says how to mend it.
    """
    board = _gather(metrics, models).sort([*KEYS, "metric"])
    _require_all_pairs(board, models)
    _require_unique_rows(board)
    facts = {"benchmark": benchmark, "models": sorted(models)}
    write_table(board.to_arrow(), outputs["leaderboard"], facts, dictionary=True)
    _write_csv(_widen(board), outputs["wide"])
    points = _gather(curves, models).sort([*KEYS[:3], *KEYS[5:], "curve", "x"])
    write_table(points.to_arrow(), outputs["curves"], facts, dictionary=True)
    # Where all answers are generated there are none.
    empty = pl.DataFrame(to_table([], PARTS_SCHEMA))
    divided = (_gather(parts, models) if parts else empty).sort(
        ["dataset", "grouping", "group", *KEYS[5:], "metric"]
    )
    write_table(divided.to_arrow(), outputs["parts"], facts, dictionary=True)
    _write_csv(_widen_parts(divided), outputs["wide_parts"])
    fitted = _gather(fits, models).sort(
        [
            "dataset",
            "predictor",
            "variant",
            "large",
            "small",
            "recipe",
            "seed",
            "budget",
            "sidekick",
        ]
    )
    _write_csv(fitted, outputs["fits"])
    _write_csv(summarise_comparisons(board), outputs["findings"])
    _write_csv(what_budgets_buy(board, fitted), outputs["budgets"])
    _write_csv(what_promises_brought(board, fitted), outputs["promises"])
    costs = what_quantisation_costs(board, quantisation_reports, quantisation_errors)
    _write_csv(costs, outputs["quantisation"])
    write_summary(board, models, outputs["summary"])


def _gather(paths: Sequence[str], models: Sequence[str]) -> pl.DataFrame:
    # A model that was taken off and put back further down leaves a pair in two jobs' tables.
    table = pl.concat([pl.DataFrame(read_table(path)) for path in paths]).unique()
    sidekicks = pl.col("small").fill_null(pl.col("large")).str.split("+")
    unlisted = sidekicks.list.set_difference(pl.lit(list(models))).list.len()
    return table.filter(pl.col("large").is_in(models) & (unlisted == 0))


def _widen_parts(parts: pl.DataFrame) -> pl.DataFrame:
    """Give one row per predictor and part, one column per metric."""
    keys = ["dataset", "grouping", "group", *KEYS[5:], "samples"]
    return parts.pivot(on="metric", index=keys, values="value", maintain_order=True)


def _require_all_pairs(board: pl.DataFrame, models: Sequence[str]) -> None:
    pairs = board.filter(~pl.col("small").str.contains("+", literal=True))
    pairs = pairs.select("dataset", "large", "small").unique()
    present = {(row[0], frozenset(row[1:])) for row in pairs.iter_rows()}
    alone = board.filter((pl.col("predictor") == "single") & pl.col("large").is_in(models))
    for (dataset,), rows in sorted(alone.group_by("dataset")):
        # Models of images have no pair with models of text.
        for pair in combinations(sorted(rows["large"].unique()), 2):
            if (dataset, frozenset(pair)) not in present:
                raise SidekickError(
                    f"the pair {' and '.join(pair)} on {dataset} was not evaluated: one of them "
                    f"was taken off the config and put back at another place. Run `{_REMEDY}`"
                )


def _require_unique_rows(board: pl.DataFrame) -> None:
    repeated = board.filter(board.select(*KEYS, "metric").is_duplicated())
    if len(repeated):
        row = repeated.row(0, named=True)
        models = " and ".join(row[key] for key in ("large", "small") if row[key] is not None)
        raise SidekickError(
            f"{models} on {row['dataset']} were evaluated twice, with different results "
            f"({row['predictor']} {row['variant']}, {row['metric']}): one of the tables is out of "
            f"date. Run `{_REMEDY}`"
        )


def _widen(board: pl.DataFrame) -> pl.DataFrame:
    """One row per predictor and place, one column per metric."""
    order = board["metric"].unique(maintain_order=True).to_list()
    wide = board.pivot("metric", index=[*KEYS, *_DESCRIPTION], values="value")
    return wide.select([*KEYS, *_DESCRIPTION, *sorted(order)]).sort(KEYS)


def _write_csv(table: pl.DataFrame, path: str | Path) -> None:
    with atomic_path(path) as temporary:
        table.write_csv(temporary)
