"""The content of the page: what is on the board, as compactly as the page has room for."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from sidekick.leaderboard.figures.look import plural, scale
from sidekick.leaderboard.page.answers import findings_by_method, headlines
from sidekick.leaderboard.page.curves import curves
from sidekick.leaderboard.page.deploying import bought, fitted, promised
from sidekick.leaderboard.page.payload import pack
from sidekick.leaderboard.page.predictors import describe, families
from sidekick.leaderboard.page.selection import Selection, select
from sidekick.leaderboard.page.tables import Place, places
from sidekick.metrics.registry import METRICS


@dataclass(frozen=True)
class Tables:
    """The tables of a finished board.

    Attributes
    ----------
    board, curves, fits, findings, budgets, promises
        As `collect_leaderboard` writes them.
    """

    board: pl.DataFrame
    curves: pl.DataFrame
    fits: pl.DataFrame
    findings: pl.DataFrame
    budgets: pl.DataFrame
    promises: pl.DataFrame

    def of(self, dataset: str) -> "Tables":
        """Give one dataset's part."""
        return Tables(
            *(table.filter(pl.col("dataset") == dataset) for table in vars(self).values())
        )


class Detail(NamedTuple):
    """How much of a board the page holds.

    Attributes
    ----------
    cells
        Whether single corruptions are.
    severities
        Whether the means over corruptions at each severity are.
    predictors
        The most of each dataset.
    curves
        Of how many predictors of each dataset the curves are, the best by AURC.
    """

    cells: bool
    severities: bool
    predictors: int
    curves: int


_PLAIN_WORDS = {
    "accuracy": "How many answers are right?",
    "nll": "How well do the stated probabilities fit what is right?",
    "brier": "How far are the stated probabilities from what is right?",
    "ece": "Does 90 % sure mean 90 % right?",
    "auroc": "Is the model less sure where it is wrong?",
    "aurc": "When only the surest answers are given, how many of these are wrong?",
    "coverage": "How many samples are answered?",
    "selective_accuracy": "How many of the given answers are right?",
    "deferral_area": "How well does the small model know what to hand to the large one?",
}

DETAILS = (
    Detail(True, True, 2000, 2000),
    Detail(False, True, 2000, 1000),
    Detail(False, True, 2000, 300),
    Detail(False, False, 2000, 300),
    Detail(False, False, 1000, 150),
    Detail(False, False, 500, 75),
    Detail(False, False, 250, 40),
    Detail(False, False, 120, 20),
)
"""From all that a page may hold to the least."""


def pack_board(
    tables: Tables,
    cards: Mapping[str, Mapping[str, Any]],
    more: Mapping[str, Any],
    limit: int,
) -> tuple[str, list[str]]:
    """Pack a board in as much detail as fits.

    Parameters
    ----------
    tables
        The board.
    cards
        What is known of each dataset that has a card.
    more
        What the header of the payload holds besides.
    limit
        Characters that the payload may have; the least detail is given if nothing fits.

    Returns
    -------
    payload
        What `sidekick.leaderboard.page.payload.pack` gives.
    left_out
        In words, what of the board is not on the page.
    """
    for detail in DETAILS:
        payload, left_out = _packed(tables, cards, more, detail)
        if len(payload) <= limit:
            break
    return payload, left_out


def _packed(
    tables: Tables,
    cards: Mapping[str, Mapping[str, Any]],
    more: Mapping[str, Any],
    detail: Detail,
) -> tuple[str, list[str]]:
    arrays, headers, left_out = {}, [], []
    present = set(tables.board["metric"].unique())
    metrics = [name for name in METRICS if name in present]
    for number, dataset in enumerate(sorted(tables.board["dataset"].unique())):
        own = tables.of(dataset)
        chosen = select(own.board, detail.predictors)
        header, more_arrays = _dataset(own, chosen, metrics, detail)
        card = cards.get(dataset, {})
        headers.append({"name": dataset, "title": card.get("title", dataset), **header})
        arrays |= {f"{number}/{name}": array for name, array in more_arrays.items()}
        left_out += _left_out(dataset, own, chosen, detail)
    header = {
        **more,
        "families": families(),
        "metrics": [_metric(name) for name in metrics],
        "datasets": headers,
        "left_out": left_out,
    }
    return pack(header, arrays), left_out


