"""Files of logits and probabilities, as other software writes them."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.special import softmax

CLASSES = 4
# Of two models: how well each knows the answer.
SIGNAL = {"large": 4.0, "little": 2.0}


def answers(model: str, rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Make up (n, C) logits of a model, and the (n,) labels that all models share."""
    labels = np.random.default_rng(7).integers(CLASSES, size=rows)
    noise = np.random.default_rng([rows, seed, *model.encode()]).normal(size=(rows, CLASSES))
    logits = 1.5 * noise
    logits[np.arange(rows), labels] += SIGNAL.get(model, 1.0)
    return logits.astype(np.float32), labels


def save_npz(path: Path, model: str, rows: int = 400, seed: int = 0) -> None:
    """Write logits and labels as an archive of NumPy arrays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    logits, labels = answers(model, rows, seed)
    np.savez(path, logits=logits, labels=labels)


def save_csv(path: Path, model: str, rows: int = 400, seed: int = 0) -> None:
    """Write probabilities and labels as text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    logits, labels = answers(model, rows, seed)
    table = np.column_stack([labels, softmax(logits.astype(float), axis=1)])
    names = ["label", *(f"p{index}" for index in range(CLASSES))]
    np.savetxt(path, table, "%.9g", delimiter=",", header=",".join(names), comments="")


def save_parquet(path: Path, model: str, split: str, rows: int, seed: int) -> None:
    """Write logits, labels and ids as lists; a shift set has two corruptions."""
    path.parent.mkdir(parents=True, exist_ok=True)
    logits, labels = answers(model, rows, seed)
    first = "test" if split == "shift" else split
    columns = {
        "sample_id": [f"{first}{row}" for row in range(rows)],
        "label": labels,
        "logits": logits.tolist(),
    }
    if split == "shift":
        columns = {key: [*values, *values] for key, values in columns.items()}
        columns["corruption"] = ["fog"] * rows + ["snow"] * rows
        columns["severity"] = [3] * 2 * rows
    pq.write_table(pa.table(columns), path)


def save_foreign(folder: Path) -> None:
    """Write the files that `configs.imported` names."""
    save_npz(folder / "logits/large0.npz", "large")
    save_csv(folder / "logits/little0.csv", "little")
