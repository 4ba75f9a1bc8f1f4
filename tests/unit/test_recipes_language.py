"""What jobs of language models depend on: neither more nor less than what changes their results."""

import copy

import pytest

from sidekick import recipes
from sidekick.prompts import load_prompt
from unit.test_config import put, shipped
from unit.test_recipes import reordered

WIDE, NARROW, QUESTIONS = "models/llama_wide", "models/llama_narrow", "datasets/graded_mcq"
PAIR = "gatekeeper/pairs/llama_narrow"
TEXT_MODELS = ("llama_wide", "llama_narrow")


@pytest.fixture
def config():
    return shipped()


def everything(config):
    """What jobs of language models depend on, as Snakemake compares it: by representation."""
    return repr(
        [
            *(recipes.architecture(config, model) for model in TEXT_MODELS),
            *(recipes.finetune_recipe(config, model) for model in TEXT_MODELS),
            recipes.language_task(config, "graded_mcq"),
            recipes.dataset_recipe(config, "graded_mcq"),
            recipes.language_gatekeeper_recipe(config, "llama_narrow"),
            recipes.gatekeeper_pair(config, "llama_narrow"),
            recipes.hedges(config, "llama_narrow"),
            recipes.alphas(config),
        ]
    )


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("language/finetune/steps", 7),
        ("language/finetune/clip", 0.5),
        ("language/gatekeeper/anchor", 0.5),
        ("language/gatekeeper/over", "vocabulary"),
        ("language/gatekeeper/training/learning_rate", 0.1),
        (f"{WIDE}/options", {"hidden_size": 8}),
        (f"{WIDE}/architecture", "gpt2"),
        (f"{WIDE}/tokenizer", "letters"),
        (f"{WIDE}/dtype", "bfloat16"),
        (f"{WIDE}/revision", "abc"),
        (f"{WIDE}/pretrained", "org/name"),
        (f"{NARROW}/finetune", {"lora": {"rank": 2, "alpha": 4}}),
        (f"{QUESTIONS}/task/prompt", "arc_letter"),
        (f"{QUESTIONS}/task/shots", 1),
        (f"{QUESTIONS}/task/normalise", "bytes"),
        (f"{QUESTIONS}/splits/train", 99),
        (f"{PAIR}/hedges", ["low_confidence"]),
        (f"{PAIR}/large", "other"),
    ],
    ids=lambda part: str(part)[:40],
)
def test_what_does_matter_enters_recipes(config, path, value):
    before = everything(config)
    put(config, path, value)
    assert everything(config) != before


def test_neither_form_nor_images_enter_recipes(config):
    before = everything(config)
    assert everything(reordered(config)) == before
    for model in TEXT_MODELS:
        config["models"][model]["labels"] = {"family": "other"}
    config["finetune"]["epochs"] = 99
    config["gatekeeper"]["training"]["epochs"] = 99
    config["models"]["test_resnet"]["options"] = {"width": 3}
    config["compute"] = {"device": "cuda", "threads": 8}
    assert everything(config) == before


def test_the_question_is_no_part_of_the_dataset(config):
    """Another prompt asks the same questions: nothing is prepared or split anew."""
    before = recipes.dataset_recipe(config, "graded_mcq")
    config["datasets"]["graded_mcq"]["task"] = {"prompt": "arc_letter", "shots": 2}
    assert recipes.dataset_recipe(config, "graded_mcq") == before


def test_language_models_are_trained_as_language_says(config):
    own = config["models"]["llama_narrow"]["finetune"]
    shared = config["language"]["finetune"]
    assert recipes.finetune_recipe(config, "llama_wide") == shared
    assert recipes.finetune_recipe(config, "llama_narrow") == shared | own
    del config["finetune"]
    assert recipes.finetune_recipe(config, "llama_wide") == shared
    assert recipes.linear_probe_recipe(config, "llama_wide") is None
    assert recipes.trials(config, "llama_wide") == []
    assert recipes.evaluated_recipes(config, "llama_wide") == ["finetune"]


def test_null_switches_an_adapter_off(config):
    config["language"]["finetune"]["lora"] = {"rank": 4, "alpha": 8}
    config["models"]["llama_narrow"]["finetune"]["lora"] = None
    assert "lora" not in recipes.finetune_recipe(config, "llama_narrow")
    assert recipes.finetune_recipe(config, "llama_wide")["lora"] == {"alpha": 8, "rank": 4}


def test_a_sweep_goes_on_from_the_models_own_settings(config):
    config["language"] = {
        "finetune": {
            "steps": 900, "batch_size": 32, "learning_rate": 0.003, "weight_decay": 0.01,
            "options_loss": True,
        },
        "gatekeeper": {
            "training": {"steps": 50, "learning_rate": 0.001}, "anchor": 0.5, "over": "options",
        },
    }  # fmt: skip
    config["models"]["llama_narrow"]["finetune"] = {"batch_size": 16, "clip": 2.0}
    assert recipes.language_gatekeeper_recipe(config, "llama_narrow") == {
        # The loss of a sweep is its own.
        "batch_size": 16,
        "clip": 2.0,
        "gatekeeper": {"anchor": 0.5, "over": "options"},
        "learning_rate": 0.001,
        "steps": 50,
        "weight_decay": 0.01,
    }


def test_hedges_are_recipes_of_their_own(config):
    pair = config["gatekeeper"]["pairs"]["llama_narrow"]
    pair.pop("hedges", None)
    assert recipes.hedges(config, "llama_narrow") == {}
    assert recipes.hedges(config, "small_cnn_narrow") == {}
    pair["hedges"] = ["n", "low_confidence"]
    assert list(recipes.hedges(config, "llama_narrow").items()) == [
        ("hedge_low_confidence", "low_confidence"),
        ("hedge_n", "n"),
    ]


def test_recipes_leave_the_configuration_alone(config):
    before = copy.deepcopy(config)
    everything(config)
    assert config == before


def test_a_prompts_version_is_its_files(config):
    assert recipes.prompt_version(config, "graded_mcq") == load_prompt("graded_mcq").version
    config["datasets"]["graded_mcq"]["task"]["prompt"] = "arc_letter"
    assert recipes.prompt_version(config, "graded_mcq") == load_prompt("arc_letter").version
