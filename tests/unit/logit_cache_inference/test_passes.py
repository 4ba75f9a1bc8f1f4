"""Passes of whole networks in the cache, against running them one by one."""

import numpy as np
import pytest
import torch
from scipy.special import softmax

from sidekick.artifacts import read_facts
from sidekick.datasets.reading import iterate_split
from sidekick.errors import SidekickError
from sidekick.logit_cache import read_logits
from sidekick.logit_cache.passes import cache_passes
from sidekick.models.checkpoints import Description, save_checkpoint
from sidekick.models.create import create_model
from sidekick.models.loading import load_model
from sidekick.models.pixels import as_tensor, to_unit
from sidekick.models.preprocessing import Preprocessing, ToInput
from sidekick.models.runtime import reproducible
from unit.datasets.stored import random_image, write_dataset

CPU = torch.device("cpu")
PREPROCESSING = Preprocessing((32, 32), 1.0, "bicubic", (0.4, 0.5, 0.6), (0.2, 0.25, 0.3))
CLASSES = 3


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """20 images in each split."""
    stored = [random_image(32, 32, row).tobytes() for row in range(60)]
    folder = tmp_path_factory.mktemp("passes") / "data"
    return write_dataset(folder, stored, shape=(32, 32, 3), encoded=False, group=7)


@pytest.fixture
def save(tmp_path):
    def run(options):
        entry = {"architecture": "test_convnext", "options": options}
        torch.manual_seed(0)
        model = create_model(entry, CLASSES)
        for name, weight in model.named_parameters():
            # New blocks hardly change what they read: dropping them would leave no trace.
            if name.endswith("gamma"):
                torch.nn.init.ones_(weight)
        description = Description(
            entry=entry,
            classes=CLASSES,
            preprocessing=PREPROCESSING.as_dict(),
            head=None,
            recipe={"epochs": 1},
            seed=1,
            val_accuracy=0.0,
            facts={},
        )
        path = tmp_path / "weights.safetensors"
        save_checkpoint(path, model, description)
        return path

    return run


@pytest.fixture
def cache(dataset, tmp_path):
    def run(checkpoint, splits=("test", "shift"), **changes):
        outputs = {split: tmp_path / f"{split}.parquet" for split in splits}
        arguments = {"passes": 4, "seed": 0, "device": "cpu", "threads": 1, "facts": {}}
        arguments["batch_size"] = 100
        cache_passes(
            checkpoint=checkpoint, dataset_folder=dataset, outputs=outputs, **arguments | changes
        )
        return outputs

    return run


def test_moments_are_those_of_passes_one_after_the_other(save, cache, dataset):
    checkpoint = save({"drop_path_rate": 0.5})
    found = read_logits(cache(checkpoint, ["test"])["test"])
    model = load_model(checkpoint, CPU)
    # ConvNeXt normalises by layer: all of it may be in training mode.
    model.train()
    ids, drawn = [], []
    with reproducible(CPU, 1, 0), torch.no_grad():
        for part in iterate_split(dataset, "test", 0, 100):
            ids += part.sample_ids.tolist()
            inputs = ToInput(PREPROCESSING, CPU)(to_unit(as_tensor(part.pixels(), CPU)))
            # All four passes at once, as their masks are drawn.
            logits = model(inputs.repeat(4, 1, 1, 1)).view(4, len(inputs), CLASSES)
            drawn.append(logits.double().softmax(dim=2).numpy())
    passes = np.concatenate(drawn, axis=1)[:, np.argsort(ids)]
    mean = softmax(found.logits.astype(np.float64), axis=1)
    np.testing.assert_allclose(mean, passes.mean(axis=0), rtol=2e-3)
    np.testing.assert_allclose(found.features[:, :CLASSES], passes.std(axis=0), rtol=1e-4)
    entropy = -(passes * np.log(passes)).sum(axis=2).mean(axis=0)
    np.testing.assert_allclose(found.features[:, CLASSES], entropy, rtol=1e-5)
    votes = (passes.argmax(axis=2)[:, :, None] == np.arange(CLASSES)).sum(axis=0)
    np.testing.assert_allclose(found.features[:, CLASSES + 1], 1 - votes.max(axis=1) / 4, atol=1e-6)
    assert passes.std(axis=0).min() > 0


def test_files_say_what_was_random(save, cache):
    outputs = cache(save({"drop_path_rate": 0.5}))
    for split, path in outputs.items():
        facts = read_facts(path)
        assert (facts["split"], facts["passes"], facts["architecture"]) == (
            split,
            "4",
            "test_convnext",
        )
        assert int(facts["stochastic_layers"]) > 0
    assert read_logits(outputs["shift"]).corruption is not None


def test_passes_repeat(save, cache):
    checkpoint = save({"drop_path_rate": 0.5})
    first, again = (read_logits(cache(checkpoint)["test"]) for _ in range(2))
    np.testing.assert_array_equal(first.features, again.features)


def test_a_network_without_dropout_is_refused(save, cache, tmp_path):
    with pytest.raises(SidekickError, match="no active dropout"):
        cache(save({"drop_path_rate": 0.0}))
    assert not (tmp_path / "test.parquet").exists()
