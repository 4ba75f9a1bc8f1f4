"""Check logits, probabilities and labels that come from elsewhere."""

import logging
from pathlib import Path

import numpy as np

from sidekick.errors import SidekickError

_log = logging.getLogger("sidekick")

KINDS = ("logits", "probabilities")
# What a probability of 0 counts as. The smallest positive float32: nothing that a float32 can
# hold falls below it, so the order of options never changes.
FLOOR = float(np.finfo(np.float32).smallest_subnormal)
# Text is often rounded to a few digits, and float16 has three.
SUM_TOLERANCE = 1e-3
# Rounding can carry a sum of exponentials a little beyond its range.
_RANGE_TOLERANCE = 1e-5


class Values:
    """Turns blocks of foreign logits or probabilities into float32 logits.

    Parameters
    ----------
    path
        Where they come from, for messages.
    kind
        `logits` or `probabilities`.

    Notes
    -----
    Probabilities become log p, so that softmax gives them back; a p below `FLOOR` becomes
    log `FLOOR` = -103.3, because -inf is how the cache marks an option that does not exist.
    """

    def __init__(self, path: str | Path, kind: str):
        self._path, self._kind = path, kind
        self._floored = self._rows = 0
        self._like_probabilities = True

    def __call__(self, first: int, block: np.ndarray) -> np.ndarray:
        """Check one block and convert it.

        Parameters
        ----------
        first
            Its first row's number in the file.
        block
            (n, C) of any real type.

        Returns
        -------
        ndarray of float32, shape (n, C)

        Raises
        ------
        SidekickError
            On NaN, an infinite value (but -inf among logits), a row without a finite logit, what
            float32 cannot hold, or probabilities out of [0, 1] or that do not sum to 1.
        """
        self._rows += len(block)
        exact = block if block.dtype == np.float32 else block.astype(np.float64)
        self._refuse(first, exact, np.isnan(exact), "is NaN")
        if self._kind == "logits":
            return self._logits(first, exact)
        return self._log_probabilities(first, exact.astype(np.float64, copy=False))

    def finish(self, values: np.ndarray, labels: np.ndarray) -> None:
        """Judge the file as a whole, and log what was changed.

        Parameters
        ----------
        values
            (n, C) float32, all that was given back.
        labels
            (n,) classes.

        Raises
        ------
        SidekickError
            If all logits look like probabilities.
        """
        if self._kind == "logits" and self._like_probabilities and self._rows:
            raise SidekickError(
                f"{self._path}: all values are from 0 to 1 and every row sums to 1, so these are "
                "probabilities, not logits; say `kind: probabilities`"
            )
        if self._floored:
            lost = int((values[np.arange(len(labels)), labels] <= np.log(FLOOR)).sum())
            _log.warning(
                "%s: %d of %d probabilities were 0 and count as %.1e; %d of them are of the label, "
                "and each of these costs %.0f nats in the NLL",
                *(self._path, self._floored, values.size, FLOOR, lost, -np.log(FLOOR)),
            )

    def _logits(self, first: int, logits: np.ndarray) -> np.ndarray:
        largest = logits.max(axis=1)
        self._refuse(first, logits, np.isposinf(logits), "is infinite")
        self._refuse(first, logits, np.isneginf(largest)[:, None], "and all others are -inf")
        self._like_probabilities = (
            self._like_probabilities
            and logits.min() >= 0
            and largest.max() <= 1
            and bool(np.all(np.abs(logits.sum(axis=1, dtype=np.float64) - 1) <= SUM_TOLERANCE))
        )
        narrow = _narrow(logits)
        self._refuse(
            first, logits, np.isinf(narrow) & np.isfinite(logits), "is beyond single precision"
        )
        return narrow

    def _log_probabilities(self, first: int, probabilities: np.ndarray) -> np.ndarray:
        beyond = (probabilities < -_RANGE_TOLERANCE) | (probabilities > 1 + _RANGE_TOLERANCE)
        hint = "is no probability. If these are logits, say `kind: logits`"
        self._refuse(first, probabilities, beyond, hint)
        sums = probabilities.sum(axis=1)
        wrong = np.abs(sums - 1) > SUM_TOLERANCE
        if wrong.any():
            row = int(wrong.argmax())
            raise SidekickError(
                f"{self._path}: row {first + row}: the probabilities sum to {sums[row]:.6g}; "
                f"expected 1, give or take {SUM_TOLERANCE:g}"
            )
        self._floored += int((probabilities < FLOOR).sum())
        return _narrow(np.log(np.maximum(probabilities, FLOOR)))

    def _refuse(self, first: int, block: np.ndarray, bad: np.ndarray, what: str) -> None:
        if bad.any():
            row, column = np.unravel_index(int(bad.argmax()), bad.shape)
            raise SidekickError(
                f"{self._path}: row {first + row}: the value {block[row, column]} of class "
                f"{column} {what}"
            )


