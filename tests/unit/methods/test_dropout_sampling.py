import numpy as np
import pytest
import torch
from scipy.special import expit

from sidekick.errors import SidekickError
from sidekick.methods.dropout_sampling import sampled_logits, sampled_moments
from sidekick.methods.mc_dropout import Head
from sidekick.models.create import create_model
from sidekick.models.mc_dropout_head import MCDropoutClassifier, MCDropoutHead
from unit.methods.heads import exact_logits, make_head, masked_logits, one_pass


@pytest.fixture(scope="module")
def features():
    return np.random.default_rng(5).normal(size=(7, 3))


def test_a_pass_with_given_masks_is_that_of_a_plain_loop(features):
    head, rng = make_head(1), np.random.default_rng(0)
    first, second = rng.random((7, 3)) > 0.3, rng.random((7, 3)) > 0.3
    expected = [one_pass(head, *row) for row in zip(features, first, second, strict=True)]
    np.testing.assert_allclose(masked_logits(head, features, first, second), expected, rtol=1e-12)
    shared = [one_pass(head, x, first[0], second[0]) for x in features]
    found = masked_logits(head, features, first[0], second[0])
    np.testing.assert_allclose(found, shared, rtol=1e-12)


@pytest.mark.parametrize("dropout", [(0.2, 0.4), (0.8, 0.9), (0.0, 0.5), (0.5, 0.0)])
@pytest.mark.parametrize("rows_per_mask", [1, 3, 64])
def test_sampled_logits_are_passes_with_the_masks_that_the_generator_draws(
    features, dropout, rows_per_mask
):
    head = make_head(2, hidden=4, dropout=dropout)
    blocks = list(sampled_logits(head, features, 6, np.random.default_rng(3), rows_per_mask))
    found = np.concatenate(blocks, axis=1)
    assert found.shape == (6, 7, 2)
    rng = np.random.default_rng(3)
    for first in range(0, 7, rows_per_mask):
        rows = slice(first, first + rows_per_mask)
        for number in range(6):
            kept = [
                rng.random(size, dtype=np.float32) >= rate
                for size, rate in zip((3, 4), dropout, strict=True)
            ]
            expected = masked_logits(head, features[rows], *kept)
            np.testing.assert_allclose(found[number, rows], expected, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("rows_per_mask", [2, 7])
def test_moments_converge_to_those_over_all_masks(features, rows_per_mask):
    head = make_head(1)
    mean, std = exact_logits(head, features)
    found = sampled_moments(head, features, [10000], np.random.default_rng(0), rows_per_mask)[
        10000
    ].logits
    assert (np.abs(found.mean - mean) < 5 * std / np.sqrt(10000) + 1e-5).all()
    np.testing.assert_allclose(found.std, std, rtol=0.05, atol=1e-3)


def test_fewer_passes_are_the_first_of_more(features):
    head = make_head(3)
    passes = np.concatenate(
        list(sampled_logits(head, features, 50, np.random.default_rng(0), 4)), axis=1
    ).astype(np.float64)
    found = sampled_moments(head, features, (20, 50), np.random.default_rng(0), 4)
    for count in (20, 50):
        for name, values in (("logits", passes), ("sigmoids", expit(passes))):
            moments = getattr(found[count], name)
            np.testing.assert_allclose(moments.mean, values[:count].mean(axis=0), atol=1e-6)
            np.testing.assert_allclose(moments.std, values[:count].std(axis=0), atol=1e-6)


def test_samples_of_a_block_share_masks_and_blocks_do_not():
    same = np.tile([[0.3, -0.2, 0.9]], (8, 1))
    moments = sampled_moments(make_head(4), same, [3], np.random.default_rng(0), 4)[3].logits
    assert len(np.unique(moments.mean[:, 0])) == 2
    moments = sampled_moments(make_head(4), same, [3], np.random.default_rng(0), 1)[3].logits
    assert len(np.unique(moments.mean[:, 0])) > 3


@pytest.mark.parametrize("counts", [(), (1,), (20, 1)])
def test_fewer_than_two_passes_are_refused(features, counts):
    with pytest.raises(SidekickError, match="at least 2"):
        sampled_moments(make_head(), features, counts, np.random.default_rng(0))
    with pytest.raises(SidekickError, match="at least 2"):
        next(sampled_logits(make_head(), features, 1, np.random.default_rng(0)))


def test_no_rows_are_no_problem():
    found = sampled_moments(make_head(), np.empty((0, 3)), [2], np.random.default_rng(0))
    assert found[2].sigmoids.mean.shape == (0, 2)


# ------------------------------------------------------------------- the whole network in torch


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    backbone = create_model({"architecture": "small_cnn", "options": {"width": 4}}, 3)
    model = MCDropoutClassifier(backbone, MCDropoutHead(64, 3, hidden=12, dropout=(0.25, 0.5)))
    model.train()
    for _ in range(5):
        model.head(torch.randn(32, 64) * 3 + 1)
    return model.double().eval()


@pytest.fixture(scope="module")
def head(network):
    tensors = {name: value.numpy() for name, value in network.head.state_dict().items()}
    scale = tensors["norm.weight"] / np.sqrt(tensors["norm.running_var"] + tensors["norm_eps"])
    return Head(
        scale=scale,
        shift=tensors["norm.bias"] - tensors["norm.running_mean"] * scale,
        hidden_weight=tensors["hidden.weight"],
        hidden_bias=tensors["hidden.bias"],
        output_weight=tensors["output.weight"],
        output_bias=tensors["output.bias"],
        dropout=(0.25, 0.5),
        seed=0,
    )


def test_passes_from_cached_features_are_those_of_the_whole_network(network, head):
    """The same masks, taken from torch's dropout layers as they run: the same numbers."""
    images = torch.rand(6, 3, 32, 32, dtype=torch.float64)
    masks = []

    def note(module, given, result):
        masks.append(((result != 0) | (given[0] == 0)).numpy())

    layers = [network.head.hidden_dropout, network.head.output_dropout]
    hooks = [layer.register_forward_hook(note) for layer in layers]
    with torch.no_grad():
        features = network.pooled_features(images).numpy()
        for layer in layers:
            layer.train()
        passes = [network(images).numpy() for _ in range(4)]
    for layer, hook in zip(layers, hooks, strict=True):
        layer.eval()
        hook.remove()
    assert np.std(passes, axis=0).min() > 1e-3
    for number, expected in enumerate(passes):
        found = masked_logits(head, features, *masks[2 * number : 2 * number + 2])
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
