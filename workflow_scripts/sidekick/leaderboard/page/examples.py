"""Samples to look at: where methods differ, and what each dataset looks like."""

import base64
from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl

from sidekick.artifacts import read_facts, read_table

KINDS = {
    "large_wrong_duo_right": "The large model is wrong, the duo is right",
    "confident_mistake": "Most confident mistakes",
    "deferred": "Handed to the large model",
    "ignored": "Left unanswered",
    "gallery": "A few samples, as they come",
}
"""What the samples of each kind show, in the order of the page."""

_TEXTS = (
    "sample_id",
    "corruption",
    "severity",
    "question",
    "choices",
    "label",
    "large",
    "small",
    "predictor",
    "large_answer",
    "large_confidence",
    "small_answer",
    "small_confidence",
    "answer",
    "confidence",
)


def read_examples(paths: Sequence[str], limit: int) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Read samples, as many as there is room for.

    Parameters
    ----------
    paths
        Tables of samples, one per dataset, as `sidekick.leaderboard.pick_examples` writes them.
    limit
        Bytes that the pictures of all datasets may have together.

    Returns
    -------
    examples
        For each dataset the `rule` they were picked by, in words, and `samples` in turn of all
        kinds, `image` as a `data:` URI or None.
    left_out
        In words, what there was no room for.
    """
    found, left_out = {}, []
    for path in paths:
        table = pl.DataFrame(read_table(path))
        if table.is_empty():
            continue
        dataset = table["dataset"][0]
        share = limit // len(paths)
        kept = list(_within(table, share))
        rule = read_facts(path).get("rule", "")
        found[dataset] = {"rule": rule, "samples": [_example(row) for row in kept]}
        if len(kept) < len(table):
            left_out.append(f"{dataset}: {len(kept)} of {len(table)} example samples are here.")
    return found, left_out


def _within(table: pl.DataFrame, limit: int) -> Iterator[dict[str, Any]]:
    """Give samples in turn from all kinds until the pictures are too large."""
    order = {kind: number for number, kind in enumerate(KINDS)}
    known = table.filter(pl.col("kind").is_in(list(KINDS))).with_columns(
        turn=pl.int_range(pl.len()).over("kind"),
        kind_order=pl.col("kind").replace_strict(order, default=len(order)),
    )
    for row in known.sort("turn", "kind_order", maintain_order=True).iter_rows(named=True):
        limit -= len(row["image"] or b"")
        if limit < 0:
            return
        yield row


def _example(row: dict[str, Any]) -> dict[str, Any]:
    image = row["image"]
    uri = f"data:image/png;base64,{base64.b64encode(image).decode()}" if image else None
    return {"kind": row["kind"], "image": uri, **{name: row[name] for name in _TEXTS}}
