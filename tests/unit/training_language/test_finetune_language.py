import json
import logging
import math
import re

import numpy as np
import pytest
import torch
from safetensors import safe_open

from sidekick.artifacts import read_table
from sidekick.errors import SidekickError
from sidekick.models.checkpoints import describe
from sidekick.models.language import LanguageModel, create_language_model
from sidekick.models.language_checkpoints import load_language_checkpoint
from sidekick.training.language.answers import answering
from sidekick.training.language.encoding import Asked
from sidekick.training.language.outcome import write_language_outcome
from sidekick.training.language.preparing import prepare
from sidekick.training.language.scoring import score_split
from unit.training_language import fakes_language
from unit.training_language.fakes_language import ENTRY, RECIPE, TASK

CPU = torch.device("cpu")
TEXT = {"prompt": "arc_option_text", "normalise": "bytes"}
LORA = {"rank": 2, "alpha": 4, "dropout": 0.1, "targets": ["q_proj", "v_proj"]}


def _curve(checkpoint):
    return read_table(checkpoint.with_suffix(".parquet")).to_pylist()


def _tokens(network):
    return torch.arange(5, min(45, network.config.vocab_size))[None]


@torch.no_grad()
def _logits(network):
    return network.eval()(input_ids=_tokens(network)).logits.float()


def _published(published, family="llama", **others):
    return {"modality": "text", "pretrained": published(family), **others}


def _rest(entry):
    return create_language_model(entry).tokenizer, entry


def test_a_tiny_model_learns(train):
    recipe = {"steps": 150, "batch_size": 16, "validate_every": 50, "learning_rate": 0.02}
    checkpoint = train(recipe=recipe)
    rows = _curve(checkpoint)
    assert [row["step"] for row in rows] == [0, 50, 100, 150]
    assert rows[0]["val_accuracy"] < 0.5
    assert rows[-1]["val_accuracy"] > 0.95
    assert rows[-1]["val_loss"] < 0.3 < rows[0]["val_loss"]
    # The checkpoint is that model, and knows so.
    description = describe(checkpoint)
    assert description.val_accuracy == rows[-1]["val_accuracy"]
    assert description.val_metric == {"name": "accuracy", "value": rows[-1]["val_accuracy"]}
    assert description.facts["recipe"] == "finetune"
    assert (description.classes, description.seed) == (4, 0)
    model = load_language_checkpoint(checkpoint, CPU)
    asked = Asked("colours", "val", 0, TASK)
    split = asked.encode(model, CPU)
    right = 0
    for row, question in enumerate(asked.questions):
        tokens = split.answers.batch(torch.tensor([row])).tokens
        logits = model.network(input_ids=tokens).logits[0, -1]
        found = split.options[row][: len(question.choices)]
        right += int(logits[found].argmax()) == question.label
    assert right / len(asked.questions) == rows[-1]["val_accuracy"]


def test_the_curve(train):
    rows = _curve(train(recipe={"steps": 5}))
    assert [row["step"] for row in rows] == [0, 2, 4, 5]
    assert [row["epoch"] for row in rows] == [0, 2 / 30, 4 / 30, 5 / 30]
    assert [row["kept"] for row in rows] == [False, False, False, True]
    assert math.isnan(rows[0]["train_loss"])
    assert all(np.isfinite([*row.values()][:-1]).all() for row in rows[1:])
    # Of the step after the last.
    assert rows[-1]["learning_rate"] == pytest.approx(0, abs=1e-12)


def test_the_first_line_of_the_log_names_the_device(train, caplog):
    caplog.set_level(logging.INFO, "sidekick")
    train()
    assert re.fullmatch(r"Fine-tuning llama on cpu \(.+, 1 thread\)", caplog.messages[0])


def test_equal_runs_give_equal_bytes(train):
    first, again = train("first"), train("again")
    assert first.read_bytes() == again.read_bytes()
    assert _curve(first)[1:] == _curve(again)[1:]
    assert train("other", seed=1).read_bytes() != first.read_bytes()


@pytest.mark.parametrize("parts", [2, 3, 8])
def test_accumulation_gives_the_same_weights(train, parts):
    whole = load_language_checkpoint(train("whole"), CPU).network
    split = load_language_checkpoint(train("split", {"accumulation": parts}), CPU).network
    torch.testing.assert_close(_logits(split), _logits(whole), rtol=0, atol=2e-3)


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2"])
def test_gradient_checkpointing_gives_the_same_gradients(published, family):
    gradients = []
    for is_on in (False, True):
        model = create_language_model(_published(published, family))
        prepare(model, {"gradient_checkpointing": is_on}, CPU)
        network = model.network.train()
        assert network.is_activation_checkpointing == is_on
        # The same masks of dropout.
        torch.manual_seed(3)
        network(input_ids=_tokens(network), use_cache=False).logits.square().mean().backward()
        gradients.append([parameter.grad for parameter in network.parameters()])
    for found, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-9)


def test_longer_options_of_a_published_model(train, published, monkeypatch):
    fakes_language.install(
        monkeypatch.setattr, lambda split, seed: fakes_language.questions(split, seed, True)
    )
    entry, recipe = _published(published), {"options_loss": False, "steps": 4}
    checkpoint = train(entry=entry, task=TEXT, recipe=recipe)
    model = load_language_checkpoint(checkpoint, CPU)
    asked = Asked("colours", "val", 0, TEXT)
    right = 0
    for question, item in zip(asked.questions, asked.rendered, strict=True):
        scores = []
        for option in item.continuations:
            context = model.tokenizer(item.context)["input_ids"]
            whole = torch.tensor([model.tokenizer(item.context + option)["input_ids"]])
            with torch.no_grad():
                log_p = model.network(input_ids=whole).logits[0].log_softmax(dim=1)
            places = range(len(context), whole.shape[1])
            scores.append(
                sum(log_p[p - 1, whole[0, p]].item() for p in places) / len(option[1:].encode())
            )
        right += max(range(len(scores)), key=scores.__getitem__) == question.label
    assert _curve(checkpoint)[-1]["val_accuracy"] == right / 60


