"""Which questions are trained on, tuned on and tested on: the splits of every seed."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from sidekick.datasets.names import DRAWN_SPLITS
from sidekick.datasets.splits import split_table, stratified_draw
from sidekick.errors import SidekickError


def make_question_splits(
    samples: pa.Table,
    *,
    sizes: Mapping[str, int],
    seed: int,
    val_from: str,
    source: str,
    missing: Mapping[str, Mapping[str, str]],
) -> pa.Table:
    """Draw train, val and test for a seed, each with the subjects and levels of its part.

    **test** is drawn once, from the part test, and is the same for all seeds; **val** and
    **train** are drawn anew for every seed from the parts of these names, or both from train where
    the source has no part val: then val first, and train from what is left. A part whose file is
    missing is replaced by nothing.

    As for images, questions are ranked within their stratum by a keyed hash of their id: changing
    the size of train leaves val and test as they are, and neither the order of rows nor other
    seeds matter.

    Parameters
    ----------
    samples
        `sample_id`, `subject`, `level` and `part` of all questions; those of "dev" are in no split.
    sizes
        Number of questions of "train", "val" and "test"; train and val may be 0.
    seed
        The seed to draw for.
    val_from
        The part that val is drawn from, "val" or "train".
    source
        What the samples are, for messages.
    missing
        For parts whose file is missing, its `name` and the `url` to get it from.

    Returns
    -------
    pyarrow.Table
        `seed` int64, `sample_id` string, `split` string; sorted by sample id.

    Raises
    ------
    SidekickError
        If `sizes` are not such numbers, or ask for more than a part has.
    """
    if sorted(sizes) != sorted(DRAWN_SPLITS) or min(sizes.values()) < 0 or sizes["test"] < 1:
        raise SidekickError(
            f"{source}: splits {dict(sizes)}; expected a number for each of "
            f"{', '.join(DRAWN_SPLITS)}, of which train and val may be 0"
        )
    samples = samples.sort_by("sample_id")
    ids = samples["sample_id"].to_numpy(zero_copy_only=False)
    strata = _strata(samples)
    parts = samples["part"].to_numpy(zero_copy_only=False)
    left = {part: np.flatnonzero(parts == part) for part in DRAWN_SPLITS}
    drawn = {}
    for split, part, key in (
        ("test", "test", "test"),
        ("val", val_from, f"val {seed}"),
        ("train", "train", f"train {seed}"),
    ):
        pool = left[part]
        if sizes[split] > len(pool):
            raise SidekickError(
                f"{source}: splits {split} {sizes[split]}, but "
                + _what_there_is(part, len(pool), parts, missing)
            )
        if sizes[split] == 0:
            drawn[split] = pool[:0]
            continue
        chosen = stratified_draw(ids[pool], strata[pool], sizes[split], key)
        drawn[split], left[part] = pool[chosen], pool[~chosen]
    return split_table(ids, seed, drawn)


def _what_there_is(
    part: str, left: int, parts: np.ndarray, missing: Mapping[str, Mapping[str, str]]
) -> str:
    if part in missing:
        return (
            f"there is no part {part}: the file {missing[part]['name']} is missing. Get it from "
            f"{missing[part]['url']} and put it beside the others"
        )
    there = int(np.sum(parts == part))
    drawn = f", of which {there - left} are drawn already" if left < there else ""
    return f"the part {part} has {there} questions{drawn}"


def _strata(samples: pa.Table) -> np.ndarray:
    """Give each pair of subject and level a number: (n,) int64."""
    pairs = list(zip(samples["subject"].to_pylist(), samples["level"].to_pylist(), strict=True))
    number = {pair: place for place, pair in enumerate(sorted(set(pairs)))}
    return np.array([number[pair] for pair in pairs], dtype=np.int64)
