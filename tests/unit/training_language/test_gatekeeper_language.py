import logging
import re

import pytest
import torch

from sidekick.artifacts import read_facts, read_table
from sidekick.errors import SidekickError
from sidekick.models.checkpoints import describe
from sidekick.models.language_checkpoints import load_language_checkpoint
from sidekick.training.language.loop import _Runner
from unit.training_language import fakes_language
from unit.training_language.fakes_language import RECIPE

CPU = torch.device("cpu")
LEARNT = {"steps": 40, "batch_size": 16, "validate_every": 40, "learning_rate": 0.02}


def _weights(checkpoint):
    return load_language_checkpoint(checkpoint, CPU).network.state_dict()


def _equal(some, others):
    return all(torch.equal(some[name], others[name]) for name in some)


def _curve(checkpoint):
    return read_table(checkpoint.with_suffix(".parquet")).to_pylist()


@pytest.mark.parametrize("over", ["vocabulary", "options"])
def test_all_start_alike_and_share_their_batches(train, sweep, monkeypatch, over):
    seen = []
    advance = _Runner.advance

    def record(self, begin, end):
        first = [parameter.detach().clone() for parameter in self.trained] if not begin else None
        seen.append((first, [self.batches[step].tolist() for step in range(begin, end)]))
        return advance(self, begin, end)

    start = train(recipe=LEARNT)
    monkeypatch.setattr(_Runner, "advance", record)
    made = sweep(start, recipe={"gatekeeper": {"over": over}})
    assert list(made) == ["gatekeeper_a10", "gatekeeper_a90", "ce_control"]
    runs = [seen[first : first + 3] for first in range(0, 9, 3)]
    for run in runs:
        assert [rows for _, rows in run] == [rows for _, rows in runs[0]]
        for value, expected in zip(run[0][0], runs[0][0][0], strict=True):
            assert torch.equal(value, expected)
    rates = [[row["learning_rate"] for row in _curve(path)] for path in made.values()]
    assert rates[0] == rates[1] == rates[2]
    first = [_curve(path)[0] for path in made.values()]
    assert {row["val_loss"] for row in first} == {_curve(start)[-1]["val_loss"]}
    weights = [_weights(path) for path in made.values()]
    assert not _equal(weights[0], weights[1])
    assert not _equal(weights[1], weights[2])
    assert not list(start.parents[1].rglob("*.resume.pt"))


def test_the_control_goes_on_as_the_fine_tuning_would(train, sweep):
    """With one answer token each, its loss is the plain cross-entropy."""
    start = train(recipe=LEARNT)
    control = sweep(start, alphas=())["ce_control"]
    assert _curve(control)[-1]["val_loss"] < _curve(start)[-1]["val_loss"]
    with_options = sweep(start, "options", {"gatekeeper": {"over": "options"}}, ())["ce_control"]
    assert not _equal(_weights(control), _weights(with_options))


def test_a_low_alpha_makes_unsure(train, sweep):
    start = train(recipe=LEARNT)
    recipe = {"steps": 30, "learning_rate": 0.01, "gatekeeper": {"over": "options"}}
    made = sweep(start, recipe=recipe, alphas=(0.05, 0.95))
    confidence = {
        name: describe(path).facts["collapse"]["mean_confidence"] for name, path in made.items()
    }
    assert confidence["gatekeeper_a05"] < confidence["gatekeeper_a95"] - 0.05


def test_what_the_files_say(train, sweep, caplog):
    start = train(recipe=LEARNT)
    caplog.clear()
    caplog.set_level(logging.INFO, "sidekick")
    made = sweep(start, recipe={"gatekeeper": {"anchor": 0.1}})
    assert re.fullmatch(r"Gatekeeping llama on cpu \(.+, 1 thread\)", caplog.messages[0])
    source = describe(start)
    for name, path in made.items():
        description = describe(path)
        assert description.facts["recipe"] == name
        assert description.facts["start"] == {
            "recipe": "finetune",
            "val_metric": dict(source.val_metric),
        }
        assert set(description.facts["collapse"]) >= {"collapsed", "reason", "accuracy"}
        settings = description.recipe["gatekeeper"]
        assert settings["anchor"] == 0.1
        assert settings.get("alpha") == {"gatekeeper_a10": 0.1, "gatekeeper_a90": 0.9}.get(name)
        assert read_facts(path.with_suffix(".parquet"))["recipe"] == name


