from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from sidekick.errors import SidekickError
from sidekick.models.checkpoints import describe, save_checkpoint
from sidekick.models.loading import load_model
from sidekick.training import soup
from sidekick.training.soup import Average, make_soup
from unit.training.fakes import ENTRY

RATES = [0.0004, 0.005, 0.001, 0.02]


@pytest.fixture
def trials(train):
    """Give the checkpoints of trials with different learning rates."""

    def make(rates=RATES, entry=ENTRY):
        return [
            train(
                f"trial{number:02d}",
                {"epochs": 2, "learning_rate": rate},
                entry=entry,
                facts={"recipe": f"trial{number:02d}"},
            )
            for number, rate in enumerate(rates)
        ]

    return make


@pytest.fixture
def cook(tmp_path):
    def run(paths, name="soups", **changes):
        uniform, greedy = (tmp_path / name / f"{kind}.safetensors" for kind in ("uni", "gre"))
        arguments = {
            "checkpoints": paths,
            "dataset_folder": "bars",
            "seed": 0,
            "uniform": uniform,
            "greedy": greedy,
            "device": "cpu",
            "threads": 1,
            "facts": {"benchmark": "tiny"},
        }
        make_soup(**{**arguments, **changes})
        return uniform, greedy

    return run


def test_the_average_by_hand():
    first = {"a": torch.tensor([1.0, 2.0]), "n": torch.tensor(3), "h": torch.tensor([1.0]).half()}
    second = {"a": torch.tensor([2.0, 5.0]), "n": torch.tensor(8), "h": torch.tensor([4.0]).half()}
    third = {"a": torch.tensor([6.0, -1.0]), "n": torch.tensor(9), "h": torch.tensor([4.0]).half()}
    two = Average().joined(first).joined(second)
    three = two.joined(third)
    assert three.state()["a"].tolist() == [3.0, 2.0]
    assert three.state()["h"] == torch.tensor([3.0]).half()
    assert three.state()["n"] == 3
    # Joining leaves what was as it was.
    assert two.state()["a"].tolist() == [1.5, 3.5]


def test_a_uniform_soup_is_the_mean_of_all(trials, cook):
    paths = trials()
    uniform, _ = cook(paths)
    states = [load_file(path) for path in paths]
    for name, value in load_file(uniform).items():
        if value.is_floating_point():
            mean = torch.stack([state[name].double() for state in states]).mean(dim=0)
            torch.testing.assert_close(value, mean.float(), rtol=1e-6, atol=1e-7)
        else:
            assert torch.equal(value, states[0][name])
    description = describe(uniform)
    members = [f"trial{number:02d}" for number in range(4)]
    assert description.facts == {
        "benchmark": "tiny", "recipe": "soup_uniform", "members": members,
    }  # fmt: skip
    assert description.recipe == {"soup": "soup_uniform", "members": members}
    assert description.entry == ENTRY
    assert load_model(uniform, torch.device("cpu"))


def test_a_soup_of_one_is_that_network(trials, cook):
    (path,) = trials([0.005])
    for made in cook([path]):
        for name, value in load_file(made).items():
            assert torch.equal(value, load_file(path)[name])
        assert describe(made).val_accuracy == describe(path).val_accuracy
        assert describe(made).val_metric == describe(path).val_metric


def test_a_greedy_soup_is_no_worse_than_the_best_network(trials, cook):
    paths = trials()
    values = [describe(path).val_metric["value"] for path in paths]
    assert len(set(values)) > 1
    _, greedy = cook(paths)
    description = describe(greedy)
    assert description.val_metric["value"] >= max(values)
    best = f"trial{values.index(max(values)):02d}"
    assert description.facts["members"][0] == best


@pytest.mark.parametrize(
    ("scores", "members"),
    [
        # The first score is the best network's own, then one per candidate; equals join.
        ([0.8, 0.8, 0.7, 0.9], [1, 2, 0]),
        ([0.8, 0.7, 0.7, 0.7], [1]),
        ([0.8, 0.9, 0.85, 0.9], [1, 2, 0]),
        ([0.8, 0.9, 0.95, 0.96], [1, 2, 3, 0]),
    ],
)
def test_who_joins_a_greedy_soup(trials, cook, monkeypatch, scores, members):
    paths = trials()
    for path, value in zip(paths, (0.1, 0.8, 0.7, 0.6), strict=True):
        description = replace(describe(path), val_metric={"name": "accuracy", "value": value})
        save_checkpoint(path, load_model(path, "cpu"), description)
    # After the four, both soups are scored once more.
    values = iter([*scores, 0.0, 0.0])

    def scripted(*arguments):
        return soup.Score(0.0, next(values), 0.0)

    monkeypatch.setattr(soup, "validate", scripted)
    _, greedy = cook(paths)
    assert describe(greedy).facts["members"] == [f"trial{member:02d}" for member in members]
    states = [load_file(paths[member])["fc.weight"] for member in members]
    torch.testing.assert_close(load_file(greedy)["fc.weight"], torch.stack(states).mean(dim=0))


def test_two_runs_give_the_same_bytes(trials, cook):
    paths = trials()
    first, second = (cook(paths, name) for name in ("a", "b"))
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


@pytest.mark.parametrize(
    ("entry", "what"),
    [
        ({"architecture": "small_cnn", "options": {"width": 5}}, "model entry"),
        ({**ENTRY, "input": {"mean": [0.4, 0.4, 0.4]}}, "model entry"),
    ],
    ids=["architecture", "input"],
)
def test_members_of_another_network_are_refused(trials, cook, train, entry, what):
    paths = [*trials([0.005]), train("other", {"epochs": 1}, entry=entry)]
    with pytest.raises(SidekickError, match=f"other/seed0.safetensors: its {what} is"):
        cook(paths)


def test_members_of_another_preprocessing_are_refused(trials, cook):
    paths = trials([0.005, 0.001])
    description = describe(paths[1])
    other = {**description.preprocessing, "mean": [0.1, 0.1, 0.1]}
    save_checkpoint(
        paths[1], load_model(paths[1], "cpu"), replace(description, preprocessing=other)
    )
    with pytest.raises(SidekickError, match="its preprocessing is"):
        cook(paths)
