"""Which models and datasets belong together."""

import pytest

from sidekick import modalities

CONFIG = {
    "datasets": {
        "digits": {"source": "digits"},
        "mcq": {"source": "graded_mcq"},
        "elsewhere": {"val_share": 0.5},
        "problems": {"source": "gsm8k"},
        "arc": {"source": "arc_easy"},
    },
    "models": {
        "llama": {"modality": "text", "architecture": "llama"},
        "cnn": {"architecture": "small_cnn"},
        "foreign": {"logits": {"elsewhere": {"test": "x.npz"}}},
        "gemma": {"modality": "text", "pretrained": "google/gemma-2-2b-it"},
        "resnet": {"modality": "image", "architecture": "resnet18"},
    },
}
TEXT = ["mcq", "problems", "arc"]


@pytest.mark.parametrize(
    ("model", "modality"),
    [("llama", "text"), ("cnn", "image"), ("foreign", "image"), ("resnet", "image")],
)
def test_models_read_images_unless_they_say_otherwise(model, modality):
    assert modalities.model_modality(CONFIG, model) == modality


def test_a_dataset_is_of_what_its_source_is_and_of_images_without_one():
    for dataset in CONFIG["datasets"]:
        wanted = "text" if dataset in TEXT else "image"
        assert modalities.dataset_modality(CONFIG, dataset) == wanted, dataset


def test_only_open_questions_are_generated():
    generated = [name for name in CONFIG["datasets"] if modalities.is_generated(CONFIG, name)]
    assert generated == ["problems"]


def test_models_and_datasets_find_each_other_in_the_order_of_the_config():
    assert modalities.models_of(CONFIG, "digits") == ["cnn", "foreign", "resnet"]
    assert modalities.models_of(CONFIG, "arc") == ["llama", "gemma"]
    assert modalities.datasets_of(CONFIG, "gemma") == TEXT
    assert modalities.datasets_of(CONFIG, "cnn") == ["digits", "elsewhere"]
    for model in CONFIG["models"]:
        for dataset in CONFIG["datasets"]:
            forth = model in modalities.models_of(CONFIG, dataset)
            assert forth == (dataset in modalities.datasets_of(CONFIG, model))
