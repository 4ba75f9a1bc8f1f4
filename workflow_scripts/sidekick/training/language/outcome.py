"""What a finished training of a language model leaves behind."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from sidekick.artifacts import write_table
from sidekick.models.language import LanguageModel
from sidekick.models.language_checkpoints import save_language_checkpoint

_CURVE_SCHEMA = pa.schema(
    [
        ("step", pa.int32()),
        ("epoch", pa.float64()),
        ("learning_rate", pa.float64()),
        ("train_loss", pa.float64()),
        ("train_token_accuracy", pa.float64()),
        ("val_loss", pa.float64()),
        ("val_token_accuracy", pa.float64()),
        ("val_accuracy", pa.float64()),
        ("val_macro_f1", pa.float64()),
        ("kept", pa.bool_()),
    ]
)


def write_language_outcome(
    *,
    model: LanguageModel,
    card: Mapping[str, Any],
    recipe: Mapping[str, Any],
    seed: int,
    rows: list[dict[str, Any]],
    checkpoint: str | Path,
    curve: str | Path,
    facts: Mapping[str, object],
    untouched: bool = False,
) -> None:
    """Write the training curve (Parquet), then the weights.

    Parameters
    ----------
    model
        With the weights to keep.
    card
        Of the dataset.
    recipe, seed, facts, untouched
        As for `save_language_checkpoint`; `facts` are the curve's metadata, too.
    rows
        The curve as `run_steps` gives it. Of open questions the main metric is the accuracy of
        tokens: that of answers takes generation.
    checkpoint, curve
        Where to write.
    """
    kept, classes = rows[-1], len(card["classes"])
    name = "token_accuracy" if card["task"] == "generation" else card["main_metric"]
    accuracy = kept["val_token_accuracy" if card["task"] == "generation" else "val_accuracy"]
    write_table(
        pa.Table.from_pylist(rows, schema=_CURVE_SCHEMA), curve, {**facts, "classes": classes}
    )
    save_language_checkpoint(
        checkpoint,
        model,
        entry=model.entry,
        recipe=recipe,
        facts=facts,
        classes=classes,
        seed=seed,
        val_accuracy=accuracy,
        val_metric={"name": name, "value": kept[f"val_{name}"]},
        untouched=untouched,
    )
