import itertools
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from scipy.special import erfinv, expit

from sidekick.errors import SidekickError
from sidekick.methods import mc_dropout
from sidekick.methods.dropout_sampling import sampled_moments
from sidekick.methods.mc_dropout import Head, PassMoments, interval_rule, load_head
from sidekick.methods.prediction import from_sigmoids
from sidekick.models.checkpoints import Description, save_checkpoint
from sidekick.models.create import create_model
from sidekick.models.mc_dropout_head import MCDropoutClassifier, MCDropoutHead


def make_head(seed=0, features=3, hidden=3, classes=2, dropout=(0.2, 0.4)):
    rng = np.random.default_rng(seed)
    return Head(
        scale=rng.uniform(0.5, 2, features),
        shift=rng.normal(size=features),
        hidden_weight=rng.normal(size=(hidden, features)),
        hidden_bias=rng.normal(size=hidden),
        output_weight=rng.normal(size=(classes, hidden)),
        output_bias=rng.normal(size=classes),
        dropout=dropout,
        seed=seed,
    )


def one_pass(head, x, first_mask, second_mask):
    """One sample, one pass, by loops over units."""
    x = [v * s + t for v, s, t in zip(x, head.scale, head.shift, strict=True)]
    x = [v * m / (1 - head.dropout[0]) for v, m in zip(x, first_mask, strict=True)]
    hidden = [
        max(0.0, sum(w * v for w, v in zip(row, x, strict=True)) + bias)
        for row, bias in zip(head.hidden_weight, head.hidden_bias, strict=True)
    ]
    hidden = [v * m / (1 - head.dropout[1]) for v, m in zip(hidden, second_mask, strict=True)]
    return np.array(
        [
            expit(sum(w * v for w, v in zip(row, hidden, strict=True)) + bias)
            for row, bias in zip(head.output_weight, head.output_bias, strict=True)
        ]
    )


def exact_moments(head, features):
    """Mean and deviation over all masks, each with its probability."""
    means, deviations = [], []
    for x in features:
        values, probabilities = [], []
        sizes = len(head.scale), len(head.hidden_bias)
        for masks in itertools.product([0, 1], repeat=sum(sizes)):
            parts = masks[: sizes[0]], masks[sizes[0] :]
            chance = 1.0
            for rate, mask in zip(head.dropout, parts, strict=True):
                kept = sum(mask)
                chance *= (1 - rate) ** kept * rate ** (len(mask) - kept)
            values.append(one_pass(head, x, *parts))
            probabilities.append(chance)
        mean = np.average(values, axis=0, weights=probabilities)
        means.append(mean)
        deviations.append(np.sqrt(np.average((values - mean) ** 2, axis=0, weights=probabilities)))
    return np.array(means), np.array(deviations)


@pytest.fixture(scope="module")
def features():
    return np.random.default_rng(5).normal(size=(4, 3))


@pytest.mark.parametrize("position", [0, 1])
def test_as_both_rates_vanish_the_passes_become_the_deterministic_one(features, position):
    certain = mc_dropout.deterministic_probabilities(make_head(5), features)
    errors, spreads = [], []
    for rate in (0.3, 0.03, 1e-3, 1e-9):
        dropout = (rate, 0.0) if position == 0 else (0.0, rate)
        head = make_head(5, dropout=dropout)
        np.testing.assert_array_equal(
            mc_dropout.deterministic_probabilities(head, features), certain
        )
        moments = sampled_moments(head, features, [300], np.random.default_rng(0))[300].sigmoids
        errors.append(np.abs(moments.mean - certain).max())
        spreads.append(moments.std.max())
    assert spreads == sorted(spreads, reverse=True)
    assert errors[0] > errors[2] > errors[3]
    assert errors[3] < 1e-6
    assert spreads[3] < 1e-6


def test_cost_of_a_pass():
    head = make_head(features=2048, hidden=300, classes=100)
    assert head.gmacs == pytest.approx((2048 * 300 + 300 * 100 + 2048) / 1e9)


def test_prediction_is_the_normalised_sigmoids():
    sigmoids = np.array([[0.9, 0.3, 0.3], [1e-5, 2e-5, 1e-5]])
    prediction = from_sigmoids(sigmoids)
    statistics = prediction.statistics(np.array([0, 0]))
    np.testing.assert_allclose(statistics.probability, [0.6, 0.5])
    np.testing.assert_allclose(statistics.nll, -np.log([0.6, 0.25]))
    # Sigmoids that underflow are improbable, not impossible.
    assert np.isfinite(from_sigmoids(np.array([[0.5, 0.0]])).logits).all()


# ------------------------------------------------------------------------------ interval rule


def rule_by_hand(mean, std, level, threshold=0.5):
    """The paper's rule for one sample, class by class: 1 above, 0 below, -1 straddling."""
    z = np.sqrt(2) * erfinv(level)
    marks = []
    for mu, sigma in zip(mean, std, strict=True):
        low, up = mu - z * sigma, mu + z * sigma
        marks.append(1 if low > threshold else 0 if up < threshold else -1)
    if 1 in marks:
        above = [c for c, mark in enumerate(marks) if mark == 1]
        return True, max(above, key=lambda c: mean[c])
    if marks.count(-1) == 1:
        return True, marks.index(-1)
    return False, int(np.argmax(mean))


