"""Small synthetic boards, in the schemas of the evaluation's tables."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import polars as pl

from sidekick.artifacts import write_table
from sidekick.evaluation.tables import (
    CURVES_SCHEMA,
    FITS_SCHEMA,
    METRICS_SCHEMA,
    PARTS_SCHEMA,
    to_table,
)
from sidekick.leaderboard.figures import DRAW
from sidekick.leaderboard.figures.rows import Board
from sidekick.metrics.registry import METRICS

DATASET = "toys"
_METRICS = ("accuracy", "nll", "brier", "aurc", "auroc", "ece", "sac_98", "overlap")
_WHOLE_CURVE = ("s_d", "deferral_area", "deferral_gain_area", "accuracy_budget_50")
ALPHAS = {"gatekeeper_a10": 0.1, "gatekeeper_a50": 0.5, "gatekeeper_a90": 0.9}
SWEEP = ("ce_control", *ALPHAS, "gatekeeper_chosen")


def board_tables(
    models: Sequence[str],
    *,
    seeds: int = 3,
    shift: bool = True,
    mc_dropout: bool = True,
    gatekept: Sequence[str] = (),
    groups: Mapping[str, Sequence[str]] | None = None,
    seed: int = 0,
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Make a leaderboard, its curves, fits and parts; each model costs a third more than the last.

    Those that are `gatekept` are so towards the last model. `groups` are what the questions of a
    part share, by what they are grouped by; without them there are no parts.
    """
    rng = np.random.default_rng(seed)
    costs = {model: 0.001 * 1.33**index for index, model in enumerate(models)}
    predictors = list(_predictors(models, costs, seeds, mc_dropout))
    for small in gatekept:
        predictors += _sweep(predictors, small, models[-1])
    rows = [row for entry in predictors for row in _rows(entry, seeds, shift, rng)]
    curves = [point for entry in predictors for point in _curves(entry, rng)]
    fits = [row for entry in predictors for row in _fits(entry, seeds, rng)]
    parts = [row for entry in predictors for row in _parts(entry, seeds, groups or {}, rng)]
    return (
        pl.DataFrame(to_table(rows, METRICS_SCHEMA)),
        pl.DataFrame(to_table(curves, CURVES_SCHEMA)),
        pl.DataFrame(to_table(fits, FITS_SCHEMA)),
        pl.DataFrame(to_table(parts, PARTS_SCHEMA)),
    )


def board(*args, **options) -> Board:
    """Make a board to draw from."""
    return Board(DATASET, *board_tables(*args, **options), 0.95)


def write_board(
    folder: Path,
    metrics: pl.DataFrame,
    curves: pl.DataFrame,
    fits: pl.DataFrame,
    parts: pl.DataFrame,
) -> dict:
    """Write a board's tables; give the arguments of `plot_leaderboard`."""
    paths = {"leaderboard": metrics, "curves": curves, "parts": parts}
    for name, table in paths.items():
        write_table(table.to_arrow(), folder / f"{name}.parquet", {})
    outputs = [
        str(folder / "figures" / DATASET / f"{figure}.{kind}")
        for figure in DRAW
        for kind in ("svg", "png", "csv")
    ]
    inputs = {name: str(folder / f"{name}.parquet") for name in paths}
    inputs["fits"] = str(folder / "fits.csv")
    fits.write_csv(inputs["fits"])
    return {**inputs, "outputs": outputs, "level": 0.95}


def _predictors(models, costs, seeds, mc_dropout) -> Iterator[dict]:
    def entry(predictor, variant, large, small=None, gmacs=None, baseline=None, **more):
        names = {"predictor": predictor, "variant": variant, "large": large, "small": small}
        balance = costs[small] / costs[large] if small else None
        defaults = {"recipe": "finetune", "gmacs": gmacs, "flops_balance": balance}
        return {**defaults, **names, "baseline": baseline, "metrics": _METRICS} | more

    for model, cost in costs.items():
        scaled = f"temperature:scaled:{model}"
        yield entry("single", "raw", model, gmacs=cost)
        yield entry("temperature", "scaled", model, None, cost, f"single:raw:{model}")
        for variant in ("oracle_ordering", "random_ordering"):
            yield entry("temperature", variant, model, None, cost, scaled)
        if seeds > 1:
            yield entry("ensemble", "mean_softmax", model, None, seeds * cost, scaled)
    for small, large in combinations(models, 2):
        both = costs[small] + costs[large]
        scaled, pair = f"temperature:scaled:{large}", f"{large}+{small}"
        for variant in (
            "weighted", "unweighted", "uq_only", "weighted_as_released", "noise_sidekick",
        ):  # fmt: skip
            yield entry("duo", variant, large, small, both, scaled)
        cost = costs[small] + costs[large] / 4
        for what in ("defer25", "budget50", "target97"):
            random, plain = f"cascade:random_{what}:{pair}", f"cascade:max_softmax_{what}:{pair}"
            learned = f"cascade:learned_{what}:{pair}"
            yield entry("cascade", f"random_{what}", large, small, cost)
            yield entry("cascade", f"max_softmax_{what}", large, small, cost, random)
            yield entry("cascade", f"learned_{what}", large, small, cost, plain)
            yield entry("duo_cascade", f"max_softmax_{what}", large, small, cost, plain)
            yield entry("duo_cascade", f"learned_{what}", large, small, cost, learned)
        for predictor, variant in (
            ("cascade", "random"), ("cascade", "oracle"), ("cascade", "max_softmax"),
            ("cascade", "ideal"), ("duo_cascade", "max_softmax"), ("cascade", "learned"),
            ("cascade", "entropy"),
        ):  # fmt: skip
            control = f"cascade:random:{pair}"
            metrics = () if variant == "ideal" else _WHOLE_CURVE
            yield entry(predictor, variant, large, small, None, control, metrics=metrics)
    if mc_dropout:
        for model, cost in costs.items():
            for recipe in ("mc_dropout", "mc_dropout_int8"):
                yield from _dropout(entry, model, recipe, cost)


