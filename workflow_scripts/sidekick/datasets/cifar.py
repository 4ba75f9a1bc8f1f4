"""CIFAR-10 and CIFAR-100: 32×32 photographs, from the pickles of the published archives.

All batches are held in memory, as pixels (180 MB), while the samples are streamed; unpickling
CIFAR-100's one large batch takes a job to 0.75 GB for a moment.

The id of a sample is its part and the name of the file that its pixels came from, which the
batches hold: `train_bus_s_002831`. Where a part has a name more than once, a hash of the pixels is
appended. So ids do not depend on the order of the rows.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from pathlib import PurePosixPath

import numpy as np

from sidekick.datasets.archives import Archive
from sidekick.datasets.pickles import load_pickle
from sidekick.datasets.samples import Reading, Sample, safe_id

SHAPE = (32, 32, 3)
_PIXELS = 32 * 32 * 3
#: CIFAR-100's train pickle has 155 MB.
_LIMIT = 512 * 2**20


def read_cifar10(archive: Archive) -> Reading:
    """Open CIFAR-10: five batches for train, one for test, and the class names."""
    batches = {
        "train": [f"data_batch_{number}" for number in range(1, 6)],
        "test": ["test_batch"],
    }
    return _read(archive, batches, b"labels", "batches.meta", b"label_names")


def read_cifar100(archive: Archive) -> Reading:
    """Open CIFAR-100 with its 100 fine labels."""
    batches = {"train": ["train"], "test": ["test"]}
    return _read(archive, batches, b"fine_labels", "meta", b"fine_label_names")


def _read(
    archive: Archive,
    batches: dict[str, list[str]],
    label_key: bytes,
    meta: str,
    names_key: bytes,
) -> Reading:
    members = [name for names in batches.values() for name in names] + [meta]
    loaded = {}
    # One at a time, so that no pickle stays in memory beside its pixels.
    for name, data in archive.members(members.__contains__, _LIMIT):
        loaded[name] = load_pickle(data, f"{archive.path}: member {name}")
    archive.require(members, loaded)
    classes = _class_names(archive, meta, loaded[meta], names_key)
    parts = {
        part: [_checked(archive, name, loaded.pop(name), label_key, len(classes)) for name in names]
        for part, names in batches.items()
    }
    return Reading(classes, _samples(parts), encoded=False, image_shape=SHAPE)


_Batch = tuple[np.ndarray, Sequence[int], Sequence[str]]


def _samples(parts: dict[str, list[_Batch]]) -> Iterator[Sample]:
    for part, batches in parts.items():
        stems = [stem for _, _, stems in batches for stem in stems]
        labels = [label for _, labels, _ in batches for label in labels]
        pixels = [image for images, _, _ in batches for image in images]
        ids = unique_ids(stems, labels, pixels)
        for stem, label, image in zip(ids, labels, pixels, strict=True):
            # Stored one channel after the other; we keep the three values of a pixel together.
            rows = image.reshape(3, 32, 32).transpose(1, 2, 0).tobytes()
            yield Sample(f"{part}_{stem}", rows, label, part)


def unique_ids(
    stems: Sequence[str], labels: Sequence[int], pixels: Sequence[np.ndarray]
) -> list[str]:
    """Tell samples of the same file name apart, by their pixels and not by their order.

    Every bearer of a repeated name gets a hash of its pixels; those with the same pixels are
    numbered by their labels (bearers that share these too are the same in every way).
    """
    repeated = {stem for stem, count in Counter(stems).items() if count > 1}
    ids = list(stems)
    hashed: dict[str, list[int]] = {}
    for row, stem in enumerate(stems):
        if stem in repeated:
            digest = blake2b(pixels[row].tobytes(), digest_size=4).hexdigest()
            hashed.setdefault(f"{stem}_{digest}", []).append(row)
    for name, rows in hashed.items():
        for number, row in enumerate(sorted(rows, key=lambda row: labels[row])):
            ids[row] = name if number == 0 else f"{name}_{number}"
    return ids


def _class_names(archive: Archive, member: str, meta: object, key: bytes) -> tuple[str, ...]:
    names = meta.get(key) if isinstance(meta, dict) else None
    if not isinstance(names, list) or not names or not all(isinstance(n, bytes) for n in names):
        raise archive.error(member, f"no list of class names {key.decode()!r}")
    return tuple(name.decode("utf-8", "replace") for name in names)


def _checked(
    archive: Archive, member: str, batch: object, label_key: bytes, classes: int
) -> _Batch:
    """Give a batch's pixels (n, 3072) uint8, labels and file stems."""
    if not isinstance(batch, dict):
        raise archive.error(member, "not a batch of CIFAR images")
    images, labels, names = (batch.get(key) for key in (b"data", label_key, b"filenames"))
    if not isinstance(images, np.ndarray) or images.shape[1:] != (_PIXELS,):
        raise archive.error(member, f"no images: 'data' is no array of rows of {_PIXELS} bytes")
    for key, values, kind in ((label_key, labels, int), (b"filenames", names, bytes)):
        if not isinstance(values, list) or len(values) != len(images):
            raise archive.error(
                member, f"{key.decode()!r} is no list of {len(images)} entries, as there are images"
            )
        if wrong := [row for row, value in enumerate(values) if type(value) is not kind]:
            raise archive.error(
                member, f"{key.decode()!r} has {values[wrong[0]]!r} in row {wrong[0]}"
            )
    if wrong := [row for row, label in enumerate(labels) if not 0 <= label < classes]:
        raise archive.error(
            member, f"label {labels[wrong[0]]} in row {wrong[0]}; there are {classes} classes"
        )
    stems = [safe_id(PurePosixPath(name.decode("utf-8", "replace")).stem) for name in names]
    return images, labels, stems