BRANCHES = {
    "all below": ([0.1, 0.2, 0.3], [0.01, 0.01, 0.01], False, 2),
    "one straddles": ([0.1, 0.45, 0.3], [0.01, 0.1, 0.01], True, 1),
    "one straddles and is not the largest": ([0.2, 0.4, 0.45], [0.01, 0.3, 0.01], True, 1),
    "several straddle": ([0.5, 0.45, 0.1], [0.1, 0.1, 0.01], False, 0),
    "all straddle": ([0.5, 0.5, 0.6], [0.3, 0.3, 0.3], False, 2),
    "one above": ([0.1, 0.9, 0.2], [0.01, 0.01, 0.01], True, 1),
    "one above and one straddles": ([0.55, 0.9, 0.2], [0.2, 0.01, 0.01], True, 1),
    "one above and a larger one straddles": ([0.95, 0.9, 0.2], [0.9, 0.01, 0.01], True, 1),
    "one above and several straddle": ([0.55, 0.5, 0.8], [0.2, 0.2, 0.01], True, 2),
    "several above": ([0.7, 0.9, 0.2], [0.01, 0.01, 0.01], True, 1),
    "several above and one straddles": ([0.8, 0.7, 0.5], [0.01, 0.01, 0.2], True, 0),
}


@pytest.mark.parametrize("level", [0.7, 0.8, 0.9])
@pytest.mark.parametrize("name", BRANCHES)
def test_interval_rule_on_every_branch(name, level):
    mean, std, accepted, answer = BRANCHES[name]
    moments = PassMoments(np.array([mean]), np.array([std]))
    kept, answers = interval_rule(moments, level)
    assert (kept[0], answers[0]) == (accepted, answer)
    assert rule_by_hand(mean, std, level) == (accepted, answer)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.7, 0.8, 0.9]), st.sampled_from([0.5, 0.3]))
def test_interval_rule_is_the_papers(seed, level, threshold):
    rng = np.random.default_rng(seed)
    moments = PassMoments(rng.random((20, 4)), rng.choice([0.0, 0.05, 0.3], (20, 4)))
    kept, answers = interval_rule(moments, level, threshold)
    for row in range(20):
        expected = rule_by_hand(moments.mean[row], moments.std[row], level, threshold)
        assert (kept[row], answers[row]) == expected


def test_a_wider_interval_can_accept_what_a_narrower_one_ignores_and_the_other_way_round():
    moments = PassMoments(
        np.array([[0.4, 0.1], [0.4, 0.45]]), np.array([[0.07, 0.0], [0.07, 0.04]])
    )
    assert interval_rule(moments, 0.7)[0].tolist() == [False, False]
    assert interval_rule(moments, 0.8)[0].tolist() == [False, True]
    assert interval_rule(moments, 0.9)[0].tolist() == [True, False]


def test_without_spread_the_rule_is_the_threshold():
    moments = PassMoments(np.array([[0.6, 0.1], [0.4, 0.1], [0.5, 0.1]]), np.zeros((3, 2)))
    # On the threshold itself a class straddles it.
    assert interval_rule(moments, 0.9)[0].tolist() == [True, False, True]


# -------------------------------------------------------------------------------- checkpoints


@pytest.fixture(scope="module")
def network():
    """A classifier whose head has batch-norm statistics that are not the initial ones."""
    torch.manual_seed(0)
    backbone = create_model({"architecture": "small_cnn", "options": {"width": 4}}, 3)
    head = MCDropoutHead(64, 3, hidden=12, dropout=(0.25, 0.5))
    model = MCDropoutClassifier(backbone, head)
    model.train()
    for _ in range(5):
        model.head(torch.randn(32, 64) * 3 + 1)
    with torch.no_grad():
        head.norm.weight.uniform_(0.5, 2)
        head.norm.bias.normal_()
    return model.eval()


@pytest.fixture
def checkpoint(tmp_path, network):
    head = {"features": 64, "hidden": 12, "dropout": [0.25, 0.5]}
    description = Description(
        entry={"architecture": "small_cnn", "options": {"width": 4}},
        classes=3,
        preprocessing={},
        head=head,
        recipe={},
        seed=4,
        val_accuracy=0.5,
        facts={},
    )
    save_checkpoint(tmp_path / "seed4.safetensors", network, description)
    return tmp_path / "seed4.safetensors"


def test_loaded_head_is_torchs(checkpoint, network):
    head = load_head(checkpoint)
    assert head.seed == 4
    assert head.dropout == (0.25, 0.5)
    torch.manual_seed(1)
    features = torch.randn(20, 64) * 2
    with torch.no_grad():
        expected = network.double().head(features.double()).sigmoid().numpy()
    network.float()
    ours = mc_dropout.deterministic_probabilities(head, features.double().numpy())
    np.testing.assert_allclose(ours, expected, rtol=1e-6)


