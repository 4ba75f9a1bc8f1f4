import math

import pytest
import torch
from torch.nn import functional as F

from sidekick.training.gatekeeper_loss import (
    cross_entropy_per_sample,
    gatekeeper_loss,
    token_gatekeeper_loss,
)
from sidekick.training.gatekeeper_settings import DIVERGENCES, NORMALISATIONS

OPTIONS = [
    {"normalisation": normalisation, "divergence": divergence}
    for normalisation in NORMALISATIONS
    for divergence in DIVERGENCES
]
LOG = math.log


def _logits(*probabilities):
    """Logits in float64 whose softmax is as given, shifted."""
    return torch.tensor(probabilities, dtype=torch.float64).log() + 3.0


def _batch(seed=0, samples=6, classes=5, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(samples, classes, generator=generator, dtype=dtype)
    return logits, torch.randint(classes, (samples,), generator=generator)


# Right on the first two samples, wrong on the third.
HAND = _logits([0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.5, 0.25, 0.25])
HAND_LABELS = torch.tensor([0, 1, 2])
RIGHT = -LOG(0.7) - LOG(0.6)
P_UNIFORM = LOG(3) + 0.5 * LOG(0.5) + 0.5 * LOG(0.25)
UNIFORM_P = -LOG(3) - (LOG(0.5) + 2 * LOG(0.25)) / 3


ENTROPY_2 = -sum(p * LOG(p) for p in (0.1, 0.6, 0.3))
SMOOTHED = 0.9 * RIGHT - 0.1 * (LOG(0.7 * 0.2 * 0.1) + LOG(0.1 * 0.6 * 0.3)) / 3
HAND_CASES = {
    "paper": ({}, (0.3 * RIGHT + 0.7 * P_UNIFORM) / 3),
    "uniform_p": ({"divergence": "uniform_p"}, (0.3 * RIGHT + 0.7 * UNIFORM_P) / 3),
    "subset": ({"normalisation": "subset"}, 0.3 * RIGHT / 2 + 0.7 * P_UNIFORM),
    "given": (
        {"correct": torch.tensor([True, False, True])},
        (0.3 * (-LOG(0.7) - LOG(0.25)) + 0.7 * (LOG(3) - ENTROPY_2)) / 3,
    ),
    "smoothed": ({"smoothing": 0.1}, (0.3 * SMOOTHED + 0.7 * P_UNIFORM) / 3),
}


@pytest.mark.parametrize(("options", "expected"), HAND_CASES.values(), ids=HAND_CASES)
def test_by_hand(options, expected):
    loss = gatekeeper_loss(HAND, HAND_LABELS, 0.3, **options)
    assert loss.item() == pytest.approx(expected, rel=1e-12)


def test_soft_targets_by_hand():
    # The third sample's most probable class is now the one that is predicted.
    targets = torch.tensor([[0.8, 0.1, 0.1], [0.2, 0.3, 0.5], [0.6, 0.2, 0.2]], dtype=torch.float64)
    first = -(0.8 * LOG(0.7) + 0.1 * LOG(0.2) + 0.1 * LOG(0.1))
    third = -(0.6 * LOG(0.5) + 0.4 * LOG(0.25))
    second = LOG(3) + sum(p * LOG(p) for p in (0.1, 0.6, 0.3))
    expected = (0.4 * (first + third) + 0.6 * second) / 3
    assert gatekeeper_loss(HAND, targets, 0.4).item() == pytest.approx(expected, rel=1e-12)


def test_one_hot_targets_are_labels():
    logits, labels = _batch()
    one_hot = F.one_hot(labels, 5).double()
    for options in OPTIONS:
        assert gatekeeper_loss(logits, one_hot, 0.3, **options).item() == pytest.approx(
            gatekeeper_loss(logits, labels, 0.3, **options).item(), rel=1e-12
        )


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("kind", ["live", "given", "soft", "smoothed"])
@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_gradients_by_finite_differences(options, kind, alpha):
    logits, labels = _batch()
    logits.requires_grad_()
    options = dict(options)
    if kind == "given":
        options["correct"] = torch.tensor([True, False, False, True, True, False])
    elif kind == "smoothed":
        options["smoothing"] = 0.2
    targets = _batch(7)[0].softmax(dim=1) if kind == "soft" else labels
    assert torch.autograd.gradcheck(
        lambda z: gatekeeper_loss(z, targets, alpha, **options), (logits,), atol=1e-8, rtol=1e-6
    )


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_token_gradients_by_finite_differences(options):
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(2, 3, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    tokens = torch.randint(4, (2, 3), generator=generator)
    mask = torch.tensor([[True, True, False], [True, False, False]])
    assert torch.autograd.gradcheck(
        lambda z: token_gatekeeper_loss(z, tokens, mask, 0.3, **options), (logits,)
    )


def test_closed_forms_of_the_gradients():
    logits, _ = _batch()
    logits.requires_grad_()
    p = logits.detach().softmax(dim=1)
    entropy = -(p * p.log()).sum(dim=1, keepdim=True)
    wrong = torch.zeros(6, dtype=torch.bool)
    expected = {"p_uniform": p * (p.log() + entropy), "uniform_p": p - 1 / 5}
    for divergence, closed in expected.items():
        loss = gatekeeper_loss(
            logits, torch.zeros(6, dtype=torch.int64), 0.25, correct=wrong, divergence=divergence
        )
        (found,) = torch.autograd.grad(loss, logits)
        torch.testing.assert_close(found, 0.75 * closed / 6, rtol=1e-10, atol=1e-14)


def test_an_over_confident_error_is_left_alone_by_one_direction_only():
    logits = torch.tensor([[60.0, 0.0, 0.0]], requires_grad=True)
    label = torch.tensor([1])
    sizes = {}
    for divergence in DIVERGENCES:
        loss = gatekeeper_loss(logits, label, 0.5, divergence=divergence)
        sizes[divergence] = torch.autograd.grad(loss, logits)[0].abs().max().item()
    assert sizes["p_uniform"] < 1e-20
    assert sizes["uniform_p"] == pytest.approx(0.5 * 2 / 3, rel=1e-6)


def test_which_samples_are_right_takes_no_gradient_but_moves_with_the_logits():
    logits = torch.tensor([[0.0, 1.0]], requires_grad=True)
    assert gatekeeper_loss(logits, torch.tensor([1]), 1.0).item() > 0
    assert gatekeeper_loss(logits, torch.tensor([0]), 1.0).item() == 0
    # The first of equals is the answer.
    tied = torch.zeros(1, 2)
    assert gatekeeper_loss(tied, torch.tensor([0]), 1.0).item() == pytest.approx(LOG(2))
    assert gatekeeper_loss(tied, torch.tensor([1]), 1.0).item() == 0


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_batch_without_errors_is_cross_entropy(options):
    logits, _ = _batch()
    labels = logits.argmax(dim=1)
    logits.requires_grad_()
    loss = gatekeeper_loss(logits, labels, 0.3, **options)
    plain = 0.3 * F.cross_entropy(logits, labels)
    assert loss.item() == pytest.approx(plain.item(), rel=1e-12)
    gradients = [torch.autograd.grad(value, logits)[0] for value in (loss, plain)]
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_batch_with_errors_only_is_the_divergence(options):
    logits, _ = _batch()
    labels = logits.argmin(dim=1)
    logits.requires_grad_()
    loss = gatekeeper_loss(logits, labels, 0.3, **options)
    log_p = logits.log_softmax(dim=1)
    uniform = torch.full_like(log_p, 1 / 5)
    divergence = (
        F.kl_div(uniform.log(), log_p, reduction="batchmean", log_target=True)
        if options["divergence"] == "p_uniform"
        else F.kl_div(log_p, uniform, reduction="batchmean")
    )
    plain = 0.7 * divergence
    assert loss.item() == pytest.approx(plain.item(), rel=1e-12)
    gradients = [torch.autograd.grad(value, logits)[0] for value in (loss, plain)]
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_one_class_and_one_sample(options):
    logits = torch.randn(4, 1, requires_grad=True)
    labels = torch.zeros(4, dtype=torch.int64)
    for correct in (None, torch.zeros(4, dtype=torch.bool)):
        loss = gatekeeper_loss(logits, labels, 0.3, correct=correct, **options)
        assert loss.item() == 0
        assert (torch.autograd.grad(loss, logits)[0] == 0).all()
    one = torch.tensor([[0.0, LOG(3.0)]])
    assert gatekeeper_loss(one, torch.tensor([1]), 0.3, **options).item() == pytest.approx(
        -0.3 * LOG(0.75), rel=1e-6
    )
    divergence = {
        "p_uniform": LOG(2) + 0.25 * LOG(0.25) + 0.75 * LOG(0.75),
        "uniform_p": -LOG(2) - (LOG(0.25) + LOG(0.75)) / 2,
    }[options["divergence"]]
    assert gatekeeper_loss(one, torch.tensor([0]), 0.3, **options).item() == pytest.approx(
        0.7 * divergence, rel=1e-6
    )


@pytest.mark.parametrize("kind", ["live", "given", "soft"])
def test_the_sum_over_tokens_is_that_over_their_classification(kind):
    generator = torch.Generator().manual_seed(5)
    logits = torch.randn(4, 6, 9, generator=generator, dtype=torch.float64)
    tokens = torch.randint(9, (4, 6), generator=generator)
    tokens[:, :2] = logits[:, :2].argmax(dim=2)
    mask = torch.arange(6)[None] < torch.tensor([6, 3, 0, 1])[:, None]
    correct = torch.rand(4, 6, generator=generator) < 0.5 if kind == "given" else None
    if kind == "soft":
        tokens = torch.rand(4, 6, 9, generator=generator, dtype=torch.float64).softmax(dim=2)
    flat = None if correct is None else correct[mask]
    for options in OPTIONS:
        by_token = token_gatekeeper_loss(logits, tokens, mask, 0.3, correct=correct, **options)
        whole = gatekeeper_loss(logits[mask], tokens[mask], 0.3, correct=flat, **options)
        # The paper divides by the number of sequences.
        scale = 10 / 4 if options["normalisation"] == "batch" else 1
        assert by_token.item() == pytest.approx(scale * whole.item(), rel=1e-12)
    # With one token each, it is the classification.
    single = token_gatekeeper_loss(logits[:, :1], tokens[:, :1], mask[:, :1] | True, 0.3)
    assert single.item() == pytest.approx(gatekeeper_loss(logits[:, 0], tokens[:, 0], 0.3).item())


def test_padding_is_not_read():
    logits, tokens = torch.randn(2, 3, 4), torch.zeros(2, 3, dtype=torch.int64)
    mask = torch.tensor([[True, True, False], [True, False, False]])
    expected = token_gatekeeper_loss(logits, tokens, mask, 0.3)
    logits[~mask], tokens[~mask] = float("nan"), 999
    logits.requires_grad_()
    loss = token_gatekeeper_loss(logits, tokens, mask, 0.3)
    assert loss.item() == expected.item()
    (gradient,) = torch.autograd.grad(loss, logits)
    assert (gradient[~mask] == 0).all()
    assert torch.isfinite(gradient).all()
    nothing = token_gatekeeper_loss(logits, tokens, mask & False, 0.3, normalisation="subset")
    assert nothing.item() == 0


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_absent_options_are_not_there(options):
    logits, _ = _batch(samples=4, classes=3)
    labels = torch.tensor([0, 1, 2, 0])
    expected = gatekeeper_loss(logits, labels, 0.3, smoothing=0.1, **options)
    wide = torch.cat([logits, torch.full((4, 2), -math.inf, dtype=torch.float64)], dim=1)
    wide.requires_grad_()
    for targets in (labels, F.one_hot(labels, 5).double()):
        loss = gatekeeper_loss(wide, targets, 0.3, smoothing=0.1, **options)
        assert loss.item() == pytest.approx(expected.item(), rel=1e-12)
        (gradient,) = torch.autograd.grad(loss, wide)
        assert torch.isfinite(gradient).all()
        assert (gradient[:, 3:] == 0).all()


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_extreme_logits_stay_finite(options):
    logits = torch.tensor([[1e4, -1e4, 0.0], [-1e4, 1e4, 1e4], [0.0, 0.0, 0.0]], requires_grad=True)
    loss = gatekeeper_loss(logits, torch.tensor([1, 1, 0]), 0.3, **options)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert torch.isfinite(loss)
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype):
    logits, labels = _batch(samples=4000, classes=100, dtype=torch.float32)
    rounded = logits.to(dtype).requires_grad_()
    loss = gatekeeper_loss(rounded, labels, 0.3)
    assert loss.dtype == torch.float32
    exact = gatekeeper_loss(rounded.detach().double(), labels, 0.3)
    assert loss.item() == pytest.approx(exact.item(), rel=1e-5)
    assert torch.autograd.grad(loss, rounded)[0].dtype == dtype


def test_parts_of_a_batch_add_up():
    logits, labels = _batch(samples=12)
    whole = gatekeeper_loss(logits, labels, 0.3)
    parts = zip(logits.tensor_split(3), labels.tensor_split(3), strict=True)
    assert sum(gatekeeper_loss(*part, 0.3) / 3 for part in parts).item() == pytest.approx(
        whole.item(), rel=1e-12
    )


def test_cross_entropy_is_torchs():
    logits, labels = _batch()
    for targets in (labels, _batch(7)[0].softmax(dim=1)):
        for smoothing in (0.0, 0.1):
            torch.testing.assert_close(
                cross_entropy_per_sample(logits, targets, smoothing),
                F.cross_entropy(logits, targets, reduction="none", label_smoothing=smoothing),
            )


@pytest.mark.parametrize(("classes", "unit"), [(10, 0.2303), (100, 0.0461), (200, 0.0265)])
def test_the_uniform_predictor_costs_next_to_nothing(classes, unit):
    """As derived in the module's docstring."""
    labels = torch.arange(classes).repeat(5)
    uniform = torch.zeros(len(labels), classes, dtype=torch.float64)
    for alpha in (0.1, 0.5):
        loss = gatekeeper_loss(uniform, labels, alpha).item()
        assert loss == pytest.approx(alpha * LOG(classes) / classes, rel=1e-12)
        assert loss / alpha == pytest.approx(unit, abs=5e-5)
    # Ties are answered by class 0: its share of the labels is what counts.
    skewed = torch.where(torch.arange(len(labels)) % 2 == 0, 0, labels)
    share = (skewed == 0).double().mean().item()
    assert gatekeeper_loss(uniform, skewed, 0.3).item() == pytest.approx(0.3 * share * LOG(classes))
    # Wrong on every sample, and cheaper than any network that learns something.
    wrong = 1e-3 * F.one_hot((labels + 1) % classes, classes).double()
    assert 0 < gatekeeper_loss(wrong, labels, 0.3).item() < 1e-6


def test_when_the_uniform_predictor_costs_less():
    """The condition (1 − α)/α > (π₀ log C − c)/k of the docstring."""
    logits, labels = _batch(samples=400, classes=6)
    logits[torch.arange(400), labels] += 5
    c = gatekeeper_loss(logits, labels, 1.0).item()
    k = gatekeeper_loss(logits, labels, 0.0).item()
    flat = (labels == 0).double().mean().item() * LOG(6)
    assert 0 < c < flat
    threshold = 1 / (1 + (flat - c) / k)
    for alpha, is_cheaper in ((threshold - 0.01, True), (threshold + 0.01, False)):
        uniform = gatekeeper_loss(torch.zeros_like(logits), labels, alpha)
        assert (uniform < gatekeeper_loss(logits, labels, alpha)).item() is is_cheaper


@pytest.mark.parametrize(
    "options", [{"alpha": 1.2}, {"normalisation": "mean"}, {"divergence": "reverse"}], ids=str
)
def test_unknown_options_are_refused(options):
    logits, labels = _batch()
    with pytest.raises(ValueError, match=r"alpha is 1\.2|unknown"):
        gatekeeper_loss(logits, labels, **{"alpha": 0.5, **options})
