"""CIFAR-10-C and CIFAR-100-C: the published corrupted copies of all test images.

One array (50000, 32, 32, 3) of bytes per corruption; row i of severity k, in rows 10,000 (k − 1) to
10,000 k, is the i-th image of the clean test batch. The arrays are mapped into memory, in the tar
as in a folder, so that only the chosen rows are read.
"""

from collections.abc import Sequence

import numpy as np

from sidekick.datasets.archives import Archive, Span
from sidekick.datasets.cifar import SHAPE
from sidekick.datasets.names import SEVERITIES
from sidekick.errors import SidekickError


class PublishedShift:
    """Opened arrays that belong to a clean test set.

    Parameters
    ----------
    archive
        The tar, or the folder of what was in it.
    corruptions
        The corruptions that are wanted.
    test_labels
        (n,) labels of the clean test images, in the official order.

    Raises
    ------
    SidekickError
        If an array is missing, has another shape or type, or if the labels are not those of the
        clean test images, in their order; with the first row that differs.
    """

    def __init__(self, archive: Archive, corruptions: Sequence[str], test_labels: np.ndarray):
        self._images = len(test_labels)
        rows = self._images * len(SEVERITIES)
        names = ["labels.npy", *(f"{name}.npy" for name in corruptions)]
        spans = archive.spans(names.__contains__)
        archive.require(names, spans)
        arrays = {name: _map_array(archive, name, spans[name]) for name in names}
        labels = arrays.pop("labels.npy")
        if labels.shape != (rows,) or labels.dtype.kind not in "iu":
            raise archive.error(
                "labels.npy",
                f"shape {labels.shape} and type {labels.dtype}; expected {(rows,)} integers, "
                f"{len(SEVERITIES)} for each of the {self._images} clean test images",
            )
        expected = np.tile(test_labels, len(SEVERITIES))
        wrong = np.flatnonzero(labels != expected)
        if wrong.size:
            row = wrong[0]
            raise archive.error(
                "labels.npy",
                f"label {labels[row]} in row {row}, where the clean test image has "
                f"{expected[row]}; these are not the corruptions of this test set in its order",
            )
        for name, array in arrays.items():
            if array.shape != (rows, *SHAPE) or array.dtype != np.uint8:
                raise archive.error(
                    name,
                    f"shape {array.shape} and type {array.dtype}; expected {(rows, *SHAPE)} and "
                    "uint8",
                )
        self._arrays = {name.removesuffix(".npy"): array for name, array in arrays.items()}

    def images(self, corruption: str, severity: int, rows: np.ndarray) -> np.ndarray:
        """Give the copies of some test images, by their rows in the official order."""
        first = self._images * (severity - 1)
        return self._arrays[corruption][first + rows]


def _map_array(archive: Archive, name: str, span: Span) -> np.ndarray:
    """Map an .npy member; its header is parsed, never unpickled."""
    try:
        with span.path.open("rb") as file:
            file.seek(span.offset)
            version = np.lib.format.read_magic(file)
            read_header = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }[version]
            shape, fortran_order, dtype = read_header(file)
            start = file.tell()
    except (ValueError, KeyError, OSError, EOFError) as error:
        raise archive.error(name, f"not an .npy array ({error})") from None
    if dtype.hasobject or fortran_order:
        raise archive.error(name, f"an array of type {dtype}, or of another order; refused")
    size = int(np.prod(shape, dtype=object)) * dtype.itemsize
    if start + size != span.offset + span.size:
        raise archive.error(
            name,
            f"{span.offset + span.size - start} bytes of values; shape {shape} and type {dtype} "
            f"need {size}",
        )
    try:
        return np.memmap(span.path, dtype, "r", start, shape)
    except (ValueError, OSError) as error:
        raise SidekickError(f"{span.path}: {name} cannot be mapped ({error})") from None
