"""What a finished training leaves behind."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
from torch import nn

from sidekick.artifacts import write_table
from sidekick.models.checkpoints import Description, save_checkpoint

_CURVE_SCHEMA = pa.schema(
    [
        ("epoch", pa.int32()),
        ("learning_rate", pa.float64()),
        ("train_loss", pa.float64()),
        ("train_accuracy", pa.float64()),
        ("val_loss", pa.float64()),
        ("val_accuracy", pa.float64()),
    ]
)


def write_outcome(
    *,
    model: nn.Module,
    description: Description,
    rows: list[dict[str, Any]],
    checkpoint: str | Path,
    curve: str | Path,
    facts: Mapping[str, object],
) -> None:
    """Write the training curve (Parquet), then the weights.

    The curve holds no times: they differ between runs, and artifacts should not.

    Parameters
    ----------
    model, description
        What `save_checkpoint` writes to `checkpoint`.
    rows
        The curve as `run_epochs` gives it.
    checkpoint, curve
        Where to write.
    facts
        Key-value metadata of the curve.
    """
    write_table(pa.Table.from_pylist(rows, schema=_CURVE_SCHEMA), curve, facts)
    save_checkpoint(checkpoint, model, description)