def test_open_questions(train, monkeypatch):
    card = {"classes": ["answer"], "task": "generation", "main_metric": "accuracy"}
    fakes_language.install(monkeypatch.setattr, fakes_language.open_questions, card)
    recipe = {"options_loss": False, "steps": 20, "learning_rate": 0.02}
    checkpoint = train(task={"prompt": "gsm8k"}, recipe=recipe)
    row, description = _curve(checkpoint)[-1], describe(checkpoint)
    assert math.isnan(row["val_accuracy"])
    assert row["val_token_accuracy"] > 0.4
    assert description.val_metric == {"name": "token_accuracy", "value": row["val_token_accuracy"]}
    assert description.val_accuracy == row["val_token_accuracy"]


def test_no_steps_keep_the_published_weights(train, published):
    entry = _published(published)
    checkpoint = train(entry=entry, recipe={"steps": 0})
    assert checkpoint.stat().st_size < 5000
    (row,) = _curve(checkpoint)
    assert (row["kept"], row["step"]) == (True, 0)
    expected = create_language_model(entry).network
    assert torch.equal(
        _logits(load_language_checkpoint(checkpoint, CPU).network), _logits(expected)
    )


def test_no_steps_of_a_model_from_scratch(train):
    (row,) = _curve(checkpoint := train(recipe={"steps": 0}))
    assert row["val_accuracy"] == describe(checkpoint).val_accuracy < 0.5


@pytest.mark.parametrize("targets", [["q_proj", "v_proj"], "all-linear", None])
def test_lora_trains_and_keeps_the_adapter_alone(train, published, targets):
    entry = _published(published)
    before = create_language_model(entry).network
    recipe = {"options_loss": False, "lora": {**LORA, "targets": targets}, "learning_rate": 0.05}
    checkpoint = train(entry=entry, recipe=recipe)
    with safe_open(checkpoint, "pt") as file:
        names = list(file.keys())
    assert names
    assert all("lora_" in name for name in names)
    whole = train("whole", entry=entry, recipe={"options_loss": False})
    assert checkpoint.stat().st_size < whole.stat().st_size / 4
    adapted = load_language_checkpoint(checkpoint, CPU).network
    # What is not the adapter is as published, and the adapter does something.
    base = adapted.get_base_model().state_dict()
    for name, value in before.state_dict().items():
        found = base[name] if name in base else base[name.replace(".weight", ".base_layer.weight")]
        assert torch.equal(found, value)
    assert (_logits(adapted) - _logits(before)).abs().max() > 1e-3
    with adapted.disable_adapter():
        assert torch.equal(_logits(adapted), _logits(before))


def test_lora_reloads_to_the_trained_logits(train, published, monkeypatch):
    finished = []

    def keep(**arguments):
        finished.append(arguments["model"].network)
        return write_language_outcome(**arguments)

    monkeypatch.setattr("sidekick.training.language.finetune.write_language_outcome", keep)
    entry = _published(published)
    checkpoint = train(entry=entry, recipe={"options_loss": False, "lora": LORA})
    assert not (checkpoint.parent / "seed0.resume.pt").exists()
    loaded = load_language_checkpoint(checkpoint, CPU).network
    torch.testing.assert_close(_logits(loaded), _logits(finished[0]), rtol=0, atol=1e-6)


@pytest.mark.parametrize("lora", [None, LORA])
def test_bfloat16(train, published, lora):
    """Weights that are trained are float32 meanwhile; the checkpoint has the entry's type."""
    entry = _published(published, dtype="bfloat16")
    recipe = {"options_loss": False, "precision": "bfloat16", "steps": 30}
    checkpoint = train(entry=entry, recipe=recipe | ({"lora": lora} if lora else {}))
    rows = _curve(checkpoint)
    assert rows[-1]["val_loss"] < rows[0]["val_loss"] - 0.5
    loaded = load_language_checkpoint(checkpoint, CPU).network
    expected = {torch.bfloat16, torch.float32} if lora else {torch.bfloat16}
    assert {parameter.dtype for parameter in loaded.parameters()} == expected
    # The last row is of the model as it is stored.
    val = Asked("colours", "val", 0, TASK).encode(LanguageModel(loaded, *_rest(entry)), CPU)
    with answering(loaded, CPU, "bfloat16") as logits:
        assert score_split(loaded, logits, val).loss == pytest.approx(
            rows[-1]["val_loss"], rel=1e-6
        )


@pytest.mark.parametrize(
    ("entry", "recipe", "message"),
    [
        (ENTRY, {"precision": "float16"}, "precision: 'float16'; .*'bfloat16'"),
        (ENTRY, {"lora": LORA}, "lora: needs a model with `pretrained`"),
        (None, {"lora": {**LORA, "targets": ["nothing"]}}, "lora.targets: .'nothing'."),
        (None, {}, "options_loss: true: needs"),
        (ENTRY, {"learning_rate": 1e30}, "not finite at step .* lower learning_rate"),
    ],
)
def test_settings_that_cannot_be(train, published, entry, recipe, message, monkeypatch):
    if entry is None:
        fakes_language.install(
            monkeypatch.setattr, lambda split, seed: fakes_language.questions(split, seed, True)
        )
    entry = entry or _published(published)
    with pytest.raises(SidekickError, match=message):
        train(entry=entry, recipe=recipe)


def test_the_recipe_is_in_the_checkpoint(train):
    assert describe(train()).recipe == json.loads(json.dumps(RECIPE))
