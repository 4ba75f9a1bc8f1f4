"""Cached answers of an ONNX file, against running it directly and against the float network."""

import numpy as np
import pytest
import torch

from sidekick.artifacts import read_facts
from sidekick.datasets.reading import load_split
from sidekick.errors import SidekickError
from sidekick.logit_cache import read_logits
from sidekick.logit_cache.inference import cache_logits
from sidekick.quantisation.caching import cache_network_logits
from sidekick.quantisation.inference import load_network

SPLITS = ("val", "test", "shift")


@pytest.fixture(scope="module")
def cache(dataset, tmp_path_factory):
    def run(network):
        folder = tmp_path_factory.mktemp("cached")
        outputs = {split: folder / f"{split}.parquet" for split in SPLITS}
        facts = {"model": "mine", "seed": 0, "recipe": "mc_dropout_int8"}
        cache_network_logits(
            network=network, dataset_folder=dataset, outputs=outputs, seed=0, threads=1,
            facts=facts, batch_size=8,
        )  # fmt: skip
        return outputs

    return run


@pytest.fixture(scope="module")
def int8(cache, written):
    return cache(written["int8_file"])


def test_rows_are_what_the_file_answers(int8, written, dataset):
    found = read_logits(int8["test"])
    split = load_split(dataset, "test", 0)
    place = {name: row for row, name in enumerate(split.sample_ids)}
    rows = [place[name] for name in found.sample_ids]
    features, logits = load_network(written["int8_file"]).run(split.images[rows])
    # Batches of other sizes may sum in another order.
    np.testing.assert_allclose(found.features, features, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        found.logits + found.logit_max[:, None], logits, rtol=2e-3, atol=2e-3
    )
    np.testing.assert_array_equal(found.labels, split.labels[rows])
    assert found.sample_ids.tolist() == sorted(found.sample_ids)


def test_files_say_what_they_are(int8):
    for split, path in int8.items():
        facts = read_facts(path)
        assert facts["split"] == split
        assert (facts["network"], facts["architecture"]) == ("int8", "small_cnn")
        assert facts["recipe"] == "mc_dropout_int8"


def test_the_float_file_caches_what_the_checkpoint_does(cache, written, checkpoint, dataset):
    found = cache(written["float_file"])
    folder = found["test"].parent
    outputs = {split: folder / f"torch_{split}.parquet" for split in SPLITS}
    cache_logits(
        checkpoint=checkpoint, dataset_folder=dataset, outputs=outputs, seed=0, device="cpu",
        threads=torch.get_num_threads(), facts={},
    )  # fmt: skip
    for split in SPLITS:
        ours, theirs = read_logits(found[split]), read_logits(outputs[split])
        assert ours.sample_ids.tolist() == theirs.sample_ids.tolist()
        np.testing.assert_allclose(ours.features, theirs.features, rtol=1e-3, atol=1e-4)


def test_a_label_without_an_output_is_refused(cache, quantise, save, tmp_path, monkeypatch):
    from sidekick.quantisation import caching

    original = caching.require_labels
    monkeypatch.setattr(caching, "require_labels", lambda p, c, n, s: original(p, 1, n, s))
    with pytest.raises(SidekickError, match=r"split val: label \d, but .*int8.onnx knows 1"):
        cache(quantise(save(), tmp_path)["int8_file"])
