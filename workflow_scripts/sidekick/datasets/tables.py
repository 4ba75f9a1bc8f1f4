"""Write tables of images that do not fit into memory."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from sidekick.artifacts import seal, table_metadata
from sidekick.disk import full_disk_named

#: Bytes of images, and rows, that close a row group: what a reader holds at a time.
GROUP_BYTES = 32 * 2**20
GROUP_ROWS = 2**16

_FIELDS = {
    "sample_id": pa.string(),
    "image": pa.binary(),
    "label": pa.int32(),
    "part": pa.string(),
    "corruption": pa.string(),
    "severity": pa.int8(),
}
#: Of samples and of corrupted samples.
SAMPLE_COLUMNS = ("sample_id", "image", "label", "part")
SHIFT_COLUMNS = ("sample_id", "image", "label", "corruption", "severity")


class ImageTable:
    """A Parquet file that grows row by row; rows in memory are those of one row group.

    Made by `image_table`.
    """

    def __init__(self, writer: pq.ParquetWriter, columns: tuple[str, ...]):
        self._writer = writer
        self._columns = columns
        self._rows: list[tuple] = []
        self._bytes = 0
        self._image = columns.index("image")

    def append(self, *row: object) -> None:
        """Add a row: its values in the order of the columns."""
        self._rows.append(row)
        self._bytes += len(row[self._image])
        if self._bytes >= GROUP_BYTES or len(self._rows) >= GROUP_ROWS:
            self.flush()

    def flush(self) -> None:
        """Write what is in memory as a row group, if there is anything."""
        if not self._rows:
            return
        values = zip(*self._rows, strict=True)
        arrays = [
            pa.array(column, _FIELDS[name])
            for name, column in zip(self._columns, values, strict=True)
        ]
        self._rows, self._bytes = [], 0
        schema = self._writer.schema
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=schema))


@contextmanager
def image_table(
    path: str | Path,
    columns: tuple[str, ...],
    facts: Mapping[str, object],
    *,
    encoded: bool,
    shown_as: str | Path,
) -> Iterator[ImageTable]:
    """Write a table of images to `path`, complete and sealed when the block ends.

    Parameters
    ----------
    path
        A temporary file, which the caller moves to its place.
    columns
        `SAMPLE_COLUMNS` or `SHIFT_COLUMNS`.
    facts
        Key-value metadata, to which the software's versions are added.
    encoded
        Whether images are compressed files already.
    shown_as
        The file's final path, for messages.

    Raises
    ------
    SidekickError
        If the disk is full.
    """
    compression = dict.fromkeys(columns, "zstd")
    if encoded:
        compression["image"] = "none"
    advice = "Nothing was kept: make room and start the run again"
    with full_disk_named(shown_as, advice):
        with pq.ParquetWriter(
            path,
            pa.schema([(name, _FIELDS[name]) for name in columns], metadata=table_metadata(facts)),
            compression=compression,
            compression_level={name: 1 for name in columns if compression[name] == "zstd"},
            use_dictionary=[name for name in columns if name not in ("sample_id", "image")],
            write_statistics=[name for name in columns if name != "image"],
            write_page_checksum=True,
        ) as writer:
            table = ImageTable(writer, columns)
            yield table
            table.flush()
        seal(Path(path))
