"""What a configuration may say of language models and of datasets of questions."""

import copy
from pathlib import Path

import pytest

from sidekick.config import validate
from sidekick.errors import SidekickError
from unit.test_config import CIFAR, SCHEMA, drop, put, shipped, touch

WIDE, NARROW, QUESTIONS = "models/llama_wide", "models/llama_narrow", "datasets/graded_mcq"
PAIR = "gatekeeper/pairs/llama_narrow"
GEMMA = {"modality": "text", "pretrained": "google/gemma-2-2b-it"}
SCRATCH = {
    "modality": "text",
    "architecture": "gpt2",
    "tokenizer": "words",
    "options": {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2},
}
GSM8K = {
    "source": "gsm8k",
    "task": {"prompt": "gsm8k", "shots": 2, "max_new_tokens": 40},
    "splits": {"train": 100, "val": 100, "test": 100},
}
LORA = {"rank": 8, "alpha": 16, "dropout": 0.1, "targets": ["q_proj", "v_proj"]}


@pytest.fixture
def config():
    return shipped()


def without_images(config):
    """Leave the questions and their models only."""
    for model in [name for name, entry in config["models"].items() if "modality" not in entry]:
        del config["models"][model]
        config["gatekeeper"]["pairs"].pop(model, None)
    del config["datasets"]["digits"], config["finetune"], config["mc_dropout"]
    del config["deployment"], config["gatekeeper"]["training"]
    return config


def refused(config):
    with pytest.raises(SidekickError) as caught:
        validate(config, SCHEMA)
    return str(caught.value)


