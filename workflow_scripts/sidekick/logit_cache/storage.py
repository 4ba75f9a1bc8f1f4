"""Write, read and check cached logits (numpy and pyarrow only)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import pyarrow as pa

from sidekick.artifacts import read_facts, read_table, write_tables
from sidekick.errors import SidekickError


class ShiftCell(NamedTuple):
    """One corruption at one severity (1 to 5)."""

    corruption: str
    severity: int


GROUPS = ("subject", "level")
"""Further columns by which samples are grouped."""

_COLUMNS = ("sample_id", "label", "logits", "logit_max", "corruption", "severity", "features")
# Logits are checked, and written as row groups, this many at a time: 8 MB as float32.
_GROUP_ELEMENTS = 1 << 21


@dataclass(frozen=True, eq=False)
class CachedLogits:
    """The outputs of one model on one split.

    Attributes
    ----------
    sample_ids
        (n,) object array of strings. In a shift set an id names the clean sample that was
        corrupted, so it occurs once per corruption and severity.
    labels
        (n,) int32, from 0 to C - 1.
    logits
        (n, C) float16 minus their row maximum (so every row's largest value is 0).
    logit_max
        (n,) float32: the row maximum that was taken off.
    corruption, severity
        (n,) object array of strings and (n,) int8, or None for a split that is not shifted.
    features
        (n, F) float32 pooled features, or None: only models with an MC-dropout head have them.
    source
        Where the arrays came from, for messages.
    groups
        What samples may be grouped by (`subject` and `level` of questions), by name: (n,) object
        arrays of strings.
    entropy
        (n,) float32, nats: the mean entropy over the vocabulary of a language model's answer, or
        None.
    """

    sample_ids: np.ndarray
    labels: np.ndarray
    logits: np.ndarray
    logit_max: np.ndarray
    corruption: np.ndarray | None = None
    severity: np.ndarray | None = None
    features: np.ndarray | None = None
    source: str = "logits"
    groups: Mapping[str, np.ndarray] = field(default_factory=dict)
    entropy: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def classes(self) -> int:
        """The number of classes C."""
        return self.logits.shape[1]

    def take(self, rows: np.ndarray) -> Self:
        """Select rows by index or mask."""

        def pick(values: np.ndarray | None) -> np.ndarray | None:
            return None if values is None else values[rows]

        return type(self)(
            self.sample_ids[rows],
            self.labels[rows],
            self.logits[rows],
            self.logit_max[rows],
            pick(self.corruption),
            pick(self.severity),
            pick(self.features),
            self.source,
            {name: values[rows] for name, values in self.groups.items()},
            pick(self.entropy),
        )

    def cells(self) -> Iterator[tuple[ShiftCell | None, Self]]:
        """Give the parts that are evaluated on their own: each corruption and severity."""
        if self.corruption is None or self.severity is None:
            yield None, self
            return
        keys = sorted(set(zip(self.corruption.tolist(), self.severity.tolist(), strict=True)))
        for corruption, severity in keys:
            rows = np.flatnonzero((self.corruption == corruption) & (self.severity == severity))
            yield ShiftCell(corruption, severity), self.take(rows)


def write_logits(
    path: str | Path,
    sample_ids: np.ndarray,
    labels: np.ndarray,
    logits: np.ndarray,
    facts: Mapping[str, object],
    *,
    corruption: np.ndarray | None = None,
    severity: np.ndarray | None = None,
    features: np.ndarray | None = None,
    extras: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Check and cache the logits of one split.

    Parameters
    ----------
    path
        The Parquet file to write.
    sample_ids, labels, corruption, severity, features
        As in `CachedLogits`.
    logits
        (n, C) of any float type. -inf marks an absent option of a multiple-choice item.
    facts
        Key-value metadata: benchmark, dataset, revision, model, recipe, seed, split and so on.
    extras
        Further columns by name, (n,) each: strings (as objects) or numbers. `read_logits` passes
        over all but `GROUPS`.

    Notes
    -----
    Logits are centred before they are rounded to float16. On 50,000 real rows uncentred float16
    changed 30 predictions and moved the ECE by 5e-4; centred float16 changed none and moved it
    by 9e-8. No prediction can change: what is below the maximum stays below it, and what is
    further below than float16 reaches becomes its lowest finite number, not an absent option.

    Raises
    ------
    SidekickError
        On NaN or +inf logits, a row without any finite logit, a label that is out of range or an
        absent option, a feature or an entropy that is not finite, duplicate ids, arrays of
        different length, or one of `corruption` and `severity` without the other; with the file
        and the first offending row. Also on further columns of a reserved name or another length.
    """
    logits, labels = np.asarray(logits), np.asarray(labels)
    sample_ids = np.asarray(sample_ids, dtype=object)
    extras = extras or {}
    _check_extras(path, extras, len(labels))
    entropy = extras.get("entropy")
    _check(path, sample_ids, labels, logits, corruption, severity, features, entropy)
    others = {"sample_id": pa.array(sample_ids, pa.string()), "label": labels.astype(np.int32)}
    split_columns, dictionary = ["logits.list.element", "logit_max"], ["label"]
    if corruption is not None and severity is not None:
        others["corruption"] = pa.array(corruption, pa.string())
        others["severity"] = pa.array(severity, pa.int8())
        dictionary += ["corruption", "severity"]
    if features is not None:
        split_columns.append("features.list.element")
    for name, values in (extras or {}).items():
        others[name] = pa.array(values, pa.string()) if values.dtype == object else values
        if values.dtype.kind == "f":
            split_columns.append(name)

    def group(rows: slice) -> pa.Table:
        wide = _wide(logits[rows])
        highest = wide.max(axis=1)
        columns = {name: values[rows] for name, values in others.items()}
        columns["logits"] = _fixed_size_list(_centre(wide, highest))
        columns["logit_max"] = highest.astype(np.float32)
        if features is not None:
            columns["features"] = _fixed_size_list(np.asarray(features[rows], dtype=np.float32))
        names = [*(name for name in _COLUMNS if name in columns), *(extras or ())]
        return pa.table({name: columns[name] for name in names})

    write_tables(
        map(group, _groups(logits)),
        path,
        {**facts, "classes": logits.shape[1], "centring": "row maximum"},
        dictionary=dictionary,
        byte_stream_split=split_columns,
    )


def read_logits(path: str | Path) -> CachedLogits:
    """Read one split of the logit cache and check it.

    Raises
    ------
    SidekickError
        If the file is missing or damaged, or its values break the contract of `write_logits`.
    """
    table = read_table(path)
    _check_columns(path, table)
    sample_ids = table["sample_id"].to_numpy(zero_copy_only=False)
    labels = table["label"].to_numpy()
    logits = _matrix(table["logits"])
    columns = set(table.column_names)
    corruption = severity = features = None
    if "corruption" in columns:
        corruption = table["corruption"].to_numpy(zero_copy_only=False)
    if "severity" in columns:
        severity = table["severity"].to_numpy().astype(np.int8, copy=False)
    if "features" in columns:
        features = _matrix(table["features"])
    entropy = table["entropy"].to_numpy() if "entropy" in columns else None
    _check(path, sample_ids, labels, logits, corruption, severity, features, entropy)
    recorded = read_facts(path).get("classes")
    if recorded is not None and int(recorded) != logits.shape[1]:
        raise SidekickError(
            f"{path}: {logits.shape[1]} logits per row, but the file records {recorded} classes"
        )
    return CachedLogits(
        sample_ids,
        labels.astype(np.int32, copy=False),
        logits,
        table["logit_max"].to_numpy(),
        corruption,
        severity,
        features,
        str(path),
        {name: table[name].to_numpy(zero_copy_only=False) for name in GROUPS if name in columns},
        entropy,
    )


def require_same_samples(first: CachedLogits, second: CachedLogits) -> CachedLogits:
    """Give `second` in the row order of `first`, joined by sample id (and shift cell).

    Raises
    ------
    SidekickError
        If ids, labels or class counts differ; the message names both files and the first
        differing row.
    """
    where = f"{first.source} and {second.source}"
    if first.classes != second.classes:
        raise SidekickError(f"{where}: {first.classes} and {second.classes} classes")
    first_keys, second_keys = _keys(first), _keys(second)
    if first_keys != second_keys:
        position = {key: row for row, key in enumerate(second_keys)}
        known = set(first_keys)
        for row, key in enumerate(first_keys):
            if key not in position:
                raise SidekickError(
                    f"{where}: sample {key} (row {row} of the first) is in one only"
                )
        for row, key in enumerate(second_keys):
            if key not in known:
                raise SidekickError(
                    f"{where}: sample {key} (row {row} of the second) is in one only"
                )
        second = second.take(np.array([position[key] for key in first_keys]))
    different = np.flatnonzero(first.labels != second.labels)
    if different.size:
        row = different[0]
        raise SidekickError(
            f"{where}: sample {first_keys[row]} (row {row} of the first) has label "
            f"{first.labels[row]} in one and {second.labels[row]} in the other"
        )
    return second


def _keys(cache: CachedLogits) -> list:
    if cache.corruption is None or cache.severity is None:
        return cache.sample_ids.tolist()
    columns = (cache.sample_ids, cache.corruption, cache.severity)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def _check(
    path: str | Path,
    sample_ids: np.ndarray,
    labels: np.ndarray,
    logits: np.ndarray,
    corruption: np.ndarray | None,
    severity: np.ndarray | None,
    features: np.ndarray | None,
    entropy: np.ndarray | None,
) -> None:
    if (corruption is None) != (severity is None):
        raise SidekickError(f"{path}: corruption and severity go together; one of them is missing")
    is_shift = corruption is not None
    if logits.ndim != 2 or logits.shape[1] == 0 or (len(logits) == 0 and not is_shift):
        raise SidekickError(f"{path}: logits of shape {logits.shape}; expected (rows, classes)")
    lengths = {"sample_id": len(sample_ids), "label": len(labels), "logits": len(logits)}
    if corruption is not None and severity is not None:
        lengths |= {"corruption": len(corruption), "severity": len(severity)}
    if features is not None:
        lengths["features"] = len(features)
    if len(set(lengths.values())) > 1:
        raise SidekickError(f"{path}: columns of different length: {lengths}")

    def refuse(bad: np.ndarray, what: str, first: int = 0) -> None:
        if bad.any():
            row = first + int(np.argmax(bad))
            raise SidekickError(
                f"{path}: {what} in row {row} (sample {sample_ids[row]}, label {labels[row]}, "
                f"{logits.shape[1]} classes)"
            )

    refuse((labels < 0) | (labels >= logits.shape[1]), "a label out of range")
    for rows in _groups(logits):
        wide = _wide(logits[rows])
        highest = wide.max(axis=1)
        # NaN in a row is its maximum, too.
        for bad, what in (
            (np.isnan(highest), "a NaN logit"),
            (np.isposinf(highest), "an infinite logit"),
            (np.isneginf(highest), "no finite logit"),
            (np.isneginf(wide[np.arange(len(wide)), labels[rows]]), "an absent option as label"),
        ):
            refuse(bad, what, rows.start)
    if features is not None:
        refuse(~np.isfinite(features).all(axis=1), "a feature that is not finite")
    if entropy is not None:
        refuse(~np.isfinite(entropy), "an entropy that is not finite")
    keys = (
        sample_ids.tolist()
        if corruption is None or severity is None
        else list(zip(sample_ids, corruption, severity, strict=True))
    )
    if len(set(keys)) < len(keys):
        seen = set()
        for row, key in enumerate(keys):
            if key in seen:
                raise SidekickError(f"{path}: sample {key} occurs again in row {row}")
            seen.add(key)


def _check_extras(path: str | Path, extras: Mapping[str, np.ndarray], rows: int) -> None:
    for name, values in extras.items():
        if name in _COLUMNS:
            raise SidekickError(f"{path}: column '{name}' belongs to the cache itself")
        if len(values) != rows:
            raise SidekickError(f"{path}: column '{name}' has {len(values)} values for {rows} rows")


def _groups(logits: np.ndarray) -> Iterator[slice]:
    """Give the rows of each row group, at least one."""
    step = max(1, _GROUP_ELEMENTS // logits.shape[1])
    for first in range(0, max(len(logits), 1), step):
        yield slice(first, first + step)


def _wide(logits: np.ndarray) -> np.ndarray:
    return logits.astype(np.result_type(logits, np.float32), copy=False)


def _centre(logits: np.ndarray, highest: np.ndarray) -> np.ndarray:
    """Take the row maximum off and round to float16, keeping what is absent and what is largest."""
    limits = np.finfo(np.float16)
    with np.errstate(over="ignore"):
        exact = logits - highest[:, None]
    rounded = np.maximum(exact, limits.min).astype(np.float16)
    rounded[(exact < 0) & (rounded == 0)] = -limits.smallest_subnormal
    rounded[np.isneginf(logits)] = -np.inf
    return rounded


def _check_columns(path: str | Path, table: pa.Table) -> None:
    """Refuse a table without the columns of the contract, for it may come from elsewhere."""
    needed = {
        "sample_id": ("string", _is_string),
        "label": ("integer", pa.types.is_integer),
        "logits": ("fixed-size list of floats", _is_float_vector),
        "logit_max": ("float", pa.types.is_floating),
    }
    optional = {
        "corruption": ("string", _is_string),
        "severity": ("integer", pa.types.is_integer),
        "features": ("fixed-size list of floats", _is_float_vector),
        **dict.fromkeys(GROUPS, ("string", _is_string)),
    }
    if missing := set(needed) - set(table.column_names):
        raise SidekickError(f"{path}: no column {sorted(missing)}; it has {table.column_names}")
    for name, (what, fits) in {**needed, **optional}.items():
        if name not in table.column_names:
            continue
        column = table[name]
        if not fits(column.type):
            raise SidekickError(f"{path}: column '{name}' is of type {column.type}, not {what}")
        nulls = column.null_count
        if _is_vector(column.type):
            nulls += sum(chunk.flatten().null_count for chunk in column.chunks)
        if nulls:
            raise SidekickError(f"{path}: column '{name}' has {nulls} nulls; it may have none")


def _is_string(kind: pa.DataType) -> bool:
    return str(kind) in ("string", "large_string", "string_view")


def _is_vector(kind: pa.DataType) -> bool:
    return pa.types.is_fixed_size_list(kind)


def _is_float_vector(kind: pa.DataType) -> bool:
    return _is_vector(kind) and pa.types.is_floating(kind.value_type)


def _fixed_size_list(values: np.ndarray) -> pa.FixedSizeListArray:
    flat = pa.array(np.ascontiguousarray(values).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])


def _matrix(column: pa.ChunkedArray) -> np.ndarray:
    width = column.type.list_size
    kind = column.type.value_type.to_pandas_dtype()
    matrix = np.empty((len(column), width), dtype=kind)
    first = 0
    for chunk in column.chunks:
        rows = matrix[first : first + len(chunk)]
        rows[:] = chunk.flatten().to_numpy(zero_copy_only=False).reshape(-1, width)
        first += len(chunk)
    return matrix
