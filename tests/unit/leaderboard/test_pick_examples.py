"""`pick_examples`: which samples it picks, in which order, and how they look."""

import hashlib
import io
import json

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from PIL import Image

from sidekick.artifacts import write_table
from sidekick.errors import SidekickError
from sidekick.evaluation.mc_dropout_examples import EXAMPLES_SCHEMA as DROPOUT_SCHEMA
from sidekick.evaluation.tables import FITS_SCHEMA, to_table
from sidekick.leaderboard.pick_examples import EXAMPLES_SCHEMA, KINDS, MOST, pick_examples
from sidekick.logit_cache import write_logits
from unit.datasets.stored import encode, random_image, write_dataset
from unit.evaluation.generated import BIG, SMALL, Generated
from unit.leaderboard.rows import make_rows

CLASSES = 3
WEIGHTS = {"big": 0.8, "tiny": 0.5}
DUO = {
    "predictor": "duo", "variant": "weighted", "large": "big", "small": "tiny", "gmacs": 5.0,
    "baseline": "temperature:scaled:big", "delta": -0.1, "delta_low": -0.2, "delta_high": -0.05,
    "value": 0.1,
}  # fmt: skip
ALONE = [
    {"predictor": "temperature", "variant": "scaled", "large": "big", "gmacs": 4.0, "value": 0.2},
    {"predictor": "temperature", "variant": "scaled", "large": "tiny", "gmacs": 1.0, "value": 0.3},
]
FITS = [
    {"predictor": "temperature", "variant": "scaled", "large": "big", "weight_large": 2.0},
    {"predictor": "temperature", "variant": "scaled", "large": "tiny", "weight_large": 1.0},
    # What a budget bought has no weights.
    {"predictor": "duo", "variant": "weighted", "large": "big", "small": "tiny", "budget": 2.0},
    {
        "predictor": "duo", "variant": "weighted", "large": "big", "small": "tiny",
        "sidekick": "tiny", "weight_large": 0.8, "weight_small": 0.5,
    },
    {
        "predictor": "cascade", "variant": "max_softmax_defer50", "large": "big", "small": "tiny",
        "threshold": 0.9, "deferral_ratio": 0.5,
    },
    {
        "predictor": "cascade", "variant": "max_softmax_defer25", "large": "big", "small": "tiny",
        "threshold": 0.5, "deferral_ratio": 0.25,
    },
]  # fmt: skip


class Made:
    """A made-up dataset `toy` with the caches of a pair; `arguments` of `pick_examples`."""

    def __init__(self, folder, count=90, board=(*ALONE, DUO), fits=FITS):
        self.folder = folder
        rng = np.random.default_rng(3)
        self.ids = np.array([f"s{row:03d}" for row in range(2, count, 3)], dtype=object)
        self.labels = np.arange(2, count, 3) % CLASSES
        hint = 1.5 * np.eye(CLASSES)[self.labels]
        self.logits = {
            model: (hint + rng.normal(0, 1.5, hint.shape)).astype(np.float16) for model in WEIGHTS
        }
        board = make_rows(*({"dataset": "toy"} | row for row in board))
        write_table(board.to_arrow(), folder / "board.parquet", {})
        place = {"benchmark": "b", "dataset": "toy", "recipe": "finetune"}
        fitted = [place | {"seed": seed} | row for seed in (0, 1) for row in fits]
        pl.DataFrame(to_table(fitted, FITS_SCHEMA)).write_csv(folder / "fits.csv")
        self.caches = {}
        for number, model in enumerate(WEIGHTS):
            # In another order for every model.
            order = np.random.default_rng(number).permutation(len(self.ids))
            self.caches[model] = str(folder / f"{model}.parquet")
            write_logits(
                self.caches[model], self.ids[order], self.labels[order],
                self.logits[model][order], {"model": model, "classes": CLASSES},
            )  # fmt: skip
        self.arguments = {
            "leaderboard": str(folder / "board.parquet"),
            "fits": str(folder / "fits.csv"),
            "dataset": "toy",
            "seed": 0,
            "logits": list(self.caches.values()),
            "answers": [],
            "mc_dropout": [],
            "dataset_folder": None,
            "classes": None,
            "output": str(folder / "picked.parquet"),
        }

    def images(self, height=8, width=8, encoded=False):
        """Give it images."""
        pixels = [random_image(height, width, row) for row in range(90)]
        stored = [encode(image) if encoded else image.tobytes() for image in pixels]
        shape = None if encoded else (height, width, 3)
        shift = [random_image(8, 8, 500 + row) for row in range(40)]
        folder = self.folder / "data"
        write_dataset(folder, stored, shape=shape, encoded=encoded, shift=shift)
        self.arguments["dataset_folder"] = folder
        return {f"s{row:03d}": image for row, image in enumerate(pixels)}

    def pick(self, **changes):
        pick_examples(**self.arguments | changes)
        table = pl.read_parquet(self.arguments["output"])
        assert table.to_arrow().schema.names == EXAMPLES_SCHEMA.names
        return table

    def probabilities(self, **weights):
        total = sum(weight * self.logits[model].astype(float) for model, weight in weights.items())
        exponents = np.exp(total - total.max(axis=1, keepdims=True))
        return exponents / exponents.sum(axis=1, keepdims=True)


