"""What quantisation saves and what it costs, network by network."""

from collections.abc import Sequence
from typing import Any

import polars as pl

from sidekick.artifacts import read_facts, read_json, read_table
from sidekick.recipe_names import MC_DROPOUT, MC_DROPOUT_INT8

_METRICS = ("accuracy", "macro_f1")
_DIFFERENCE = ("delta", "delta_low", "delta_high")
_FEATURES = "features"
_SCHEMA = {
    "dataset": pl.String,
    "model": pl.String,
    "seed": pl.Int64,
    "architecture": pl.String,
    "float_bytes": pl.Int64,
    "int8_bytes": pl.Int64,
    "size_ratio": pl.Float64,
    "calibration_images": pl.Int64,
    "worst_layer": pl.String,
    "worst_operator": pl.String,
    "worst_output_sqnr": pl.Float64,
    "worst_rounding_sqnr": pl.Float64,
    "features_sqnr": pl.Float64,
}


def what_quantisation_costs(
    board: pl.DataFrame, reports: Sequence[str], errors: Sequence[str]
) -> pl.DataFrame:
    """Put the files of quantised networks beside their answers on `test`.

    Parameters
    ----------
    board
        The leaderboard.
    reports, errors
        Of the quantisation jobs, in the same order: summaries (JSON) and tables of the layers'
        errors (Parquet); see `sidekick.quantisation.quantise.quantise_checkpoint`.

    Returns
    -------
    DataFrame
        One row per dataset, model and seed: sizes on disk; the layer whose own rounding loses
        most, its signal-to-noise ratios and that of the pooled features, in dB (see
        `sidekick.quantisation.layer_errors.LayerError`); and for accuracy and macro-F1, without
        dropout and over all seeds, the values in float32 and int8 and their paired difference
        with its interval. No rows if nothing is quantised.
    """
    rows = [_network(*files) for files in zip(reports, errors, strict=True)]
    found = pl.DataFrame(rows, schema=_SCHEMA, orient="row")
    places = ["dataset", "model"]
    for metric in _METRICS:
        answers = board.filter(
            split="test", predictor="mc_dropout", variant="deterministic", metric=metric
        ).rename({"large": "model"})
        as_float = answers.filter(recipe=MC_DROPOUT).select(
            *places, pl.col("value").alias(f"float_{metric}")
        )
        as_int8 = answers.filter(recipe=MC_DROPOUT_INT8).select(
            *places,
            pl.col("value").alias(f"int8_{metric}"),
            *(pl.col(name).alias(f"{metric}_{name}") for name in _DIFFERENCE),
        )
        found = found.join(as_float, on=places, how="left").join(as_int8, on=places, how="left")
    return found.sort(*places, "seed")


def _network(report: str, errors: str) -> dict[str, Any]:
    summary, facts = read_json(report), read_facts(errors)
    layers = pl.DataFrame(read_table(errors))
    worst = summary["worst_layers"][0] if summary["worst_layers"] else {}
    return {
        **{key: facts[key] for key in ("dataset", "model", "architecture")},
        "seed": int(facts["seed"]),
        **{key: summary[key] for key in ("float_bytes", "int8_bytes", "size_ratio")},
        "calibration_images": summary["calibration"]["images"],
        "worst_layer": worst.get("layer"),
        "worst_operator": worst.get("operator"),
        "worst_output_sqnr": worst.get("output_sqnr"),
        "worst_rounding_sqnr": worst.get("rounding_sqnr"),
        "features_sqnr": layers.filter(layer=_FEATURES)["output_sqnr"].item(),
    }
