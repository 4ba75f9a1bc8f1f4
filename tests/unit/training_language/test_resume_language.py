import logging

import pytest

from sidekick.artifacts import read_table
from unit.training_language.fakes_language import ENTRY, RECIPE

LORA = {"rank": 2, "alpha": 4, "dropout": 0.3}


def _outcome(checkpoint):
    curve = read_table(checkpoint.with_suffix(".parquet"))
    return checkpoint.read_bytes(), repr(curve.to_pylist())


@pytest.mark.parametrize("saved", [True, False])
@pytest.mark.parametrize("step", [2, 4, RECIPE["steps"]])
def test_an_interrupted_training_ends_with_the_same_bytes(train, interrupt, caplog, step, saved):
    caplog.set_level(logging.INFO, "sidekick")
    expected = _outcome(train("whole"))
    interrupt(step, saved)
    with pytest.raises(interrupt.error):
        train("broken")
    interrupt.disarm()
    caplog.clear()
    checkpoint = train("broken")
    assert _outcome(checkpoint) == expected
    assert not checkpoint.with_suffix(".resume.pt").exists()
    done = step if saved else step - 2
    assert any(f"Going on after step {done}," in text for text in caplog.messages) == (done > 0)


@pytest.mark.parametrize(
    ("family", "dtype", "recipe"),
    [
        # Dropout, several parts, adapters alone.
        ("gpt2", "float32", {"accumulation": 2}),
        ("llama", "float32", {"lora": LORA, "gradient_checkpointing": True}),
        ("llama", "bfloat16", {"precision": "bfloat16"}),
    ],
)
@pytest.mark.parametrize("step", [2, RECIPE["steps"]])
def test_published_models(train, interrupt, published, family, dtype, recipe, step):
    entry = {"modality": "text", "pretrained": published(family), "dtype": dtype}
    recipe = {"options_loss": False, **recipe}
    expected = _outcome(train("whole", recipe, entry=entry))
    interrupt(step)
    with pytest.raises(interrupt.error):
        train("broken", recipe, entry=entry)
    interrupt.disarm()
    assert _outcome(train("broken", recipe, entry=entry)) == expected


@pytest.mark.parametrize(
    ("recipe", "changes"),
    [
        ({"learning_rate": 0.02}, {}),
        ({}, {"seed": 1}),
        ({}, {"task": {"prompt": "arc_option_text"}}),
        ({}, {"entry": {**ENTRY, "options": {**ENTRY["options"], "hidden_size": 16}}}),
    ],
)
def test_the_state_of_another_training_is_ignored(train, interrupt, caplog, recipe, changes):
    interrupt(2)
    with pytest.raises(interrupt.error):
        train("broken")
    interrupt.disarm()
    found = _outcome(train("broken", recipe, **changes))
    assert "belongs to other settings" in caplog.text
    assert found == _outcome(train("whole", recipe, **changes))


def test_the_state_of_an_adapter_is_small(train, interrupt, published):
    entry = {"modality": "text", "pretrained": published("llama")}
    sizes = []
    for name, recipe in (("whole", {}), ("adapter", {"lora": LORA})):
        interrupt(2)
        with pytest.raises(interrupt.error):
            train(name, {"options_loss": False, **recipe}, entry=entry)
        interrupt.disarm()
    sizes = [
        path.stat().st_size
        for name in ("adapter", "whole")
        for path in train.folder.glob(f"{name}/*.resume.pt")
    ]
    assert sizes[0] < sizes[1] / 4
