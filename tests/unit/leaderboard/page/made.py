"""Pages of synthetic boards, with names that would break out of a careless page."""

import base64
import gzip
import io
import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
from PIL import Image

from sidekick.artifacts import write_json, write_table
from sidekick.leaderboard.budgets import what_budgets_buy
from sidekick.leaderboard.findings import summarise_comparisons
from sidekick.leaderboard.page.render import render_page
from sidekick.leaderboard.pick_examples import EXAMPLES_SCHEMA
from sidekick.leaderboard.promises import what_promises_brought
from unit.leaderboard.boards import DATASET, board_tables, write_board

HOSTILE = (
    "</script><script>document.title='broken'</script>",
    "\"quoted\" & 'single' <b>bold</b> `tick` \\",
    "模型 😀 ß \u202eevil",
    "w" * 200,
)
TITLE = "<img src=x onerror=document.title='broken'> & \"toys\""
CITATION = {
    "authors": [{"name": "The Makers </script>"}],
    "date-released": "2026-01-02",
    "title": "A tool",
    "version": "1.2",
    "references": [
        {
            "authors": [{"family-names": "Zhou"}, {"name": "et al."}],
            "year": 2025,
            "title": "A paper",
            "identifiers": [{"type": "other", "value": "arXiv:1"}],
        }
    ],
}
CONFIG = {
    "benchmark": "</title><script>document.title='broken'</script>",
    "seeds": [0, 1, 2],
    "evaluation": {"level": 0.95, "replicates": {"test": 100, "shift": 20}, "seed": 0},
}


def make_page(folder: Path, models: Sequence[str] = HOSTILE, **changes) -> Path:
    """Write the page of a small board of these models, the cheapest first; give its path."""
    arguments = page_arguments(folder, models) | changes
    render_page(**arguments)
    return Path(arguments["output"])


def page_arguments(folder: Path, models: Sequence[str] = HOSTILE, **options) -> dict:
    """Write what a page is made of; give the arguments of `render_page`."""
    board, curves, fits, parts = board_tables(models, gatekept=[models[0]], **options)
    place = folder / "leaderboard"
    place.mkdir(parents=True)
    paths = write_board(place, board, curves, fits, parts)
    tables = {
        "findings": summarise_comparisons(board),
        "budgets": what_budgets_buy(board, fits),
        "promises": what_promises_brought(board, fits),
    }
    for name, table in tables.items():
        table.write_csv(place / f"{name}.csv")
    return {
        **{name: paths[name] for name in ("leaderboard", "curves", "fits")},
        **{name: str(place / f"{name}.csv") for name in tables},
        "cards": [_card(folder)],
        "deployed": [_deployed(folder, models)],
        "examples": [_examples(folder, models)],
        "times": _times(folder),
        "citation": CITATION,
        "config": CONFIG,
        "output": str(place / "index.html"),
    }


def _card(folder: Path) -> str:
    path = folder / "datasets" / DATASET / "dataset.json"
    card = {"title": TITLE, "licence": "CC BY 4.0", "revision": "r1", "classes": ["a", "b"]}
    write_json({**card, "sizes": {"train": 20, "test": 90}}, path)
    return str(path)


def _deployed(folder: Path, models: Sequence[str]) -> str:
    """Write a duo of the first two models as a deployable file."""
    path = folder / "deployment" / DATASET / "first_duo.json"
    large, small = models[1], models[0]
    origin = [{"model": model, "recipe": "finetune", "seed": "0"} for model in (large, small)]
    content = {
        "kind": "duo",
        "variant": "weighted",
        "gate": None,
        "models": {"large": {"name": large}, "small": [{"name": small}]},
        "guarantee": {"delta": 0.05},
        "budgets": [],
        "targets": [
            {
                "name": "accuracy>=0.9",
                "budget": None,
                "threshold": 0.5,
                "certified_on": {"coverage": 0.8, "accuracy_lower_bound": 0.91},
            },
            {"name": "accuracy>=0.99", "budget": None, "threshold": None, "reason": "too few"},
        ],
        "provenance": {"dataset": DATASET, "models": origin},
    }
    write_json(content, path)
    return str(path)


def example_rows(models: Sequence[str], count: int = 2) -> list[dict]:
    """Give samples of two kinds, one a picture and one a question."""
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), (200, 30, 30)).save(stream, "png")
    common = {
        "dataset": DATASET,
        "corruption": None,
        "severity": None,
        "label": "</b>seven",
        "large": models[-1],
        "small": models[0],
        "predictor": "duo",
        "large_answer": "one",
        "large_confidence": 0.9,
        "small_answer": "</b>seven",
        "small_confidence": 0.6,
        "answer": "</b>seven",
        "confidence": 0.7,
    }
    picture = {"image": stream.getvalue(), "question": None, "choices": None}
    question = {"image": None, "question": "<i>What</i>?", "choices": ["one", "</b>seven"]}
    return [
        {**common, "kind": kind, "sample_id": f"{kind}{number}", **content}
        for kind, content in (("large_wrong_duo_right", picture), ("gallery", question))
        for number in range(count)
    ]


def _examples(folder: Path, models: Sequence[str]) -> str:
    path = folder / "leaderboard" / "examples" / f"{DATASET}.parquet"
    table = pa.Table.from_pylist(example_rows(models), EXAMPLES_SCHEMA)
    write_table(table, path, {"rule": "by <hand>"})
    return str(path)


def _times(folder: Path) -> str:
    place = folder / "benchmarks" / "finetune"
    place.mkdir(parents=True)
    (place / "a.tsv").write_text("s\tmax_rss\n1.5\t100.0\n")
    (place / "b.tsv").write_text("s\tmax_rss\n2.5\tNA\n")
    (folder / "benchmarks" / "render_page.tsv").write_text("s\tmax_rss\n9.0\t1.0\n")
    return str(folder / "benchmarks")


def payload_of(page: Path) -> str:
    """Cut the packed data out of a page."""
    text = page.read_text()
    return text.partition('<script id="payload" type="text/plain">')[2].partition("</script>")[0]


def opened(payload: str) -> tuple[dict, bytes]:
    """Open packed data without the code under test: the header, and the bytes behind it."""
    whole = gzip.decompress(base64.b64decode(payload, validate=True))
    length = int.from_bytes(whole[:4], "little")
    return json.loads(whole[4 : 4 + length]), whole[4 + length :]
