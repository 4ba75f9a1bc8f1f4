"""Two small benchmarks in which every rule has a job: of choices, and of generated answers."""

from pathlib import Path
from typing import Any

from unit.datasets.asked import GSM8K, SHARD, parquet
from unit.models.published import publish
from workflow.configs import llama, small_config, whole_training
from workflow.slices import md5

TRAINING = {"steps": 2, "learning_rate": 0.001}
LANGUAGE = {
    "finetune": {**TRAINING, "batch_size": 4, "weight_decay": 0.01},
    "gatekeeper": {"training": TRAINING},
}
DUO = {
    "dataset": "digits",
    "kind": "duo",
    "models": ["alpha", "beta"],
    "seed": 0,
    "accuracies": [0.5],
}


def choices(pretrained: str) -> dict[str, Any]:
    """Give the configuration of images and of questions with choices, with all that there is.

    Parameters
    ----------
    pretrained
        Folder of a language model.
    """
    small, config = small_config(), whole_training()
    config |= {"benchmark": "choices", "seeds": [0], "language": LANGUAGE}
    config["datasets"]["digits"]["shift"]["corruptions"] = ["gaussian_noise", "jpeg_compression"]
    config["datasets"]["questions"] = {
        "source": "graded_mcq",
        "main_metric": "accuracy",
        "task": {"prompt": "graded_mcq"},
        "splits": {"train": 60, "val": 60, "test": 60},
    }
    config["finetune"] |= {"epochs": 1, "early_stopping": 1}
    alpha = config["models"]["alpha"]
    alpha |= {"architecture": "test_convnext", "options": {"drop_path_rate": 0.1}}
    alpha["finetune"]["linear_probe"]["epochs"] = 1
    alpha["finetune"]["search"]["trials"] = 2
    config["models"] |= _readers(pretrained)
    config["mc_dropout"] = small["mc_dropout"]
    config["gatekeeper"] = small["gatekeeper"] | {"alphas": [0.5]}
    config["gatekeeper"]["pairs"]["narrow"] = {"large": "wide", "hedges": ["n"]}
    config["cascade"] = {"deferral_ratios": [0.5], "budgets": [0.5], "accuracies": [0.5]}
    config["deployment"] = {"duo": DUO}
    return config


def generations(pretrained: str, questions: Path, mirror: str) -> dict[str, Any]:
    """Give the configuration of open questions, which are downloaded.

    Parameters
    ----------
    pretrained
        Folder of a language model.
    questions
        Folder of `save_questions`.
    mirror
        The URL it is served at.
    """
    config = small_config()
    checksums = {f"{part}{SHARD}": md5(questions / f"{part}{SHARD}") for part in ("train", "test")}
    dataset = {
        "source": "gsm8k",
        "main_metric": "accuracy",
        "task": {"prompt": "gsm8k", "shots": 1, "max_new_tokens": 4},
        "splits": {"train": 16, "val": 6, "test": 8},
        "checksum": checksums,
    }
    return {
        "benchmark": "generations",
        "seeds": [0],
        "datasets": {"problems": dataset},
        "downloads": {"mirror": mirror},
        "models": _readers(pretrained),
        "language": LANGUAGE,
        "gatekeeper": {"pairs": {"narrow": {"large": "wide"}}, "alphas": [0.5]},
        **{key: config[key] for key in ("cascade", "evaluation", "compute")},
    }


def save_questions(folder: Path) -> None:
    """Write what `generations` downloads."""
    for part, numbers in {"train": range(40), "test": range(100, 110)}.items():
        parquet(folder / f"{part}{SHARD}", [_problem(number) for number in numbers], GSM8K)


def save_pretrained(folder: Path) -> str:
    """Write a tiny language model in the hub's layout; give its folder."""
    texts = [_problem(number)["question"] for number in range(100)]
    return publish(folder, "llama", texts, num_hidden_layers=2)


def _problem(number: int) -> dict[str, str]:
    answer = f"{number} and 1 are {number + 1}.\n#### {number + 1}"
    return {"question": f"What are {number} and 1?", "answer": answer}


def _readers(pretrained: str) -> dict[str, Any]:
    """Give two language models, one of which is published and gets adapters."""
    wide = {"modality": "text", "pretrained": pretrained}
    return {"wide": {**wide, "finetune": {"lora": {"rank": 2, "alpha": 4}}}, "narrow": llama(8)}