def test_collapse_is_told(train, sweep, caplog):
    """Almost all weight on the wrong answers, and a start that knows little."""
    start = train(recipe={"steps": 2})
    recipe = {"steps": 30, "learning_rate": 0.02, "gatekeeper": {"over": "options"}}
    made = sweep(start, recipe=recipe, alphas=(0.01,))
    found = describe(made["gatekeeper_a01"]).facts["collapse"]
    assert found["collapsed"]
    assert found["reason"] in caplog.text


def test_open_questions_collapse_by_token(train, sweep, monkeypatch):
    card = {"classes": ["answer"], "task": "generation", "main_metric": "accuracy"}
    fakes_language.install(monkeypatch.setattr, fakes_language.open_questions, card)
    task, recipe = {"prompt": "gsm8k"}, {"options_loss": False}
    start = train(task=task, recipe={**LEARNT, **recipe})
    path = sweep(start, task=task, recipe=recipe)["ce_control"]
    found = describe(path).facts["collapse"]
    assert found["accuracy"] == _curve(path)[-1]["val_token_accuracy"]
    assert not found["collapsed"]


def test_an_adapter_goes_on_training(train, sweep, published):
    entry = {"modality": "text", "pretrained": published("llama")}
    recipe = {"options_loss": False, "lora": {"rank": 2, "alpha": 4}, "learning_rate": 0.05}
    start = train(entry=entry, recipe=recipe)
    made = sweep(start, entry=entry, recipe=recipe, alphas=(0.5,))
    trained = {name for name in _weights(start) if "lora_" in name}
    for path in made.values():
        assert path.stat().st_size < 100_000
        before, after = _weights(start), _weights(path)
        for name, value in after.items():
            assert torch.equal(before[name], value) == (name not in trained)


def test_weights_that_were_all_trained_get_no_adapter(train, sweep, published):
    entry = {"modality": "text", "pretrained": published("llama")}
    start = train(entry=entry, recipe={"options_loss": False})
    recipe = {"options_loss": False, "lora": {"rank": 2, "alpha": 4}}
    with pytest.raises(SidekickError, match="holds weights that were all trained"):
        sweep(start, entry=entry, recipe=recipe)


def test_bfloat16_weights_start_alike(train, sweep, published):
    entry = {"modality": "text", "pretrained": published("llama"), "dtype": "bfloat16"}
    recipe = {"options_loss": False, "precision": "bfloat16"}
    start = train(entry=entry, recipe=recipe)
    made = sweep(start, entry=entry, recipe=recipe)
    assert len({_curve(path)[0]["val_loss"] for path in made.values()}) == 1
    alone = sweep(start, "alone", entry=entry, recipe=recipe, alphas=())["ce_control"]
    assert _equal(_weights(alone), _weights(made["ce_control"]))


@pytest.mark.parametrize("recipe", ["gatekeeper_a10", "gatekeeper_a90", "ce_control"])
def test_an_interrupted_sweep_ends_with_the_same_bytes(train, sweep, interrupt, recipe):
    start = train(recipe=LEARNT)
    expected = {name: path.read_bytes() for name, path in sweep(start, "whole").items()}
    interrupt(4, which=recipe)
    with pytest.raises(interrupt.error):
        sweep(start, "broken")
    interrupt.disarm()
    # As Snakemake deletes the outputs of a job that failed.
    for path in (start.parents[1] / "broken").glob("*.safetensors"):
        path.unlink()
    assert {name: p.read_bytes() for name, p in sweep(start, "broken").items()} == expected


def test_a_start_of_another_model(train, sweep):
    start = train()
    entry = {**fakes_language.ENTRY, "architecture": "gpt2"}
    with pytest.raises(SidekickError, match=r"seed0.safetensors: made from .*'llama'.*'gpt2'"):
        sweep(start, entry=entry)


def test_options_that_are_longer_cannot_be_chosen_among(train, sweep, monkeypatch):
    fakes_language.install(
        monkeypatch.setattr, lambda split, seed: fakes_language.questions(split, seed, True)
    )
    start = train(recipe={**RECIPE, "options_loss": False})
    with pytest.raises(SidekickError, match=r"gatekeeper.over: options: needs"):
        sweep(start, recipe={"gatekeeper": {"over": "options"}})
