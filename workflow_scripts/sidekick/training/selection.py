"""Choose among the trials of a search."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from sidekick.artifacts import read_table, write_table
from sidekick.errors import SidekickError
from sidekick.models.checkpoints import Description, describe, save_checkpoint
from sidekick.models.loading import load_model

_log = logging.getLogger("sidekick")


def select_trial(
    *,
    checkpoints: Sequence[str | Path],
    curves: Sequence[str | Path],
    output: str | Path,
    curve: str | Path,
    facts: Mapping[str, object],
) -> None:
    """Copy the trial with the best main metric on val; of equals, the first.

    Parameters
    ----------
    checkpoints, curves
        Of the trials, in one order.
    output, curve
        Where the best trial's weights and curve go.
    facts
        Key-value metadata for both files. `selected` (the chosen trial's recipe) and `trials`
        (the main metric on val of each) are added.

    Raises
    ------
    SidekickError
        If a checkpoint is unreadable, or the trials are not of one model, seed and metric.
    """
    trials = [describe(path) for path in checkpoints]
    require_alike(checkpoints, trials)
    best = ranked(trials)[0]
    chosen = trials[best]
    facts = {
        **facts,
        "selected": trial_name(chosen, checkpoints[best]),
        "trials": {
            trial_name(trial, path): trial.val_metric["value"]
            for trial, path in zip(trials, checkpoints, strict=True)
        },
    }
    _log.info("Selected %s by %s on val", facts["selected"], json.dumps(dict(chosen.val_metric)))
    write_table(read_table(curves[best]), curve, {**facts, "classes": chosen.classes})
    model = load_model(checkpoints[best], torch.device("cpu"))
    save_checkpoint(output, model, replace(chosen, facts=facts))


def ranked(trials: Sequence[Description]) -> list[int]:
    """Give the trials' positions, best main metric on val first; of equals, the first."""
    return sorted(range(len(trials)), key=lambda row: -trials[row].val_metric["value"])


def trial_name(trial: Description, path: str | Path) -> str:
    """Give the recipe that a trial says it is, or the name of its folder."""
    return trial.facts.get("recipe", Path(path).parent.name)


def require_alike(paths: Sequence[str | Path], trials: Sequence[Description]) -> None:
    """Refuse trials that differ in more than how they were trained.

    Raises
    ------
    SidekickError
        With the first checkpoint that differs, in what, and both values.
    """
    first = trials[0]
    for path, trial in zip(paths, trials, strict=True):
        if "name" not in trial.val_metric:
            raise SidekickError(
                f"{path}: does not say what its main metric on val was. Delete it and start the "
                "run again: its job is then repeated"
            )
        for what, key in (
            ("model entry", "entry"),
            ("number of classes", "classes"),
            ("preprocessing", "preprocessing"),
            ("head", "head"),
            ("seed", "seed"),
        ):
            _require_equal(path, paths[0], what, getattr(trial, key), getattr(first, key))
        metrics = trial.val_metric["name"], first.val_metric["name"]
        _require_equal(path, paths[0], "main metric", *metrics)


def _require_equal(
    path: str | Path, first: str | Path, what: str, value: object, expected: object
) -> None:
    if value != expected:
        raise SidekickError(
            f"{path}: its {what} is {value}, but that of {first} is {expected}; trials of one "
            "search must agree in it"
        )
