import logging
import re
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from sidekick.artifacts import read_facts
from sidekick.datasets.reading import load_split
from sidekick.errors import SidekickError
from sidekick.logit_cache import read_logits
from sidekick.logit_cache.inference import cache_logits, cache_sweep, predict
from sidekick.models.checkpoints import Description, save_checkpoint
from sidekick.models.create import create_model, pooled_features
from sidekick.models.loading import load_model
from sidekick.models.mc_dropout_head import MCDropoutClassifier, MCDropoutHead
from sidekick.models.pixels import as_tensor, to_unit
from sidekick.models.preprocessing import Preprocessing, ToInput, load_image
from sidekick.models.runtime import reproducible
from unit.datasets.stored import encode, random_image, write_dataset
from unit.training import fakes
from unit.training.fakes import PREPROCESSING

CPU = torch.device("cpu")
ENTRY = {"architecture": "small_cnn", "options": {"width": 4}}
HEAD = {"features": 64, "hidden": 12, "dropout": [0.2, 0.4]}
SPLITS = ("val", "test", "shift")


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def fake_dataset(monkeypatch):
    fakes.install(monkeypatch.setattr)


@pytest.fixture
def save(tmp_path):
    def run(head=None, classes=3, spoil=None, preprocessing=PREPROCESSING):
        torch.manual_seed(0)
        model = create_model(ENTRY, classes)
        model(torch.rand(16, 3, 32, 32))
        if head is not None:
            model = MCDropoutClassifier(model, MCDropoutHead(classes=classes, **head))
        if spoil is not None:
            with torch.no_grad():
                model.get_classifier().bias[0] = spoil
        description = Description(
            entry=ENTRY,
            classes=classes,
            preprocessing=preprocessing.as_dict(),
            head=head,
            recipe={},
            seed=0,
            val_accuracy=0.0,
            facts={},
        )
        save_checkpoint(tmp_path / "weights.safetensors", model, description)
        return tmp_path / "weights.safetensors"

    return run


@pytest.fixture
def cache(tmp_path, fake_dataset):
    def run(checkpoint, name="logits", **changes):
        outputs = {split: tmp_path / name / f"{split}.parquet" for split in SPLITS}
        arguments = {
            "checkpoint": checkpoint,
            "dataset_folder": "bars",
            "outputs": outputs,
            "seed": 1,
            "device": "cpu",
            "threads": 1,
            "batch_size": 8,
            "facts": {"benchmark": "tiny", "model": "mine"},
        }
        arguments.update(changes)
        cache_logits(**arguments)
        return outputs

    return run


def direct_inputs(samples):
    """Normalised by hand: mean and deviation are 0.5."""
    images = torch.from_numpy(samples.images).permute(0, 3, 1, 2).float()
    return (images / 255 - 0.5) / 0.5


@pytest.mark.parametrize("split", SPLITS)
def test_cached_logits_are_those_of_a_direct_pass(save, cache, split):
    checkpoint = save()
    cached = read_logits(cache(checkpoint)[split])
    samples = fakes.load_split("bars", split, 1)
    with torch.no_grad():
        expected = load_model(checkpoint, CPU)(direct_inputs(samples)).numpy()
    np.testing.assert_array_equal(cached.sample_ids, samples.sample_ids)
    np.testing.assert_array_equal(cached.labels, samples.labels)
    np.testing.assert_allclose(cached.logit_max, expected.max(axis=1), rtol=1e-5, atol=1e-6)
    centred = expected - expected.max(axis=1, keepdims=True)
    np.testing.assert_allclose(cached.logits, centred, rtol=1e-3, atol=1e-5)
    assert cached.features is None
    if split == "shift":
        np.testing.assert_array_equal(cached.corruption, samples.corruption)
        np.testing.assert_array_equal(cached.severity, samples.severity)
    else:
        assert cached.corruption is None


