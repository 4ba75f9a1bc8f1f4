"""A picture of the accept/ignore rule at work: images, their corruptions, what became of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.style
import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from sidekick.artifacts import read_facts, read_table
from sidekick.datasets.decoding import decode_rgb
from sidekick.datasets.reading import iterate_split, read_card
from sidekick.errors import SidekickError
from sidekick.leaderboard.figures.look import plural
from sidekick.leaderboard.figures.page import Drawing, annotate, new_figure
from sidekick.leaderboard.plot import STYLE, save_drawing
from sidekick.leaderboard.recipe_words import recipe_words

_ROWS_AT_ONCE = 256
# Accepted and right, accepted and wrong, ignored though no dropout is right, ignored and wrong.
_COLORS = {
    (True, True): "#0173b2",
    (True, False): "#d55e00",
    (False, True): "#949494",
    (False, False): "#029e73",
}
_WORDS = {
    (True, True): "accepted, right",
    (True, False): "accepted, wrong",
    (False, True): "ignored, though right without dropout",
    (False, False): "ignored, and wrong without dropout",
}
# Of a sample: its id, corruption and severity.
Key = tuple[str, str | None, int | None]


def plot_examples(*, examples: str, dataset_folder: str | Path, outputs: Sequence[str]) -> None:
    """Draw a grid of images: a row per sample, a column per corruption.

    Parameters
    ----------
    examples
        Table of `sidekick.evaluation.mc_dropout_examples`.
    dataset_folder
        The prepared dataset.
    outputs
        Where to save the figure, `svg` or `png`.

    Raises
    ------
    SidekickError
        If an image of the table is not in the dataset.
    """
    rows = pl.DataFrame(read_table(examples))
    facts = read_facts(examples)
    images = _find_images(dataset_folder, int(facts["seed"]), set(map(_key, rows.to_dicts())))
    classes = read_card(dataset_folder)["classes"]
    with matplotlib.style.context(["default", STYLE]):
        drawing = draw_examples(rows, images, classes, facts)
        for path in map(Path, outputs):
            save_drawing(drawing, path)


def draw_examples(
    rows: pl.DataFrame,
    images: Mapping[Key, np.ndarray],
    classes: Sequence[str],
    facts: Mapping[str, str],
) -> Drawing:
    """Draw the table with its images.

    Parameters
    ----------
    rows
        The table.
    images
        Of each row, (H, W, 3) uint8.
    classes
        Their names.
    facts
        `model`, `recipe`, `passes`, `level`, `seed`, as the table's metadata has them.
    """
    columns = [None, *sorted(rows["corruption"].drop_nulls().unique())]
    samples = rows.sort("label", "sample_id")["sample_id"].unique(maintain_order=True).to_list()
    figure = new_figure(0.85 * len(samples))
    grid = figure.subplots(len(samples), len(columns), squeeze=False)
    places = {(row["sample_id"], row["corruption"]): row for row in rows.to_dicts()}
    for sample, line in zip(samples, grid, strict=True):
        for corruption, axes in zip(columns, line, strict=True):
            axes.set(xticks=[], yticks=[])
            row = places.get((sample, corruption))
            if row is None:
                axes.set_axis_off()
            else:
                _draw_cell(axes, row, images[_key(row)], classes)
    for corruption, axes in zip(columns, grid[0], strict=True):
        name = "clean" if corruption is None else corruption.replace("_", "\n", 1)
        axes.set_title(name, size=5.5, loc="center")
    legend = [
        Line2D([], [], color=color, marker="s", linestyle="none", label=_WORDS[key])
        for key, color in _COLORS.items()
    ]
    ignored, kept = rows.filter(~pl.col("accepted")), rows.filter(pl.col("accepted"))
    title = (
        f"{facts['model']} ({recipe_words(facts['recipe'])}) ignores {len(ignored)} of these "
        f"{len(rows)} images; of the {len(kept)} others {_wrong(kept)} are answered wrongly"
    )
    severity = rows["severity"].max()
    caption = [
        f"{facts['dataset']}, seed {facts['seed']}: {plural(len(samples), 'random test image')} of "
        "different classes, clean"
        + (f" and with each corruption at severity {severity}." if severity else "."),
        f"Accept/ignore rule with {facts['passes']} passes, confidence factor {facts['level']}.",
        "Below an image: the label, and what the rule answers with its mean sigmoid; in brackets "
        "the answer of what was ignored.",
    ]
    return annotate(figure, title, caption, legend, [rows])


def _draw_cell(axes: Axes, row: Mapping, image: np.ndarray, classes: Sequence[str]) -> None:
    axes.imshow(image, interpolation="nearest")
    rival = row["answer"] if row["accepted"] else row["deterministic"]
    color = _COLORS[row["accepted"], rival == row["label"]]
    for spine in axes.spines.values():
        spine.set(visible=True, color=color, linewidth=2)
    label, answer = (_short(classes[row[name]]) for name in ("label", "answer"))
    told = f"{answer} {row['mean']:.2f}"
    words = told if row["accepted"] else f"({told})"
    axes.set_xlabel(f"{label} → {words}", size=4.5, color=color, labelpad=1.5)


def _short(name: str) -> str:
    return name if len(name) <= 7 else f"{name[:6]}…"


def _wrong(kept: pl.DataFrame) -> int:
    return kept.filter(pl.col("answer") != pl.col("label")).height


def _key(row: Mapping) -> Key:
    return row["sample_id"], row["corruption"], row["severity"]


def _find_images(folder: str | Path, seed: int, wanted: set[Key]) -> dict[Key, np.ndarray]:
    """Read the images of some samples, clean or corrupted."""
    found = {}
    splits = ["test"] + ["shift"] * any(corruption for _, corruption, _ in wanted)
    for split in splits:
        for part in iterate_split(folder, split, seed, _ROWS_AT_ONCE):
            none = [None] * len(part)
            keys = zip(
                part.sample_ids.tolist(),
                none if part.corruption is None else part.corruption.tolist(),
                none if part.severity is None else part.severity.tolist(),
                strict=True,
            )
            rows = np.array([row for row, key in enumerate(keys) if key in wanted], dtype=int)
            for row, (data, name) in zip(rows, part.stored(rows), strict=True):
                own = (
                    part.sample_ids[row],
                    None if part.corruption is None else part.corruption[row],
                    None if part.severity is None else int(part.severity[row]),
                )
                stored = part.format
                found[own] = (
                    decode_rgb(data, name)
                    if stored.encoded
                    else np.frombuffer(data, np.uint8).reshape(stored.shape)
                )
    if missing := wanted - set(found):
        raise SidekickError(f"{folder}: no image of the sample {sorted(map(str, missing))[0]}")
    return found