def _narrow(values: np.ndarray) -> np.ndarray:
    """Round to float32; what is below its row's maximum stays below it."""
    if values.dtype == np.float32:
        return values
    with np.errstate(over="ignore"):
        narrow = values.astype(np.float32)
    highest = narrow.max(axis=1, keepdims=True)
    tied = (narrow == highest) & (values < values.max(axis=1, keepdims=True))
    if tied.any():
        narrow[tied] = np.nextafter(np.broadcast_to(highest, narrow.shape)[tied], -np.inf)
    return narrow


def check_labels(path: str | Path, labels: np.ndarray, classes: int) -> np.ndarray:
    """Give (n,) int32 labels from 0 to C - 1.

    Raises
    ------
    SidekickError
        If they are no numbers, not whole, out of range, or count from 1; with the file, row and
        value.
    """
    labels = np.asarray(labels)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        raise SidekickError(
            f"{path}: labels of shape {labels.shape}; expected one class number per row"
        )
    if not np.issubdtype(labels.dtype, np.number) or np.iscomplexobj(labels):
        raise SidekickError(
            f"{path}: labels are of type {labels.dtype}, such as {labels[:1].tolist()}; expected "
            f"class numbers from 0 to {classes - 1}"
        )
    if labels.size and labels.min() == 1 and labels.max() == classes:
        raise SidekickError(
            f"{path}: labels run from 1 to {classes}; expected 0 to {classes - 1}. Subtract 1"
        )
    bad = ~((labels >= 0) & (labels < classes) & (labels == np.floor(labels)))
    if bad.any():
        row = int(bad.argmax())
        raise SidekickError(
            f"{path}: row {row}: label {labels[row]}; allowed are whole numbers from 0 to "
            f"{classes - 1}"
        )
    return labels.astype(np.int32)


def check_present(path: str | Path, values: np.ndarray, labels: np.ndarray) -> None:
    """Refuse a label whose option is absent (-inf)."""
    absent = np.isneginf(values[np.arange(len(labels)), labels])
    if absent.any():
        row = int(absent.argmax())
        raise SidekickError(f"{path}: row {row}: the logit of the label {labels[row]} is -inf")


def check_severity(path: str | Path, severity: np.ndarray) -> np.ndarray:
    """Give (n,) int8 severities from 1 to 5.

    Raises
    ------
    SidekickError
        With the first row whose severity is none.
    """
    severity = np.asarray(severity)
    numbers = np.issubdtype(severity.dtype, np.number)
    bad = ~np.isin(severity, (1, 2, 3, 4, 5)) if numbers else np.ones(len(severity), dtype=bool)
    if bad.any():
        row = int(bad.argmax())
        raise SidekickError(
            f"{path}: row {row}: severity {severity[row]!r}; allowed are 1, 2, 3, 4 and 5"
        )
    return severity.astype(np.int8)


def check_unique(
    path: str | Path,
    ids: np.ndarray,
    corruption: np.ndarray | None = None,
    severity: np.ndarray | None = None,
) -> None:
    """Refuse an id that occurs twice (in a shift set: twice in one corruption and severity)."""
    columns = [column.tolist() for column in (ids, corruption, severity) if column is not None]
    seen: dict[tuple, int] = {}
    for row, key in enumerate(zip(*columns, strict=True)):
        if (earlier := seen.setdefault(key, row)) != row:
            where = "" if corruption is None else f" ({key[1]}, severity {key[2]})"
            raise SidekickError(
                f"{path}: row {row}: id {key[0]!r}{where} occurs already in row {earlier}"
            )
