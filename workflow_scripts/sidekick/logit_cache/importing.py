"""Bring your own logits: check files of other origin and write them as logit caches.

Nothing here imports torch. Values are read, checked and converted block by block.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow.parquet as pq

from sidekick.datasets.checksums import file_checksum
from sidekick.datasets.splits import stratified_draw
from sidekick.errors import SidekickError
from sidekick.logit_cache import import_checks as checks
from sidekick.logit_cache.import_formats import FIELDS, Foreign, Request, read_foreign
from sidekick.logit_cache.storage import read_logits, write_logits

_log = logging.getLogger("sidekick")

SPLITS = ("test", "val", "shift")
# Of a shift set that names none, such as photographs from another source.
UNNAMED_SHIFT = ("shift", 1)


@dataclass(frozen=True, eq=False)
class _Split:
    """One split, checked.

    Attributes
    ----------
    source
        The user's file.
    ids
        (n,) object array of strings, or None while the rows have none.
    labels, values
        (n,) int32 and (n, C) float logits.
    corruption, severity
        (n,) object array of strings and (n,) int8, or None.
    """

    source: str
    ids: np.ndarray | None
    labels: np.ndarray
    values: np.ndarray
    corruption: np.ndarray | None = None
    severity: np.ndarray | None = None

    @property
    def classes(self) -> int:
        return self.values.shape[1]

    def take(self, rows: np.ndarray) -> Self:
        columns = ("ids", "labels", "values", "corruption", "severity")
        own = {name: getattr(self, name) for name in columns}
        return replace(self, **{k: None if v is None else v[rows] for k, v in own.items()})

    def cells(self) -> list[np.ndarray]:
        """Give the row numbers of each corruption and severity."""
        groups: dict[tuple, list[int]] = {}
        keys = zip(self.corruption.tolist(), self.severity.tolist(), strict=True)
        for row, key in enumerate(keys):
            groups.setdefault(key, []).append(row)
        return [np.array(rows) for rows in groups.values()]


def import_logits(
    *,
    files: Mapping[str, str | Path],
    outputs: Mapping[str, str | Path],
    facts: Mapping[str, object],
    kind: str = "logits",
    fields: Mapping[str, str | Sequence[str]] | None = None,
    labels_files: Mapping[str, str | Path] | None = None,
    val_share: float | None = None,
    val_seed: int = 0,
) -> None:
    """Write the logit caches of a model that ran elsewhere.

    Parameters
    ----------
    files
        `test`, and perhaps `val` and `shift`, to files of logits or probabilities:

        * `.npz`: an array (n, C), arrays of labels and, if you like, ids;
        * `.npy`: an array (n, C); needs `labels_files`;
        * `.csv`: one column per class, named with 0, 1, 2 … at the end, and columns of labels
          and so on; or C columns without names and `labels_files`;
        * `.parquet`: a column of lists or one column per class; or our own logit cache.
    outputs
        `val`, `test` and `shift` to the Parquet files to write. Without a shift set that file
        has no rows.
    facts
        Key-value metadata of every file, such as dataset, model, recipe and seed. Added are
        `split`, the class count, `imported_from`, `imported_kind` and the file's SHA-256, and
        how `val` was drawn.
    kind
        `logits` (-inf marks an absent option), or `probabilities`, whose logarithms are cached: a
        probability of 0 becomes the smallest positive float32 (see `import_checks.Values`).
    fields
        What the files call `values`, `labels`, `ids`, `corruption` and `severity`, where it is
        none of `import_formats.DEFAULT_NAMES`.
    labels_files
        By split, files that hold the labels (and perhaps ids, corruptions, severities): any of
        the formats above. Joined by id if both files have ids, else by position.
    val_share
        Share of `test` that becomes `val` where there is no `val` file: a stratified draw that
        depends on ids, labels and `val_seed` only, and so is the same for all models of a
        dataset. Its samples are left out of the shift set, too.
    val_seed
        Of that draw.

    Notes
    -----
    Rows without ids are called by their number: `row_0000123`, in a `val` file `val_row_0000123`.
    In a shift set rows are numbered within each corruption and severity; if every one of these
    has the labels of the test file, row by row, they are its samples under its ids, else
    `shift_row_0000123`. A shift set without corruption and severity is one cell, `shift` at 1.

    The memory needed is that of one split in float32 and of what `write_logits` needs, and for
    .npz that of the stored array if its type is another.

    Raises
    ------
    SidekickError
        If a file is missing or unreadable, a column is not there, or values break the contract:
        NaN or infinite values, probabilities that do not sum to 1, logits that look like
        probabilities or the other way round, labels that are not whole, out of range or count
        from 1, ids that occur twice or in both `val` and `test`, columns or files that do not
        match. The message names the file, the row and the value.
    """
    _check_request(files, outputs, kind, fields, labels_files, val_share)
    job = _Import(files, kind, fields or {}, labels_files or {})
    origin = {"imported_kind": kind}
    if val_share is not None:
        origin |= {"val_share": val_share, "val_seed": val_seed}

    def write(name: str, split: _Split, source: str) -> None:
        path = files[source]
        own = {
            "imported_from": Path(path).name,
            "imported_checksum": file_checksum(Path(path), "sha256"),
        }
        write_logits(
            outputs[name],
            split.ids,
            split.labels,
            split.values,
            {**facts, **origin, **own, "split": name},
            corruption=split.corruption,
            severity=split.severity,
        )
        _log.info("%s: %d samples, %d classes", name, len(split.labels), split.classes)

    test = job.read("test")
    test_labels, test_ids = test.labels, test.ids
    drawn = None
    if val_share is not None:
        drawn = _draw_val(test, val_share, val_seed)
        write("val", test.take(drawn), "test")
        test = test.take(~drawn)
    write("test", test, "test")
    empty = test.take(np.zeros(len(test.labels), dtype=bool))
    del test
    if "val" in files:
        val = job.read("val")
        _check_disjoint(val, test_ids, files["test"])
        write("val", val, "val")
        del val
    if "shift" in files:
        shift = _name_shift(job.read("shift"), test_ids, test_labels)
        if drawn is not None:
            shift = shift.take(~np.isin(shift.ids.astype(np.str_), test_ids[drawn].astype(np.str_)))
            if not len(shift.labels):
                raise SidekickError(f"{shift.source}: all its samples are in the drawn val split")
        write("shift", shift, "shift")
    elif "shift" in outputs:
        nothing = np.empty(0, dtype=object), np.empty(0, dtype=np.int8)
        write("shift", replace(empty, corruption=nothing[0], severity=nothing[1]), "test")


class _Import:
    """Reads and checks one split after the other; all must have as many classes."""

    def __init__(self, files, kind, fields, labels_files):
        self._files, self._kind, self._fields = files, kind, fields
        self._labels_files = labels_files
        self._classes: tuple[int, str] | None = None

    def read(self, name: str) -> _Split:
        """Give a split; its ids may be missing in a shift set only."""
        path = self._files[name]
        labels_path = self._labels_files.get(name, path)
        foreign = self._read_cache(path) or self._read_values(path, strict=labels_path == path)
        self._check_classes(foreign)
        if labels_path != path:
            self._add_columns(foreign, labels_path)
        columns, rows = foreign.columns, len(foreign.values)
        if "labels" not in columns:
            raise SidekickError(
                f"{path}: no labels; say what they are called (`labels`), or give a file of labels"
            )
        for key, column in columns.items():
            if len(column) != rows:
                raise SidekickError(f"{path}: {len(column)} {key}, but {rows} rows of values")
        labels = checks.check_labels(labels_path, columns["labels"], foreign.values.shape[1])
        checks.check_present(path, foreign.values, labels)
        if self._values is not None:
            self._values.finish(foreign.values, labels)
        ids = columns.get("ids")
        corruption = severity = None
        if name == "shift":
            corruption, severity = _cells(path, columns, rows)
        elif ids is None:
            prefix = "val_row" if name == "val" else "row"
            ids = _numbered(prefix, np.arange(rows))
        if ids is not None:
            checks.check_unique(path, ids, corruption, severity)
        return _Split(str(path), ids, labels, foreign.values, corruption, severity)

    def _read_values(self, path: str | Path, *, strict: bool) -> Foreign:
        self._values = checks.Values(path, self._kind)
        foreign = read_foreign(path, Request(self._fields, self._kind, self._values, strict))
        foreign.columns = _as_text(path, foreign.columns)
        if not len(foreign.values):
            raise SidekickError(f"{path}: it has no rows")
        return foreign

    def _read_cache(self, path: str | Path) -> Foreign | None:
        """Read one of our own logit caches, which is checked already; None if it is no such."""
        self._values = None
        if Path(path).suffix.lower() != ".parquet" or self._fields or not _is_cache(path):
            return None
        if self._kind != "logits":
            raise SidekickError(f"{path}: a logit cache; say `kind: logits`")
        cache = read_logits(path)
        # Double precision, so that the same centred values come out again.
        values = cache.logits.astype(np.float64)
        values += cache.logit_max[:, None]
        columns = {"labels": cache.labels, "ids": cache.sample_ids}
        if cache.corruption is not None:
            columns |= {"corruption": cache.corruption, "severity": cache.severity}
        return Foreign(str(path), values, columns)

    def _add_columns(self, foreign: Foreign, path: str | Path) -> None:
        """Take what a file of labels holds; what both files hold must agree."""
        other = read_foreign(path, Request(self._fields, self._kind, None, strict=False))
        if "labels" not in other.columns:
            raise SidekickError(f"{path}: no labels; call their column `labels`")
        own, added = foreign.columns, _as_text(path, other.columns)
        rows = len(foreign.values)
        if "ids" in own and "ids" in added:
            order = _positions(path, added["ids"], own["ids"], foreign.source)
            added = {key: column[order] for key, column in added.items()}
        for key, column in added.items():
            if len(column) != rows:
                raise SidekickError(
                    f"{path}: {len(column)} {key}; {foreign.source} has {rows} rows"
                )
        for key in own.keys() & added.keys():
            different = np.flatnonzero(own[key] != added[key])
            if different.size:
                row = different[0]
                raise SidekickError(
                    f"{foreign.source} and {path}: {key} of row {row} are {own[key][row]!r} and "
                    f"{added[key][row]!r}"
                )
        own |= added
        for key in self._fields.keys() - own.keys() - {"values"}:
            raise SidekickError(
                f"{foreign.source} and {path}: neither has a column {self._fields[key]!r} ({key})"
            )

    def _check_classes(self, foreign: Foreign) -> None:
        classes = foreign.values.shape[1]
        if classes < 2:
            raise SidekickError(
                f"{foreign.source}: {classes} value per row; expected one per class, 2 at least"
            )
        known, source = self._classes or (classes, foreign.source)
        if known != classes:
            raise SidekickError(
                f"{foreign.source}: {classes} values per row, but {source} has {known}"
            )
        self._classes = known, source


def _check_request(files, outputs, kind, fields, labels_files, val_share) -> None:
    if kind not in checks.KINDS:
        raise SidekickError(f"kind: {kind!r}; allowed are {', '.join(checks.KINDS)}")
    for key, given, allowed in (
        ("files", files, SPLITS),
        ("labels_files", labels_files or {}, tuple(files)),
        ("fields", fields or {}, FIELDS),
    ):
        if unknown := sorted(set(given) - set(allowed)):
            raise SidekickError(f"{key}: {unknown}; allowed are {', '.join(sorted(allowed))}")
    if "test" not in files:
        raise SidekickError(f"files: {sorted(files)}; `test` is missing")
    if missing := sorted((set(files) | {"val", "test"}) - set(outputs)):
        raise SidekickError(f"outputs: {sorted(outputs)}; {missing} are missing")
    if ("val" in files) == (val_share is not None):
        raise SidekickError(
            f"val_share: {val_share}; expected a share of `test` if, and only if, there is no file "
            "of `val`: something has to be tuned on, and never on test"
        )
    if val_share is not None and not 0 < val_share < 1:
        raise SidekickError(f"val_share: {val_share}; allowed are shares above 0 and below 1")
    by_path: dict[Path, str] = {}
    for split, path in files.items():
        if (other := by_path.setdefault(Path(path).resolve(), split)) != split:
            raise SidekickError(f"files: {other} and {split} are both {path}")


def _is_cache(path: str | Path) -> bool:
    """Say whether a Parquet file has the columns of a logit cache; leave errors to the reader."""
    try:
        names = set(pq.read_schema(path).names)
    except (OSError, ValueError):
        return False
    return names >= {"sample_id", "label", "logits", "logit_max"}


def _as_text(path: str | Path, columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Give ids and corruptions as object arrays of strings, whatever they are stored as."""
    converted = dict(columns)
    for key in ("ids", "corruption"):
        if key not in columns:
            continue
        column = np.asarray(columns[key])
        if column.ndim != 1 or column.dtype.kind not in "OUSiu":
            raise SidekickError(
                f"{path}: {key} of shape {column.shape} and type {column.dtype}; expected one "
                "text or whole number per row"
            )
        texts = np.char.decode(column, "utf-8") if column.dtype.kind == "S" else column
        converted[key] = np.array([str(text) for text in texts.tolist()], dtype=object)
    return converted


