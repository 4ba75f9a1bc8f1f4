"""Read foreign files of logits or probabilities: npz, npy, csv and Parquet (no pickles)."""

import csv
import re
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from sidekick.errors import SidekickError

# What columns are called where the config does not say; of several, the first that is there.
DEFAULT_NAMES: Mapping[str, Sequence[str]] = {
    "logits": ("logits", "predictions", "outputs", "probabilities", "probs", "softmax"),
    "probabilities": ("probabilities", "probs", "softmax", "predictions", "outputs", "logits"),
    "labels": ("labels", "ground_truth", "label", "target", "targets", "y_true", "y"),
    "ids": ("sample_id", "ids", "id", "sample_ids"),
    "corruption": ("corruption",),
    "severity": ("severity",),
}
FIELDS = ("values", "labels", "ids", "corruption", "severity")
_SIDE = FIELDS[1:]
_TEXT = ("ids", "corruption")
# Of one block: its copies in double precision take 2 MB each.
_BLOCK_ELEMENTS = 1 << 18

# From a block's first row and its (n, C) values of any type to (n, C) float32.
Convert = Callable[[int, np.ndarray], np.ndarray]


@dataclass
class Foreign:
    """The columns of a foreign file.

    Attributes
    ----------
    source
        The file.
    values
        (n, C) float32, or None where they were not asked for.
    columns
        `labels`, `ids`, `corruption`, `severity`: (n,) arrays, those that the file has. Ids and
        corruptions are object arrays of strings.
    """

    source: str
    values: np.ndarray | None = None
    columns: dict[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    """What to read from a file.

    Attributes
    ----------
    names
        For some of `FIELDS` what the file calls them. `values` may be a list of columns, one per
        class, or the prefix that such columns share.
    kind
        `logits` or `probabilities`: decides which column is taken where both are there.
    convert
        Applied to the values block by block; None leaves the values out.
    strict
        Whether a named column (of labels, ids and so on) that is not there is an error; it is
        none where another file may have it.
    """

    names: Mapping[str, str | Sequence[str]]
    kind: str
    convert: Convert | None
    strict: bool = True


def read_foreign(path: str | Path, request: Request) -> Foreign:
    """Read a file, by its ending.

    Raises
    ------
    SidekickError
        If the file is missing, unreadable, holds pickled objects, has an unknown ending, lacks a
        column that was named, or its values are not rows of numbers of one length.
    """
    path = Path(path)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise SidekickError(
            f"{path}: unknown ending {path.suffix!r}; allowed are {', '.join(_READERS)}"
        )
    try:
        return reader(path, request)
    except FileNotFoundError:
        raise SidekickError(f"{path}: no such file") from None
    except (pa.ArrowException, OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise SidekickError(f"{path}: cannot be read ({error})") from None


# --------------------------------------------------------------------------------- npz and npy


def _read_npz(path: Path, request: Request) -> Foreign:
    with _open_numpy(path, mmap_mode=None) as file:
        if not hasattr(file, "files"):
            raise SidekickError(f"{path}: one array, not an archive; call it .npy")
        names = _side_names(path, request, file.files)
        foreign = Foreign(str(path))
        for key, name in names.items():
            foreign.columns[key] = _array(path, file, name)
        if request.convert is not None:
            name = _value_array(path, request, [n for n in file.files if n not in names.values()])
            foreign.values = _convert_array(path, name, _array(path, file, name), request.convert)
    return foreign


def _read_npy(path: Path, request: Request) -> Foreign:
    """Read one array: the values, or (in a file of labels) the labels."""
    if request.names.get("values") and request.convert is not None:
        raise SidekickError(
            f"{path}: no column {request.names['values']!r}; an .npy file holds one array, "
            "without a name"
        )
    array = _open_numpy(path, mmap_mode="r")
    if not isinstance(array, np.ndarray):
        raise SidekickError(f"{path}: an archive of arrays; call it .npz")
    if request.convert is None:
        return Foreign(str(path), columns={"labels": np.array(array)})
    return Foreign(str(path), _convert_array(path, "the array", array, request.convert))


def _open_numpy(path: Path, mmap_mode: str | None):
    try:
        return np.load(path, allow_pickle=False, mmap_mode=mmap_mode)
    except (ValueError, zipfile.BadZipFile) as error:
        raise SidekickError(f"{path}: not a plain NumPy file ({error})") from None


def _array(path: Path, file: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    try:
        return file[name]
    except Exception as error:  # zipfile and zlib have errors of their own
        raise SidekickError(f"{path}: array {name!r} cannot be read ({error})") from None


def _convert_array(path: Path, name: str, array: np.ndarray, convert: Convert) -> np.ndarray:
    """Convert blocks of rows; float32 arrays that are ours to change are converted in place."""
    if array.ndim != 2 or not np.issubdtype(array.dtype, np.number) or np.iscomplexobj(array):
        raise SidekickError(
            f"{path}: {name} has shape {array.shape} and type {array.dtype}; expected numbers in "
            "(rows, classes)"
        )
    mine = array.dtype == np.float32 and array.flags.writeable
    out = array if mine else np.empty(array.shape, dtype=np.float32)
    step = _block_rows(array.shape[1])
    for first in range(0, len(array), step):
        out[first : first + step] = convert(first, array[first : first + step])
    return out


def _value_array(path: Path, request: Request, available: Sequence[str]) -> str:
    given = request.names.get("values")
    if given is not None and not isinstance(given, str):
        raise SidekickError(f"{path}: values {list(given)}; an archive has them in one array")
    if given is not None:
        return _named(path, "values", given, available)
    for name in DEFAULT_NAMES[request.kind]:
        if name in available:
            return name
    if len(available) == 1:
        return available[0]
    raise SidekickError(
        f"{path}: which array holds the {request.kind}? Name it as `values`; it has "
        f"{sorted(available)}"
    )


# ------------------------------------------------------------------------------------------ csv


def _read_csv(path: Path, request: Request) -> Foreign:
    names, header = _csv_names(path)
    sides = _side_names(path, request, names) if header else {}
    if request.convert is None and not header:
        if len(names) != 1:
            raise SidekickError(f"{path}: {len(names)} columns without names; expected labels only")
        sides = {"labels": names[0]}
    values = _value_columns(path, request, names, sides, header)
    types = {name: pa.string() if key in _TEXT else pa.float64() for key, name in sides.items()}
    types |= dict.fromkeys(values, pa.float64())
    reader = pa_csv.open_csv(
        path,
        pa_csv.ReadOptions(
            use_threads=False, block_size=1 << 23, column_names=names, skip_rows=int(header)
        ),
        convert_options=pa_csv.ConvertOptions(
            column_types=types, include_columns=list(types), null_values=["", "NaN", "nan", "NA"]
        ),
    )
    with reader:
        return _gather(path, reader, sides, values, request, rows=None)


def _csv_names(path: Path) -> tuple[list[str], bool]:
    """Give the columns' names, and whether the file states them."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        first = next(csv.reader(file), None)
    if not first:
        raise SidekickError(f"{path}: an empty file")
    numbered = [str(index) for index in range(len(first))]
    # "0,1,2,…" are names; but "0", or "0,1", may as well be the first row of labels or of numbers.
    if all(_is_number(text) for text in first) and (first != numbered or len(first) < 3):
        return numbered, False
    if len(set(first)) < len(first):
        raise SidekickError(f"{path}: a column's name occurs twice in {_some(first)}")
    return first, True


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


# -------------------------------------------------------------------------------------- Parquet


def _read_parquet(path: Path, request: Request) -> Foreign:
    with pq.ParquetFile(path) as file:
        schema = file.schema_arrow
        sides = _side_names(path, request, schema.names)
        values = _parquet_values(path, request, schema, sides)
        columns = [*sides.values(), *values]
        # A list column may be wide: let no batch be larger than a block.
        batches = file.iter_batches(_block_rows(max(len(values), 1000)), columns=columns)
        return _gather(path, batches, sides, values, request, rows=file.metadata.num_rows)


def _parquet_values(path: Path, request: Request, schema: pa.Schema, sides) -> list[str]:
    """Give the one column of lists, or the columns of classes."""
    if request.convert is None:
        return []
    lists = [name for name in schema.names if _is_list(schema.field(name).type)]
    given = request.names.get("values")
    if isinstance(given, str) and given in schema.names:
        return [given]
    if given is None:
        known = [name for name in DEFAULT_NAMES[request.kind] if name in lists]
        if known or len(lists) == 1:
            return [(known or lists)[0]]
    names = [name for name in schema.names if name not in lists]
    return _value_columns(path, request, names, sides, header=True)


def _is_list(kind: pa.DataType) -> bool:
    return (
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )


# --------------------------------------------------------------------------------- both of these


def _gather(
    path: Path,
    batches: Iterable[pa.RecordBatch],
    sides: Mapping[str, str],
    values: Sequence[str],
    request: Request,
    rows: int | None,
) -> Foreign:
    """Collect columns batch by batch, converting values on the way."""
    parts: dict[str, list[np.ndarray]] = {key: [] for key in sides}
    blocks = _Blocks(rows)
    first, width = 0, None
    for batch in batches:
        for key, name in sides.items():
            parts[key].append(_column(path, key, name, batch.column(name), first))
        if values:
            block = _block(path, batch, values, first)
            width = width or block.shape[1]
            if block.shape[1] != width:
                raise SidekickError(
                    f"{path}: row {first}: {block.shape[1]} values; row 0 has {width}"
                )
            blocks.add(first, request.convert(first, block))
        first += len(batch)
    if first == 0:
        raise SidekickError(f"{path}: it has no rows")
    columns = {key: np.concatenate(pieces) for key, pieces in parts.items()}
    return Foreign(str(path), blocks.whole() if values else None, columns)


class _Blocks:
    """Puts blocks of rows together without ever holding all of them twice."""

    def __init__(self, rows: int | None):
        self._rows = rows
        self._parts: list[np.ndarray] = []
        self._out: np.ndarray | None = None

    def add(self, first: int, block: np.ndarray) -> None:
        if self._rows is None:
            self._parts.append(block)
            return
        if self._out is None:
            self._out = np.empty((self._rows, block.shape[1]), dtype=np.float32)
        self._out[first : first + len(block)] = block

    def whole(self) -> np.ndarray:
        if self._out is None:
            rows = sum(map(len, self._parts))
            # Pages of an empty array take memory when they are written, as blocks are let go.
            self._out = np.empty((rows, self._parts[0].shape[1]), dtype=np.float32)
            last = rows
            while self._parts:
                block = self._parts.pop()
                self._out[last - len(block) : last] = block
                last -= len(block)
        return self._out


def _block(path: Path, batch: pa.RecordBatch, values: Sequence[str], first: int) -> np.ndarray:
    if len(values) == 1 and _is_list(batch.column(values[0]).type):
        return _lists(path, values[0], batch.column(values[0]), first)
    columns = [_numbers(path, name, batch.column(name)) for name in values]
    return np.stack(columns, axis=1)


def _lists(path: Path, name: str, column: pa.Array, first: int) -> np.ndarray:
    if column.null_count:
        row = first + column.is_null().to_pylist().index(True)
        raise SidekickError(f"{path}: row {row}: column '{name}' is empty")
    lengths = pc.list_value_length(column).to_numpy(zero_copy_only=False)
    width = int(lengths[0])
    if (lengths != width).any():
        row = int((lengths != width).argmax())
        raise SidekickError(
            f"{path}: row {first + row}: {lengths[row]} values in column '{name}'; row {first} has "
            f"{width}"
        )
    return _numbers(path, name, column.flatten()).reshape(-1, width)


def _numbers(path: Path, name: str, column: pa.Array) -> np.ndarray:
    """Give a column as numbers, nulls as NaN."""
    kind = column.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise SidekickError(f"{path}: column '{name}' holds {kind}, not numbers")
    return column.to_numpy(zero_copy_only=False)


def _column(path: Path, key: str, name: str, column: pa.Array, first: int) -> np.ndarray:
    if column.null_count:
        row = first + column.is_null().to_pylist().index(True)
        raise SidekickError(f"{path}: row {row}: column '{name}' ({key}) is empty")
    if key in _TEXT:
        column = column.cast(pa.string())
    return column.to_numpy(zero_copy_only=False)


def _side_names(path: Path, request: Request, available: Sequence[str]) -> dict[str, str]:
    """Give what the file calls labels, ids and so on; what it does not have is left out."""
    found = {}
    for key in _SIDE:
        given = request.names.get(key)
        if given is not None:
            if request.strict or given in available:
                found[key] = _named(path, key, given, available)
            continue
        name = next((name for name in DEFAULT_NAMES[key] if name in available), None)
        if name is not None and name != request.names.get("values"):
            found[key] = name
    if request.convert is None and "labels" not in found and len(available) == 1:
        found["labels"] = available[0]
    return found


def _named(path: Path, key: str, name: Any, available: Sequence[str]) -> str:
    if name not in available:
        raise SidekickError(f"{path}: no column {name!r} ({key}); it has {_some(available)}")
    return name


def _value_columns(
    path: Path, request: Request, names: Sequence[str], sides: Mapping[str, str], header: bool
) -> list[str]:
    """Give the columns of the classes, in the order of the classes."""
    if request.convert is None:
        return []
    given = request.names.get("values")
    if given is not None and not isinstance(given, str):
        return [_named(path, "values", name, names) for name in given]
    if not header:
        if given is not None:
            raise SidekickError(
                f"{path}: no column {given!r} (values); its first line is numbers, not names"
            )
        return list(names)
    # A nameless column is the index that pandas writes.
    rest = [name for name in names if name and name not in sides.values()]
    if given is not None:
        rest = [name for name in rest if name.startswith(given)]
    series = [re.fullmatch(r"(.*?)(\d+)", name) for name in rest]
    prefixes = {match[1] for match in series if match}
    numbers = sorted(int(match[2]) for match in series if match)
    start = numbers[0] if numbers else 0
    if (
        not rest
        or None in series
        or len(prefixes) != 1
        or start > 1
        or numbers != list(range(start, start + len(rest)))
    ):
        raise SidekickError(
            f"{path}: which columns hold the classes? Besides {sorted(sides.values())} there are "
            f"{_some(rest)}; expected names that end in 0, 1, 2 …, or `values` as a list of "
            "columns or as the prefix that they share"
        )
    return sorted(rest, key=lambda name: int(re.search(r"\d+$", name)[0]))


def _some(names: Sequence[str], limit: int = 12) -> str:
    shown = ", ".join(map(repr, names[:limit]))
    return f"[{shown}]" if len(names) <= limit else f"[{shown}, … {len(names)} in all]"


def _block_rows(classes: int) -> int:
    return max(1, _BLOCK_ELEMENTS // max(classes, 1))


_READERS: Mapping[str, Callable[[Path, Request], Foreign]] = {
    ".npz": _read_npz,
    ".npy": _read_npy,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
}
