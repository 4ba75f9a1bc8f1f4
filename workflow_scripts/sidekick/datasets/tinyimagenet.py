"""Tiny ImageNet: 200 classes of ImageNet at 64×64, as the JPEG files they are, some of them grey.

The published test images have no labels, so the 10,000 of the folder `val` are the test set, as
everywhere, and validation images are drawn from `train`. The order of `wnids.txt` is that of the
labels. A class is called after the first word of its synset in `words.txt`; where two classes
share it (as the two "crane"), each is followed by its WordNet id.

The id of a sample is its file's name: `n01774750_0` (train), `val_1234` (test).
"""

import re
from collections import Counter
from collections.abc import Iterator

from sidekick.datasets.archives import Archive
from sidekick.datasets.samples import Reading, Sample, safe_id

_LISTS = ("wnids.txt", "words.txt", "val/val_annotations.txt")
_TRAIN = re.compile(r"train/([^/]+)/images/([^/]+)\.JPEG")
_VAL = re.compile(r"val/images/([^/]+)\.JPEG")


def read(archive: Archive) -> Reading:
    """Open Tiny ImageNet: 500 train and 50 test images per class."""
    wnids, words, annotations = (
        _rows(archive, name, contents)
        for name, contents in sorted(
            archive.pick(_LISTS).items(), key=lambda item: _LISTS.index(item[0])
        )
    )
    labels = {row[0]: label for label, row in enumerate(wnids)}
    if len(labels) < len(wnids):
        raise archive.error("wnids.txt", "a class occurs twice")
    label_of = {}
    for name, wnid, *_ in annotations:
        if wnid not in labels:
            raise archive.error(
                "val/val_annotations.txt", f"{name} is of the class {wnid}, which wnids.txt lacks"
            )
        if name in label_of:
            raise archive.error("val/val_annotations.txt", f"{name} occurs twice")
        label_of[name] = labels[wnid]
    classes = class_names(list(labels), {row[0]: row[1] for row in words})
    return Reading(classes, _samples(archive, labels, label_of), encoded=True, image_shape=None)


def class_names(wnids: list[str], words: dict[str, str]) -> tuple[str, ...]:
    """Give each class its first word, and its WordNet id as well where that is not unique."""
    first = [words.get(wnid, wnid).split(",")[0].strip() for wnid in wnids]
    counts = Counter(first)
    return tuple(
        word if counts[word] == 1 else f"{word} ({wnid})"
        for word, wnid in zip(first, wnids, strict=True)
    )


def _samples(
    archive: Archive, labels: dict[str, int], label_of: dict[str, int]
) -> Iterator[Sample]:
    missing, found_classes = dict.fromkeys(label_of), set()
    for member, image in archive.members(lambda name: bool(_TRAIN.match(name) or _VAL.match(name))):
        if train := _TRAIN.fullmatch(member):
            wnid, stem = train.groups()
            if wnid not in labels:
                raise archive.error(member, f"wnids.txt lacks the class {wnid}")
            found_classes.add(wnid)
            yield Sample(safe_id(stem), image, labels[wnid], "train")
            continue
        name = member.removeprefix("val/images/")
        if name not in missing:
            raise archive.error(member, "an image that val/val_annotations.txt lacks")
        del missing[name]
        yield Sample(safe_id(name.removesuffix(".JPEG")), image, label_of[name], "test")
    if absent := [wnid for wnid in labels if wnid not in found_classes]:
        raise archive.error(
            f"train/{absent[0]}", f"the class folder is missing (of {len(absent)} in all)"
        )
    if missing:
        raise archive.error(
            f"val/images/{next(iter(missing))}",
            f"the image is missing (of {len(missing)} in all), but val/val_annotations.txt "
            "lists it",
        )


def _rows(archive: Archive, name: str, contents: bytes) -> list[list[str]]:
    """Split a table of tab-separated columns."""
    columns = 1 if name == "wnids.txt" else 2
    try:
        rows = [line.split("\t") for line in contents.decode().splitlines() if line.strip()]
    except UnicodeDecodeError:
        raise archive.error(name, "not a text file") from None
    if not rows or any(len(row) < columns for row in rows):
        raise archive.error(name, f"expected lines of {columns} or more columns")
    return rows
