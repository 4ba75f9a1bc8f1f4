"""The tables that evaluation jobs write and the leaderboard collects."""

import pyarrow as pa

METRICS_SCHEMA = pa.schema(
    [
        ("benchmark", pa.string()),
        ("dataset", pa.string()),
        ("split", pa.string()),
        ("corruption", pa.string()),
        ("severity", pa.int8()),
        ("predictor", pa.string()),
        ("variant", pa.string()),
        ("large", pa.string()),
        ("small", pa.string()),
        ("recipe", pa.string()),
        ("seeds", pa.int32()),
        ("samples", pa.int32()),
        ("gmacs", pa.float64()),
        ("flops_balance", pa.float64()),
        ("metric", pa.string()),
        ("value", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("baseline", pa.string()),
        ("delta", pa.float64()),
        ("delta_low", pa.float64()),
        ("delta_high", pa.float64()),
        ("higher_is_better", pa.bool_()),
        ("note", pa.string()),
    ]
)
"""One row per predictor, dataset, split, shift cell and metric.

`corruption` and `severity` are null on `test`. On `shift`, corruption `mean` is the mean over
corruptions at that severity, and over all severities as well where `severity` is null.
"""

_OF_SHIFT = ("corruption", "severity")

PARTS_SCHEMA = pa.schema(
    [
        ("grouping", pa.string()),
        ("group", pa.string()),
        *(field for field in METRICS_SCHEMA if field.name not in _OF_SHIFT),
    ]
)
"""The same of parts of `test`, such as a subject of questions; `gmacs` are those of all of it."""

CURVES_SCHEMA = pa.schema(
    [
        ("benchmark", pa.string()),
        ("dataset", pa.string()),
        ("split", pa.string()),
        ("predictor", pa.string()),
        ("variant", pa.string()),
        ("large", pa.string()),
        ("small", pa.string()),
        ("recipe", pa.string()),
        ("curve", pa.string()),
        ("x", pa.float64()),
        ("y", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("count", pa.int64()),
    ]
)
"""Points of curves: `risk_coverage` (x coverage, y error rate among the covered), `deferral` (x
deferral ratio, y joint accuracy) and `reliability` (x mean probability of a bin, y its accuracy,
`count` samples)."""

FITS_SCHEMA = pa.schema(
    [
        ("benchmark", pa.string()),
        ("dataset", pa.string()),
        ("seed", pa.int64()),
        ("predictor", pa.string()),
        ("variant", pa.string()),
        ("large", pa.string()),
        ("small", pa.string()),
        ("recipe", pa.string()),
        ("budget", pa.float64()),
        ("sidekick", pa.string()),
        ("weight_large", pa.float64()),
        ("weight_small", pa.float64()),
        ("divisor_large", pa.float64()),
        ("divisor_small", pa.float64()),
        ("threshold", pa.float64()),
        ("deferral_ratio", pa.float64()),
        ("promised_gmacs", pa.float64()),
        ("promised_accuracy", pa.float64()),
        ("val_nll", pa.float64()),
        ("iterations", pa.int32()),
        ("gradient_norm", pa.float64()),
        ("small_at_zero", pa.bool_()),
        ("note", pa.string()),
    ]
)
"""What was fitted on `val`. Weights are multipliers of logits (the duo paper's convention);
divisors are the released code's temperatures, 1/w for one model and 1/(2w) for a duo. A duo with
several sidekicks has a row for each, `sidekick`. `budget` is that of the predictor that was chosen
for it: the cost it may have, as a multiple of the large model's."""


def to_table(rows: list[dict], schema: pa.Schema) -> pa.Table:
    """Build a table; a missing key is null."""
    return pa.Table.from_pylist(rows, schema=schema)