def _dataset(
    tables: Tables, chosen: Selection, metrics: Sequence[str], detail: Detail
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    described = describe(tables.board, chosen.predictors)
    keys = [described["texts"][number] for number in described["key"]]
    found, arrays = [], {}
    board = tables.board
    if not detail.severities:
        board = board.filter(pl.col("severity").is_null())
    for place in places(board, chosen.predictors, metrics, cells=detail.cells):
        arrays[f"values{len(found)}"] = place.values
        arrays[f"gmacs{len(found)}"] = place.gmacs
        found.append(_place(place))
    drawn, points = curves(tables.curves, _with_curves(tables, keys, described, detail))
    header = {
        "predictors": described,
        "models": _models(tables.board),
        "places": found,
        "curves": drawn,
        "fits": fitted(tables.fits, keys),
        "promises": promised(tables.promises, keys),
        "bought": bought(tables.budgets),
        "findings": findings_by_method(tables.findings, metrics),
        "headlines": headlines(tables.board, metrics),
    }
    return header, arrays | {f"curve_{name}": array for name, array in points.items()}


def _metric(name: str) -> dict[str, Any]:
    metric = METRICS[name]
    return {
        "name": name,
        "label": metric.label.replace("$s_o$", "s_o").replace("$s_d$", "s_d"),
        "up": metric.higher_is_better,
        "scale": scale(name),
        "description": metric.description,
        "plain": _PLAIN_WORDS.get(name),
    }


def _place(place: Place) -> dict[str, Any]:
    return {
        "split": place.split,
        "corruption": place.corruption,
        "severity": place.severity,
        "samples": place.samples,
        "metrics": place.metrics,
        "fields": place.fields,
        "notes": [list(note) for note in place.notes],
    }


def _models(board: pl.DataFrame) -> list[dict[str, Any]]:
    """Give the models, the costliest first."""
    alone = board.filter((pl.col("predictor") == "single") & (pl.col("split") == "test"))
    costs = alone.group_by("large").agg(gmacs=pl.col("gmacs").max())
    ordered = costs.sort("gmacs", "large", descending=[True, False], nulls_last=True)
    return [{"name": name, "gmacs": gmacs} for name, gmacs in ordered.iter_rows()]


def _with_curves(
    tables: Tables, keys: Sequence[str], described: Mapping[str, Any], detail: Detail
) -> list[str]:
    """Give the keys of predictors whose curves are on the page; others are blank."""
    if len(keys) <= detail.curves:
        return list(keys)
    models = {number for number, small in enumerate(described["small"]) if small < 0}
    order = sorted(range(len(keys)), key=lambda number: number not in models)
    kept = set(order[: detail.curves])
    return [key if number in kept else "" for number, key in enumerate(keys)]


def _left_out(dataset: str, tables: Tables, chosen: Selection, detail: Detail) -> Iterator[str]:
    count = len(chosen.predictors)
    if count < chosen.total:
        yield (
            f"{dataset}: {count:,} of {plural(chosen.total, 'predictor')} are here: all of single "
            f"models, and of {chosen.pairs:,} of {plural(chosen.total_pairs, 'pair')} with "
            "everything made of them. Pairs on the Pareto front of AURC or accuracy came first, "
            "then each large model's best, then the best by AURC."
        )
    if count > detail.curves:
        yield f"{dataset}: curves of {detail.curves:,} predictors are here, single models first."
    has_shift = "shift" in tables.board["split"]
    if has_shift and not detail.severities:
        yield f"{dataset}: of shifted data only the mean over all corruptions and severities."
    elif has_shift and not detail.cells:
        yield f"{dataset}: of shifted data means over corruptions, no single corruptions."
    elif has_shift:
        yield (
            f"{dataset}: of single corruptions only the main metrics, without differences to the "
            "controls."
        )
