"""Read the board's table of fits, whose CSV does not tell the types of empty columns."""

from pathlib import Path

import polars as pl

_TYPES = {
    **dict.fromkeys(
        (
            "budget",
            "weight_large",
            "weight_small",
            "threshold",
            "deferral_ratio",
            "promised_gmacs",
            "promised_accuracy",
            "val_nll",
        ),
        pl.Float64,
    ),
    **dict.fromkeys(("small", "sidekick", "recipe", "note"), pl.String),
}


def read_fits(path: str | Path) -> pl.DataFrame:
    """Read `fits.csv`."""
    return pl.read_csv(path, schema_overrides=_TYPES, infer_schema_length=None)