@pytest.fixture
def made(tmp_path):
    return Made(tmp_path)


def of(table, kind):
    return table.filter(pl.col("kind") == kind)


def test_kinds_are_what_they_say_and_in_their_order(made):
    duo = made.probabilities(**WEIGHTS)
    large = made.probabilities(big=2.0)
    gate = made.probabilities(tiny=1.0).max(axis=1)
    right, large_right = duo.argmax(1) == made.labels, large.argmax(1) == made.labels
    expected = {
        "large_wrong_duo_right": (right & ~large_right, -duo.max(axis=1)),
        "confident_mistake": (~right, -duo.max(axis=1)),
        "deferred": (gate < 0.5, gate),
    }
    table = made.pick()
    for kind, (eligible, order) in expected.items():
        rows = np.flatnonzero(eligible)
        rows = rows[np.argsort(order[rows], kind="stable")][:MOST]
        assert len(rows) > 1, kind
        assert of(table, kind)["sample_id"].to_list() == made.ids[rows].tolist(), kind
    hashed = sorted(made.ids, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    assert of(table, "gallery")["sample_id"].to_list() == hashed[:MOST]
    order = table["kind"].unique(maintain_order=True).to_list()
    assert order == [kind for kind in KINDS if kind in order]


def test_answers_and_confidences_are_those_of_the_three_predictors(made):
    row = of(made.pick(), "gallery").row(0, named=True)
    place = made.ids.tolist().index(row["sample_id"])
    for prefix, weights in (("", WEIGHTS), ("large_", {"big": 2.0}), ("small_", {"tiny": 1.0})):
        found = made.probabilities(**weights)[place]
        assert row[f"{prefix}answer"] == str(found.argmax())
        assert row[f"{prefix}confidence"] == pytest.approx(found.max(), rel=1e-3)
    assert row["label"] == str(made.labels[place])
    assert (row["large"], row["small"]) == ("big", "tiny")
    assert row["predictor"] == "duo weighted big + tiny"


def test_without_samples_there_are_names_only(made):
    table = made.pick(classes=["zero", "one", "two"])
    assert table["image"].null_count() == len(table) == table["question"].null_count()
    assert set(table["label"]) <= {"zero", "one", "two"}


@pytest.mark.parametrize("encoded", [False, True])
def test_small_images_are_kept_as_they_are(made, encoded):
    pixels = made.images(encoded=encoded)
    table = made.pick()
    for row in table.iter_rows(named=True):
        with Image.open(io.BytesIO(row["image"])) as image:
            assert image.format == "PNG"
            np.testing.assert_array_equal(np.array(image), pixels[row["sample_id"]])
        assert row["label"] == f"class {int(row['sample_id'][1:]) % CLASSES}"


def test_large_images_are_made_smaller(made):
    made.images(height=200, width=400, encoded=True)
    for image in made.pick()["image"]:
        with Image.open(io.BytesIO(image)) as opened:
            assert opened.size == (160, 80)


def test_what_the_rule_ignores_is_shown_with_its_corruption(made):
    made.images()
    shifted = pl.read_parquet(made.arguments["dataset_folder"] / "shift.parquet")
    rows = [
        {
            "sample_id": row["sample_id"], "corruption": str(row["corruption"]),
            "severity": row["severity"], "label": 1, "accepted": number % 4 == 0, "answer": 2,
            "mean": 0.5 - number / 100, "low": 0.1, "high": 0.6, "deterministic": 0,
        }
        for number, row in enumerate(shifted.head(6).iter_rows(named=True))
    ]  # fmt: skip
    paths = []
    for model in ("tiny", "big"):
        paths.append(str(made.folder / f"rule_{model}.parquet"))
        facts = {"model": model, "passes": 30, "level": 0.8}
        write_table(to_table(rows, DROPOUT_SCHEMA), paths[-1], facts)
    found = of(made.pick(mc_dropout=paths), "ignored")
    kept = [row for row in rows if not row["accepted"]]
    assert found["sample_id"].to_list() == [row["sample_id"] for row in kept[::-1]]
    assert found["confidence"].is_sorted()
    assert set(found["predictor"]) == {"mc_dropout interval80_30 big"}
    assert set(found["answer"]) == {"class 2"}
    stored = {
        (row["sample_id"], str(row["corruption"]), row["severity"]): row["image"]
        for row in shifted.iter_rows(named=True)
    }
    for row in found.iter_rows(named=True):
        with Image.open(io.BytesIO(row["image"])) as image:
            key = row["sample_id"], row["corruption"], row["severity"]
            assert np.array(image).tobytes() == stored[key]


def test_questions_come_with_their_own_choices_and_are_cut_off(made):
    folder = made.folder / "questions"
    folder.mkdir()
    choices = [[f"option {row}.{number}" for number in range(CLASSES)] for row in range(90)]
    samples = {
        "sample_id": [f"s{row:03d}" for row in range(90)],
        "label": pa.array(np.arange(90) % CLASSES, pa.int32()),
        "question": ["What? " * 1000] * 90,
        "choices": choices,
    }
    write_table(pa.table(samples), folder / "samples.parquet", {})
    card = {"name": "q", "revision": "1", "modality": "text", "classes": ["A", "B", "C"]}
    card |= {"has_shift": False, "missing_files": [], "task": {}, "val_from": None}
    (folder / "dataset.json").write_text(json.dumps(card))
    table = made.pick(dataset_folder=folder)
    for row in table.iter_rows(named=True):
        number = int(row["sample_id"][1:])
        assert row["choices"] == choices[number]
        assert row["label"] == choices[number][number % CLASSES]
        assert row["answer"] in choices[number]
        assert len(row["question"]) == 2000
        assert row["question"].endswith("…")
    assert table["image"].null_count() == len(table)


def test_a_model_alone_has_mistakes_and_a_gallery(tmp_path):
    made = Made(tmp_path, board=ALONE[:1])
    table = made.pick()
    assert set(table["kind"]) == {"confident_mistake", "gallery"}
    assert table["small"].null_count() == len(table)
    assert (table["answer"] == table["large_answer"]).all()


def test_several_sidekicks_all_take_part(tmp_path):
    group = DUO | {"variant": "weighted_2_sidekicks", "small": "tiny+big2"}
    fits = [
        *FITS[:2],
        {"predictor": "temperature", "variant": "scaled", "large": "big2", "weight_large": 1.0},
        *(
            {
                "predictor": "duo", "variant": "weighted_2_sidekicks", "large": "big",
                "small": "tiny+big2", "sidekick": small, "weight_large": 0.8,
                "weight_small": weight,
            }
            for small, weight in (("tiny", 0.5), ("big2", 0.0))
        ),
    ]  # fmt: skip
    made = Made(tmp_path, board=[*ALONE, group], fits=fits)
    second = str(tmp_path / "big2.parquet")
    shuffled = np.roll(made.logits["big"], 1, axis=0)
    write_logits(second, made.ids, made.labels, shuffled, {"model": "big2", "classes": CLASSES})
    table = made.pick(logits=[*made.caches.values(), second])
    row = of(table, "gallery").row(0, named=True)
    place = made.ids.tolist().index(row["sample_id"])
    # The second has no weight.
    assert row["confidence"] == pytest.approx(made.probabilities(**WEIGHTS)[place].max(), rel=1e-3)
    assert "deferred" not in set(table["kind"])


def test_a_board_without_the_metric_gives_an_empty_table(tmp_path):
    made = Made(tmp_path, board=[DUO | {"metric": "nll"}])
    table = made.pick()
    assert table.is_empty()
    assert table.columns == EXAMPLES_SCHEMA.names


def test_missing_logits_are_named(made):
    with pytest.raises(SidekickError, match="no cached test split of the model 'tiny'"):
        made.pick(logits=[made.caches["big"]])


def test_missing_fits_are_named(tmp_path):
    made = Made(tmp_path, fits=FITS[:2])
    with pytest.raises(SidekickError, match="no weight_large of duo weighted of big"):
        made.pick()


def test_the_same_twice(made):
    made.images()
    first = made.pick()
    assert first.equals(made.pick(), null_equal=True)


def test_generated_answers_are_shown_as_texts(tmp_path):
    generated = Generated(tmp_path).write()
    alone = {"predictor": "single", "variant": "nent"}
    cascade = DUO | {
        "predictor": "cascade", "variant": "nent_defer25", "large": BIG, "small": SMALL,
        "baseline": "cascade:random_defer25:x",
    }  # fmt: skip
    board = [ALONE[0] | alone | {"large": BIG}, cascade]
    fits = [
        {
            "predictor": "cascade", "variant": "nent_defer25", "large": BIG, "small": SMALL,
            "threshold": -0.6, "deferral_ratio": 0.25,
        }
    ]  # fmt: skip
    made = Made(tmp_path, board=board, fits=fits)
    paths = [str(generated.path("test", model, "finetune", 0)) for model in (BIG, SMALL)]
    table = made.pick(logits=[], answers=paths)
    columns = pl.DataFrame(
        {
            name: generated.data["test", SMALL, "finetune", 0][name]
            for name in ("sample_id", "nent", "prediction", "reference")
        }
    )
    deferred = of(table, "deferred").join(columns, on="sample_id", maintain_order="left")
    assert len(deferred) == MOST
    assert (deferred["nent"] < -0.6).all()
    assert deferred["nent"].is_sorted()
    assert (deferred["answer"] == deferred["large_answer"]).all()
    assert (deferred["small_answer"] == deferred["prediction"]).all()
    assert (deferred["label"] == deferred["reference"]).all()
    mistakes = of(table, "confident_mistake")
    assert len(mistakes) == MOST
    assert mistakes["confidence"].is_sorted(descending=True)
    assert {"large_wrong_duo_right", "gallery"} <= set(table["kind"])
