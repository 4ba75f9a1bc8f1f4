"""Logits of the answers' tokens are those of the whole model, and padding reaches nothing."""

import math

import pytest
import torch
from torch.nn import functional as F
from transformers import LlamaConfig, LlamaModel

from sidekick.errors import SidekickError
from sidekick.models.language import create_language_model
from sidekick.training.language.answers import answering
from sidekick.training.language.batching import sorted_batches
from sidekick.training.language.encoding import EncodedSplit
from sidekick.training.language.objectives import AnswerCrossEntropy, Size, TokenGatekeeper
from sidekick.training.language.scoring import score_split
from sidekick.training.language.sequences import Sequences
from sidekick.training.language.settings import LanguageGatekeeperSettings

CPU = torch.device("cpu")
FAMILIES = ("llama", "gpt2", "gemma2")


def _pairs(count=9, most=3):
    generator = torch.Generator().manual_seed(4)

    def draw(low, high):
        size = int(torch.randint(low, high + 1, (), generator=generator))
        return torch.randint(10, 250, (size,), generator=generator).tolist()

    return [(draw(1, 30), draw(1, most)) for _ in range(count)]


def _model(published, family):
    # Dropout would differ between a batch and its parts.
    model = create_language_model({"pretrained": published(family)})
    for module in model.network.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return model.network


def _naive(network, pairs):
    """Logits of each answer token, sequence by sequence, from the whole model."""
    rows = []
    for context, answer in pairs:
        whole = network(input_ids=torch.tensor([[*context, *answer]])).logits[0].float()
        rows.append(whole[len(context) - 1 : -1])
    return torch.cat(rows)


@pytest.mark.parametrize("family", FAMILIES)
def test_equal_to_the_whole_model_one_by_one(published, family):
    network, pairs = _model(published, family), _pairs()
    sequences = Sequences(pairs, 1000, 0, CPU)
    with answering(network, CPU) as answer_logits, torch.no_grad():
        found = answer_logits(sequences.batch(torch.arange(len(pairs))))
    # Outside of the block the model is as it was.
    expected = _naive(network, pairs).detach()
    assert (
        found.shape
        == expected.shape
        == (sum(len(answer) for _, answer in pairs), network.config.vocab_size)
    )
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-5)


OBJECTIVES = {
    "cross_entropy": AnswerCrossEntropy(),
    "gatekeeper": TokenGatekeeper(0.3, LanguageGatekeeperSettings()),
    "subset": TokenGatekeeper(0.3, LanguageGatekeeperSettings(normalisation="subset")),
    "control": TokenGatekeeper(None, LanguageGatekeeperSettings(anchor=0.2)),
}


def _gradients(network, sequences, rows, objective):
    network.zero_grad()
    split = EncodedSplit(sequences, torch.zeros(len(sequences), dtype=torch.int64), 0)
    batch = sequences.batch(rows)
    size = Size(len(rows), len(batch.targets))
    with answering(network, CPU) as answer_logits:
        loss = objective(answer_logits(batch), batch, split, size)
    loss.backward()
    return loss.item(), [parameter.grad.clone() for parameter in network.parameters()]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=OBJECTIVES)
def test_padding_changes_neither_loss_nor_gradients(published, family, objective):
    network, pairs = _model(published, family).train(), _pairs()
    rows = torch.arange(len(pairs))
    loss, gradients = _gradients(network, Sequences(pairs, 1000, 0, CPU), rows, objective)
    # A sequence that is much longer pads all others, and is then left out of the loss.
    wide = Sequences([*pairs, (list(range(10, 140)), [5])], 1000, 123, CPU)
    batch = wide.batch

    def without_the_last(rows):
        found = batch(torch.cat([rows, torch.tensor([len(pairs)])]))
        keep = found.owners < len(rows)
        return type(found)(
            rows, found.tokens[:-1], found.places[keep], found.targets[keep], found.owners[keep]
        )

    wide.batch = without_the_last
    padded_loss, padded_gradients = _gradients(network, wide, rows, objective)
    assert padded_loss == pytest.approx(loss, abs=1e-6)
    for found, expected in zip(padded_gradients, gradients, strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_loss_is_of_the_answers_alone(published, family):
    network, pairs = _model(published, family).train(), _pairs()
    loss, gradients = _gradients(
        network, Sequences(pairs, 1000, 0, CPU), torch.arange(len(pairs)), AnswerCrossEntropy()
    )
    # By hand, with labels that are ignored everywhere but at the answers.
    network.zero_grad()
    total = 0.0
    for context, answer in pairs:
        tokens = torch.tensor([[*context, *answer]])
        labels = torch.full_like(tokens, -100)
        labels[:, len(context) :] = tokens[:, len(context) :]
        logits = network(input_ids=tokens).logits[:, :-1].flatten(0, 1).float()
        total = total + F.cross_entropy(logits, labels[0, 1:], ignore_index=-100, reduction="sum")
    total = total / sum(len(answer) for _, answer in pairs)
    total.backward()
    assert loss == pytest.approx(total.item(), abs=1e-5)
    for found, parameter in zip(gradients, network.parameters(), strict=True):
        torch.testing.assert_close(found, parameter.grad, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("width", [1, 4, 64])
def test_scores_do_not_depend_on_the_batches(published, monkeypatch, width):
    network, pairs = _model(published, "llama"), _pairs(30)
    split = EncodedSplit(Sequences(pairs, 1000, 0, CPU), torch.zeros(30, dtype=torch.int64), 0)
    monkeypatch.setattr("sidekick.training.language.scoring.EVALUATION_BATCH", width)
    assert len(sorted_batches(split.answers.lengths, width)) == math.ceil(30 / width)
    with answering(network, CPU) as answer_logits:
        score = score_split(network, answer_logits, split)
    logits = _naive(network, pairs).detach().double()
    targets = torch.tensor([token for _, answer in pairs for token in answer])
    log_p = logits.log_softmax(dim=1)
    assert score.tokens.targets.equal(targets)
    owners = [row for row, (_, answer) in enumerate(pairs) for _ in answer]
    assert score.tokens.owners.tolist() == owners
    torch.testing.assert_close(
        score.tokens.log_probability, log_p.gather(1, targets[:, None])[:, 0], rtol=0, atol=2e-5
    )
    torch.testing.assert_close(score.tokens.top, log_p.exp().amax(dim=1), rtol=0, atol=2e-5)
    assert score.loss == pytest.approx(F.cross_entropy(logits, targets).item(), abs=2e-5)
    assert score.token_accuracy == (logits.argmax(dim=1) == targets).double().mean().item()
    assert math.isnan(score.accuracy)
    assert math.isnan(score.macro_f1)


def test_bfloat16_is_close_and_keeps_parameters(published):
    network, pairs = _model(published, "llama"), _pairs()
    batch = Sequences(pairs, 1000, 0, CPU).batch(torch.arange(len(pairs)))
    with torch.no_grad():
        with answering(network, CPU) as exact:
            expected = exact(batch)
        with answering(network, CPU, "bfloat16") as rough:
            found = rough(batch)
    assert found.dtype == torch.float32
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
    assert 1e-4 < (found - expected).abs().max() < 0.2


def test_a_network_without_a_vocabulary():
    headless = LlamaModel(LlamaConfig(vocab_size=9, hidden_size=32, num_hidden_layers=1))
    message = r"LlamaModel: .* causal language model"
    with pytest.raises(SidekickError, match=message), answering(headless, CPU):
        pass
