"""Time the page of a large board: to make it, to open it and to sort its table.

Run it alone by `python -m benchmarks.page`. The board is synthetic: 100 models on 5 datasets, all
pairs of them. Opening and sorting are timed inside Chromium, which is left out where there is none.
"""

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import numpy as np
import polars as pl

from sidekick.artifacts import write_json, write_table
from sidekick.evaluation.tables import CURVES_SCHEMA, FITS_SCHEMA, METRICS_SCHEMA, to_table
from sidekick.leaderboard.budgets import what_budgets_buy
from sidekick.leaderboard.findings import summarise_comparisons
from sidekick.leaderboard.page.render import render_page
from sidekick.leaderboard.promises import what_promises_brought
from sidekick.metrics.registry import METRICS

_MODELS, _DATASETS, _ROUNDS = 100, 5, 5
_METRICS = ("accuracy", "nll", "ece", "auroc", "aurc", "sac_98")
_PAIRED = (
    ("duo", "weighted", 1.0),
    ("duo", "unweighted", 1.0),
    ("cascade", "max_softmax_defer25", 0.25),
    ("duo_cascade", "max_softmax_defer25", 0.25),
)
_GOAL = 2.0
_OPTIONS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


def run() -> None:
    """Print sizes and times."""
    print(f"\npage of {_MODELS} models on {_DATASETS} datasets, median of {_ROUNDS} rounds")
    with tempfile.TemporaryDirectory() as folder:
        arguments, rows = _write_board(Path(folder))
        begin = time.perf_counter()
        render_page(**arguments)
        print(f"{rows:,} rows of the board, page made in {time.perf_counter() - begin:.1f} s")
        page = Path(arguments["output"])
        print(f"page: {page.stat().st_size / 1e6:.2f} MB")
        _browse(page)


def _write_board(folder: Path) -> tuple[dict, int]:
    """Write the tables of a board; give the arguments of `render_page` and the number of rows."""
    rng = np.random.default_rng(0)
    predictors = pl.DataFrame(list(_predictors()), infer_schema_length=None)
    board = pl.concat(_metrics(predictors, f"dataset_{n}", rng) for n in range(_DATASETS))
    curves = pl.concat(_curves(predictors, f"dataset_{n}", rng) for n in range(_DATASETS))
    fits = pl.DataFrame(to_table([], FITS_SCHEMA))
    paths = {"leaderboard": board, "curves": curves}
    for name, table in paths.items():
        write_table(table.to_arrow(), folder / f"{name}.parquet", {}, dictionary=True)
    tables = {
        "fits": fits,
        "findings": summarise_comparisons(board),
        "budgets": what_budgets_buy(board, fits),
        "promises": what_promises_brought(board, fits),
    }
    for name, table in tables.items():
        table.write_csv(folder / f"{name}.csv")
    write_json({"title": "Dataset 0"}, folder / "dataset_0" / "dataset.json")
    arguments = {
        **{name: str(folder / f"{name}.parquet") for name in paths},
        **{name: str(folder / f"{name}.csv") for name in tables},
        "cards": [str(folder / "dataset_0" / "dataset.json")],
        "deployed": [],
        "examples": [],
        "times": str(folder / "benchmarks"),
        "citation": {
            "authors": [{"name": "nobody"}],
            "date-released": "2026",
            "title": "synthetic",
            "version": "0",
        },
        "config": {
            "benchmark": "large",
            "seeds": [0, 1, 2],
            "evaluation": {"level": 0.95, "replicates": {"test": 1000}},
        },
        "output": str(folder / "index.html"),
    }
    return arguments, len(board)


def _predictors() -> Iterator[dict]:
    names = [f"model_{number:03d}" for number in range(_MODELS)]
    costs = np.geomspace(0.01, 20, _MODELS)
    for large, cost in zip(names, costs, strict=True):
        alone = {"large": large, "small": None, "recipe": "finetune", "flops_balance": None}
        scaled = f"temperature:scaled:{large}"
        for predictor, variant, times, control in (
            ("single", "raw", 1, None),
            ("temperature", "scaled", 1, f"single:raw:{large}"),
            ("ensemble", "mean_softmax", 3, scaled),
        ):
            names_of = {"predictor": predictor, "variant": variant, "baseline": control}
            yield alone | names_of | {"gmacs": times * cost}
    for small, large in combinations(range(_MODELS), 2):
        pair = {"large": names[large], "small": names[small], "recipe": "finetune"}
        pair |= {"flops_balance": costs[small] / costs[large]}
        control = f"temperature:scaled:{names[large]}"
        for predictor, variant, share in _PAIRED:
            own = {"predictor": predictor, "variant": variant, "baseline": control}
            yield pair | own | {"gmacs": costs[small] + share * costs[large]}