def test_a_head_gives_its_deterministic_logits_and_the_features(save, cache):
    checkpoint = save(HEAD)
    cached = read_logits(cache(checkpoint)["test"])
    model = load_model(checkpoint, CPU)
    inputs = direct_inputs(fakes.load_split("bars", "test", 1))
    with torch.no_grad():
        features = pooled_features(model.backbone, inputs)
        logits = model.head(features).numpy()
    assert cached.features.dtype == np.float32
    np.testing.assert_allclose(cached.features, features, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(cached.logit_max, logits.max(axis=1), rtol=1e-5, atol=1e-6)


def test_facts(save, cache):
    for split, path in cache(save()).items():
        facts = read_facts(path)
        assert facts["split"] == split
        assert facts["architecture"] == "small_cnn"
        assert facts["benchmark"] == "tiny"
        assert facts["model"] == "mine"
        assert facts["classes"] == "3"


def test_two_runs_give_the_same_bytes(save, cache):
    checkpoint = save(HEAD)
    first, second = cache(checkpoint, "a"), cache(checkpoint, "b")
    assert all(first[split].read_bytes() == second[split].read_bytes() for split in SPLITS)


@pytest.fixture
def sweep(save, tmp_path):
    """Checkpoints of two recipes, which differ in a bias."""

    def run(**changes):
        checkpoints = {}
        for recipe, options in (("low", {}), ("high", {"spoil": 5.0, **changes})):
            checkpoints[recipe] = save(**options).rename(tmp_path / f"{recipe}.safetensors")
        return checkpoints

    return run


@pytest.fixture
def cache_all(tmp_path, fake_dataset):
    def run(checkpoints):
        outputs = {
            split: {
                recipe: tmp_path / "sweep" / recipe / f"{split}.parquet" for recipe in checkpoints
            }
            for split in SPLITS
        }
        cache_sweep(
            checkpoints=checkpoints,
            dataset_folder="bars",
            outputs=outputs,
            seed=1,
            device="cpu",
            threads=1,
            batch_size=8,
            facts={"benchmark": "tiny", "model": "mine"},
        )
        return outputs

    return run


def test_a_sweep_is_cached_as_its_recipes_are_one_by_one(sweep, cache, cache_all):
    checkpoints = sweep()
    together = cache_all(checkpoints)
    for recipe, checkpoint in checkpoints.items():
        facts = {"benchmark": "tiny", "model": "mine", "recipe": recipe}
        alone = cache(checkpoint, recipe, facts=facts)
        for split in SPLITS:
            assert together[split][recipe].read_bytes() == alone[split].read_bytes()
        assert read_facts(together["test"][recipe])["recipe"] == recipe
    first, second = (together["test"][recipe].read_bytes() for recipe in checkpoints)
    assert first != second


def test_every_image_is_read_once_for_a_whole_sweep(sweep, cache_all, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "sidekick.logit_cache.inference.iterate_split",
        lambda *place: asked.append(place[1]) or fakes.iterate_split(*place),
    )
    cache_all(sweep())
    assert asked == list(SPLITS)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"classes": 4}, "number of classes is 4, but that of .*low.safetensors is 3"),
        ({"preprocessing": replace(PREPROCESSING, crop=0.8)}, "its preprocessing is"),
    ],
    ids=["classes", "preprocessing"],
)
def test_networks_that_do_not_belong_together_are_refused(sweep, cache_all, changes, words):
    with pytest.raises(SidekickError, match=rf"high.safetensors: .*{words}"):
        cache_all(sweep(**changes))


def test_the_last_batch_may_be_short(save):
    model = load_model(save(), CPU)
    whole, parts = (
        predict([model], fakes.iterate_split("bars", "test", 1, size), PREPROCESSING, CPU, 1)[0]
        for size in (100, 4)
    )
    assert whole["logits"].shape == (21, 3)
    assert whole["logits"].dtype == np.float32
    assert whole["features"] is None
    np.testing.assert_allclose(parts["logits"], whole["logits"], rtol=1e-5, atol=1e-6)


def test_a_network_left_in_training_mode_is_put_right(save):
    model = load_model(save(HEAD), CPU)
    first, second = (
        predict([network], fakes.iterate_split("bars", "val", 1, 8), PREPROCESSING, CPU, 1)[0]
        for network in (model, model.train())
    )
    np.testing.assert_array_equal(first["logits"], second["logits"])


def test_log(save, cache, caplog):
    caplog.set_level(logging.INFO, "sidekick")
    cache(save())
    assert re.fullmatch(r"Running small_cnn on cpu \(.+, 1 thread\)", caplog.messages[0])
    assert [text.split(" samples")[0] for text in caplog.messages[1:]] == [
        "val: 18",
        "test: 21",
        "shift: 63",
    ]


def test_logits_that_are_not_finite_are_refused(save, cache):
    with pytest.raises(SidekickError, match=r"val.parquet: a NaN logit in row 0"):
        cache(save(spoil=float("nan")))


def test_too_few_classes_are_refused(save, cache):
    with pytest.raises(SidekickError, match=r"split val: label 2, but .* knows 2 classes"):
        cache(save(classes=2))