# Path, value, and what the message must say: where and what, and what is allowed.
CASES = [
    # Models: form
    ("models/small_cnn/modality", "audio", "models.small_cnn.modality: 'audio' ", "image, text"),
    (f"{WIDE}/input", {"size": 8}, "models.llama_wide: unknown key 'input'", "tokenizer"),
    (f"{WIDE}/distill", {}, "models.llama_wide: unknown key 'distill'", "pretrained"),
    (f"{WIDE}/architecture", "bert", "models.llama_wide.architecture: 'bert' ", "gemma2, gpt2"),
    (f"{WIDE}/tokenizer", "bpe", "models.llama_wide.tokenizer: 'bpe' ", "words"),
    (f"{WIDE}/options", 64, "models.llama_wide.options: 64 ", "object"),
    (f"{WIDE}/pretrained", True, "models.llama_wide.pretrained: True ", "string"),
    (f"{WIDE}/dtype", "float16", "models.llama_wide.dtype: 'float16' ", "bfloat16"),
    (f"{WIDE}/revision", "", "models.llama_wide.revision: '' ", "at least 1"),
    ("models/small_cnn/tokenizer", "words", "models.small_cnn: unknown key 'tokenizer'", "input"),
    ("models/small_cnn/dtype", "bfloat16", "models.small_cnn: unknown key 'dtype'", "options"),
    # Models: what goes together
    (f"{WIDE}/pretrained", "org/name", "models.llama_wide: both of the keys", "or the name or fol"),
    (WIDE, {"modality": "text"}, "models.llama_wide: neither of the keys", "'architecture' and"),
    (f"{WIDE}/revision", "abc", "models.llama_wide.revision: 'abc' is of no use", "leave it out"),
    (f"{WIDE}/dtype", "bfloat16", "models.llama_wide.dtype: 'bfloat16' is of no use", "leave it"),
    (WIDE, GEMMA | {"tokenizer": "words"}, "models.llama_wide.tokenizer: 'words' is of", "leave"),
    (WIDE, GEMMA | {"options": {}}, "models.llama_wide.options: {} is of no use", "leave it out"),
    (f"{WIDE}/options", drop, "models.llama_wide: the key 'options' is missing", "from scratch"),
    (f"{WIDE}/tokenizer", drop, "models.llama_wide: the key 'tokenizer' is missing", "scratch"),
    # Training settings
    ("language/lr", 1, "language: unknown key 'lr'", "finetune, gatekeeper"),
    ("language/finetune/epochs", 3, "language.finetune: unknown key 'epochs'", "steps"),
    ("language/finetune/steps", drop, "language.finetune: the key 'steps' is missing", ""),
    ("language/finetune/steps", -1, "language.finetune.steps: -1 ", "≥ 0"),
    ("language/finetune/steps", 1.5, "language.finetune.steps: 1.5 ", "integer"),
    ("language/finetune/batch_size", 0, "language.finetune.batch_size: 0 ", "≥ 1"),
    ("language/finetune/learning_rate", 0, "language.finetune.learning_rate: 0 ", "> 0"),
    ("language/finetune/weight_decay", -1, "language.finetune.weight_decay: -1 ", "≥ 0"),
    ("language/finetune/warmup", 1, "language.finetune.warmup: 1 ", "< 1"),
    ("language/finetune/clip", 0, "language.finetune.clip: 0 ", "> 0"),
    ("language/finetune/precision", "fp16", "language.finetune.precision: 'fp16' ", "bfloat16"),
    ("language/finetune/options_loss", "yes", "language.finetune.options_loss: 'yes' ", "boolean"),
    ("language/finetune/validate_every", 0, "language.finetune.validate_every: 0 ", "≥ 1"),
    ("language/finetune/lora", {"rank": 8}, "language.finetune.lora: the key 'alpha' is miss", ""),
    ("language/finetune/lora", LORA | {"rank": 0}, "language.finetune.lora.rank: 0 ", "≥ 1"),
    ("language/finetune/lora", LORA | {"dropout": 1}, "finetune.lora.dropout: 1 ", "< 1"),
    ("language/finetune/lora", LORA | {"targets": []}, "lora.targets: [] ", "at least 1"),
    ("language/finetune/lora", LORA | {"bias": "all"}, "lora: unknown key 'bias'", "rank, targets"),
    (f"{NARROW}/finetune", {"epochs": 2}, "llama_narrow.finetune: unknown key 'epochs'", "steps"),
    (f"{NARROW}/finetune", {"accumulation": 5}, "finetune.accumulation: 5 parts of a", "divisors"),
    (f"{NARROW}/finetune", {"steps": 0}, "models.llama_narrow.finetune.steps: 0 ", "1 and more"),
    ("language/finetune/batch_size", drop, "finetune: the key 'batch_size' is missing", "steps"),
    ("language/finetune/weight_decay", drop, "the key 'weight_decay' is missing", "steps"),
    # What must be there
    (
        "language",
        drop,
        "the top level: the key 'language' is missing",
        "models.llama_wide is train",
    ),
    # Datasets
    (f"{QUESTIONS}/task", drop, "datasets.graded_mcq: the key 'task' is missing", "prompt"),
    (f"{QUESTIONS}/task", {}, "datasets.graded_mcq.task: the key 'prompt' is missing", ""),
    (f"{QUESTIONS}/task/hedge", "n", "datasets.graded_mcq.task: unknown key 'hedge'", "shots"),
    (f"{QUESTIONS}/task/prompt", "mcq", "datasets.graded_mcq.task.prompt: prompt: 'mcq'", "arc_l"),
    (f"{QUESTIONS}/task/prompt", "gsm8k", "task.prompt: 'gsm8k' is of protocol 'generate'", "mult"),
    (f"{QUESTIONS}/task/shots", -1, "datasets.graded_mcq.task.shots: -1 ", "≥ 0"),
    (f"{QUESTIONS}/task/normalise", "words", "task.normalise: 'words' ", "bytes, characters"),
    (f"{QUESTIONS}/task/max_new_tokens", 0, "task.max_new_tokens: 0 ", "≥ 1"),
    (f"{QUESTIONS}/task/max_new_tokens", 9, "task.max_new_tokens: 9, but nothing is", "leave it"),
    (
        f"{QUESTIONS}/task",
        {"prompt": "mmlu_letter", "normalise": "bytes"},
        "datasets.graded_mcq.task.normalise: 'bytes', but the protocol 'letter'",
        "leave it out",
    ),
    (
        f"{QUESTIONS}/shift",
        {"samples": 9, "severities": [1], "corruptions": ["contrast"]},
        "datasets.graded_mcq.shift: there are no corruptions of text",
        "leave it out",
    ),
    (f"{QUESTIONS}/splits/train", -1, "datasets.graded_mcq.splits.train: -1 ", "≥ 0"),
    (f"{QUESTIONS}/splits/train", 0, "datasets.graded_mcq.splits.train: 0, but models", "steps"),
    (f"{QUESTIONS}/splits/val", 1, "datasets.graded_mcq.splits.val: 1 ", "≥ 2"),
    (
        "datasets/digits/task",
        {"prompt": "graded_mcq"},
        "datasets.digits.task: {'prompt': 'graded_mcq'}, but 'digits' consists of images",
        "leave it out",
    ),
    ("datasets/gsm8k", GSM8K | {"task": {"prompt": "mmlu_letter"}}, "datasets.gsm8k.task.p", "gen"),
    # Sweeps
    (f"{PAIR}/large", "test_resnet", "llama_narrow.large: 'test_resnet' is no other", "llama_wide"),
    (
        "gatekeeper/pairs/small_cnn_narrow/large",
        "llama_wide",
        "gatekeeper.pairs.small_cnn_narrow.large: 'llama_wide' is no other model",
        "test_resnet",
    ),
    (f"{PAIR}/start", "distill", "gatekeeper.pairs.llama_narrow.start: 'distill', ", "finetune"),
    (f"{PAIR}/hedges", [], "gatekeeper.pairs.llama_narrow.hedges: [] ", "at least 1"),
    (f"{PAIR}/hedges", ["N"], "pairs.llama_narrow.hedges.0: 'N' ", "low_confidence, n"),
    (f"{PAIR}/hedges", ["n", "n"], "pairs.llama_narrow.hedges: ['n', 'n'] ", "twice"),
    (
        "gatekeeper/pairs/small_cnn_narrow/hedges",
        ["n"],
        "gatekeeper.pairs.small_cnn_narrow.hedges: ['n'], but the model reads images",
        "leave it out",
    ),
    ("language/gatekeeper", drop, "language: the key 'gatekeeper' is missing", "llama_narrow"),
    ("language/gatekeeper/training", drop, "language.gatekeeper: the key 'training' is mis", ""),
    ("language/gatekeeper/training/steps", 0, "language.gatekeeper.training.steps: 0", "1 and m"),
    ("language/gatekeeper/training/steps", drop, "gatekeeper.training: the key 'steps' is", ""),
    ("language/gatekeeper/targets", "large", "language.gatekeeper: unknown key 'targets'", "over"),
    ("language/gatekeeper/over", "letters", "language.gatekeeper.over: 'letters' ", "vocabulary"),
    ("language/gatekeeper/anchor", -1, "language.gatekeeper.anchor: -1 ", "≥ 0"),
    ("language/gatekeeper/divergence", "js", "language.gatekeeper.divergence: 'js' ", "uniform_p"),
    ("language/gatekeeper/normalisation", "mean", "gatekeeper.normalisation: 'mean' ", "subset"),
    ("language/gatekeeper/training/accumulation", 5, "training.accumulation: 5 parts", "divisors"),
    # What is for images only
    (
        "mc_dropout/models",
        ["llama_wide"],
        "mc_dropout.models: 'llama_wide' is a language model",
        "models of images",
    ),
    (
        "mc_dropout/full_network/models",
        ["llama_wide"],
        "mc_dropout.full_network.models: 'llama_wide' is a language model",
        "models of images",
    ),
]