def _metrics(predictors: pl.DataFrame, dataset: str, rng: np.random.Generator) -> pl.DataFrame:
    """Give values that fall with the cost, and differences around zero."""
    parts = []
    quality = 0.05 + 0.3 * predictors["gmacs"].to_numpy() ** -0.15
    for split, corruption in (("test", None), ("shift", "mean")):
        for metric in _METRICS:
            up = METRICS[metric].higher_is_better
            loss = quality * rng.uniform(0.9, 1.1, len(predictors)) / 3
            value = 1 - loss if up else loss
            delta = 0.1 * loss * rng.normal(size=len(predictors))
            half = 0.1 * loss
            own = {
                "benchmark": pl.lit("large"), "dataset": pl.lit(dataset), "split": pl.lit(split),
                "corruption": pl.lit(corruption, pl.String), "severity": pl.lit(None, pl.Int8),
                "seeds": pl.lit(3, pl.Int32), "samples": pl.lit(10_000, pl.Int32),
                "metric": pl.lit(metric), "value": value, "low": value - half,
                "high": value + half, "delta": delta, "delta_low": delta - half,
                "delta_high": delta + half, "higher_is_better": pl.lit(up),
                "note": pl.lit(None, pl.String),
            }  # fmt: skip
            columns = {
                name: pl.Series(one) if isinstance(one, np.ndarray) else one
                for name, one in own.items()
            }
            parts.append(predictors.with_columns(**columns).select(METRICS_SCHEMA.names))
    return pl.concat(parts)


def _curves(predictors: pl.DataFrame, dataset: str, rng: np.random.Generator) -> pl.DataFrame:
    """Give risk-coverage curves of 20 points."""
    points = pl.DataFrame({"x": np.linspace(0.05, 1, 20)})
    keys = ["predictor", "variant", "large", "small", "recipe"]
    crossed = predictors.select(keys).join(points, how="cross")
    risk = crossed["x"].to_numpy() * rng.uniform(0.05, 0.15, len(crossed))
    return crossed.with_columns(
        benchmark=pl.lit("large"), dataset=pl.lit(dataset), split=pl.lit("test"),
        curve=pl.lit("risk_coverage"), y=pl.Series(risk), low=pl.Series(0.9 * risk),
        high=pl.Series(1.1 * risk), count=pl.lit(None, pl.Int64),
    ).select(CURVES_SCHEMA.names)  # fmt: skip


def _browse(page: Path) -> None:
    """Open the page in Chromium and sort its table, again and again."""
    found = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if found is None:
        print("no Chromium found: opening and sorting are not timed")
        return
    from playwright.sync_api import sync_playwright

    with sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=found, args=_OPTIONS)
        rounds = [_open_and_sort(browser, page) for _ in range(_ROUNDS)]
        browser.close()
    for name, seconds in zip(
        ("open until it can be used", "sort the table", "other dataset"),
        map(statistics.median, zip(*rounds, strict=True)),
        strict=True,
    ):
        print(f"{name:<28}{seconds:6.2f} s (goal {_GOAL:g} s)", flush=True)


def _open_and_sort(browser, page: Path) -> tuple[float, float, float]:
    context = browser.new_context(viewport={"width": 1440, "height": 900}, bypass_csp=True)
    tab = context.new_page()
    tab.goto(page.as_uri())
    tab.wait_for_selector("html[data-ready=yes]", timeout=120_000)
    opened = tab.evaluate("Number(document.documentElement.dataset.opened) / 1000")
    timed = """(act) => new Promise((resolve) => {
      const begin = performance.now();
      act === 'sort'
        ? document.querySelectorAll('#predictors thead th')[1].click()
        : (() => {
            const select = document.getElementById('dataset');
            select.selectedIndex = 1;
            select.dispatchEvent(new Event('change'));
          })();
      requestAnimationFrame(() => setTimeout(() => resolve((performance.now() - begin) / 1000)));
    })"""
    times = opened, tab.evaluate(timed, "sort"), tab.evaluate(timed, "dataset")
    context.close()
    return times


if __name__ == "__main__":
    run()
