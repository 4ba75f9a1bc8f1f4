"""Pick the samples that the page shows: what a duo mends, what it is wrong about, what is deferred.

Nothing is picked by hand. Of the first seed and the predictor that `first_headline` chooses, each
kind shows the first samples of a stated order:

* `large_wrong_duo_right`: the large model alone is wrong, the predictor is right; the surest
  predictions first;
* `confident_mistake`: the predictor is wrong; the surest first;
* `deferred`: the cascade of the pair with the fewest deferrals asks the large model; the least
  sure answers of the small one first;
* `ignored`: what the accept/ignore rule of MC dropout ignores, of the largest model with a head;
  the smallest means first;
* `gallery`: by the SHA-256 of the sample's id, which knows nothing of models.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import polars as pl
import pyarrow as pa

from sidekick.artifacts import read_facts, read_table, write_table
from sidekick.datasets.reading import read_card
from sidekick.leaderboard.fits import read_fits
from sidekick.leaderboard.headline import Headline, first_headline, models_words
from sidekick.leaderboard.outcomes import Answered, Outcomes, generated_outcomes, outcomes
from sidekick.leaderboard.sample_contents import Content, Key, clipped, read_contents

KINDS = ("large_wrong_duo_right", "confident_mistake", "deferred", "ignored", "gallery")
"""What samples are shown for, in the order of the table."""

MOST = 12
"""Samples of one kind."""

EXAMPLES_SCHEMA = pa.schema(
    [
        ("dataset", pa.string()),
        ("kind", pa.string()),
        ("sample_id", pa.string()),
        ("corruption", pa.string()),
        ("severity", pa.int8()),
        ("image", pa.binary()),
        ("question", pa.string()),
        ("choices", pa.list_(pa.string())),
        ("label", pa.string()),
        ("large", pa.string()),
        ("small", pa.string()),
        ("predictor", pa.string()),
        ("large_answer", pa.string()),
        ("large_confidence", pa.float64()),
        ("small_answer", pa.string()),
        ("small_confidence", pa.float64()),
        ("answer", pa.string()),
        ("confidence", pa.float64()),
    ]
)
"""`image` is a PNG. Confidences of generated answers are minus the mean entropy of their tokens."""


def pick_examples(
    *,
    leaderboard: str,
    fits: str,
    dataset: str,
    seed: int,
    logits: Sequence[str],
    answers: Sequence[str],
    mc_dropout: Sequence[str],
    dataset_folder: str | Path | None,
    classes: Sequence[str] | None,
    output: str | Path,
) -> None:
    """Write the examples of one dataset.

    Parameters
    ----------
    leaderboard, fits
        The board's tables.
    dataset
        Its name.
    seed
        Whose models and fits they are of.
    logits, answers
        Caches of `test` of the models as fine-tuned or imported: logits, or generated answers.
        Those of the chosen models are read.
    mc_dropout
        Tables of `sidekick.evaluation.mc_dropout_examples`.
    dataset_folder
        The prepared dataset; None if only logits are known, which leaves images and questions out.
    classes
        Names of the classes of such a dataset, if known.
    output
        The Parquet file to write, in `EXAMPLES_SCHEMA`.

    Raises
    ------
    SidekickError
        If a file is missing or damaged, or two caches are not of the same samples.
    """
    board = pl.DataFrame(read_table(leaderboard))
    rows: list[dict] = []
    chosen = _chosen(board, dataset)
    names = list(read_card(dataset_folder)["classes"]) if dataset_folder else list(classes or [])
    if chosen is not None:
        own = read_fits(fits).filter((pl.col("dataset") == dataset) & (pl.col("seed") == seed))
        read = generated_outcomes if answers else outcomes
        found = read(_by_model(answers or logits), own, chosen)
        rows += _of_predictor(found, chosen)
        rows += _ignored(mc_dropout, board.filter(pl.col("dataset") == dataset))
        rows.sort(key=lambda row: KINDS.index(row["kind"]))
    keys = {_key(row) for row in rows}
    contents = read_contents(dataset_folder, keys) if dataset_folder else {}
    table = [
        {"dataset": dataset, **_in_words(row, contents.get(_key(row), Content()), names)}
        for row in rows
    ]
    facts = {"dataset": dataset, "seed": seed, "rule": __doc__}
    write_table(pa.Table.from_pylist(table, EXAMPLES_SCHEMA), output, facts)


def _chosen(board: pl.DataFrame, dataset: str) -> Headline | None:
    try:
        return first_headline(board, dataset)
    except ValueError:
        # No model has an AURC: there is nothing to be sure of.
        return None


def _by_model(paths: Iterable[str]) -> dict[str, str]:
    return {read_facts(path)["model"]: path for path in paths}


def _of_predictor(found: Outcomes, chosen: Headline) -> Iterator[dict]:
    """Give the rows of a predictor's answers, kind by kind."""
    own, large, small = found.predictor, found.large, found.small
    places = range(len(own.right))
    orders = {
        "large_wrong_duo_right": sorted(
            (i for i in places if own.right[i] and not large.right[i]),
            key=lambda i: (-own.confidence[i], found.sample_ids[i]),
        ),
        "confident_mistake": sorted(
            (i for i in places if not own.right[i]),
            key=lambda i: (-own.confidence[i], found.sample_ids[i]),
        ),
        "deferred": sorted(
            (i for i in places if found.gate is not None and found.gate[i] < found.threshold),
            key=lambda i: (found.gate[i], found.sample_ids[i]),
        ),
        "gallery": sorted(places, key=lambda i: _hash(found.sample_ids[i])),
    }
    names = {
        "large": chosen.large,
        "small": chosen.small,
        "predictor": " ".join(
            [chosen.predictor, chosen.variant, models_words(chosen.large, chosen.small)]
        ),
    }
    for kind, order in orders.items():
        for i in order[:MOST]:
            row = {"kind": kind, "sample_id": found.sample_ids[i], "label": found.labels[i]}
            yield (
                row
                | names
                | _said("large_", large, i)
                | _said("small_", small, i)
                | _said("", own, i)
            )


