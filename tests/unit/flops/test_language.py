import json

import pytest
from transformers import AutoConfig, Gemma2Config, GPT2Config, LlamaConfig

from sidekick.errors import SidekickError
from sidekick.flops.language import (
    Costs,
    Lengths,
    count_costs,
    item_macs,
    mean_lengths,
    write_language_flops,
)
from sidekick.prompts import load_prompt, render
from unit.datasets.asked import arc_folder, prepare, question
from unit.models.published import bpe_tokenizer, publish

V, D, LAYERS, HEADS, KEYS, HEAD, HIDDEN = 97, 32, 3, 4, 2, 16, 72
COMMON = {"vocab_size": V, "hidden_size": D, "num_hidden_layers": LAYERS}
HEADED = {
    **COMMON,
    "num_attention_heads": HEADS,
    "num_key_value_heads": KEYS,
    "head_dim": HEAD,
    "intermediate_size": HIDDEN,
}
# Queries, keys and values, output; gate, up and down. Norms of these families are elementwise.
GATED = D * HEAD * (HEADS + 2 * KEYS) + HEADS * HEAD * D + 3 * D * HIDDEN
# GPT-2 has dense layers of 4·D and layer norms, which count 5 per element, two each and one last.
PLAIN = 3 * D * D + D * D + 8 * D * D
SETTINGS = {
    "llama": (LlamaConfig(**HEADED), GATED * LAYERS, 2 * HEADS * HEAD * LAYERS),
    "gemma2": (Gemma2Config(**HEADED, sliding_window=4), GATED * LAYERS, 2 * HEADS * HEAD * LAYERS),
    "gpt2": (
        GPT2Config(**COMMON, n_head=HEADS),
        PLAIN * LAYERS + 5 * D * (2 * LAYERS + 1),
        2 * D * LAYERS,
    ),
}


@pytest.mark.parametrize("family", SETTINGS)
def test_against_the_formula(family):
    config, token, pair = SETTINGS[family]
    costs, details = count_costs(config, family)
    assert costs.token == pytest.approx(token, rel=1e-9)
    assert costs.pair == pytest.approx(pair, rel=1e-9)
    assert costs.logits == V * D
    n = details["traced_tokens"]
    assert details["modules"][0]["gmacs"] * 1e9 == pytest.approx(costs.forward(n, n, n), rel=1e-9)
    assert details["modules"][0]["parameters"] == details["parameters"]


@pytest.mark.slow
def test_a_model_of_billions_is_counted_without_its_weights():
    """Gemma 2 9B by its published sizes, against its number of weights."""
    config = Gemma2Config(
        hidden_size=3584, num_hidden_layers=42, num_attention_heads=16, num_key_value_heads=8,
        head_dim=256, intermediate_size=14336,
    )  # fmt: skip
    costs, details = count_costs(config, "gemma-2-9b")
    assert details["parameters"] == pytest.approx(9.24e9, rel=1e-3)
    # Each weight of a dense layer multiplies once per token; embeddings are looked up.
    assert costs.token + costs.logits == pytest.approx(details["parameters"], rel=1e-3)


def test_items():
    costs = Costs(token=10, pair=1, logits=100)
    letters = item_macs(costs, Lengths(7, 4, 1, 9, "train"), generates=False)
    assert letters["gmacs"] * 1e9 == pytest.approx(7 * 10 + 7 * 7 + 100)
    assert letters["unshared_gmacs"] * 1e9 == pytest.approx(4 * (7 * 10 + 7 * 7 + 7 * 100))
    texts = item_macs(costs, Lengths(7, 4, 3, 9, "train"), generates=False)
    one = 2 * 10 + 2 * 9 + 2 * 100
    assert texts["gmacs"] * 1e9 == pytest.approx(7 * 10 + 7 * 7 + 100 + 4 * one)
    answer = item_macs(costs, Lengths(7, 1, 3, 9, "train"), generates=True)
    # Two more passes, over one token each that sees 8 and 9.
    steps = sum(10 + seen + 100 for seen in (8, 9))
    assert answer["gmacs"] * 1e9 == pytest.approx(7 * 10 + 7 * 7 + 100 + steps)


def test_mean_lengths():
    items = [
        render(load_prompt("arc_option_text"), question("a", "x", choices=("p", "q q q"))),
        render(load_prompt("arc_option_text"), question("b", "x y z", choices=("p", "q", "r"))),
    ]
    tokenizer = bpe_tokenizer(["Question: x y z\nAnswer: p q r"] * 5)
    counted = [
        [len(tokenizer(item.context)["input_ids"]) for item in items],
        [len(tokenizer(c, add_special_tokens=False)["input_ids"])
         for item in items for c in item.continuations],
    ]  # fmt: skip
    found = mean_lengths(tokenizer, items, "train")
    assert found == Lengths(sum(counted[0]) / 2, 2.5, sum(counted[1]) / 5, 2, "train")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    hub = arc_folder(tmp_path_factory.mktemp("hub"))
    sizes = {"train": 8, "val": 6, "test": 10}
    return prepare(tmp_path_factory.mktemp("made"), "arc_easy", hub, sizes)


SCRATCH = {
    "architecture": "llama",
    "options": {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2},
}


@pytest.mark.parametrize("kind", ["scratch", "published"])
def test_file(folder, tmp_path, kind):
    entry = SCRATCH
    if kind == "published":
        entry = {"pretrained": publish(tmp_path / "hub", "gpt2", ["Question 1? one two"])}
        (tmp_path / "hub" / "model.safetensors").unlink()
    path = tmp_path / "flops.json"
    write_language_flops(
        entry=entry,
        dataset_folder=folder,
        output=path,
        facts={"model": "tiny"},
        task={"prompt": "arc_option_text", "shots": 1},
        seed=0,
    )
    found = json.loads(path.read_text())
    assert found["facts"]["model"] == "tiny"
    assert found["lengths"]["items"] == 8
    assert found["lengths"]["split"] == "train"
    macs = item_macs(Costs(**found["costs"]), Lengths(**found["lengths"]), generates=False)
    assert {name: found[name] for name in macs} == macs
    if kind == "published":
        assert found["parameters"] > AutoConfig.from_pretrained(entry["pretrained"]).vocab_size


def test_test_items_have_no_part_in_it(folder, tmp_path, monkeypatch):
    from sidekick.flops import language

    asked = []
    read = language.read_questions
    monkeypatch.setattr(
        language,
        "read_questions",
        lambda *arguments: asked.append(arguments[1]) or read(*arguments),
    )
    write_language_flops(
        entry=SCRATCH, dataset_folder=folder, output=tmp_path / "flops.json", facts={},
        task={"prompt": "arc_letter"}, seed=0,
    )  # fmt: skip
    assert set(asked) <= {"train", "val"}


def test_bad_options(folder, tmp_path):
    with pytest.raises(SidekickError, match="options: sizes unknown to 'llama'"):
        write_language_flops(
            entry={**SCRATCH, "options": {"sizes": 3}}, dataset_folder=folder,
            output=tmp_path / "flops.json", facts={}, task={"prompt": "arc_letter"}, seed=0,
        )  # fmt: skip
