"""Prepare an image dataset: its samples, shift set and card once, and the splits of each seed.

Images stream from the archive into the table of samples, and from there, as far as the shift set
needs them, into the shift table. Memory holds one row group (32 MB), the images that are being
decoded, and the ids and labels of all samples; what a dataset's module holds besides is said there.

Measured on 2 cores that other jobs used as well: 12,000 photographs of about Food-101's size (556
MB) took 17 s (33 MB, or 700 images, a second) and the job peaked at 0.42 to 0.46 GB, of which
Python and its packages are 0.15 GB; half as many peaked at 0.39 GB. Decoding is what takes longest,
not the disk: a core's second of work is good for about 40 MB.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sidekick.artifacts import atomic_path, read_row_groups, read_table, write_json
from sidekick.datasets.archives import Archive, open_archive
from sidekick.datasets.cifar_c import PublishedShift
from sidekick.datasets.decoding import decode_rgb
from sidekick.datasets.names import FROST_FILES, SEVERITIES, corruption_names
from sidekick.datasets.provenance import Origin, verify_file, verify_origin
from sidekick.datasets.registry import (
    OVERLAYS,
    Dataset,
    ShiftSource,
    get_shift_source,
)
from sidekick.datasets.samples import Reading
from sidekick.datasets.shifting import Cell, Clean, Corrupted, PixelsOf, generate
from sidekick.datasets.splits import make_splits, stratified_draw
from sidekick.datasets.tables import SAMPLE_COLUMNS, SHIFT_COLUMNS, image_table
from sidekick.datasets.verifying import verified
from sidekick.errors import SidekickError

_logger = logging.getLogger("sidekick.datasets.prepare")

#: The square to which images of varying size are brought before they are corrupted.
DEFAULT_SHIFT_SIZE = 256
_SHIFT_KEYS = ("corruptions", "samples", "severities")
#: Where shift files come from is settled before they are here.
_OPTIONAL_SHIFT_KEYS = ("checksum", "mirror", "path", "size", "source")
_PUBLISHED_CHUNK = 256


def prepare_images(
    dataset: Dataset,
    *,
    facts: Mapping[str, object],
    sizes: Mapping[str, int],
    shift: Mapping[str, object] | None,
    main_metric: str | None,
    archives: Mapping[str, Sequence[Path]],
    checksum: str | None,
    threads: int,
    samples_path: str | Path,
    shift_path: str | Path,
    card_path: str | Path,
) -> None:
    """Write the files of an image dataset that all seeds share.

    Arguments and errors are those of `sidekick.datasets.prepare.prepare_dataset`.
    """
    source = f"dataset {dataset.name}"
    _check_shift(shift, sizes, source)
    published = _published_source(dataset, shift, source)
    frost = _load_frost(shift, archives.get("frost", []), source) if published is None else None
    archive, origin = _open(dataset, archives.get("dataset", []), checksum)
    shift_archive, shift_origin = (
        _open(published, archives.get("shift", []), shift.get("checksum"))
        if published
        else (None, None)
    )
    reading = dataset.load_reader()(archive)
    if origin.registered and len(reading.classes) != dataset.class_count:
        raise SidekickError(
            f"{source}: {len(reading.classes)} classes; expected {dataset.class_count}"
        )
    if len(reading.classes) < 2:
        raise SidekickError(f"{source}: {len(reading.classes)} class; expected at least 2")
    facts = {**facts, "revision": origin.revision, "classes": len(reading.classes)}
    shift_facts = {**facts, "split": "shift"}
    place = str(archive.path) if archive else source
    with (
        atomic_path(samples_path) as samples_file,
        atomic_path(shift_path) as shift_file,
    ):
        with image_table(
            samples_file, SAMPLE_COLUMNS, facts, encoded=reading.encoded, shown_as=samples_path
        ) as table:
            index = _write_samples(reading, table, threads, place)
        _logger.info("%s: %d samples", place, len(index))
        # The test set is the same for every seed; drawing one seed's splits also checks sizes.
        test = _test_rows(index, reading.classes, sizes, source)
        rows = _shift_rows(index, test, shift)
        shape = _shift_shape(index.image_shape, shift)
        with image_table(
            shift_file, SHIFT_COLUMNS, shift_facts, encoded=False, shown_as=shift_path
        ) as table:
            if published:
                corrupted = _published(index, rows, shift_archive, _cells(shift))
            else:
                clean = _clean_images(samples_file, index, rows)
                pixels_of = PixelsOf(shape, encoded=reading.encoded, source=source)
                corrupted = generate(clean, _cells(shift), pixels_of, frost, threads)
            for row in corrupted:
                table.append(*row)
        card = {
            **_card(dataset, reading, index.image_shape, sizes, shift),
            "revision": origin.revision,
            "files": origin.files + (shift_origin.files if shift_origin else []),
            "shift_shape": None if shift is None else list(shape),
            "shift_revision": shift_origin.revision if shift_origin else None,
        }
        if main_metric is not None:
            card["main_metric"] = main_metric
        write_json(card, card_path)
    _logger.info("%s: %d corrupted images", source, len(rows) * len(_cells(shift)))


def draw_image_splits(
    card: Mapping[str, object], path: Path, sizes: Mapping[str, int], seed: int
) -> pa.Table:
    """Draw one seed's splits of a prepared image dataset: see `make_splits`."""
    samples = read_table(path, ["sample_id", "label", "part"])
    return make_splits(
        samples["sample_id"].to_numpy(zero_copy_only=False),
        samples["label"].to_numpy(),
        parts=samples["part"].to_numpy(zero_copy_only=False),
        classes=card["classes"],
        sizes=sizes,
        seeds=[seed],
        source=str(path),
    )


