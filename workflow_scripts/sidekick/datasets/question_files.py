"""Find and read the Parquet files of a text dataset, row by row, believing nothing of them."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from sidekick.datasets.hashing import keyed_hash
from sidekick.datasets.questions import Question
from sidekick.datasets.samples import safe_id
from sidekick.datasets.sources import TextDataset
from sidekick.errors import SidekickError

#: Far beyond any question of a benchmark, with its passage; in characters.
LARGEST_TEXT = 100_000
#: Far beyond any file of a benchmark, in bytes when unpacked: small files may claim any size.
LARGEST_FILE = 2**31
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_ROWS_AT_ONCE = 1024


class BadRow(Exception):
    """What is wrong with a row; whoever reads the file adds its name and the row's number."""


class ContentIds:
    """Makes ids of questions that have none, whatever order they come in.

    Questions whose contents agree cannot be told apart; they are numbered.
    """

    def __init__(self):
        self._times: Counter[str] = Counter()

    def __call__(self, prefix: str, *content: object) -> str:
        """Give the id of a question: the prefix, and a hash of all that makes it up."""
        digest = keyed_hash(json.dumps(content), "question", 8).hex()
        identity = safe_id(f"{prefix}_{digest}")
        self._times[identity] += 1
        times = self._times[identity]
        return identity if times == 1 else f"{identity}-{times}"


def find_files(dataset: TextDataset, paths: Sequence[Path]) -> dict[str, Path]:
    """Give the files of a dataset that are there, by name.

    Parameters
    ----------
    dataset
        Whose files they are.
    paths
        All of them as they were downloaded; or one folder in the hub's layout, of the files or
        of the whole repository, which may lack some.

    Raises
    ------
    SidekickError
        If there is no such file.
    """
    names = [file.name for file in dataset.files]
    if len(paths) == 1 and paths[0].is_dir():
        folder = paths[0]
        if (folder / dataset.folder).is_dir():
            folder /= dataset.folder
        found = {name: folder / name for name in names if (folder / name).is_file()}
        if not found:
            raise SidekickError(
                f"{folder}: none of the files of {dataset.name} is here; expected "
                f"{', '.join(names)}, as in {dataset.folder}/ of {dataset.homepage}"
            )
        return found
    found = {path.name: path for path in paths}
    if sorted(found) != sorted(names) or len(paths) != len(names):
        raise SidekickError(
            f"{dataset.name}: the files {', '.join(map(str, paths)) or 'none'} are given; expected "
            f"{', '.join(names)}, or one folder that holds them"
        )
    return found


def read_files(
    files: Mapping[str, Path],
    columns: Mapping[str, Callable[[pa.DataType], bool]],
    parse: Callable[[dict, str], Question],
) -> list[Question]:
    """Read the questions of all parts, in the order of the files.

    Parameters
    ----------
    files
        The file of each part.
    columns
        The columns that are read, and whether a type is right for one.
    parse
        Makes a question of a row and its part, or raises `BadRow`.

    Raises
    ------
    SidekickError
        If a file is damaged or of another kind, or for a row that is refused; with file and row,
        counted from 0.
    """
    questions = []
    for part, path in files.items():
        for row, values in enumerate(_rows(path, columns)):
            try:
                questions.append(parse(values, part))
            except BadRow as problem:
                raise SidekickError(f"{path}: row {row}: {problem}") from None
    return questions


def is_text(kind: pa.DataType) -> bool:
    """Say whether a column holds texts."""
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def is_texts(kind: pa.DataType) -> bool:
    """Say whether a column holds lists of texts."""
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    return is_list and is_text(kind.value_type)


def text(value: object, name: str) -> str:
    """Give a text as it is, once it is known to be one.

    Raises
    ------
    BadRow
        If it is null, blank or too long.
    """
    if value is None:
        raise BadRow(f"its {name} is null")
    if not value.strip():
        raise BadRow(f"its {name} is empty")
    return limited(value, name)


def limited(value: str, name: str) -> str:
    """Refuse a text of unreasonable length."""
    if len(value) > LARGEST_TEXT:
        raise BadRow(
            f"its {name} has {len(value)} characters; no more than {LARGEST_TEXT} are read"
        )
    return value


def options(values: Sequence[str | None] | None) -> tuple[str, ...]:
    """Give the options of a question as they are; one that is blank is the benchmark's own.

    Raises
    ------
    BadRow
        If there are too few or too many, or one is null or too long.
    """
    if values is None or any(value is None for value in values):
        raise BadRow("an option, or the list of them, is null")
    if not 2 <= len(values) <= len(LETTERS):
        raise BadRow(f"it has {len(values)} options; expected 2 to {len(LETTERS)}")
    return tuple(limited(value, "option") for value in values)


def identifier(value: object) -> str:
    """Give a source's own id of a question, with the characters of ours."""
    return safe_id(text(value, "id"))


def _rows(path: Path, columns: Mapping[str, Callable[[pa.DataType], bool]]) -> Iterator[dict]:
    row = 0
    try:
        with pq.ParquetFile(path) as file:
            _check_file(file, columns, path)
            for batch in file.iter_batches(_ROWS_AT_ONCE, columns=list(columns)):
                batch.validate(full=True)
                yield from batch.to_pylist()
                row += len(batch)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise SidekickError(
            f"{path}: not a readable Parquet file, in or after row {row} ({error}). Get it anew"
        ) from None


def _check_file(
    file: pq.ParquetFile, columns: Mapping[str, Callable[[pa.DataType], bool]], path: Path
) -> None:
    schema = file.schema_arrow
    if missing := [name for name in columns if name not in schema.names]:
        raise SidekickError(
            f"{path}: no column {', '.join(missing)}; it has {', '.join(schema.names)}. Is it "
            "another dataset's file?"
        )
    for name, is_right in columns.items():
        if not is_right(schema.field(name).type):
            raise SidekickError(f"{path}: column {name} is of type {schema.field(name).type}")
    groups = range(file.metadata.num_row_groups)
    size = sum(file.metadata.row_group(group).total_byte_size for group in groups)
    if size > LARGEST_FILE:
        raise SidekickError(f"{path}: {size} bytes when unpacked; refused above {LARGEST_FILE}")
