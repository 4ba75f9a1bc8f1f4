from dataclasses import replace

import pytest
from safetensors.torch import load_file

from sidekick.artifacts import read_facts, read_table
from sidekick.errors import SidekickError
from sidekick.models.checkpoints import describe, save_checkpoint
from sidekick.models.loading import load_model
from sidekick.training.selection import select_trial
from unit.training.fakes import ENTRY


@pytest.fixture
def trials(train):
    """Give the checkpoints of trials whose main metric on val is as given."""

    def make(values, **changes):
        paths = []
        for number, value in enumerate(values):
            facts = {"benchmark": "tiny", "recipe": f"trial{number:02d}"}
            path = train(
                facts["recipe"], {"epochs": 1, "learning_rate": 0.001 * (1 + number)}, facts=facts
            )
            rewrite(path, val_metric={"name": "accuracy", "value": value}, **changes)
            paths.append(path)
        return paths

    return make


def rewrite(path, **changes):
    save_checkpoint(path, load_model(path, "cpu"), replace(describe(path), **changes))


def select(paths, folder):
    output = folder / "finetune" / "seed0.safetensors"
    select_trial(
        checkpoints=paths,
        curves=[path.with_suffix(".parquet") for path in paths],
        output=output,
        curve=output.with_suffix(".parquet"),
        facts={"benchmark": "tiny", "recipe": "finetune"},
    )
    return output


@pytest.mark.parametrize(
    ("values", "chosen"), [([0.3, 0.9, 0.5], 1), ([0.3, 0.9, 0.9], 1), ([0.5], 0)]
)
def test_the_best_on_val_is_taken_and_of_equals_the_first(trials, tmp_path, values, chosen):
    paths = trials(values)
    output = select(paths, tmp_path)
    assert load_file(output).keys() == load_file(paths[chosen]).keys()
    assert all(
        (value == load_file(paths[chosen])[name]).all() for name, value in load_file(output).items()
    )
    curve = output.with_suffix(".parquet")
    assert read_table(curve).equals(read_table(paths[chosen].with_suffix(".parquet")))
    description = describe(output)
    facts = {
        "benchmark": "tiny",
        "recipe": "finetune",
        "selected": f"trial{chosen:02d}",
        "trials": {f"trial{number:02d}": value for number, value in enumerate(values)},
    }
    assert description.facts == facts
    assert description.val_metric == {"name": "accuracy", "value": values[chosen]}
    assert description.recipe["learning_rate"] == 0.001 * (1 + chosen)
    assert read_facts(curve)["selected"] == f"trial{chosen:02d}"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 7}, "its seed is 7, but that of .*trial00/seed0.safetensors is 0"),
        ({"val_metric": {"name": "macro_f1", "value": 1.0}}, "its main metric is macro_f1"),
        ({"val_metric": {}}, "does not say what its main metric on val was"),
        ({"entry": {**ENTRY, "input": {"crop": 1}}}, "its model entry is .*crop"),
    ],
    ids=["seed", "metric", "no metric", "entry"],
)
def test_trials_of_different_searches_are_refused(trials, tmp_path, changes, message):
    paths = trials([0.5, 0.6])
    rewrite(paths[1], **changes)
    with pytest.raises(SidekickError, match=f"trial01/seed0.safetensors: {message}"):
        select(paths, tmp_path)