@dataclass(frozen=True, eq=False)
class _Index:
    """All that is kept in memory of the samples, in the order of the table."""

    ids: np.ndarray
    labels: np.ndarray
    parts: np.ndarray
    image_shape: tuple[int, int, int] | None

    def __len__(self) -> int:
        return len(self.ids)


def _open(
    source: Dataset | ShiftSource, paths: list[Path], checksum: str | None
) -> tuple[Archive | None, Origin]:
    """Open a source's archive, once it is known to be the one that is meant."""
    if not source.files:
        return None, Origin(source.revision, [], registered=True)
    if len(paths) != 1:
        raise SidekickError(
            f"{source.name}: {len(paths)} archives given; expected {source.files[0].name}, or a "
            "folder that holds what is in it"
        )
    archive = open_archive(paths[0], source.folder)
    return archive, verify_origin(source, archive, checksum)


def _write_samples(reading: Reading, table, threads: int, place: str) -> _Index:
    ids, labels, parts, shapes = [], [], [], set()
    seen = set()
    if reading.encoded:
        samples = verified(reading.samples, threads, place)
    else:
        samples = ((sample, reading.image_shape) for sample in reading.samples)
    for sample, shape in samples:
        if sample.sample_id in seen:
            raise SidekickError(f"{place}: two samples have the id {sample.sample_id}")
        seen.add(sample.sample_id)
        ids.append(sample.sample_id)
        labels.append(sample.label)
        parts.append(sample.part)
        shapes.add(shape)
        table.append(*sample)
    return _Index(
        np.array(ids, dtype=object),
        np.array(labels, dtype=np.int32),
        np.array(parts, dtype=object),
        shapes.pop() if len(shapes) == 1 else None,
    )


def _test_rows(
    index: _Index, classes: Sequence[str], sizes: Mapping[str, int], source: str
) -> np.ndarray:
    """Give the rows of the test set, in the order of the table."""
    splits = make_splits(
        index.ids,
        index.labels,
        parts=index.parts,
        classes=classes,
        sizes=sizes,
        seeds=[0],
        source=source,
    )
    in_test = splits.filter(pc.equal(splits["split"], "test"))["sample_id"]
    chosen = pc.is_in(pa.array(index.ids, pa.string()), value_set=in_test.combine_chunks())
    return np.flatnonzero(chosen.to_numpy(zero_copy_only=False))


def _shift_rows(index: _Index, test: np.ndarray, shift: Mapping[str, object] | None) -> np.ndarray:
    """Draw the test rows that are corrupted, whatever the order of the table."""
    if shift is None:
        return test[:0]
    chosen = stratified_draw(index.ids[test], index.labels[test], shift["samples"], "shift")
    return test[chosen]


def _shift_shape(
    image_shape: tuple[int, int, int] | None, shift: Mapping[str, object] | None
) -> tuple[int, int, int]:
    """Give the shape of corrupted images: the images' own, or a square if they vary."""
    side = (shift or {}).get("size", DEFAULT_SHIFT_SIZE)
    return image_shape or (side, side, 3)


def _cells(shift: Mapping[str, object] | None) -> list[Cell]:
    if shift is None:
        return []
    return list(product(sorted(shift["corruptions"]), sorted(shift["severities"])))


