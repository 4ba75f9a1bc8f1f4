"""Generated answers, against transformers' own greedy decoding."""

import numpy as np
import pytest
import torch

from sidekick.artifacts import read_facts, read_table
from sidekick.errors import SidekickError
from sidekick.logit_cache.decoding import Decoded, decode_greedily
from sidekick.logit_cache.generation import (
    cache_generation_sweep,
    cache_generations,
    generate_answers,
    generation_table,
)
from sidekick.models.language import create_language_model
from sidekick.models.language_checkpoints import save_language_checkpoint
from sidekick.prompts import load_prompt
from unit.datasets.asked import GSM8K, SHARD, gsm8k_row, parquet, prepare, question
from unit.models.published import FAMILIES, publish

TEXTS = ["Question: Problem 1?\nAnswer: So it is. #### 12 0 1 2 3 4 5 6 7 8 9"] * 4
NEW = 12


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    made = {}

    def get(family="llama"):
        if family not in made:
            folder = publish(tmp_path_factory.mktemp(family), family, TEXTS)
            made[family] = create_language_model({"pretrained": folder})
        return made[family]

    return get


def prompts(count=5, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(2, 250, size).tolist() for size in rng.integers(1, 30, count)]


@torch.inference_mode()
def reference(model, prompt, new=NEW):
    """Continue one prompt by transformers; give the tokens, log-probabilities and entropies."""
    output = model.network.generate(
        torch.tensor([prompt]), do_sample=False, max_new_tokens=new, pad_token_id=1,
        output_logits=True, return_dict_in_generate=True,
    )  # fmt: skip
    tokens = output.sequences[0, len(prompt) :].tolist()
    scores = torch.cat(output.logits).double().log_softmax(dim=-1)
    picked = [scores[i, token].item() for i, token in enumerate(tokens)]
    return tokens, picked, (-(scores.exp() * scores).sum(dim=-1)).tolist()


@pytest.mark.parametrize("family", FAMILIES)
def test_equal_to_transformers(models, family):
    model, asked = models(family), prompts()
    found = decode_greedily(model.network, model.tokenizer, asked, [], NEW)
    for prompt, own in zip(asked, found, strict=True):
        tokens, log_probabilities, entropies = reference(model, prompt)
        assert own.text == model.tokenizer.decode(tokens, skip_special_tokens=True)
        np.testing.assert_allclose(own.log_probabilities, log_probabilities, atol=1e-5)
        np.testing.assert_allclose(own.entropies, entropies, atol=1e-5)
        assert own.truncated == (tokens[-1] != model.tokenizer.eos_token_id)


@pytest.mark.parametrize("family", FAMILIES)
def test_rows_do_not_depend_on_each_other(models, family):
    model, asked = models(family), prompts(seed=1)
    together = decode_greedily(model.network, model.tokenizer, asked, [], NEW)
    for prompt, own in zip(asked, together, strict=True):
        (alone,) = decode_greedily(model.network, model.tokenizer, [prompt], [], NEW)
        assert alone.text == own.text
        np.testing.assert_allclose(own.log_probabilities, alone.log_probabilities, atol=1e-5)
        np.testing.assert_allclose(own.entropies, alone.entropies, atol=1e-5)


def test_an_answer_ends_with_the_sequence(models):
    """Each token in turn is made the one that ends sequences."""
    model, (prompt,) = models(), prompts(1)
    tokens, log_probabilities, _ = reference(model, prompt)
    last = tokens[4]
    where = tokens.index(last)
    model.network.generation_config.eos_token_id = [last, 1]
    try:
        (found,) = decode_greedily(model.network, model.tokenizer, [prompt], [], NEW)
    finally:
        model.network.generation_config.eos_token_id = 1
    assert len(found.log_probabilities) == where + 1
    np.testing.assert_allclose(found.log_probabilities, log_probabilities[: where + 1], atol=1e-5)
    assert found.text == model.tokenizer.decode(tokens[:where], skip_special_tokens=True)
    assert not found.truncated


