import dataclasses

import pytest
import torch

from sidekick.errors import SidekickError
from sidekick.models.language import create_language_model
from sidekick.training.language.encoding import Asked
from unit.training_language import fakes_language
from unit.training_language.fakes_language import ENTRY, TASK

CPU = torch.device("cpu")


@pytest.fixture
def encoded():
    asked = Asked("colours", "val", 0, TASK)
    model = create_language_model(ENTRY, Asked("colours", "train", 0, TASK).texts())
    return asked, model, asked.encode(model, CPU)


def _words(model, tokens):
    return model.tokenizer.decode(tokens)


def test_a_question_as_tokens(encoded):
    asked, model, split = encoded
    batch = split.answers.batch(torch.tensor([3]))
    question = asked.questions[3]
    assert _words(model, batch.tokens[0]) == f"<bos> {asked.rendered[3].context}"
    assert _words(model, batch.targets) == question.answer
    assert split.labels.tolist() == [question.label for question in asked.questions]
    found = split.options[3].tolist()
    assert [_words(model, [token]) for token in found if token >= 0] == list(question.choices)
    assert found[len(question.choices) :] == [-1] * (4 - len(question.choices))


def test_options_only_if_wanted(encoded):
    asked, model, split = encoded
    without = asked.encode(model, CPU, with_options=False)
    assert without.options is None
    assert without.alternatives is None
    assert without.answers.digest == split.answers.digest
    assert without.digest != split.digest


def test_the_digest_is_of_all_that_is_read(encoded):
    asked, model, split = encoded
    assert asked.encode(model, CPU).digest == split.digest
    asked.questions[0] = dataclasses.replace(asked.questions[0], label=1 - asked.questions[0].label)
    assert asked.encode(model, CPU).digest != split.digest


def test_longer_options(monkeypatch):
    fakes_language.install(
        monkeypatch.setattr, lambda split, seed: fakes_language.questions(split, seed, True)
    )
    for normalise, divide in (
        ("none", lambda choice: 1),
        ("bytes", lambda choice: len(choice.encode())),
        ("characters", len),
        ("tokens", lambda choice: len(choice.split())),
    ):
        asked = Asked("colours", "val", 0, {**TASK, "normalise": normalise})
        model = create_language_model(ENTRY, Asked("colours", "train", 0, TASK).texts())
        split = asked.encode(model, CPU)
        assert split.options is None
        found = split.alternatives
        rows = [
            (item, option, choice)
            for item, question in enumerate(asked.questions)
            for option, choice in enumerate(question.choices)
        ]
        assert found.items.tolist() == [item for item, _, _ in rows]
        assert found.options.tolist() == [option for _, option, _ in rows]
        assert found.divisors.tolist() == [divide(choice) for _, _, choice in rows]
        assert _words(model, found.sequences.batch(torch.tensor([5])).targets) == rows[5][2]
        with pytest.raises(SidekickError, match=r"options_loss: needs .* single"):
            split.require_single_tokens("options_loss")


def test_open_questions(monkeypatch):
    fakes_language.install(monkeypatch.setattr, fakes_language.open_questions)
    task = {"prompt": "gsm8k"}
    model = create_language_model(ENTRY, Asked("colours", "train", 0, task).texts())
    split = Asked("colours", "val", 0, task).encode(model, CPU)
    assert (split.classes, split.options, split.alternatives) == (0, None, None)
    assert split.answers.answer_lengths.tolist() == [5] * 60


def test_unknown_normalisation():
    with pytest.raises(SidekickError, match=r"normalise: 'mean'; allowed are .*'bytes'"):
        Asked("colours", "val", 0, {**TASK, "normalise": "mean"})