def _dropout(entry, model, recipe, cost) -> Iterator[dict]:
    """Give what MC dropout adds for one network: fewer estimators than there are."""
    more = {"recipe": recipe}
    float_control = f"mc_dropout:deterministic:{model}@mc_dropout"
    first = None if recipe == "mc_dropout" else float_control
    control = f"mc_dropout:deterministic:{model}@{recipe}"
    yield entry("mc_dropout", "deterministic", model, None, cost, first, **more)
    more_rule = more | {"metrics": ("coverage", "selective_accuracy", "kept_error")}
    for name in ("20", "30", "closed"):
        for variant in (f"mean_{name}", f"score_{name}"):
            yield entry("mc_dropout", variant, model, None, 1.2 * cost, control, **more)
        for level in (70, 90):
            rule = f"interval{level}_{name}"
            rival = f"deterministic_at_{rule}"
            yield entry("mc_dropout", rival, model, None, cost, **more_rule)
            baseline = f"mc_dropout:{rival}:{model}@{recipe}"
            yield entry("mc_dropout", rule, model, None, cost, baseline, **more_rule)
    for variant in ("logit", "sigmoid"):
        yield entry("mc_dropout", variant, model, None, cost, **more | {"metrics": ()})


def _sweep(predictors: Sequence[dict], small: str, large: str) -> Iterator[dict]:
    """Give what Gatekeeper adds for one small model: rows like those of its base recipe."""
    alone = [p for p in predictors if p["large"] == small and p["variant"] in ("raw", "scaled")]
    paired = [p for p in predictors if (p["large"], p["small"]) == (large, small)]
    for recipe in SWEEP:
        for one in [*alone, *paired]:
            if one["predictor"] == "duo" or one["variant"].startswith(("learned", "entropy")):
                continue
            names = {"recipe": recipe if one["small"] is None else f"finetune+{recipe}"}
            models = one["large"] if one["small"] is None else f"{large}+{small}"
            untuned = f"{one['predictor']}:{one['variant']}:{models}"
            control = f"{untuned}@{names['recipe'].replace(recipe, 'ce_control')}"
            if one["variant"].startswith(("random", "oracle", "ideal")):
                yield {**one, **names}
            elif recipe == "ce_control":
                yield {**one, **names, "baseline": untuned}
            else:
                yield {**one, **names, "baseline": control}
                if one["gmacs"] is None or one["small"] is None:
                    more = {"variant": f"{one['variant']}_vs_untuned", "baseline": untuned}
                    yield {**one, **names, **more}


def _fits(entry: dict, seeds: int, rng) -> Iterator[dict]:
    yield from _thresholds(entry, seeds, rng)
    if entry["recipe"] == "finetune+gatekeeper_chosen" and entry["variant"] == "max_softmax":
        names = {key: entry[key] for key in ("predictor", "variant", "large", "small", "recipe")}
        for seed in range(seeds):
            note = f"chose gatekeeper_a{10 if seed else 50} by the area on val: whatever"
            yield {"benchmark": "b", "dataset": DATASET, "seed": seed, **names, "note": note}
    if entry["predictor"] != "duo" or entry["variant"] not in ("weighted", "noise_sidekick"):
        return
    names = {key: entry[key] for key in ("predictor", "variant", "large", "small", "recipe")}
    for seed in range(seeds):
        place = {"benchmark": "b", "dataset": DATASET, "seed": seed, **names}
        weights = {"weight_large": rng.uniform(0.4, 1), "weight_small": rng.uniform(0, 0.6)}
        yield {**place, "sidekick": entry["small"], **weights}
        if entry["variant"] == "weighted":
            yield {**place, "budget": 1 + entry["flops_balance"]}