@pytest.mark.parametrize(
    ("path", "value", "says", "allowed"),
    CASES,
    ids=[f"{path}-{getattr(value, '__name__', value)}"[:70] for path, value, *_ in CASES],
)
def test_what_cannot_work_is_refused(config, path, value, says, allowed):
    if value is drop:
        drop(config, path)
    else:
        put(config, path, copy.deepcopy(value))
    message = refused(config)
    where = message.find(says)
    assert where >= 0, message
    assert allowed in message[where + len(says) :], message


@pytest.mark.parametrize("modality", ["images", "text"])
def test_a_model_needs_a_dataset_and_a_dataset_a_model(config, modality):
    of_text = [name for name, entry in config["models"].items() if "modality" in entry]
    if modality == "text":
        del config["datasets"]["graded_mcq"], config["gatekeeper"]["pairs"]["llama_narrow"]
        message = "models.llama_wide: is of modality 'text', but no dataset is; there are: digits"
    else:
        for model in of_text:
            del config["models"][model]
        del config["gatekeeper"]["pairs"]["llama_narrow"]
        message = "datasets.graded_mcq: is of modality 'text', but no model is"
    assert refused(config).startswith(message)


def test_normalisation_by_subset_needs_whole_batches(config):
    config["language"]["gatekeeper"] |= {"normalisation": "subset"}
    validate(config, SCHEMA)
    config["language"]["gatekeeper"]["training"]["accumulation"] = 2
    message = refused(config)
    assert message.startswith("language.gatekeeper.training.accumulation: 2, ")
    assert "allowed is 1" in message


def test_answers_that_are_generated_have_no_hedges(config):
    config["datasets"]["gsm8k"] = copy.deepcopy(GSM8K)
    validate(config, SCHEMA)
    config["gatekeeper"]["pairs"]["llama_narrow"]["hedges"] = ["n"]
    message = refused(config)
    assert message.startswith("gatekeeper.pairs.llama_narrow.hedges: answers of datasets.gsm8k")


def test_questions_alone_are_a_benchmark(config):
    validate(without_images(config), SCHEMA)
    for key in ("compute", "language"):
        missing = {name: block for name, block in config.items() if name != key}
        message = refused(missing)
        assert message.startswith(f"the top level: the key '{key}' is missing")


def test_both_blocks_of_training_are_needed_where_both_are_trained(config):
    del config["finetune"]
    assert refused(config).startswith("the top level: the key 'finetune' is missing")


