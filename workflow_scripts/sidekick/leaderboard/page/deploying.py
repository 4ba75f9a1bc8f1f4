"""What the page needs to say how a predictor is deployed: fits, promises, and files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from sidekick.artifacts import read_json
from sidekick.leaderboard.page.predictors import key_of

_FITTED = (
    "seed",
    "threshold",
    "deferral_ratio",
    "weight_large",
    "weight_small",
    "promised_accuracy",
    "promised_gmacs",
    "note",
)
_PROMISED = (
    "split",
    "promised_accuracy",
    "accuracy",
    "low",
    "high",
    "kept",
    "promised_gmacs",
    "gmacs",
    "note",
)
_ENDS = ("", "_delta", "_delta_low", "_delta_high")
_BOUGHT = (
    "budget",
    "small",
    "gmacs",
    *(f"{metric}{end}" for metric in ("accuracy", "nll", "aurc") for end in _ENDS),
)


def fitted(fits: pl.DataFrame, keys: Sequence[str]) -> dict[str, list]:
    """Give what was fitted of some predictors, column by column; `row` is the predictor's.

    Parameters
    ----------
    fits
        The table of fits of a dataset.
    keys
        The predictors, as in the column `baseline` of the board.
    """
    is_told = pl.col("threshold").is_not_null() | pl.col("weight_large").is_not_null()
    rows = fits.filter(pl.col("budget").is_null() & is_told)
    return _columns(rows, _FITTED, keys)


def promised(promises: pl.DataFrame, keys: Sequence[str]) -> dict[str, list]:
    """Give what thresholds promised on `val` and what came of it, like `fitted`."""
    return _columns(promises.filter(pl.col("kept").is_not_null()), _PROMISED, keys)


def bought(budgets: pl.DataFrame) -> list[dict[str, Any]]:
    """Give what each budget of compute buys beside each large model."""
    return budgets.select("large", *_BOUGHT).rows(named=True)


def _columns(rows: pl.DataFrame, names: Sequence[str], keys: Sequence[str]) -> dict[str, list]:
    numbers = {key: number for number, key in enumerate(keys)}
    found = [(numbers.get(key_of(row)), row) for row in rows.iter_rows(named=True)]
    kept = [(number, row) for number, row in found if number is not None]
    columns = {name: [row[name] for _, row in kept] for name in names}
    return {"row": [number for number, _ in kept], **columns}


def deployable(paths: Sequence[str], page: str) -> list[dict[str, Any]]:
    """Describe the deployable files, so that the page can say which predictor each holds.

    Parameters
    ----------
    paths
        The files.
    page
        The page: links are relative to it.
    """
    return [_deployable(Path(path), Path(page)) for path in paths]


def _deployable(path: Path, page: Path) -> dict[str, Any]:
    content = read_json(path)
    origin = content["provenance"]
    models = content["models"]
    recipes = {model["model"]: model["recipe"] for model in origin["models"]}
    return {
        "dataset": origin["dataset"],
        "name": path.stem,
        "link": link(path, page),
        "kind": content["kind"],
        "variant": content["variant"],
        "gate": content["gate"],
        "large": models["large"]["name"],
        "small": [small["name"] for small in models["small"]],
        "recipes": recipes,
        "delta": content["guarantee"]["delta"],
        "budgets": [_budget(entry) for entry in content["budgets"]],
        "targets": [_target(entry) for entry in content["targets"]],
    }


def link(path: Path, page: Path) -> str:
    """Give a relative link from a page to a file, as text of a URL."""
    folder = page.parent.resolve()
    path = path.resolve()
    up = 0
    while not path.is_relative_to(folder):
        folder, up = folder.parent, up + 1
    return "../" * up + path.relative_to(folder).as_posix()


def _budget(entry: Mapping[str, Any]) -> dict[str, Any]:
    names = ("name", "threshold", "upper_bound", "gmacs_upper_bound", "reason")
    return {name: entry.get(name) for name in names}


def _target(entry: Mapping[str, Any]) -> dict[str, Any]:
    certified = entry.get("certified_on") or {}
    return {
        **{name: entry.get(name) for name in ("name", "budget", "threshold", "reason")},
        "coverage": certified.get("coverage"),
        "lower_bound": certified.get("accuracy_lower_bound"),
    }