def test_a_text_ends_an_answer(models):
    model, asked = models(), prompts(6)
    whole = decode_greedily(model.network, model.tokenizer, asked, [], NEW)
    # A text that spans tokens, in the middle of some answer.
    answer = max((one.text for one in whole), key=len)
    stop = answer[len(answer) // 2 :][:3]
    found = decode_greedily(model.network, model.tokenizer, asked, ["", stop], NEW)
    for own, before in zip(found, whole, strict=True):
        assert own.text == before.text.split(stop)[0]
        assert own.truncated == (stop not in before.text and before.truncated)
        size = len(own.log_probabilities)
        assert size <= len(before.log_probabilities)
        np.testing.assert_allclose(
            own.log_probabilities, before.log_probabilities[:size], atol=1e-5
        )
    assert any(not own.truncated for own in found)


def test_order_and_batches_do_not_matter(models):
    prompt = load_prompt("gsm8k")
    contexts = [f"Question: {'Problem ' * n}{n}?\nAnswer:" for n in (3, 30, 1, 9)]
    wanted = generate_answers(models(), prompt, contexts, token_budget=1)
    found = generate_answers(models(), prompt, contexts, token_budget=100_000)
    assert [one.text for one in found] == [one.text for one in wanted]
    assert generate_answers(models(), prompt, [], token_budget=9) == []


def test_a_prompt_that_is_too_long_loses_its_start(tmp_path):
    folder = publish(tmp_path / "short", "llama", TEXTS, max_position_embeddings=266)
    model, prompt = create_language_model({"pretrained": folder}), load_prompt("gsm8k")
    end = " 1 2 3 4 5 6 7 8 9" * 2
    first, second = "7 " * 50 + end, "8 8" + end
    ids = [model.tokenizer(text)["input_ids"] for text in (first, second)]
    assert ids[0][-10:] == ids[1][-10:]
    found = generate_answers(model, prompt, [first, second], token_budget=10_000)
    assert found[0].text == found[1].text
    model.network.config.max_position_embeddings = 256
    with pytest.raises(SidekickError, match="may have 256 tokens, but the model reads only 256"):
        generate_answers(model, prompt, [first], token_budget=10_000)


def test_table():
    questions = [question("a", choices=(), answer="x\n#### 1,2", level="3"), question("b")]
    answers = [
        Decoded(" so\n#### 12. 13", np.log([0.5, 0.25, 1.0]), np.array([0.5, 1.0, 0.0]), False),
        Decoded(" no", np.log([0.5]), np.array([0.25]), True),
    ]
    first, second = generation_table(load_prompt("gsm8k"), questions, answers).to_pylist()
    quantiles = {name: first.pop(name) for name in ("logprob_quantiles", "entropy_quantiles")}
    assert first == {
        "sample_id": "a", "subject": "", "level": "3", "text": " so\n#### 12. 13",
        "prediction": "12.", "reference": "12", "correct": True, "correct_flexible": False,
        "tokens": 3, "truncated": False, "nent": -0.5,
        "mean_logprob": pytest.approx(np.log(0.125) / 3),
        "sum_logprob": pytest.approx(np.log(0.125)),
    }  # fmt: skip
    assert quantiles["entropy_quantiles"] == pytest.approx([i / 10 for i in range(11)])
    assert quantiles["logprob_quantiles"][::5] == pytest.approx(np.log([0.25, 0.5, 1.0]))
    assert (second["prediction"], second["correct"], second["truncated"]) == (
        "[invalid]", False, True,
    )  # fmt: skip


def test_cached_files(models, tmp_path):
    for split, size in {"train": 40, "test": 10}.items():
        rows = [gsm8k_row(number + 100 * (split == "test")) for number in range(size)]
        parquet(tmp_path / "hub" / f"{split}{SHARD}", rows, GSM8K)
    sizes = {"train": 8, "val": 3, "test": 4}
    folder = prepare(tmp_path / "made", "gsm8k", tmp_path / "hub", sizes)
    checkpoint = tmp_path / "weights.safetensors"
    save_language_checkpoint(
        checkpoint, models(), entry={"pretrained": "org/tiny"}, recipe={}, facts={}, classes=1,
        seed=0, val_accuracy=0.5,
    )  # fmt: skip
    outputs = {split: tmp_path / f"{split}.parquet" for split in ("val", "test", "shift")}
    arguments = {"dataset_folder": folder, "outputs": outputs, "seed": 0, "device": "cpu",
                 "threads": 1, "facts": {"model": "tiny"}, "checkpoint": checkpoint}  # fmt: skip
    cache_generations(**arguments, task={"prompt": "gsm8k", "shots": 2})
    for split, rows in {"val": 3, "test": 4, "shift": 0}.items():
        table = read_table(outputs[split])
        assert len(table) == rows
        ids = table["sample_id"].to_pylist()
        assert ids == sorted(ids)
        for name in ("logprob_quantiles", "entropy_quantiles"):
            assert str(table.schema.field(name).type) == "fixed_size_list<element: float>[11]"
        assert str(table.schema.field("tokens").type) == "int32"
        facts = read_facts(outputs[split])
        assert (facts["split"], facts["prompt"], facts["shots"]) == (split, "gsm8k", "2")
    with pytest.raises(SidekickError, match="prompt: 'arc_letter' scores options"):
        cache_generations(**arguments, task={"prompt": "arc_letter"})
    del arguments["checkpoint"], arguments["outputs"]
    short = {"prompt": "gsm8k", "shots": 2, "max_new_tokens": 3}
    paths = {r: tmp_path / f"{r}.parquet" for r in ("ce_control", "gatekeeper_a50")}
    cache_generation_sweep(
        **arguments,
        checkpoints=dict.fromkeys(paths, checkpoint),
        outputs={"test": paths},
        task=short,
    )
    long = read_table(outputs["test"])
    for recipe, path in paths.items():
        table, facts = read_table(path), read_facts(path)
        assert (facts["recipe"], facts["split"], facts["max_new_tokens"]) == (recipe, "test", "3")
        assert table["sample_id"] == long["sample_id"]
        assert max(table["tokens"].to_pylist()) == 3
        whole = zip(table["text"].to_pylist(), long["text"].to_pylist(), strict=True)
        # Half a character is decoded as a mark of its own.
        assert all(text.startswith(start.rstrip("\ufffd")) for start, text in whole)
