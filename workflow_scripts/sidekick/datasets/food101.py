"""Food-101: photographs of dishes, of any size up to 512 pixels, as the JPEG files they are.

The archive is read twice, never held: first for the lists of classes and of the two parts, which
come after the images, then for the images.

The id of a sample is its class and file name: `apple_pie_1005649`.
"""

from collections.abc import Iterator

from sidekick.datasets.archives import Archive
from sidekick.datasets.samples import Reading, Sample, safe_id

_LISTS = ("meta/classes.txt", "meta/train.txt", "meta/test.txt")


def read(archive: Archive) -> Reading:
    """Open Food-101 with its official parts: 750 train and 250 test images per class."""
    lists = {
        name: _lines(archive, name, contents) for name, contents in archive.pick(_LISTS).items()
    }
    classes = lists["meta/classes.txt"]
    if len(set(classes)) < len(classes):
        raise archive.error("meta/classes.txt", "a class occurs twice")
    part_of: dict[str, str] = {}
    for part in ("train", "test"):
        member = f"meta/{part}.txt"
        for entry in lists[member]:
            if entry in part_of:
                raise archive.error(member, f"{entry} is listed twice, also in {part_of[entry]}")
            if entry.partition("/")[0] not in classes:
                raise archive.error(member, f"{entry}: its class is not in meta/classes.txt")
            part_of[entry] = part
    return Reading(
        tuple(classes), _samples(archive, classes, part_of), encoded=True, image_shape=None
    )


def _samples(archive: Archive, classes: list[str], part_of: dict[str, str]) -> Iterator[Sample]:
    labels = {name: label for label, name in enumerate(classes)}
    missing, found_classes = dict.fromkeys(part_of), set()
    for member, image in archive.members(lambda name: name.startswith("images/")):
        entry = member.removeprefix("images/").removesuffix(".jpg")
        if entry not in missing:
            raise archive.error(member, "an image that meta/train.txt and meta/test.txt lack")
        del missing[entry]
        folder, _, stem = entry.partition("/")
        found_classes.add(folder)
        yield Sample(safe_id(f"{folder}_{stem}"), image, labels[folder], part_of[entry])
    if absent := [name for name in classes if name not in found_classes]:
        raise archive.error(
            f"images/{absent[0]}", f"the class folder is missing (of {len(absent)} in all)"
        )
    if missing:
        entry = next(iter(missing))
        raise archive.error(
            f"images/{entry}.jpg",
            f"the image is missing (of {len(missing)} in all), but meta/{part_of[entry]}.txt "
            "lists it",
        )


def _lines(archive: Archive, name: str, contents: bytes) -> list[str]:
    try:
        lines = contents.decode().split("\n")
    except UnicodeDecodeError:
        raise archive.error(name, "not a text file") from None
    lines = [line.strip() for line in lines if line.strip()]
    if not lines:
        raise archive.error(name, "empty")
    return lines
