"""Artifacts on disk: written whole or not at all, and able to say where they came from."""

import hashlib
import json
import os
import platform
import subprocess
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib import metadata
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sidekick import __version__, run_marks
from sidekick.disk import full_disk_named, refusal_named
from sidekick.errors import SidekickError

_SEAL = b"SKF1"
_DIGEST_KEY = "sha256"
_REPEAT = "Delete it and start the run again: its job is then repeated"


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path` that replaces it when the block ends well.

    A killed process leaves at most a hidden temporary file, never a half-written `path`; the
    name is unique, so that a process that outlived its killed parent does no harm.

    Raises
    ------
    SidekickError
        If the disk is full or the folder cannot be written, or if the run that started this job
        has been superseded; `path` stays as it is.
    """
    path = Path(path)
    advice = "Nothing was kept: make room and start the run again"
    with refusal_named(path.parent), full_disk_named(path, advice):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    os.close(handle)
    temporary = Path(name)
    try:
        with full_disk_named(path, advice):
            yield temporary
            temporary.chmod(0o666 & ~_umask())
            with temporary.open("rb") as stream:
                os.fsync(stream.fileno())
        if run_marks.is_superseded():
            raise SidekickError(f"{path}: {run_marks.SUPERSEDED}")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(content: Mapping[str, object], path: str | Path) -> None:
    """Write `content` as indented JSON with sorted keys and a digest."""
    text = json.dumps(with_digest(content), indent=1, sort_keys=True) + "\n"
    with atomic_path(path) as temporary:
        temporary.write_text(text)


def read_json(path: str | Path) -> dict:
    """Read a JSON artifact, verifying its digest.

    Raises
    ------
    SidekickError
        If the file is missing, damaged or no JSON object; the message names it.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SidekickError(f"{path}: no such file") from None
    except OSError as error:
        raise SidekickError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise SidekickError(f"{path}: not a JSON file ({error}). {_REPEAT}") from None
    if not isinstance(content, dict):
        raise SidekickError(f"{path}: holds a {type(content).__name__}, not keys. {_REPEAT}")
    return without_digest(content, path)


def with_digest(content: Mapping[str, object]) -> dict[str, object]:
    """Add to what will be JSON a digest of all of it."""
    return {**content, _DIGEST_KEY: _json_digest(content)}


def without_digest(content: Mapping[str, object], path: str | Path) -> dict[str, object]:
    """Take off, and verify, what `with_digest` added; content from elsewhere has none.

    Raises
    ------
    SidekickError
        If the content is not what was written to `path`.
    """
    rest = {key: value for key, value in content.items() if key != _DIGEST_KEY}
    if content.get(_DIGEST_KEY, digest := _json_digest(rest)) != digest:
        raise SidekickError(f"{path}: its content is not what was written. {_REPEAT}")
    return rest


def _json_digest(content: Mapping[str, object]) -> str:
    # Keys are sorted as JSON has them: as text, which in Python they need not be.
    plain = json.loads(json.dumps(content))
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def write_table(
    table: pa.Table,
    path: str | Path,
    facts: Mapping[str, object],
    *,
    dictionary: bool | Iterable[str] = False,
    byte_stream_split: Iterable[str] | None = None,
) -> None:
    """Write a Parquet file (zstd level 1) that carries `facts` and the software's versions.

    Parameters
    ----------
    table
        What to write.
    path
        Where; replaced when the file is complete.
    facts
        Key-value metadata. Values other than strings are stored as JSON.
    dictionary
        Columns to dictionary-encode.
    byte_stream_split
        Floating-point leaf columns to split into byte streams (much smaller for logits).
    """
    write_tables([table], path, facts, dictionary=dictionary, byte_stream_split=byte_stream_split)


def write_tables(
    tables: Iterable[pa.Table],
    path: str | Path,
    facts: Mapping[str, object],
    *,
    dictionary: bool | Iterable[str] = False,
    byte_stream_split: Iterable[str] | None = None,
) -> None:
    """Write one Parquet file from parts, of which only one need be held at a time.

    Parameters
    ----------
    tables
        At least one, all with the same columns. Each becomes a row group.
    path, facts, dictionary, byte_stream_split
        As for `write_table`.
    """
    tables = iter(tables)
    first = next(tables)
    with atomic_path(path) as temporary:
        with pq.ParquetWriter(
            temporary,
            first.schema.with_metadata(table_metadata(facts)),
            compression="zstd",
            compression_level=1,
            use_dictionary=dictionary if isinstance(dictionary, bool) else list(dictionary),
            use_byte_stream_split=list(byte_stream_split) if byte_stream_split else False,
            write_page_checksum=True,
        ) as writer:
            for table in chain([first], tables):
                writer.write_table(table)
        seal(temporary)


def table_metadata(facts: Mapping[str, object]) -> dict[str, str]:
    """Give the key-value metadata of a Parquet artifact: `facts` and the software's versions."""
    return {key: _text(value) for key, value in {**facts, **software()}.items()}


def seal(path: Path) -> None:
    """Put a checksum of the footer in front of it, where Parquet readers do not look.

    Parquet has checksums for its pages only: a flipped bit of the footer could drop rows or change
    what the file says about its origin.
    """
    with path.open("r+b") as file:
        start, footer = _footer(file)
        file.seek(start)
        file.write(_SEAL + zlib.crc32(footer).to_bytes(4, "little") + footer)


def read_table(path: str | Path, columns: list[str] | None = None) -> pa.Table:
    """Read a Parquet artifact, verifying its checksums.

    Raises
    ------
    SidekickError
        If the file is missing, truncated, damaged or lacks a column; the message names it.
    """
    with _readable(path), pq.ParquetFile(path, page_checksum_verification=True) as file:
        _require_columns(file, path, columns)
        return file.read(columns=columns)


def read_row_groups(
    path: str | Path, columns: list[str], rows: np.ndarray | None = None
) -> Iterator[pa.Table]:
    """Read a Parquet artifact one row group at a time, verifying its checksums.

    Parameters
    ----------
    path, columns
        As for `read_table`.
    rows
        For each row of the file whether it is wanted; all are unless given. Row groups without
        any such row are not read.

    Yields
    ------
    pyarrow.Table
        The wanted rows of one row group, in the order of the file.

    Raises
    ------
    SidekickError
        As `read_table`, when the damaged part is reached.
    """
    with _readable(path), pq.ParquetFile(path, page_checksum_verification=True) as file:
        _require_columns(file, path, columns)
        first = 0
        for group in range(file.num_row_groups):
            last = first + file.metadata.row_group(group).num_rows
            wanted = None if rows is None else rows[first:last]
            first = last
            if wanted is None:
                yield file.read_row_group(group, columns=columns)
            elif wanted.any():
                yield file.read_row_group(group, columns=columns).filter(pa.array(wanted))


def _require_columns(file: pq.ParquetFile, path: str | Path, columns: list[str] | None) -> None:
    missing = set(columns or ()) - set(file.schema_arrow.names)
    if missing:
        raise SidekickError(
            f"{path}: no column {sorted(missing)}; it has {file.schema_arrow.names}"
        )


def read_facts(path: str | Path) -> dict[str, str]:
    """Read the key-value metadata of a Parquet artifact.

    Raises
    ------
    SidekickError
        If the file is missing, truncated or damaged; the message names it.
    """
    with _readable(path):
        raw = pq.read_schema(path).metadata or {}
        facts = {key.decode(): value.decode() for key, value in raw.items()}
    return {key: value for key, value in facts.items() if key != "ARROW:schema"}


@contextmanager
def _readable(path: str | Path) -> Iterator[None]:
    """Turn whatever a missing or damaged file causes into the error that names it."""
    try:
        _check_seal(path)
        yield
    except FileNotFoundError:
        raise SidekickError(f"{path}: no such file") from None
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise SidekickError(f"{path}: not a readable Parquet file ({error}). {_REPEAT}") from None


def _check_seal(path: str | Path) -> None:
    """Refuse a footer that is not as it was written; files from elsewhere have no seal."""
    with open(path, "rb") as file:
        start, footer = _footer(file)
        file.seek(max(start - 8, 0))
        mark, checksum = file.read(4), file.read(4)
    if mark == _SEAL and int.from_bytes(checksum, "little") != zlib.crc32(footer):
        raise OSError("its footer is not the one that was written")


def _footer(file: BinaryIO) -> tuple[int, bytes]:
    """Give where a Parquet file's footer starts, and the footer to the end of the file."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(size - 8, 0))
    start = max(size - 8 - int.from_bytes(file.read(4), "little"), 0)
    file.seek(start)
    return start, file.read()


@cache
def software() -> dict[str, str]:
    """Give the versions that an artifact records: ours, the libraries' and the git revision."""
    names = ("numpy", "pyarrow", "polars", "torch", "timm", "transformers", "snakemake")
    versions = {"sidekick": __version__, "python": platform.python_version()}
    for name in names:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {"software": json.dumps(versions, sort_keys=True), "git_revision": _git_revision()}


def _git_revision() -> str:
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
