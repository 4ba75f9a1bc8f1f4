import copy
import shutil

import pytest
import torch
from safetensors.torch import load_file
from timm.utils import ModelEmaV3
from torch import nn

from sidekick.artifacts import read_table
from sidekick.errors import SidekickError
from sidekick.models.checkpoints import describe
from sidekick.training import loop
from sidekick.training.finetune import cross_entropy
from sidekick.training.loop import Task, _add_gradients, _Tally
from unit.training import fakes


class _AsIs:
    """Inputs that change nothing."""

    def to_network(self, samples):
        return samples


def _gradients(model, samples, targets, parts):
    model = copy.deepcopy(model)
    device = torch.device("cpu")
    loss = cross_entropy({"label_smoothing": 0.1})
    task = Task(model, None, None, loss, _AsIs(), {"accumulation": parts}, 0, device)
    tally = _Tally(device)
    _add_gradients(task, model, samples, targets, tally)
    return [parameter.grad for parameter in model.parameters()], tally.means()


@pytest.mark.parametrize("count", [2, 3, 16, 21])
@pytest.mark.parametrize("parts", [2, 4, 7, 100])
@pytest.mark.parametrize("soft", [False, True])
def test_accumulated_gradients_are_those_of_the_whole_batch(count, parts, soft):
    generator = torch.Generator().manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 9), nn.GELU(), nn.Linear(9, 3))
    samples = torch.randn(count, 5, generator=generator)
    targets = torch.randint(3, (count,), generator=generator)
    if soft:
        targets = torch.rand(count, 3, generator=generator).softmax(dim=1)
    whole, whole_means = _gradients(model, samples, targets, 1)
    split, split_means = _gradients(model, samples, targets, parts)
    for one, other in zip(whole, split, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-5, atol=1e-7)
    assert split_means == pytest.approx(whole_means, rel=1e-6)


def test_accumulation_does_not_change_a_training_without_batch_norm(train):
    entry = {"architecture": "test_vit", "options": {"img_size": 32}}
    settings = {"epochs": 2, "augmentation": {"mixup": 0.2, "flip": True}}
    whole = load_file(train("whole", settings, entry=entry))
    split = load_file(train("split", {**settings, "accumulation": 3}, entry=entry))
    for name, value in whole.items():
        # AdamW makes much of differences in gradients that are almost zero.
        torch.testing.assert_close(split[name], value, rtol=0, atol=1e-3)


@pytest.mark.parametrize("parts", [2, 5, 100])
def test_no_part_is_too_small_for_batch_norm(train, parts):
    # Batches of 8, 8, 8 and 2; test_resnet's last batch norm sees single pixels here.
    entry = {"architecture": "test_resnet"}
    assert train(recipe={"accumulation": parts, "epochs": 1}, entry=entry).exists()


def test_the_average_is_kept_and_evaluated(train, monkeypatch):
    states = []
    update = ModelEmaV3.update

    def watching_update(self, model, step=None):
        states.append((step, {k: v.clone() for k, v in model.state_dict().items()}))
        update(self, model, step)

    monkeypatch.setattr(ModelEmaV3, "update", watching_update)
    checkpoint = train(recipe={"ema": 0.8, "epochs": 3})
    assert [step for step, _ in states] == list(range(1, 13))
    expected = dict(states[0][1])
    for step, state in states[1:]:
        decay = min(0.8, 1 - step ** (-2 / 3))
        for name, value in state.items():
            if value.is_floating_point():
                expected[name] = decay * expected[name] + (1 - decay) * value
            else:
                expected[name] = value
    kept = load_file(checkpoint)
    for name, value in kept.items():
        torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-6)
    assert kept["features.1.num_batches_tracked"] == 12
    assert not torch.allclose(kept["fc.weight"], states[-1][1]["fc.weight"])


def test_the_average_leaves_integers_alone(train):
    # Swin looks positions up by an index that is among its buffers.
    entry = {"architecture": "swin_tiny_patch4_window7_224",
             "options": {"img_size": 32, "window_size": 4, "embed_dim": 12, "depths": [1, 1],
                         "num_heads": [2, 2]}}  # fmt: skip
    assert train(recipe={"ema": 0.999, "epochs": 1}, entry=entry).exists()


def _with_accuracies(monkeypatch, accuracies, name="accuracy"):
    """Let the epochs' main metric be as given; everything else is as measured."""
    remaining = iter(accuracies)
    validate = loop.validate

    def scripted(*arguments):
        score = validate(*arguments)
        return type(score)(**{**vars(score), name: next(remaining)})

    monkeypatch.setattr(loop, "validate", scripted)


@pytest.mark.parametrize(
    ("accuracies", "epochs", "kept"),
    [
        ([0.1, 0.5, 0.4, 0.5, 0.9, 0.9], 4, 2),
        ([0.1, 0.5, 0.4, 0.6, 0.5, 0.5], 6, 4),
        ([0.5, 0.4, 0.4], 3, 1),
        ([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], 6, 6),
    ],
)
def test_early_stopping_keeps_the_best_epoch(train, monkeypatch, accuracies, epochs, kept):
    settings = {"epochs": 6, "early_stopping": 2}
    # Every epoch's weights, from a training that keeps the last one's.
    states = []
    save = loop._save

    def watching_save(task, progress, resume):
        states.append({k: v.clone() for k, v in task.model.state_dict().items()})
        save(task, progress, resume)

    monkeypatch.setattr(loop, "_save", watching_save)
    _with_accuracies(monkeypatch, accuracies)
    checkpoint = train(recipe=settings)
    curve = read_table(checkpoint.with_suffix(".parquet"))
    assert curve["epoch"].to_pylist() == list(range(1, epochs + 1))
    assert curve["kept"].to_pylist() == [epoch == kept for epoch in range(1, epochs + 1)]
    weights = load_file(checkpoint)
    assert all(torch.equal(weights[name], value) for name, value in states[kept - 1].items())
    assert describe(checkpoint).val_metric == {"name": "accuracy", "value": accuracies[kept - 1]}


def test_the_dataset_says_which_metric_decides(train, monkeypatch):
    card = {**fakes.read_card("bars"), "main_metric": "macro_f1"}
    monkeypatch.setattr("sidekick.training.data.read_card", lambda folder: card)
    _with_accuracies(monkeypatch, [0.2, 0.3, 0.1, 0.1], "macro_f1")
    checkpoint = train(recipe={"epochs": 4, "early_stopping": 9})
    assert describe(checkpoint).val_metric == {"name": "macro_f1", "value": 0.3}
    curve = read_table(checkpoint.with_suffix(".parquet")).to_pylist()
    assert [row["kept"] for row in curve] == [False, True, False, False]
    assert describe(checkpoint).val_accuracy == curve[1]["val_accuracy"]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
def test_a_compiled_training_is_the_same_training(train):
    # Batches of one size, since another is compiled anew.
    settings = {"epochs": 1, "batch_size": 13, "augmentation": {}}
    plain = load_file(train("plain", settings))
    compiled = load_file(train("compiled", {**settings, "compile": True}))
    assert plain.keys() == compiled.keys()
    torch.testing.assert_close(compiled["fc.weight"], plain["fc.weight"], rtol=0.05, atol=5e-3)


def test_without_a_compiler_it_says_what_is_missing(train, monkeypatch):
    def broken(function):
        raise RuntimeError("InvalidCxxCompiler: No working C++ compiler found\nmore")

    monkeypatch.setattr(torch, "compile", broken)
    with pytest.raises(SidekickError, match=r"finetune.compile: .*No working C\+\+ .* `compile: f"):
        train(recipe={"compile": True})
