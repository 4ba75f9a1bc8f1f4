"""What a finished training leaves behind."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
from torch import nn

from sidekick.artifacts import write_table
from sidekick.models.checkpoints import Description, save_checkpoint
from sidekick.training.data import TrainingData

_CURVE_SCHEMA = pa.schema(
    [
        ("epoch", pa.int32()),
        ("learning_rate", pa.float64()),
        ("train_loss", pa.float64()),
        ("train_accuracy", pa.float64()),
        ("val_loss", pa.float64()),
        ("val_accuracy", pa.float64()),
        ("val_macro_f1", pa.float64()),
        ("kept", pa.bool_()),
    ]
)


def write_outcome(
    *,
    model: nn.Module,
    data: TrainingData,
    entry: Mapping[str, Any],
    recipe: Mapping[str, Any],
    seed: int,
    rows: list[dict[str, Any]],
    checkpoint: str | Path,
    curve: str | Path,
    facts: Mapping[str, object],
    head: Mapping[str, Any] | None = None,
) -> None:
    """Write the training curve (Parquet), then the weights.

    The curve holds no times: they differ between runs, and artifacts should not.

    Parameters
    ----------
    model
        With the weights to keep.
    data
        What it was trained on.
    entry, recipe, seed, facts, head
        As in its `Description`; `facts` are the curve's metadata, too.
    rows
        The curve as `run_epochs` gives it.
    checkpoint, curve
        Where to write.
    """
    kept = next(row for row in rows if row["kept"])
    description = Description(
        entry=dict(entry),
        classes=data.classes,
        preprocessing=data.preprocessing.as_dict(),
        head=head,
        recipe=dict(recipe),
        seed=seed,
        val_accuracy=kept["val_accuracy"],
        val_metric=val_metric(data.main_metric, kept[f"val_{data.main_metric}"]),
        facts=dict(facts),
    )
    write_table(
        pa.Table.from_pylist(rows, schema=_CURVE_SCHEMA), curve, {**facts, "classes": data.classes}
    )
    save_checkpoint(checkpoint, model, description)


def val_metric(name: str, value: float) -> dict[str, Any]:
    """Give `Description.val_metric`."""
    return {"name": name, "value": value}
