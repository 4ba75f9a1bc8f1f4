"""Small configurations."""

from copy import deepcopy
from typing import Any

_SMALL: dict[str, Any] = {
    "benchmark": "tiny",
    "seeds": [0, 1],
    "datasets": {
        "digits": {
            "source": "digits",
            "main_metric": "accuracy",
            "splits": {"train": 40, "val": 40, "test": 60},
            "shift": {
                "samples": 20,
                "severities": [1, 5],
                "corruptions": ["gaussian_noise", "contrast"],
            },
        }
    },
    "finetune": {
        "epochs": 2,
        "batch_size": 20,
        "learning_rate": 0.01,
        "weight_decay": 0.05,
        "augmentation": {"noise": 0.06, "shift": 2},
    },
    "models": {
        "alpha": {"architecture": "small_cnn", "options": {"width": 4, "drop_rate": 0.2}},
        "beta": {"architecture": "small_cnn", "options": {"width": 2}},
    },
    "cascade": {"deferral_ratios": [0.5]},
    "mc_dropout": {
        "models": ["beta"],
        "passes": [3],
        "calibration_images": 10,
        "levels": [0.8],
        "full_network": {"models": ["alpha"], "passes": 3},
        "training": {
            "hidden": 8,
            "dropout": [0.2, 0.4],
            "epochs": 1,
            "batch_size": 20,
            "learning_rate": 0.01,
        },
    },
    "gatekeeper": {
        "pairs": {"beta": {"large": "alpha"}},
        "alphas": [0.3, 0.7],
        "training": {"epochs": 1, "learning_rate": 0.001},
    },
    "evaluation": {"replicates": {"test": 20, "shift": 20}, "level": 0.9, "seed": 0},
    "compute": {"device": "cpu", "threads": 1},
}


def small_config() -> dict[str, Any]:
    """Two models, two seeds, MC dropout, one sweep: seconds of real work."""
    return deepcopy(_SMALL)


def three_models() -> dict[str, Any]:
    """The small configuration with a third model, `gamma`, and none that is sampled as a whole."""
    config = small_config()
    del config["mc_dropout"]["full_network"]
    config["models"]["gamma"] = small_cnn(3)
    return config


def small_cnn(width: int) -> dict[str, Any]:
    """Give the entry of a small model."""
    return {"architecture": "small_cnn", "options": {"width": width}}


def mixed() -> dict[str, Any]:
    """Two models of images beside three of text, with a sweep in either modality."""
    config = small_config()
    del config["mc_dropout"]
    config["datasets"]["questions"] = {
        "source": "graded_mcq",
        "main_metric": "accuracy",
        "task": {"prompt": "graded_mcq"},
        "splits": {"train": 200, "val": 60, "test": 90},
    }
    for name, width in (("wide", 16), ("middle", 12), ("narrow", 8)):
        config["models"][name] = llama(width)
    settings = {"steps": 3, "batch_size": 16, "learning_rate": 0.01, "weight_decay": 0.01}
    config["language"] = {
        "finetune": settings,
        "gatekeeper": {"training": {"steps": 2, "learning_rate": 0.001}},
    }
    config["gatekeeper"]["pairs"]["narrow"] = {"large": "wide", "hedges": ["n"]}
    return config


def llama(width: int) -> dict[str, Any]:
    """Give the entry of a language model of one layer that starts from scratch."""
    return {
        "modality": "text",
        "architecture": "llama",
        "tokenizer": "words",
        "options": {
            "hidden_size": width,
            "intermediate_size": 2 * width,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "max_position_embeddings": 64,
        },
    }


SEARCH = {"trials": 3, "learning_rate": [0.002, 0.02], "weight_decay": [0.01, 0.1]}


def whole_training() -> dict[str, Any]:
    """Two models with all that training can be asked for, and neither a head nor a sweep."""
    config = small_config()
    del config["mc_dropout"], config["gatekeeper"]
    config["finetune"] |= {"early_stopping": 2, "ema": 0.9, "accumulation": 2}
    config["finetune"]["augmentation"] |= {
        "flip": True,
        "rand_augment": {"operations": 2, "magnitude": 9},
        "mixup": 0.2,
    }
    config["models"]["alpha"]["finetune"] = {
        "linear_probe": {"epochs": 2, "batch_size": 20, "learning_rate": 0.01},
        "search": {**SEARCH, "soups": True, "ensemble": 2},
    }
    config["models"]["beta"]["distill"] = {"teacher": "alpha", "temperature": 2, "weight": 0.5}
    return config


def downloaded() -> dict[str, Any]:
    """The small configuration on a dataset that is downloaded, with generated shift."""
    config = small_config()
    entry = config["datasets"].pop("digits")
    entry["source"] = "tinyimagenet"
    entry["shift"]["corruptions"] = ["frost", "gaussian_noise"]
    config["datasets"]["tiny"] = entry
    return config


def imported() -> dict[str, Any]:
    """Two models that bring the logits that `foreign.save_foreign` writes."""
    return {
        "benchmark": "imported",
        "seeds": [0],
        "datasets": {"cifar": {"main_metric": "accuracy", "val_share": 0.5, "val_seed": 0}},
        "models": {
            "large": {"logits": {"cifar": {"test": "logits/large0.npz"}}, "gmacs": 2.0},
            "little": {
                "logits": {"cifar": {"test": "logits/little0.csv", "kind": "probabilities"}},
                "gmacs": 0.2,
            },
        },
        "cascade": {"deferral_ratios": [0.5]},
        "evaluation": {"replicates": {"test": 20, "shift": 20}, "level": 0.9, "seed": 0},
    }
