"""A flipped bit in any file that is read later is noticed, or changes nothing that is read."""

import json
from dataclasses import asdict

import numpy as np
import pyarrow as pa
import pytest
import torch

import sidekick
from sidekick.artifacts import read_facts, read_json, read_table, write_json, write_table
from sidekick.deployment.predictor import PredictorError
from sidekick.errors import SidekickError
from sidekick.logit_cache import read_logits
from sidekick.logit_cache.storage import write_logits
from sidekick.models.checkpoints import Description, read_checkpoint, write_checkpoint
from sidekick.quantisation.storage import read_network, write_network
from unit.deployment.predictors import write as write_predictor


def save_table(path):
    write_table(pa.table({"a": [1, 2, 3], "b": ["x", "y", "z"]}), path, {"seed": 1})


def save_logits(path):
    logits = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    write_logits(path, [f"s{n}" for n in range(6)], np.arange(6) % 3, logits, {"model": "mine"})


def save_flops(path):
    write_json({"gmacs": 1.25, "facts": {"model": "mine", "ü": "ß"}, "classes": ["a", "b"]}, path)


def save_checkpoint(path):
    tensors = {"weight": torch.arange(6.0).reshape(2, 3), "steps": torch.tensor(3)}
    description = Description(
        entry={"architecture": "small_cnn"},
        classes=2,
        preprocessing={"mean": [0.5, 0.4, 0.3], "size": [8, 8]},
        head=None,
        recipe={"learning_rate": 0.001},
        seed=1,
        val_accuracy=0.5,
        facts={"model": "mine"},
        software={"sidekick": "1"},
    )
    write_checkpoint(path, tensors, description)


def save_network(path):
    write_network(path, b"\x08\x07graph", {"classes": 2})


def save_predictor(path):
    write_predictor(path, "temperature")


def tables(path):
    return read_table(path).to_pydict(), read_facts(path)


def logits(path):
    read = read_logits(path)
    return read.sample_ids.tolist(), read.labels.tolist(), read.logits.tolist()


def checkpoint(path):
    description, tensors = read_checkpoint(path)
    return asdict(description), {name: tensor.tolist() for name, tensor in tensors.items()}


def predictor(path):
    return sidekick.load(path).document


# Kind of artifact to how it is written and read, and how readers refuse it.
KINDS = {
    "table.parquet": (save_table, tables, SidekickError),
    "logits.parquet": (save_logits, logits, SidekickError),
    "flops.json": (save_flops, read_json, SidekickError),
    "weights.safetensors": (save_checkpoint, checkpoint, SidekickError),
    "network.onnx": (save_network, read_network, SidekickError),
    "predictor.json": (save_predictor, predictor, PredictorError),
}
# Bytes of a file that are hit, at random; of small files all of them.
MOST = 700


@pytest.mark.parametrize("name", KINDS)
def test_flipped_bits(tmp_path, name):
    save, read, declared = KINDS[name]
    path = tmp_path / name
    save(path)
    content, expected = path.read_bytes(), read(path)
    generator = np.random.default_rng(0)
    positions = generator.permutation(len(content))[:MOST]
    refused = 0
    for position in positions:
        damaged = bytearray(content)
        damaged[position] ^= 1 << int(generator.integers(8))
        path.write_bytes(damaged)
        try:
            found = read(path)
        except declared as error:
            refused += str(path) in str(error)
        else:
            assert _without_digest(found, expected) == expected, position
    # What does not matter: spaces, field names of metadata, padding.
    assert refused > 0.9 * len(positions)


def _without_digest(found, expected):
    """Leave out a digest whose name was hit: it is an unknown key then, and all else is whole."""
    if isinstance(expected, dict):
        return {key: value for key, value in found.items() if key in expected}
    return found


@pytest.mark.parametrize("name", KINDS)
def test_truncated_files(tmp_path, name):
    save, read, declared = KINDS[name]
    path = tmp_path / name
    save(path)
    content = path.read_bytes()
    # Without its last byte, a newline, a JSON file is whole.
    for length in sorted({0, 1, 7, 8, *range(0, len(content) - 1, max(1, len(content) // 60))}):
        path.write_bytes(content[:length])
        with pytest.raises(declared, match=r".") as caught:
            read(path)
        assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", ["table.parquet", "flops.json", "weights.safetensors"])
def test_the_remedy_is_told(tmp_path, name):
    save, read, _ = KINDS[name]
    path = tmp_path / name
    save(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(SidekickError, match="Delete it and start the run again"):
        read(path)


def test_files_of_earlier_versions_have_no_digest_and_are_read(tmp_path):
    path = tmp_path / "flops.json"
    path.write_text(json.dumps({"gmacs": 1.0}))
    assert read_json(path) == {"gmacs": 1.0}
