"""Single rows of the leaderboard table, given as changes of usual ones."""

import polars as pl

DEFAULTS = {
    "dataset": "digits",
    "split": "test",
    "corruption": None,
    "severity": None,
    "predictor": "single",
    "variant": "raw",
    "large": "big",
    "small": None,
    "recipe": "finetune",
    "seeds": 3,
    "samples": 900,
    "gmacs": 0.004,
    "metric": "aurc",
    "value": 0.01,
    "low": 0.005,
    "high": 0.02,
    "baseline": None,
    "delta": None,
    "delta_low": None,
    "delta_high": None,
    "higher_is_better": False,
}
SCHEMA = {
    **dict.fromkeys(DEFAULTS, pl.String),
    **dict.fromkeys(("severity", "seeds", "samples"), pl.Int32),
    **dict.fromkeys(
        ("gmacs", "value", "low", "high", "delta", "delta_low", "delta_high"), pl.Float64
    ),
    "higher_is_better": pl.Boolean,
}


def make_rows(*changes: dict) -> pl.DataFrame:
    """Make a board of rows that differ so from the defaults."""
    return pl.DataFrame([DEFAULTS | own for own in changes], schema=SCHEMA)
