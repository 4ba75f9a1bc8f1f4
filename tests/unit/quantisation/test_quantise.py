import json
import os
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from sidekick.artifacts import read_json
from sidekick.datasets.reading import load_split
from sidekick.errors import SidekickError
from sidekick.methods.mc_dropout import load_head
from sidekick.models.loading import load_model
from sidekick.models.pixels import as_tensor, to_unit
from sidekick.models.preprocessing import ToInput
from sidekick.quantisation.inference import load_network
from sidekick.quantisation.rounding import round_rows, rounded_head
from unit.methods.heads import masked_logits
from unit.quantisation.conftest import PREPROCESSING

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def pixels(dataset):
    return load_split(dataset, "test", 0).images


def test_the_float_file_is_the_checkpoint(written, checkpoint, pixels):
    features, logits = load_network(written["float_file"]).run(pixels)
    model = load_model(checkpoint, CPU)
    with torch.no_grad():
        inputs = ToInput(PREPROCESSING, CPU)(to_unit(as_tensor(pixels, CPU)))
        pooled = model.pooled_features(inputs)
        expected = model.head(pooled).numpy()
    np.testing.assert_allclose(features, pooled.numpy(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)


def test_the_int8_file_is_near(written, pixels):
    exact, rough = (
        load_network(written[name]).run(pixels)[1] for name in ("float_file", "int8_file")
    )
    assert np.abs(exact - rough).max() > 1e-4
    assert np.abs(exact - rough).max() < 0.1 * np.abs(exact).max()


def test_the_int8_logits_are_the_rounded_head_over_the_int8_features(written, checkpoint, pixels):
    """So passes over cached int8 features are passes of the int8 network."""
    features, logits = load_network(written["int8_file"]).run(pixels)
    head = rounded_head(load_head(checkpoint))
    # Without dropout nothing is scaled; all is kept.
    certain = masked_logits(
        type(head)(**{**vars(head), "dropout": (0.0, 0.0)}),
        features,
        np.ones(64, bool),
        np.ones(12, bool),
    )
    np.testing.assert_allclose(logits, certain, rtol=1e-4, atol=1e-5)
    plain = load_head(checkpoint)
    assert np.abs(head.hidden_weight - plain.hidden_weight).max() > 1e-5


def test_rows_are_rounded_to_their_own_scale():
    weight = np.array([[1.0, -0.5, 0.004], [100.0, 50.3, -100.0], [0.0, 0.0, 0.0]])
    values, scales = round_rows(weight)
    assert values.dtype == np.int8
    assert values[:2, 0].tolist() == [127, 127]
    assert values[2].tolist() == [0, 0, 0]
    assert (np.abs(values * scales[:, None].astype(float) - weight) <= scales[:, None]).all()


def test_sizes_on_disk_and_calibration_are_reported(written):
    report = read_json(written["report"])
    sizes = [os.path.getsize(written[name]) for name in ("float_file", "int8_file")]
    assert [report["float_bytes"], report["int8_bytes"]] == sizes
    assert report["size_ratio"] == sizes[0] / sizes[1]
    assert report["calibration"] == {
        "split": "train", "images": 12, "seed": 0, "method": "min-max"
    }  # fmt: skip
    table = pq.read_table(written["errors"])
    assert set(report["worst_layers"][0]) == set(table.column_names)


def test_the_files_say_what_they_are(written, checkpoint):
    for name, kind in (("float_file", "float32"), ("int8_file", "int8")):
        facts = load_network(written[name]).facts
        assert facts["kind"] == kind
        assert facts["classes"] == 3
        assert facts["seed"] == 1
        assert facts["preprocessing"] == PREPROCESSING.as_dict()
        assert facts["facts"] == {"model": "mine"}
        assert facts["head"]["dropout"] == [0.2, 0.4]
        assert len(facts["checkpoint_sha256"]) == 64
        assert {"onnx", "onnxruntime", "software", "git_revision"} <= set(facts["software"])
        assert ("calibration" in facts) == (kind == "int8")


def test_a_plain_classifier_works_too(quantise, save, tmp_path, pixels):
    checkpoint = save(head=None)
    paths = quantise(checkpoint, tmp_path)
    _, logits = load_network(paths["float_file"]).run(pixels)
    with torch.no_grad():
        inputs = ToInput(PREPROCESSING, CPU)(to_unit(as_tensor(pixels, CPU)))
        expected = load_model(checkpoint, CPU)(inputs).numpy()
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)


def test_the_same_bytes_twice(written, checkpoint, dataset, tmp_path):
    """In another process, where strings hash otherwise."""
    paths = {name: str(tmp_path / path.name) for name, path in written.items()}
    arguments = {
        "checkpoint": str(checkpoint), "dataset_folder": str(dataset), "calibration_images": 12,
        "seed": 0, "threads": 1, "facts": {"model": "mine"}, "error_images": 6, "batch_size": 5,
        **paths,
    }  # fmt: skip
    code = (
        "import json, sys; from sidekick.quantisation.quantise import quantise_checkpoint; "
        "quantise_checkpoint(**json.loads(sys.argv[1]))"
    )
    subprocess.run(
        [sys.executable, "-c", code, json.dumps(arguments)],
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": ":".join(sys.path)},
    )
    for name in ("float_file", "int8_file", "report"):
        assert written[name].read_bytes() == (tmp_path / written[name].name).read_bytes()


def test_other_calibration_images_give_other_ranges(quantise, checkpoint, written, tmp_path):
    other = quantise(checkpoint, tmp_path, calibration_images=3)
    assert other["float_file"].read_bytes() == written["float_file"].read_bytes()
    assert other["int8_file"].read_bytes() != written["int8_file"].read_bytes()
    assert read_json(other["report"])["calibration"]["images"] == 3


def test_no_more_images_than_there_are(quantise, checkpoint, tmp_path):
    report = quantise(checkpoint, tmp_path, calibration_images=500)["report"]
    assert read_json(report)["calibration"]["images"] == 20


def test_calibration_without_images_is_refused(quantise, checkpoint, tmp_path):
    with pytest.raises(SidekickError, match="0 from train; at least 1"):
        quantise(checkpoint, tmp_path, calibration_images=0)


def test_a_head_without_dropout_is_refused(quantise, save, tmp_path):
    checkpoint = save(head={"features": 64, "hidden": 12, "dropout": [0.0, 0.0]})
    with pytest.raises(SidekickError, match="both dropout rates are 0"):
        quantise(checkpoint, tmp_path)
    assert list(tmp_path.iterdir()) == []