def _clean_images(samples_file: Path, index: _Index, rows: np.ndarray) -> Iterator[Clean]:
    """Read test images back from the table that was just written."""
    wanted = np.zeros(len(index), dtype=bool)
    wanted[rows] = True
    position = iter(rows)
    for group in read_row_groups(samples_file, ["image"], wanted):
        for image in group["image"]:
            row = next(position)
            yield Clean(index.ids[row], image.as_py(), int(index.labels[row]))


def _published(
    index: _Index, rows: np.ndarray, archive: Archive, cells: Sequence[Cell]
) -> Iterator[Corrupted]:
    """Take the copies of test images from published arrays."""
    official = np.flatnonzero(index.parts == "test")
    corruptions = sorted({corruption for corruption, _ in cells})
    arrays = PublishedShift(archive, corruptions, index.labels[official])
    position_of = np.searchsorted(official, rows)
    for first in range(0, len(rows), _PUBLISHED_CHUNK):
        chunk = slice(first, first + _PUBLISHED_CHUNK)
        images = [
            arrays.images(corruption, severity, position_of[chunk])
            for corruption, severity in cells
        ]
        for place, row in enumerate(rows[chunk]):
            for (corruption, severity), copies in zip(cells, images, strict=True):
                yield Corrupted(
                    index.ids[row],
                    copies[place].tobytes(),
                    int(index.labels[row]),
                    corruption,
                    severity,
                )


def _check_shift(shift: Mapping[str, object] | None, sizes: Mapping[str, int], source: str) -> None:
    if shift is None:
        return
    if sorted(set(shift) - set(_OPTIONAL_SHIFT_KEYS)) != sorted(_SHIFT_KEYS):
        raise SidekickError(
            f"{source}: shift has the keys {sorted(shift)}; expected corruptions, samples and "
            f"severities, and allowed are {', '.join(_OPTIONAL_SHIFT_KEYS)}"
        )
    for key, allowed in (("corruptions", corruption_names), ("severities", SEVERITIES)):
        values = shift[key]
        unknown = [value for value in values if value not in allowed]
        if unknown or not values or len(set(values)) < len(values):
            raise SidekickError(
                f"{source}: shift.{key} is {list(values)}; expected one or more of "
                f"{list(allowed)}, each once"
            )
    if not 1 <= shift["samples"] <= sizes["test"]:
        raise SidekickError(
            f"{source}: shift.samples is {shift['samples']}; expected 1 to {sizes['test']}, the "
            "size of the test set"
        )


def _published_source(
    dataset: Dataset, shift: Mapping[str, object] | None, source: str
) -> ShiftSource | None:
    if shift is None or shift.get("source") is None:
        return None
    published = get_shift_source(shift["source"])
    if published.of != dataset.name:
        raise SidekickError(
            f"{source}: shift.source {published.name} holds images of {published.of}"
        )
    return published


def _load_frost(
    shift: Mapping[str, object] | None, paths: list[Path], source: str
) -> list[np.ndarray] | None:
    """Load and verify the overlays, in the order of the generator, if frost is asked for."""
    if shift is None or "frost" not in shift["corruptions"]:
        return None
    if len(paths) == 1 and paths[0].is_dir():
        paths = [paths[0] / name for name in FROST_FILES]
    by_name = {path.name: path for path in paths}
    overlays = []
    for file in OVERLAYS["frost"].files:
        path = by_name.get(file.name)
        if path is None or not path.is_file():
            raise SidekickError(
                f"{source}: the corruption frost needs {', '.join(FROST_FILES)}; "
                f"{path or file.name} is missing"
            )
        verify_file(path, file.checksum)
        overlays.append(decode_rgb(path.read_bytes(), str(path)))
    return overlays


def _card(
    dataset: Dataset,
    reading: Reading,
    image_shape: tuple[int, int, int] | None,
    sizes: Mapping[str, int],
    shift: Mapping[str, object] | None,
) -> dict:
    known = asdict(dataset)
    for key in ("reader", "folder", "class_count", "files"):
        del known[key]
    corruptions = shift["corruptions"] if shift else ()
    return {
        **known,
        "classes": list(reading.classes),
        "image_shape": list(image_shape) if image_shape else None,
        "image_format": "encoded" if reading.encoded else "raw",
        "sizes": dict(sizes),
        "has_shift": shift is not None,
        "shift_source": None if shift is None else shift.get("source") or "generated",
        "shift_samples": shift["samples"] if shift else 0,
        "corruptions": [name for name in corruption_names if name in corruptions],
        "severities": sorted(shift["severities"]) if shift else [],
    }