def _said(prefix: str, answered: Answered | None, place: int) -> dict:
    if answered is None:
        return {}
    return {
        f"{prefix}answer": answered.answer[place],
        f"{prefix}confidence": float(answered.confidence[place]),
    }


def _ignored(paths: Sequence[str], board: pl.DataFrame) -> list[dict]:
    """Give what the rule of the largest model with a head ignores."""
    if not paths:
        return []
    costs = dict(board.group_by("large").agg(pl.col("gmacs").max()).iter_rows())
    facts = {path: read_facts(path) for path in paths}
    path = max(paths, key=lambda one: (costs.get(facts[one]["model"]) or 0.0, one))
    rows = pl.DataFrame(read_table(path)).filter(~pl.col("accepted"))
    ordered = rows.sort("mean", "sample_id", "corruption", "severity", nulls_last=True)
    model = facts[path]["model"]
    return [
        {
            "kind": "ignored",
            **{name: row[name] for name in (*Key._fields, "label", "answer")},
            "confidence": row["mean"],
            "large": model,
            "large_answer": row["deterministic"],
            "predictor": f"mc_dropout interval{round(100 * float(facts[path]['level']))}"
            f"_{facts[path]['passes']} {model}",
        }
        for row in ordered.head(MOST).to_dicts()
    ]


def _key(row: Mapping) -> Key:
    return Key(row["sample_id"], row.get("corruption"), row.get("severity"))


def _hash(sample_id: str) -> str:
    return hashlib.sha256(sample_id.encode()).hexdigest()


def _in_words(row: Mapping, content: Content, classes: Sequence[str]) -> dict:
    """Add what a sample looks like, and name the classes: a question's choices are its own."""
    words = content.choices or classes
    named = {
        name: _name(row[name], words)
        for name in ("label", "large_answer", "small_answer", "answer")
        if name in row
    }
    return {**row, **content._asdict(), **named}


def _name(answer: int | str, words: Sequence[str]) -> str:
    if isinstance(answer, str):
        return clipped(answer)
    return clipped(words[answer]) if answer < len(words) else str(answer)
