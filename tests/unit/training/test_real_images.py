"""Training on real images: scikit-learn's handwritten digits, brought to 32×32."""

import numpy as np
import pytest
from PIL import Image

from sidekick.datasets.reading import ImageSplit
from sidekick.models.checkpoints import describe
from unit.training import fakes

SIZES = {"train": 300, "val": 200}
ENTRY = {"architecture": "test_resnet"}


def _load_split(folder, split, seed, threads=1):
    datasets = pytest.importorskip("sklearn.datasets")
    digits = datasets.load_digits()
    order = np.random.default_rng(seed).permutation(len(digits.target))
    first = {"train": 0, "val": SIZES["train"]}[split]
    rows = order[first : first + SIZES[split]]
    images = [
        np.asarray(Image.fromarray((image * 15).astype(np.uint8)).resize((32, 32)).convert("RGB"))
        for image in digits.images[rows]
    ]
    ids = np.array([f"digit_{row}" for row in rows], dtype=object)
    return ImageSplit(ids, np.stack(images), digits.target[rows].astype(np.int32))


@pytest.fixture(autouse=True)
def digits(monkeypatch):
    card = {**fakes.read_card("digits"), "classes": [str(digit) for digit in range(10)]}
    monkeypatch.setattr("sidekick.training.data.load_split", _load_split)
    for module in ("data", "session"):
        monkeypatch.setattr(f"sidekick.training.{module}.read_card", lambda folder: card)


@pytest.mark.slow
def test_a_probe_beats_chance_and_fine_tuning_beats_the_probe(probe, train):
    # Even features of a random network tell digits apart.
    start = probe(entry=ENTRY, recipe={"epochs": 40, "batch_size": 32, "learning_rate": 0.03})
    settings = {"epochs": 6, "batch_size": 32, "weight_decay": 0.05}
    tuned = train("tuned", settings, entry=ENTRY, start=start)
    accuracies = [describe(path).val_accuracy for path in (start, tuned)]
    assert accuracies[0] > 0.3
    assert accuracies[1] > max(0.85, accuracies[0])


@pytest.mark.slow
def test_a_recipe_of_the_papers_learns(train):
    settings = {
        "epochs": 12,
        "batch_size": 32,
        "weight_decay": 0.05,
        "label_smoothing": 0.1,
        "accumulation": 2,
        "early_stopping": 4,
        "ema": 0.99,
        "augmentation": {"rand_augment": {"operations": 2, "magnitude": 5}, "mixup": 0.1},
    }
    assert describe(train(recipe=settings, entry=ENTRY)).val_accuracy > 0.85
