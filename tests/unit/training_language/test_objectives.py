import math

import pytest
import torch

from sidekick.errors import SidekickError
from sidekick.training.gatekeeper_loss import selected_token_loss, token_gatekeeper_loss
from sidekick.training.language.encoding import EncodedSplit
from sidekick.training.language.objectives import (
    AnswerCrossEntropy,
    Size,
    TokenGatekeeper,
    choice_logits,
)
from sidekick.training.language.sequences import Sequences
from sidekick.training.language.settings import LanguageGatekeeperSettings

CPU = torch.device("cpu")
VOCABULARY = 12


def _split(lengths, options=None):
    """Sequences whose answers have these lengths."""
    generator = torch.Generator().manual_seed(1)
    draw = [torch.randint(VOCABULARY, (4 + n,), generator=generator).tolist() for n in lengths]
    pairs = [(tokens[:4], tokens[4:]) for tokens in draw]
    labels = torch.randint(3, (len(lengths),), generator=generator)
    if options is not None:
        for row, (context, _) in enumerate(pairs):
            pairs[row] = context, [int(options[row, labels[row]])]
    return EncodedSplit(Sequences(pairs, 99, 0, CPU), labels, 4, options)


def _logits(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.randn(count, VOCABULARY, generator=generator, dtype=torch.float64)


def _options(count):
    """Four different tokens each, of some the last is absent."""
    generator = torch.Generator().manual_seed(2)
    rows = [torch.randperm(VOCABULARY, generator=generator)[:4] for _ in range(count)]
    options = torch.stack(rows)
    options[1::3, 3] = -1
    return options


def _brute_force(logits, targets, sequences, alpha, settings):
    """The paper's token-level loss (Eq. 4 and 5), a token at a time."""
    right, wrong = [], []
    for row, target in zip(logits.tolist(), targets.tolist(), strict=True):
        present = [z for z in row if z > -math.inf]
        log_norm = math.log(sum(math.exp(z) for z in present))
        log_p = [z - log_norm for z in present]
        if max(range(len(row)), key=row.__getitem__) == target:
            right.append(log_norm - row[target])
        elif settings.divergence == "p_uniform":
            wrong.append(sum(math.exp(x) * (x + math.log(len(present))) for x in log_p))
        else:
            wrong.append(-sum(x + math.log(len(present)) for x in log_p) / len(present))
    if settings.normalisation == "batch":
        return (alpha * sum(right) + (1 - alpha) * sum(wrong)) / sequences
    return alpha * sum(right) / max(len(right), 1) + (1 - alpha) * sum(wrong) / max(len(wrong), 1)


SETTINGS = [
    LanguageGatekeeperSettings(normalisation, divergence)
    for normalisation in ("batch", "subset")
    for divergence in ("p_uniform", "uniform_p")
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_token_loss_by_brute_force(settings):
    lengths = [1, 4, 2, 3]
    split, logits = _split(lengths), _logits(10)
    batch = split.answers.batch(torch.arange(4))
    # So that some are right.
    logits[::2, :] += 3 * torch.nn.functional.one_hot(batch.targets, VOCABULARY)[::2]
    found = TokenGatekeeper(0.3, settings)(logits, batch, split, Size(4, 10))
    expected = _brute_force(logits, batch.targets, 4, 0.3, settings)
    assert found.item() == pytest.approx(expected, rel=1e-12)
    # And as the padded form of the loss.
    padded = torch.full((4, 4, VOCABULARY), math.nan, dtype=torch.float64)
    targets = torch.zeros(4, 4, dtype=torch.int64)
    mask = torch.arange(4) < torch.tensor(lengths)[:, None]
    padded[mask], targets[mask] = logits, batch.targets
    options = {"normalisation": settings.normalisation, "divergence": settings.divergence}
    assert token_gatekeeper_loss(padded, targets, mask, 0.3, **options).item() == pytest.approx(
        found.item(), rel=1e-12
    )


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_loss_over_options_by_brute_force(settings):
    settings = LanguageGatekeeperSettings(
        settings.normalisation, settings.divergence, 0.0, "options"
    )
    split, logits = _split([1] * 7, _options(7)), _logits(7)
    rows = torch.tensor([6, 1, 0, 4, 3])
    batch = split.answers.batch(rows)
    found = TokenGatekeeper(0.6, settings)(logits[rows], batch, split, Size(5, 5))
    picked = [
        [logits[row, token].item() if token >= 0 else -math.inf for token in split.options[row]]
        for row in rows.tolist()
    ]
    choices, labels = choice_logits(logits[rows], batch, split)
    assert choices.tolist() == picked
    expected = _brute_force(torch.tensor(picked, dtype=torch.float64), labels, 5, 0.6, settings)
    assert found.item() == pytest.approx(expected, rel=1e-12)


def test_cross_entropy_with_options_by_hand():
    split, logits = _split([1] * 7, _options(7)), _logits(7)
    batch = split.answers.batch(torch.arange(7))
    loss = AnswerCrossEntropy(options_loss=True)(logits, batch, split, Size(7, 7))
    expected = 0.0
    for row in range(7):
        right = logits[row, batch.targets[row]]
        tokens = [token for token in split.options[row].tolist() if token >= 0]
        expected += (logits[row].logsumexp(0) - right).item() / 7
        expected += (logits[row, tokens].logsumexp(0) - right).item() / 7
    assert loss.item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("normalisation", ["batch", "subset"])
def test_the_control_is_the_loss_of_a_model_that_is_all_right(normalisation):
    split, logits = _split([1, 4, 2]), _logits(7)
    batch = split.answers.batch(torch.arange(3))
    settings = LanguageGatekeeperSettings(normalisation)
    control = TokenGatekeeper(None, settings)(logits, batch, split, Size(3, 7))
    everything = torch.ones(7, dtype=torch.bool)
    expected = selected_token_loss(
        logits, batch.targets, 3, 1.0, correct=everything, normalisation=normalisation
    )
    assert control.item() == pytest.approx(expected.item(), rel=1e-12)


@pytest.mark.parametrize("alpha", [None, 0.2])
@pytest.mark.parametrize("over", ["vocabulary", "options"])
def test_the_anchor_is_a_cross_entropy(alpha, over):
    split, logits = _split([1] * 7, _options(7)), _logits(7)
    batch, size = split.answers.batch(torch.arange(7)), Size(7, 7)

    def loss(alpha, anchor):
        settings = LanguageGatekeeperSettings(anchor=anchor, over=over)
        return TokenGatekeeper(alpha, settings)(logits, batch, split, size).item()

    assert loss(alpha, 0.5) == pytest.approx(loss(alpha, 0.0) + 0.5 * loss(None, 0.0), rel=1e-12)


OBJECTIVES = {
    "cross_entropy": AnswerCrossEntropy(options_loss=True),
    "gatekeeper": TokenGatekeeper(0.3, LanguageGatekeeperSettings(anchor=0.1)),
    "options": TokenGatekeeper(0.3, LanguageGatekeeperSettings(over="options")),
    "control": TokenGatekeeper(None, LanguageGatekeeperSettings()),
}


@pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=OBJECTIVES)
def test_the_parts_of_a_batch_add_up(objective):
    split, logits = _split([1] * 7, _options(7)), _logits(7)
    whole = objective(logits, split.answers.batch(torch.arange(7)), split, Size(7, 7))
    parts = [
        objective(logits[rows], split.answers.batch(rows), split, Size(7, 7))
        for rows in torch.arange(7).tensor_split(3)
    ]
    assert sum(parts).item() == pytest.approx(whole.item(), rel=1e-12)


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"gatekeeper": {"correctness": "live"}}, "gatekeeper.correctness: .*'over'"),
        ({"gatekeeper": {"over": "letters"}}, "gatekeeper.over: 'letters'; .*'options'"),
        ({"gatekeeper": {"divergence": "tv"}}, "gatekeeper.divergence: 'tv'"),
        ({"gatekeeper": {"anchor": -1}}, "gatekeeper.anchor: -1"),
        ({"gatekeeper": {"normalisation": "subset"}, "accumulation": 2}, "accumulation: 2, but"),
    ],
)
def test_settings_that_are_not_allowed(recipe, message):
    with pytest.raises(SidekickError, match=message):
        LanguageGatekeeperSettings.of(recipe)
