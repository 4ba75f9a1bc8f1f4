"""Read and check cached generated answers (numpy and pyarrow only)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa

from sidekick.artifacts import read_table
from sidekick.errors import SidekickError

GATES = (
    "nent",
    "mean_logprob",
    "sum_logprob",
    "logprob_q00",
    "logprob_q10",
    "logprob_q50",
    "brevity",
)
"""Scores of a generated answer, larger for surer. `logprob_q10` is the 10 % quantile of the
tokens' log-probabilities, `brevity` minus the number of tokens: what length alone tells."""

# By the gate's name, the place among the eleven cached quantiles.
_QUANTILES = {"logprob_q00": 0, "logprob_q10": 1, "logprob_q50": 5}
_QUANTILE_COUNT = 11
_KINDS = {
    "sample_id": (pa.types.is_string, "string"),
    "reference": (pa.types.is_string, "string"),
    "correct": (pa.types.is_boolean, "bool"),
    "correct_flexible": (pa.types.is_boolean, "bool"),
    "truncated": (pa.types.is_boolean, "bool"),
    "tokens": (pa.types.is_integer, "integer"),
    "nent": (pa.types.is_floating, "float"),
    "mean_logprob": (pa.types.is_floating, "float"),
    "sum_logprob": (pa.types.is_floating, "float"),
    "logprob_quantiles": (pa.types.is_fixed_size_list, "fixed-size list of floats"),
}


@dataclass(frozen=True, eq=False)
class CachedAnswers:
    """One model's generated answers on one split.

    Attributes
    ----------
    sample_ids, references
        (n,) object arrays of strings: the questions, and their right answers.
    correct, correct_flexible
        (n,) bool, by the strict and by the flexible reading. An answer that was cut off is wrong
        by both.
    truncated
        (n,) bool: whether it was cut off.
    gates
        Name, one of `GATES`, to (n,) float64, larger for surer.
    source
        Where the answers came from, for messages.
    groups
        None: what samples of the logit cache may be grouped by.
    """

    sample_ids: np.ndarray
    references: np.ndarray
    correct: np.ndarray
    correct_flexible: np.ndarray
    truncated: np.ndarray
    gates: Mapping[str, np.ndarray]
    source: str = "answers"
    groups: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.sample_ids)

    def take(self, rows: np.ndarray) -> Self:
        """Select rows by index or mask."""
        return type(self)(
            self.sample_ids[rows],
            self.references[rows],
            self.correct[rows],
            self.correct_flexible[rows],
            self.truncated[rows],
            {name: values[rows] for name, values in self.gates.items()},
            self.source,
        )

    def cells(self) -> Iterator[tuple[None, Self]]:
        """Give the parts that are evaluated on their own: all of it, for nothing is shifted."""
        yield None, self


def read_answers(path: str | Path) -> CachedAnswers:
    """Read one split of generated answers and check it.

    Raises
    ------
    SidekickError
        If the file is missing or damaged, lacks a column, or holds a null, a gate that is not
        finite or the same question twice.
    """
    table = read_table(path)
    _check_columns(path, table)
    columns = {
        name: table[name].to_numpy(zero_copy_only=False)
        for name in _KINDS
        if name != "logprob_quantiles"
    }
    quantiles = _quantiles(path, table["logprob_quantiles"])
    gates = {name: columns[name] for name in GATES if name in columns}
    gates |= {name: quantiles[:, place] for name, place in _QUANTILES.items()}
    gates["brevity"] = -columns["tokens"].astype(np.float64)
    ids = columns["sample_id"]
    for name, values in gates.items():
        refused = ~np.isfinite(values)
        if refused.any():
            row = refused.argmax()
            raise SidekickError(f"{path}: {name} is {values[row]} in row {row} (sample {ids[row]})")
    known, count = np.unique(ids.astype(np.str_), return_counts=True)
    if len(known) < len(ids):
        raise SidekickError(f"{path}: sample {known[count > 1][0]} occurs more than once")
    whole = ~columns["truncated"]
    return CachedAnswers(
        ids,
        columns["reference"],
        columns["correct"] & whole,
        columns["correct_flexible"] & whole,
        columns["truncated"],
        {name: gates[name].astype(np.float64) for name in GATES},
        str(path),
    )


def require_same_questions(first: CachedAnswers, second: CachedAnswers) -> CachedAnswers:
    """Give `second` in the row order of `first`, joined by sample id.

    Raises
    ------
    SidekickError
        If ids or right answers differ; the message names both files and the first differing row.
    """
    where = f"{first.source} and {second.source}"
    position = {key: row for row, key in enumerate(second.sample_ids)}
    known = set(first.sample_ids)
    for number, own, other in (("first", first, position), ("second", second, known)):
        for row, key in enumerate(own.sample_ids):
            if key not in other:
                raise SidekickError(
                    f"{where}: sample {key} (row {row} of the {number}) is in one only"
                )
    second = second.take(np.array([position[key] for key in first.sample_ids], dtype=np.int64))
    different = np.flatnonzero(first.references != second.references)
    if different.size:
        row = different[0]
        raise SidekickError(
            f"{where}: the right answer to sample {first.sample_ids[row]} (row {row} of the first) "
            f"is '{first.references[row]}' in one and '{second.references[row]}' in the other"
        )
    return second


def _check_columns(path: str | Path, table: pa.Table) -> None:
    """Refuse a table that is none of generated answers."""
    if missing := sorted(set(_KINDS) - set(table.column_names)):
        raise SidekickError(f"{path}: no column {missing}; it has {table.column_names}")
    for name, (fits, what) in _KINDS.items():
        column = table[name]
        if not fits(column.type):
            raise SidekickError(f"{path}: column '{name}' is of type {column.type}, not {what}")
        if column.null_count:
            raise SidekickError(
                f"{path}: column '{name}' has {column.null_count} nulls; it may have none"
            )


def _quantiles(path: str | Path, column: pa.ChunkedArray) -> np.ndarray:
    """Give the quantiles of each answer's log-probabilities, (n, 11)."""
    if column.type.list_size != _QUANTILE_COUNT:
        raise SidekickError(
            f"{path}: column 'logprob_quantiles' has {column.type.list_size} values per row; "
            f"expected {_QUANTILE_COUNT}"
        )
    flat = column.combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return flat.reshape(-1, _QUANTILE_COUNT)