def test_a_published_model_may_be_left_as_it_is(config):
    config = without_images(config)
    for model in config["models"]:
        config["models"][model] = copy.deepcopy(GEMMA)
    config["language"]["finetune"] = {"steps": 0}
    config["datasets"]["graded_mcq"]["splits"]["train"] = 0
    del config["gatekeeper"]
    validate(config, SCHEMA)


def test_a_sweep_needs_settings_of_its_own_where_nothing_is_inherited(config):
    config = without_images(config)
    for model in config["models"]:
        config["models"][model] = copy.deepcopy(GEMMA)
    config["language"]["finetune"] = {"steps": 0}
    assert refused(config).startswith("language.gatekeeper.training: the key 'batch_size' is miss")
    config["language"]["gatekeeper"]["training"] |= {"batch_size": 8, "weight_decay": 0.0}
    validate(config, SCHEMA)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("models/gemma", GEMMA),
        ("models/gemma", GEMMA | {"revision": "abc123", "dtype": "bfloat16"}),
        ("models/gemma", GEMMA | {"pretrained": "/a/folder/that/is/elsewhere"}),
        ("models/gpt", SCRATCH),
        ("models/gpt", SCRATCH | {"finetune": {"lora": None, "steps": 5}}),
        ("models/gemma", GEMMA | {"finetune": {"lora": LORA, "precision": "bfloat16"}}),
        ("models/gemma", GEMMA | {"finetune": {"lora": LORA | {"targets": "all-linear"}}}),
        (f"{NARROW}/finetune", {"precision": "bfloat16", "clip": 0.5}),
        (f"{NARROW}/finetune", {"gradient_checkpointing": True, "accumulation": 4}),
        (f"{QUESTIONS}/task", {"prompt": "arc_letter", "shots": 3}),
        (f"{QUESTIONS}/task", {"prompt": "mmlu_option_text", "normalise": "tokens"}),
        (f"{PAIR}/hedges", ["low_confidence", "n"]),
        ("language/gatekeeper/anchor", 0.5),
        ("language/gatekeeper/divergence", "uniform_p"),
        ("datasets/gsm8k", GSM8K),
        ("datasets/arc", CIFAR | {"source": "arc_easy", "task": {"prompt": "arc_option_text"}}),
    ],
    ids=lambda part: str(part)[:40],
)
def test_what_can_work_passes(config, path, value):
    put(config, path, copy.deepcopy(value))
    validate(config, SCHEMA)


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("language/finetune/lora", "models.llama_wide.finetune.lora: "),
        ("language/gatekeeper/training/lora", "language.gatekeeper.training.lora: "),
    ],
)
def test_a_model_from_scratch_has_nothing_to_adapt(config, path, place):
    put(config, path, LORA)
    message = refused(config)
    assert message.startswith(place)
    assert "starts from scratch" in message


def test_a_sweep_adapts_no_weights_that_were_all_trained(config):
    config["models"]["llama_narrow"] = GEMMA | {"finetune": {"steps": 3}}
    config["language"]["gatekeeper"]["training"]["lora"] = LORA
    message = refused(config)
    assert message.startswith("language.gatekeeper.training.lora: ")
    assert "models.llama_narrow trains all weights" in message
    config["models"]["llama_narrow"]["finetune"]["lora"] = LORA
    validate(config, SCHEMA)


def test_a_language_model_may_bring_its_logits(config, tmp_path):
    logits = {split: str(tmp_path / f"{split}.npz") for split in ("val", "test")}
    for path in logits.values():
        touch(Path(path))
    config["seeds"] = [0]
    config["models"]["elsewhere"] = {
        "modality": "text", "logits": {"graded_mcq": logits}, "gmacs": 1.0,
    }  # fmt: skip
    validate(config, SCHEMA)
    config["gatekeeper"]["pairs"]["elsewhere"] = {"large": "llama_wide"}
    assert refused(config).startswith("gatekeeper.pairs: 'elsewhere' brings its logits")


def test_only_models_of_a_datasets_kind_can_be_deployed_on_it(config):
    config["deployment"]["digits_cascade"]["models"] = ["test_resnet", "llama_narrow"]
    message = refused(config)
    assert message.startswith("deployment.digits_cascade.models: 'llama_narrow' is no model for")
    assert "images of 'digits'" in message
    assert "test_resnet" in message


def test_generated_answers_cannot_be_deployed(config):
    config["datasets"]["gsm8k"] = copy.deepcopy(GSM8K)
    config["deployment"]["digits_cascade"] |= {"dataset": "gsm8k", "models": ["llama_wide"]}
    message = refused(config)
    assert message.startswith("deployment.digits_cascade.dataset: the answers of 'gsm8k'")
