"""Who is trained on, tuned on and tested on: the stratified splits of every seed."""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from sidekick.datasets.hashing import keyed_hash
from sidekick.datasets.names import DRAWN_SPLITS
from sidekick.errors import SidekickError


def make_splits(
    sample_ids: Sequence[str],
    labels: Sequence[int],
    *,
    parts: Sequence[str] | None = None,
    classes: Sequence[str],
    sizes: Mapping[str, int],
    seeds: Sequence[int],
    source: str = "dataset",
) -> pa.Table:
    """Draw train, val and test for every seed, each with the class proportions of the data.

    The **test** set is drawn once and is the same for all seeds, as it is in every published
    benchmark; **train** and **val** are drawn anew for every seed from the rest. Were the test
    set redrawn too, an ensemble of seeds, or any comparison across seeds, would be tested on
    images that another member was trained on.

    Where the source has an official test set, test is drawn from it, and train and val from the
    official training set.

    Samples are ranked within their class by a keyed hash of their id, so that the result depends
    neither on the order of the rows, nor on which other seeds are asked for, nor on the version
    of any library. Test is drawn first, then val, then train: changing the size of train leaves
    val and test as they are.

    Parameters
    ----------
    sample_ids
        (n,) unique strings.
    labels
        (n,) positions in `classes`.
    parts
        (n,) "train" or "test" where the source has an official test set; "all", or None, where
        it has none.
    classes
        The class names, for messages.
    sizes
        Number of samples of "train", "val" and "test".
    seeds
        The seeds to draw for, each once.
    source
        What the samples are, for messages.

    Returns
    -------
    pyarrow.Table
        `seed` int64, `sample_id` string, `split` string; sorted by seed, then sample id. A
        sample that is in no split of a seed has no row for it.

    Raises
    ------
    SidekickError
        If ids or seeds occur twice, `sizes` is not three positive numbers or asks for more than
        there is, or a class has so few samples that some split would be without it.
    """
    ids = np.asarray(sample_ids, dtype=object)
    order = np.argsort(ids, kind="stable")
    ids, labels = ids[order], np.asarray(labels)[order]
    _check(ids, sizes, seeds, source)
    everything = np.arange(len(ids))
    official_test, official_train = everything, None
    if parts is not None and not np.all(np.asarray(parts) == "all"):
        in_test = np.asarray(parts)[order] == "test"
        official_test, official_train = everything[in_test], everything[~in_test]
        _check_parts(len(official_train), len(official_test), sizes, source)

    def draw(split: str, key: str, pool: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        chosen = stratified_draw(ids[pool], labels[pool], sizes[split], key)
        _check_classes(labels, labels[pool][chosen], classes, split, sizes[split], source)
        return pool[chosen], pool[~chosen]

    tables = []
    test, rest = draw("test", "test", official_test)
    if official_train is not None:
        rest = official_train
    for seed in sorted(seeds):
        val, others = draw("val", f"val {seed}", rest)
        train, _ = draw("train", f"train {seed}", others)
        tables.append(split_table(ids, seed, {"train": train, "val": val, "test": test}))
    return pa.concat_tables(tables).combine_chunks()


def stratified_draw(sample_ids: np.ndarray, labels: np.ndarray, size: int, key: str) -> np.ndarray:
    """Choose `size` samples with the class proportions of all of them.

    Parameters
    ----------
    sample_ids
        (n,) object array of strings.
    labels
        (n,) non-negative integers.
    size
        How many to choose, at most n.
    key
        Names the draw: the same samples and key give the same choice, another key an
        independent one. A larger draw with the same key holds the smaller one's samples, but
        for a sample per class that rounding may give to another class.

    Returns
    -------
    numpy.ndarray
        (n,) bool, `size` of them true.
    """
    quotas = apportion(np.bincount(labels), size)
    digests = b"".join(keyed_hash(sample_id, key, 8) for sample_id in sample_ids)
    ranked = np.lexsort((np.frombuffer(digests, "<u8"), labels))
    ranked_labels = labels[ranked]
    place_in_class = np.arange(len(ranked)) - np.searchsorted(ranked_labels, ranked_labels)
    chosen = np.zeros(len(labels), dtype=bool)
    chosen[ranked[place_in_class < quotas[ranked_labels]]] = True
    return chosen


def apportion(counts: np.ndarray, size: int) -> np.ndarray:
    """Share `size` among classes in proportion to `counts`, by largest remainders.

    Ties go to the earlier class, so that all seeds have the same number of every class. With
    `size` at most the sum of `counts` no share exceeds its count, nor is further than 1 from
    the exact proportion.
    """
    shares, remainders = np.divmod(counts.astype(np.int64) * size, counts.sum())
    first = np.argsort(-remainders, kind="stable")[: size - shares.sum()]
    shares[first] += 1
    return shares


def split_table(ids: np.ndarray, seed: int, rows_of: Mapping[str, np.ndarray]) -> pa.Table:
    """Give one seed's splits as a table: see `make_splits`.

    Parameters
    ----------
    ids
        (n,) object array of ascending sample ids.
    seed
        The seed.
    rows_of
        For each split the places of its samples in `ids`.
    """
    rows = np.concatenate(list(rows_of.values()))
    names = np.repeat(list(rows_of), [len(part) for part in rows_of.values()])
    order = np.argsort(rows)
    return pa.table(
        {
            "seed": pa.array(np.full(len(rows), seed, dtype=np.int64)),
            "sample_id": pa.array(ids[rows[order]], pa.string()),
            "split": pa.array(names[order], pa.string()),
        }
    )


def _check(ids: np.ndarray, sizes: Mapping[str, int], seeds: Sequence[int], source: str) -> None:
    again = np.flatnonzero(ids[1:] == ids[:-1])
    if again.size:
        raise SidekickError(f"{source}: sample id {ids[again[0]]!r} occurs more than once")
    if len(seeds) == 0 or len(set(seeds)) < len(seeds):
        raise SidekickError(f"{source}: seeds {list(seeds)}; expected one or more, each once")
    if sorted(sizes) != sorted(DRAWN_SPLITS) or any(size < 1 for size in sizes.values()):
        raise SidekickError(
            f"{source}: splits {dict(sizes)}; expected a positive number for each of "
            f"{', '.join(DRAWN_SPLITS)}"
        )
    needed = sum(sizes.values())
    if needed > len(ids):
        asked = " + ".join(f"{name} {sizes[name]}" for name in DRAWN_SPLITS)
        raise SidekickError(
            f"{source}: splits {asked} = {needed} samples, but there are {len(ids)}"
        )


def _check_parts(train: int, test: int, sizes: Mapping[str, int], source: str) -> None:
    if sizes["test"] > test:
        raise SidekickError(
            f"{source}: splits test {sizes['test']}, but the official test set has {test} samples"
        )
    if sizes["train"] + sizes["val"] > train:
        raise SidekickError(
            f"{source}: splits train {sizes['train']} + val {sizes['val']} = "
            f"{sizes['train'] + sizes['val']} samples, but the official training set has {train}"
        )


def _check_classes(
    all_labels: np.ndarray,
    drawn_labels: np.ndarray,
    classes: Sequence[str],
    split: str,
    size: int,
    source: str,
) -> None:
    drawn = np.bincount(drawn_labels, minlength=len(classes))
    if drawn.min() == 0:
        label = int(np.argmin(drawn))
        raise SidekickError(
            f"{source}: class {classes[label]!r} has {np.sum(all_labels == label)} of "
            f"{len(all_labels)} samples, too few to be in {split} (size {size}); every split "
            "needs at least one sample of each class"
        )