def test_missing_gpu(save, cache, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SidekickError, match="no GPU"):
        cache(save(), device="cuda")


# The network reads 32×32; crops, and a resizing of which the filter matters.
CROPPING = Preprocessing((32, 32), 0.8, "bilinear", (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
FILES = [encode(random_image(30 + row, 50 - row, row), "JPEG") for row in range(33)]
SHIFT = np.stack([random_image(40, 40, row) for row in range(50)])


@pytest.fixture
def cache_stored(save, tmp_path):
    """Cache a network's logits on a dataset, with any argument replaced."""

    def run(folder, name="logits", **changes):
        outputs = {split: tmp_path / name / f"{split}.parquet" for split in SPLITS}
        arguments = {
            "checkpoint": save(preprocessing=CROPPING),
            "dataset_folder": folder,
            "outputs": outputs,
            "seed": 1,
            "device": "cpu",
            "threads": 1,
            "batch_size": 4,
            "facts": {},
        }
        cache_logits(**{**arguments, **changes})
        return {split: read_logits(path) for split, path in outputs.items()}

    return run


def expected_logits(checkpoint, pixels):
    inputs = torch.cat(
        [ToInput(CROPPING, CPU)(to_unit(as_tensor(image[None], CPU))) for image in pixels]
    )
    with torch.no_grad():
        return load_model(checkpoint, CPU)(inputs).numpy()


def test_files_of_varying_size(save, cache_stored, tmp_path):
    folder = write_dataset(tmp_path / "data", FILES, shift=SHIFT)
    cached = cache_stored(folder)
    pixels = [load_image(data, CROPPING, "a").copy() for data in FILES]
    logits = expected_logits(save(preprocessing=CROPPING), pixels)
    for place, split in ((1, "val"), (2, "test")):
        rows = cached[split]
        assert rows.sample_ids.tolist() == [f"s{row:03d}" for row in range(place, 33, 3)]
        np.testing.assert_allclose(
            rows.logit_max, logits[place::3].max(axis=1), rtol=1e-5, atol=1e-6
        )
    shift = cached["shift"]
    keys = list(zip(shift.sample_ids, shift.corruption, shift.severity, strict=True))
    assert keys == sorted(keys)
    stored = load_split(folder, "shift", 1)
    assert keys == list(zip(stored.sample_ids, stored.corruption, stored.severity, strict=True))
    logits = expected_logits(save(preprocessing=CROPPING), stored.images)
    np.testing.assert_allclose(shift.logit_max, logits.max(axis=1), rtol=1e-5, atol=1e-6)


def test_files_of_one_shape_are_read_as_raw_images_are(cache_stored, tmp_path):
    images = [random_image(36, 40, row) for row in range(30)]
    files = write_dataset(
        tmp_path / "files", [encode(image) for image in images], shape=(36, 40, 3)
    )
    raw = write_dataset(
        tmp_path / "raw", [image.tobytes() for image in images], shape=(36, 40, 3), encoded=False
    )
    first, second = cache_stored(files, "a"), cache_stored(raw, "b")
    for split in SPLITS:
        np.testing.assert_array_equal(first[split].logit_max, second[split].logit_max)
        np.testing.assert_array_equal(first[split].logits, second[split].logits)


def test_threads_that_decode_change_nothing(cache_stored, tmp_path):
    folder = write_dataset(tmp_path / "data", FILES)
    # One network thread in both: it alone could change the last bits.
    first = cache_stored(folder, "a")["test"]
    model_threads = "sidekick.logit_cache.inference.reproducible"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model_threads, lambda device, threads, seed: reproducible(device, 1, seed))
        second = cache_stored(folder, "b", threads=3)["test"]
    np.testing.assert_array_equal(first.logits, second.logits)
    np.testing.assert_array_equal(first.logit_max, second.logit_max)


def test_a_dataset_without_shift(cache_stored, tmp_path):
    shift = cache_stored(write_dataset(tmp_path / "data", FILES))["shift"]
    assert len(shift.labels) == 0
    assert shift.logits.shape == (0, 3)
    assert shift.corruption is not None


def test_an_image_that_does_not_decode_is_named(cache_stored, tmp_path):
    files = [*FILES]
    files[8] = files[8][:300]
    folder = write_dataset(tmp_path / "data", files)
    with pytest.raises(SidekickError, match=r"samples.parquet: sample s008: the image does not"):
        cache_stored(folder)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("decode")]
    assert not (tmp_path / "logits" / "test.parquet").exists()
