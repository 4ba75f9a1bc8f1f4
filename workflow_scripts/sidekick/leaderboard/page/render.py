"""Make the page of a finished board."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from sidekick.artifacts import atomic_path, read_table
from sidekick.leaderboard.figures.look import listed, plural
from sidekick.leaderboard.figures.rows import CONTROLS, UNTUNED
from sidekick.leaderboard.fits import read_fits
from sidekick.leaderboard.page.board import Tables, pack_board
from sidekick.leaderboard.page.deploying import deployable
from sidekick.leaderboard.page.examples import KINDS, read_examples
from sidekick.leaderboard.page.html import LIBRARIES, page_html
from sidekick.leaderboard.page.provenance import (
    citations,
    config_text,
    machine,
    read_cards,
    read_origin,
    read_times,
)
from sidekick.leaderboard.page.selection import KEYS

PAYLOAD_LIMIT = 3_600_000
"""Characters of packed data: the page stays below 5 MB, of which scripts take a quarter."""

_PICTURES_LIMIT = 600_000
_TEXTS = ("small", "sidekick", "recipe", "note", "corruption", "predictor", "variant")


def render_page(
    *,
    leaderboard: str,
    curves: str,
    fits: str,
    findings: str,
    budgets: str,
    promises: str,
    cards: Sequence[str],
    deployed: Sequence[str],
    examples: Sequence[str],
    times: str,
    citation: Mapping[str, Any],
    config: Mapping[str, Any],
    output: str,
) -> None:
    """Write the page: one HTML file, the same bytes for the same inputs on the same machine.

    Parameters
    ----------
    leaderboard, curves, fits, findings, budgets, promises
        The board's tables, Parquet the first two, CSV the others.
    cards
        `dataset.json` of each dataset that has one.
    deployed
        The deployable predictors; links to them are relative to the page.
    examples
        Tables of samples to look at, one per dataset.
    times
        The folder with Snakemake's records of each rule's time.
    citation
        The content of `CITATION.cff`.
    config
        The settings of the run, shown as they are.
    output
        The page.

    Raises
    ------
    SidekickError
        If a table, a card or a deployable file cannot be read.
    """
    tables = Tables(
        pl.DataFrame(read_table(leaderboard)),
        pl.DataFrame(read_table(curves)),
        read_fits(fits),
        *(_read_csv(path) for path in (findings, budgets, promises)),
    )
    described = read_cards(cards)
    samples, no_room = read_examples(examples, _PICTURES_LIMIT)
    more = {
        "benchmark": config["benchmark"],
        "evaluation": config["evaluation"],
        "seeds": config["seeds"],
        "cards": described,
        "deployable": deployable(deployed, output),
        "examples": samples,
        "kinds": KINDS,
        "no_room": no_room,
        "origin": read_origin(leaderboard),
        "libraries": [list(library) for library in LIBRARIES],
        "machine": machine(),
        "times": read_times(times),
        "citation": citations(citation),
        "config": config_text(config),
    }
    payload, _ = pack_board(tables, described, more, PAYLOAD_LIMIT)
    facts = {"benchmark": config["benchmark"], "summary": _summary(tables.board, described)}
    with atomic_path(output) as temporary:
        temporary.write_text(page_html(payload, facts), encoding="utf-8")


def _read_csv(path: str) -> pl.DataFrame:
    """Read a table; columns of names may be empty, which says nothing of their type."""
    header = pl.read_csv(path, n_rows=0).columns
    texts = {name: pl.String for name in _TEXTS if name in header}
    numbers = {
        name: pl.Float64
        for name in header
        if name.startswith(("promised_", "weight_", "accuracy", "nll", "aurc"))
        or name in ("threshold", "deferral_ratio", "budget", "low", "high", "gmacs")
    }
    return pl.read_csv(path, schema_overrides=texts | numbers, infer_schema_length=None)


def _summary(board: pl.DataFrame, cards: Mapping[str, Mapping[str, Any]]) -> str:
    """Say in a sentence what was compared, on what."""
    alone = board.filter((pl.col("predictor") == "single") & (pl.col("split") == "test"))
    titles = [cards.get(name, {}).get("title", name) for name in sorted(set(board["dataset"]))]
    used = ~pl.col("variant").str.contains(f"{CONTROLS}|deterministic_at_|{UNTUNED}$")
    rows = board.filter((pl.col("split") == "test") & used).select("dataset", *KEYS)
    return (
        f"{plural(alone['large'].n_unique(), 'model')} and "
        f"{plural(rows.n_unique(), 'way')} to use them, alone or together, on {listed(titles)}"
    )
