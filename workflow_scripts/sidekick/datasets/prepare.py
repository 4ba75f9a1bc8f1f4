"""Prepare a dataset: its samples, shift set and card once, and the splits of each seed."""

from collections.abc import Mapping
from dataclasses import asdict
from itertools import product
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sidekick.artifacts import read_table, write_json, write_table
from sidekick.datasets.corruptions import corrupt
from sidekick.datasets.names import SAMPLES_FILE, SEVERITIES, corruption_names
from sidekick.datasets.reading import read_card
from sidekick.datasets.registry import Dataset, get_dataset
from sidekick.datasets.samples import Samples, encode_images
from sidekick.datasets.splits import make_splits, stratified_draw
from sidekick.errors import SidekickError


def prepare_dataset(
    *,
    name: str,
    facts: Mapping[str, object],
    sizes: Mapping[str, int],
    shift: Mapping[str, object] | None,
    main_metric: str | None = None,
    samples_path: str | Path,
    shift_path: str | Path,
    card_path: str | Path,
) -> None:
    """Write the files of a dataset that all seeds share.

    Two runs with the same arguments write the same bytes.

    Parameters
    ----------
    name
        A name in the registry.
    facts
        Key-value metadata of the tables: the benchmark, and the dataset's id in it. Revision and
        class count are added.
    sizes
        Number of samples of "train", "val" and "test".
    shift
        `samples` (how many test images), `corruptions` (their names) and `severities` (1 to 5),
        or None for a benchmark without shift.
    main_metric
        The metric by which validation picks among alternatives; by default the registry's.
    samples_path
        `sample_id` string, `image` binary (row-major RGB bytes), `label` int32; by sample id.
    shift_path
        As the samples, and `corruption` string, `severity` int8; by sample id, corruption and
        severity. The corrupted images are a stratified part of the test set, the same for all
        seeds. Without shift the table has no rows.
    card_path
        JSON: what the registry knows, image shape, sizes and shift.

    Raises
    ------
    SidekickError
        If the dataset is unknown, or `sizes` or `shift` ask for what is not there.
    """
    dataset = get_dataset(name)
    source = f"dataset {name}"
    _check_shift(shift, sizes, source)
    samples = dataset.preparer()().by_id()
    # The test set is the same for every seed; drawing one seed's splits also checks the sizes.
    splits = make_splits(
        samples.sample_ids,
        samples.labels,
        classes=dataset.classes,
        sizes=sizes,
        seeds=[0],
        source=source,
    )
    shifted = _shift_table(_test_samples(samples, splits), shift)
    facts = {**facts, "revision": dataset.revision, "classes": len(dataset.classes)}
    write_table(_sample_table(samples), samples_path, facts, dictionary=["label"])
    shift_facts = {**facts, "split": "shift"}
    columns = ["sample_id", "label", "corruption", "severity"]
    write_table(shifted, shift_path, shift_facts, dictionary=columns)
    card = _card(dataset, samples, sizes, shift)
    if main_metric is not None:
        card["main_metric"] = main_metric
    write_json(card, card_path)


def draw_splits(
    *,
    dataset_folder: str | Path,
    sizes: Mapping[str, int],
    seed: int,
    facts: Mapping[str, object],
    splits_path: str | Path,
) -> None:
    """Write one seed's splits of a prepared dataset.

    A file of its own per seed, so that adding a seed leaves the others' files as they are.

    Parameters
    ----------
    dataset_folder
        Where `prepare_dataset` wrote.
    sizes
        Number of samples of "train", "val" and "test".
    seed
        The seed to draw for.
    facts
        Key-value metadata.
    splits_path
        `seed` int64, `sample_id` string, `split` string: see `make_splits`.

    Raises
    ------
    SidekickError
        If a file is missing or damaged, or `sizes` ask for what is not there.
    """
    card = read_card(dataset_folder)
    path = Path(dataset_folder) / SAMPLES_FILE
    samples = read_table(path, ["sample_id", "label"])
    splits = make_splits(
        samples["sample_id"].to_numpy(zero_copy_only=False),
        samples["label"].to_numpy(),
        classes=card["classes"],
        sizes=sizes,
        seeds=[seed],
        source=str(path),
    )
    write_table(splits, splits_path, facts, dictionary=True)


def _check_shift(shift: Mapping[str, object] | None, sizes: Mapping[str, int], source: str) -> None:
    if shift is None:
        return
    if sorted(shift) != ["corruptions", "samples", "severities"]:
        raise SidekickError(
            f"{source}: shift has the keys {sorted(shift)}; expected corruptions, samples and "
            "severities"
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


def _test_samples(samples: Samples, splits: pa.Table) -> Samples:
    in_test = splits.filter(pc.equal(splits["split"], "test"))["sample_id"]
    ids = pa.array(samples.sample_ids, pa.string())
    return samples.take(pc.is_in(ids, value_set=in_test).to_numpy(zero_copy_only=False))


def _shift_table(test: Samples, shift: Mapping[str, object] | None) -> pa.Table:
    """Corrupt a part of the test set; rows by sample id, corruption and severity."""
    size, cells = 0, []
    if shift is not None:
        size = shift["samples"]
        cells = list(product(sorted(shift["corruptions"]), sorted(shift["severities"])))
    clean = test.take(stratified_draw(test.sample_ids, test.labels, size, "shift"))
    count, cell_count = len(clean), len(cells)
    images = np.empty((count, cell_count, *clean.images.shape[1:]), np.uint8)
    for position, (corruption, severity) in enumerate(cells):
        images[:, position] = corrupt(clean.images, corruption, severity, clean.sample_ids)
    rows = np.repeat(np.arange(count), cell_count)
    shifted = Samples(
        clean.sample_ids[rows], images.reshape(-1, *images.shape[2:]), clean.labels[rows]
    )
    corruptions = pa.array([corruption for corruption, _ in cells] * count, pa.string())
    severities = pa.array([severity for _, severity in cells] * count, pa.int8())
    return (
        _sample_table(shifted)
        .append_column("corruption", corruptions)
        .append_column("severity", severities)
    )


def _sample_table(samples: Samples) -> pa.Table:
    return pa.table(
        {
            "sample_id": pa.array(samples.sample_ids, pa.string()),
            "image": encode_images(samples.images),
            "label": pa.array(samples.labels, pa.int32()),
        }
    )


def _card(
    dataset: Dataset,
    samples: Samples,
    sizes: Mapping[str, int],
    shift: Mapping[str, object] | None,
) -> dict:
    known = asdict(dataset)
    del known["prepare"]
    corruptions = shift["corruptions"] if shift else ()
    return {
        **known,
        "image_shape": list(samples.images.shape[1:]),
        "image_format": "raw",
        "sizes": dict(sizes),
        "has_shift": shift is not None,
        "shift_samples": shift["samples"] if shift else 0,
        "corruptions": [name for name in corruption_names if name in corruptions],
        "severities": sorted(shift["severities"]) if shift else [],
    }