def test_passes_have_the_distribution_of_torchs(checkpoint, network):
    torch.manual_seed(2)
    features = torch.randn(3, 64)
    network.head.train()
    network.head.norm.eval()
    with torch.no_grad():
        passes = np.stack([network.head(features).sigmoid().numpy() for _ in range(4000)])
    network.eval()
    rng = np.random.default_rng(0)
    moments = sampled_moments(load_head(checkpoint), features.numpy(), [4000], rng)[4000].sigmoids
    assert passes.std(axis=0).min() > 0.01
    np.testing.assert_allclose(moments.mean, passes.mean(axis=0), atol=0.03)
    np.testing.assert_allclose(moments.std, passes.std(axis=0), rtol=0.08)


def test_a_head_is_read_without_torch(checkpoint):
    code = (
        "import sys; from sidekick.methods.mc_dropout import load_head; "
        f"load_head({str(checkpoint)!r}); sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)})


def rewrite(checkpoint, change, keep_digest=True):
    """Write the checkpoint anew with changed tensors or metadata."""
    with safe_open(checkpoint, framework="numpy") as file:
        metadata = file.metadata()
    tensors, content = load_file(checkpoint), json.loads(metadata["sidekick"])
    change(tensors, content)
    save_file(tensors, checkpoint, {"sidekick": json.dumps(content)})
    if not keep_digest:
        content["digest"] = mc_dropout._digest(checkpoint)
        del content["sha256"]
        save_file(tensors, checkpoint, {"sidekick": json.dumps(content)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t, c: t.pop("head.output.bias"), "output.bias"),
        (lambda t, c: t.pop("head.norm_eps"), "norm_eps"),
        (lambda t, c: c.pop("seed"), "seed"),
        (lambda t, c: c.update(seed=None), "not a checkpoint with an MC-dropout head"),
        (lambda t, c: t.update({"head.dropout": np.zeros(2)}), "both dropout rates are 0"),
        (lambda t, c: t.update({"head.dropout": np.array([0.5, 1.0])}), r"allowed is \[0, 1\)"),
        (lambda t, c: t.update({"head.dropout": np.array([0.5, np.nan])}), r"allowed is \[0, 1\)"),
        (lambda t, c: t.update({"head.dropout": np.array([0.5])}), "not a checkpoint"),
    ],
)
def test_unfit_checkpoints_are_refused(checkpoint, change, message):
    rewrite(checkpoint, change, keep_digest=False)
    with pytest.raises(SidekickError, match=message) as caught:
        load_head(checkpoint)
    assert str(checkpoint) in str(caught.value)


def test_a_checkpoint_without_a_head_is_refused(tmp_path, network):
    path = tmp_path / "plain.safetensors"
    description = Description({}, 3, {}, None, {}, 0, 0.0, {})
    save_checkpoint(path, network.backbone, description)
    with pytest.raises(SidekickError, match="not a checkpoint with an MC-dropout head"):
        load_head(path)


@pytest.mark.parametrize("name", ["head.output.bias", "backbone.fc.weight"])
def test_weights_that_changed_on_disk_are_refused(checkpoint, name):
    def flip(tensors, _):
        tensors[name].flat[0] += 1

    rewrite(checkpoint, flip)
    with pytest.raises(SidekickError, match="not those that were written"):
        load_head(checkpoint)


def test_every_flipped_bit_of_the_weights_is_noticed(checkpoint):
    content = checkpoint.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    rng = np.random.default_rng(0)
    for position in rng.integers(start, len(content), 20):
        damaged = bytearray(content)
        damaged[position] ^= 1 << rng.integers(8)
        checkpoint.write_bytes(damaged)
        with pytest.raises(SidekickError, match="not those that were written"):
            load_head(checkpoint)


@pytest.mark.parametrize("content", [b"", b"\x10", b"not a checkpoint at all", b"\0" * 100])
def test_files_that_are_no_checkpoints_are_refused(tmp_path, content):
    path = tmp_path / "seed0.safetensors"
    path.write_bytes(content)
    with pytest.raises(SidekickError, match="seed0"):
        load_head(path)


def test_truncated_and_missing_and_foreign_checkpoints_are_refused(checkpoint):
    content = checkpoint.read_bytes()
    for length in (4, 100, len(content) // 2, len(content) - 1):
        checkpoint.write_bytes(content[:length])
        with pytest.raises(SidekickError, match="seed4"):
            load_head(checkpoint)
    save_file({"head.output.bias": np.zeros(3)}, checkpoint)
    with pytest.raises(SidekickError, match="sidekick"):
        load_head(checkpoint)
    save_file({"a": np.zeros(3)}, checkpoint, {"sidekick": "[]"})
    with pytest.raises(SidekickError, match="seed4"):
        load_head(checkpoint)
    checkpoint.unlink()
    with pytest.raises(SidekickError, match="seed4"):
        load_head(checkpoint)