def _cells(path, columns, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Give corruption and severity of a shift set."""
    if ("corruption" in columns) != ("severity" in columns):
        raise SidekickError(f"{path}: corruption and severity go together; one of them is missing")
    if "corruption" not in columns:
        name, severity = UNNAMED_SHIFT
        return np.full(rows, name, dtype=object), np.full(rows, severity, dtype=np.int8)
    corruption = columns["corruption"]
    if "mean" in corruption:
        row = corruption.tolist().index("mean")
        raise SidekickError(
            f"{path}: row {row}: corruption 'mean' is what the leaderboard calls the average; "
            "give it another name"
        )
    return corruption, checks.check_severity(path, columns["severity"])


def _numbered(prefix: str, numbers: np.ndarray) -> np.ndarray:
    return np.array([f"{prefix}_{number:07d}" for number in numbers], dtype=object)


def _name_shift(shift: _Split, test_ids: np.ndarray, test_labels: np.ndarray) -> _Split:
    """Give a shift set ids if it has none; all its cells must hold the same samples."""
    cells = shift.cells()
    if shift.ids is None:
        aligned = all(
            len(rows) == len(test_labels) and np.array_equal(shift.labels[rows], test_labels)
            for rows in cells
        )
        ids = np.empty(len(shift.labels), dtype=object)
        for rows in cells:
            own = np.arange(len(rows))
            ids[rows] = test_ids[own] if aligned else _numbered("shift_row", own)
        _log.info(
            "%s: %s",
            shift.source,
            "its rows are those of the test file" if aligned else "its rows are samples of its own",
        )
        shift = replace(shift, ids=ids)
    first = set(shift.ids[cells[0]])
    for rows in cells[1:]:
        if other := first.symmetric_difference(shift.ids[rows]):
            here, there = (
                f"({shift.corruption[cell[0]]}, severity {shift.severity[cell[0]]})"
                for cell in (rows, cells[0])
            )
            raise SidekickError(
                f"{shift.source}: {here} and {there} hold different samples: {min(other)!r} is in "
                "one only"
            )
    return shift


def _draw_val(test: _Split, share: float, seed: int) -> np.ndarray:
    size = round(share * len(test.labels))
    if not 0 < size < len(test.labels):
        raise SidekickError(
            f"val_share: {share} of the {len(test.labels)} rows of {test.source} leaves val or "
            "test empty"
        )
    return stratified_draw(test.ids, test.labels, size, f"imported val {seed}")


def _check_disjoint(val: _Split, test_ids: np.ndarray, test_path: str | Path) -> None:
    known = set(test_ids)
    for row, sample_id in enumerate(val.ids):
        if sample_id in known:
            raise SidekickError(
                f"{val.source}: row {row}: id {sample_id!r} is in {test_path}, too; nothing may be "
                "tuned on test samples"
            )


def _positions(
    path: str | Path, ids: np.ndarray, wanted: np.ndarray, other: str | Path
) -> np.ndarray:
    """Give where the wanted ids stand among `ids`."""
    if np.array_equal(ids, wanted):
        return np.arange(len(ids))
    checks.check_unique(path, ids)
    position = {sample_id: row for row, sample_id in enumerate(ids)}
    for row, sample_id in enumerate(wanted):
        if sample_id not in position:
            raise SidekickError(f"{path}: no id {sample_id!r}, which is row {row} of {other}")
    return np.array([position[sample_id] for sample_id in wanted])