def _thresholds(entry: dict, seeds: int, rng) -> Iterator[dict]:
    """Give what val promises of a cascade's operating point."""
    is_gate = entry["variant"].startswith(("max_softmax_", "learned_"))
    if not is_gate or entry["gmacs"] is None:
        return
    names = {key: entry[key] for key in ("predictor", "variant", "large", "small", "recipe")}
    for seed in range(seeds):
        yield {
            "benchmark": "b", "dataset": DATASET, "seed": seed, **names,
            "threshold": -np.inf if seed else rng.uniform(), "deferral_ratio": rng.uniform(),
            "promised_gmacs": entry["gmacs"] * rng.uniform(0.9, 1.1),
            "promised_accuracy": rng.uniform(0.85, 0.95),
        }  # fmt: skip


def _rows(entry: dict, seeds: int, shift: bool, rng) -> Iterator[dict]:
    places = [("test", None, None)]
    if shift:
        places += [("shift", "mean", severity) for severity in (1, 2, 3, 4, 5, None)]
        places += [("shift", "blur", 1)]
    for split, corruption, severity in places:
        place = {"split": split, "corruption": corruption, "severity": severity}
        place |= {"samples": 90 if split == "test" else 30}
        for metric in entry["metrics"]:
            yield _row(entry, metric, place, seeds, rng)


def _parts(entry: dict, seeds: int, groups: Mapping[str, Sequence[str]], rng) -> Iterator[dict]:
    """Give a predictor's rows on parts of the test set."""
    for grouping, names in groups.items():
        for name in names:
            place = {"split": "test", "grouping": grouping, "group": name, "samples": 30}
            for metric in [own for own in ("accuracy", "nll") if own in entry["metrics"]]:
                yield _row(entry, metric, place, seeds, rng)


def _row(entry: dict, metric: str, place: dict, seeds: int, rng) -> dict:
    facts = {key: value for key, value in entry.items() if key not in ("metrics", "baseline")}
    up = METRICS[metric].higher_is_better
    value = rng.uniform(0.85, 0.95) if up else rng.uniform(0.01, 0.08)
    # So small that the baseline's value, which is value - delta, is positive.
    delta, half = 0.1 * value * rng.uniform(-1, 1), 0.1 * value * rng.uniform()
    row = facts | place | {
        "benchmark": "b", "dataset": DATASET, "seeds": seeds, "metric": metric,
        "value": value, "low": 0.9 * value, "high": 1.1 * value, "higher_is_better": up,
    }  # fmt: skip
    if entry["baseline"]:
        row |= {
            "baseline": entry["baseline"], "delta": delta,
            "delta_low": delta - half, "delta_high": delta + half,
        }  # fmt: skip
    return row


def _confidence_curves(place: dict, rng) -> Iterator[dict]:
    """Give the ROC curve and the densities of a small model of a sweep."""
    sharpness = rng.uniform(3, 8)
    for x in np.linspace(0, 1, 11):
        yield place | {"curve": "roc", "x": x, "y": x ** (1 / sharpness)}
        yield place | {"curve": "density_correct", "x": x, "y": 20 * x**sharpness}
        yield place | {"curve": "density_wrong", "x": x, "y": 6 * x * (1 - x)}


def _dropout_curves(variant: str, place: dict, rng) -> Iterator[dict]:
    """Give what settings do, and shares of normal passes."""
    if variant in ("logit", "sigmoid"):
        for x in range(6):
            yield place | {"curve": "normal_share", "x": x, "y": rng.uniform(0.3, 1)}
            yield place | {"curve": "normal_share_by_class", "x": x, "y": rng.uniform(0.3, 1)}
    if not variant.startswith("interval"):
        return
    setting = "dropout" if variant.endswith("closed") else "threshold"
    for x in (0.25, 0.5, 0.75):
        for measure in ("coverage", "kept_accuracy", "top_width"):
            yield place | {"curve": f"{measure}_by_{setting}", "x": x, "y": rng.uniform(0.5, 1)}


def _curves(entry: dict, rng) -> Iterator[dict]:
    place = {"benchmark": "b", "dataset": DATASET, "split": "test"}
    place |= {key: entry[key] for key in ("predictor", "variant", "large", "small", "recipe")}
    if entry["variant"].endswith("_vs_untuned"):
        return
    if entry["predictor"] == "mc_dropout":
        yield from _dropout_curves(entry["variant"], place, rng)
    if entry["predictor"] == "single":
        yield from _confidence_curves(place, rng)
    if "aurc" in entry["metrics"]:
        top = rng.uniform(0.05, 0.15)
        for x in np.linspace(0.1, 1, 10):
            y = top * x**3
            yield place | {"curve": "risk_coverage", "x": x, "y": y, "low": y / 2, "high": 2 * y}
        for x in (0.45, 0.7, 0.95):
            band = {"low": x - 0.1, "high": min(x + 0.1, 1), "count": int(1000 * x**4)}
            yield place | {"curve": "reliability", "x": x, "y": x} | band
    elif entry["gmacs"] is None:
        if entry["variant"] == "entropy":
            return
        whole = entry["variant"] in ("max_softmax", "learned")
        for x in np.linspace(0, 1, 11):
            y = 0.9 + 0.05 * x * rng.uniform()
            band = {"low": y - 0.01, "high": y + 0.01} if whole else {}
            yield place | {"curve": "deferral", "x": x, "y": y} | band
