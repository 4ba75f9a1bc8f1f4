"""Scoring of options, against passes that share, pad and cache nothing."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from sidekick.artifacts import read_facts, read_table
from sidekick.datasets.questions import Question
from sidekick.errors import SidekickError
from sidekick.logit_cache import read_logits
from sidekick.logit_cache.choice_items import read_task
from sidekick.logit_cache.continuations import Request, score_continuations
from sidekick.logit_cache.scoring import cache_choice_logits, cache_choice_sweep, score_items
from sidekick.models.encoding import encode_pair
from sidekick.models.language import create_language_model
from sidekick.models.language_checkpoints import save_language_checkpoint
from sidekick.prompts import load_prompt, render
from unit.datasets.asked import arc_folder, prepare
from unit.models.published import FAMILIES, publish

QUESTIONS = [
    Question("a", "What is it?", ("a red one", "blue", "None"), 1, "blue", "", "1", "test"),
    Question("b", "Why?", ("so", "so", "it is", "é – ü", "no"), 3, "é – ü", "", "2", "test"),
    Question("c", "Which of these is the longest by far?", ("x", "y z", "w", "v"), 0, "x", "", "",
             "test"),
    Question("d", "How many?", ("ten thousand and one", "2", "3", "4"), 0, "ten", "", "", "test"),
]  # fmt: skip
TEXTS = [text for one in QUESTIONS for text in (one.question, *one.choices, "an A B C D E")] * 4
CLASSES = 5


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    made = {}

    def get(family="llama"):
        if family not in made:
            folder = publish(tmp_path_factory.mktemp(family), family, TEXTS)
            made[family] = create_language_model({"pretrained": folder})
        return made[family]

    return get


def score(model, prompt="arc_option_text", questions=QUESTIONS, budget=64, shots=(), **settings):
    task = read_task({"prompt": prompt, "shots": len(shots), **settings})
    return score_items(model, task, questions, shots, CLASSES, budget)


@torch.inference_mode()
def alone(model, context, continuation):
    """Score one continuation in a pass of its own; give log-likelihood, entropies, tokens."""
    context, continuation = encode_pair(model.tokenizer, context, continuation)
    ids = torch.tensor([context + continuation])
    scores = model.network(ids).logits[0].double().log_softmax(dim=-1)
    places = range(len(context) - 1, ids.shape[1] - 1)
    likelihood = sum(
        scores[place, token].item() for place, token in zip(places, continuation, strict=True)
    )
    entropies = [-(scores[place].exp() * scores[place]).sum().item() for place in places]
    return likelihood, np.mean(entropies), len(continuation)


def brute_force(model, prompt, questions, divisor=lambda text, tokens: 1, shots=()):
    likelihoods = np.full((len(questions), CLASSES), -np.inf)
    entropies, tokens = np.zeros_like(likelihoods), np.ones(likelihoods.shape, int)
    logits = likelihoods.copy()
    for row, question in enumerate(questions):
        rendered = render(load_prompt(prompt), question, shots)
        for option, continuation in enumerate(rendered.continuations):
            found = alone(model, rendered.context, continuation)
            likelihoods[row, option], entropies[row, option], tokens[row, option] = found
            logits[row, option] = found[0] / divisor(continuation[1:], found[2])
    rows, labels = np.arange(len(questions)), [question.label for question in questions]
    return {
        "logits": logits,
        "entropy": entropies[rows, logits.argmax(axis=1)],
        "answer_nll": -likelihoods[rows, labels],
        "answer_tokens": tokens[rows, labels],
    }


def require_close(found, wanted):
    assert found.keys() == wanted.keys()
    for name in wanted:
        np.testing.assert_allclose(found[name], wanted[name], rtol=2e-6, atol=2e-5, err_msg=name)


@pytest.mark.parametrize("prompt", ["arc_option_text", "arc_letter"])
@pytest.mark.parametrize("family", FAMILIES)
def test_against_passes_of_their_own(models, family, prompt):
    model = models(family)
    require_close(score(model, prompt), brute_force(model, prompt, QUESTIONS))


@pytest.mark.parametrize("prompt", ["arc_option_text", "arc_letter"])
@pytest.mark.parametrize("family", FAMILIES)
def test_worked_examples_are_read_once(models, family, prompt, monkeypatch):
    """Gemma's window of 16 tokens is shorter than the examples."""
    model, widths = models(family), []
    forward = model.network.forward

    def counted(*arguments, **named):
        widths.append(named["input_ids"].shape[1])
        return forward(*arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(model.network, "forward", counted)
        found = score(model, prompt, shots=QUESTIONS[:2], budget=10_000)
    read = list(widths)
    require_close(found, brute_force(model, prompt, QUESTIONS, shots=QUESTIONS[:2]))
    shared = family != "gemma2" or prompt == "arc_letter"
    assert len(read) == (2 if shared else 1) + (prompt == "arc_option_text")
    assert (min(read[:2]) < max(read[:2]) / 2) or not shared


@pytest.mark.parametrize(
    ("normalise", "divisor"),
    [
        ("bytes", lambda text, tokens: len(text.encode())),
        ("characters", lambda text, tokens: len(text)),
        ("tokens", lambda text, tokens: tokens),
    ],
)
def test_normalisation(models, normalise, divisor):
    wanted = brute_force(models(), "arc_option_text", QUESTIONS, divisor)
    require_close(score(models(), normalise=normalise), wanted)


def test_types(models):
    found = score(models())
    types = {name: (values.dtype.name, values.shape) for name, values in found.items()}
    assert types == {
        "logits": ("float32", (4, CLASSES)),
        "entropy": ("float32", (4,)),
        "answer_nll": ("float32", (4,)),
        "answer_tokens": ("int32", (4,)),
    }
    assert (np.isneginf(found["logits"]).sum(axis=1) == [2, 0, 1, 1]).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_batches_do_not_matter(models, family):
    wanted = score(models(family), budget=1)
    for budget in (40, 100, 10_000):
        require_close(score(models(family), budget=budget), wanted)
    reversed_order = score(models(family), questions=QUESTIONS[::-1], budget=10_000)
    require_close({name: values[::-1] for name, values in reversed_order.items()}, wanted)


@pytest.mark.parametrize("family", FAMILIES)
def test_padding_does_not_leak(models, family):
    """Whatever token fills rows up, the results are the same bits."""
    rng = np.random.default_rng(0)
    requests = [
        Request(
            rng.integers(2, 200, length).tolist(),
            [rng.integers(2, 200, size).tolist() for size in sizes],
        )
        for length, sizes in ((3, (1, 4)), (40, (2, 2, 7)), (17, (1, 1)), (21, (1,)), (9, (3,)))
    ]
    network = models(family).network
    first, second = (
        score_continuations(network, requests, padding=padding, token_budget=1000)
        for padding in (0, 77)
    )
    for a, b in zip(first, second, strict=True):
        assert (a.log_likelihoods == b.log_likelihoods).all()
        assert (a.entropies == b.entropies).all()
        assert (a.tokens == b.tokens).all()


def test_a_context_is_read_once(models, monkeypatch):
    model, read = models(), []
    forward = model.network.forward

    def counted(*arguments, **named):
        read.append(named["input_ids"].numel())
        return forward(*arguments, **named)

    monkeypatch.setattr(model.network, "forward", counted)
    task, (one, *_) = "arc_letter", QUESTIONS
    rendered = render(load_prompt(task), one)
    context, letter = encode_pair(model.tokenizer, rendered.context, rendered.target)
    assert len(letter) == 1
    score(model, task, [one], budget=1000)
    assert read == [len(context)]
    read.clear()
    rendered = render(load_prompt("arc_option_text"), one)
    pairs = [encode_pair(model.tokenizer, rendered.context, c) for c in rendered.continuations]
    rest = [len(continuation) - 1 for _, continuation in pairs]
    score(model, "arc_option_text", [one], budget=1000)
    assert read == [len(pairs[0][0]), sum(size > 0 for size in rest) * max(rest)]


def test_logits_are_computed_only_where_a_token_is_scored(models):
    model, positions = models(), []
    handle = model.network.get_output_embeddings().register_forward_hook(
        lambda module, inputs, output: positions.append(output.shape[:-1].numel())
    )
    score(model, budget=10_000)
    handle.remove()
    prompts = [render(load_prompt("arc_option_text"), one) for one in QUESTIONS]
    lengths = [
        len(encode_pair(model.tokenizer, one.context, continuation)[1])
        for one in prompts
        for continuation in one.continuations
    ]
    assert sum(positions) == len(QUESTIONS) + sum(lengths) - len(lengths)


def test_the_entropy_knows_nothing_of_the_right_answer(models):
    moved = [replace(one, label=(one.label + 1) % len(one.choices)) for one in QUESTIONS]
    for prompt in ("arc_option_text", "arc_letter"):
        first, second = score(models(), prompt), score(models(), prompt, moved)
        assert (first["entropy"] == second["entropy"]).all()
        assert (first["logits"] == second["logits"]).all()
        assert (first["answer_nll"] != second["answer_nll"]).any()


def test_shots_and_hedges_change_the_context(models):
    plain = score(models())["logits"]
    for changes in ({"shots": QUESTIONS[:1]}, {"hedge": "n"}, {"hedge": "low_confidence"}):
        assert (score(models(), **changes)["logits"] != plain).any()


def test_bfloat16_is_close(models):
    network = models().network
    exact = score(models())["logits"]
    half = score(replace(models(), network=type(network)(network.config).bfloat16()))["logits"]
    assert np.isfinite(half).sum() == np.isfinite(exact).sum()


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ({"prompt": "gsm8k"}, "prompt: 'gsm8k' generates answers"),
        ({"prompt": "none"}, "prompt: 'none' is not known"),
        ({"prompt": "arc_letter", "normalise": "bytes"}, "'arc_letter'; allowed are none"),
        ({"prompt": "arc_option_text", "normalise": "byte"}, "allowed are none, bytes, characters"),
    ],
)  # fmt: skip
def test_bad_tasks(task, message):
    with pytest.raises(SidekickError, match=message):
        read_task(task)


def test_bad_items(models):
    many = replace(QUESTIONS[0], choices=tuple("abcdef"))
    with pytest.raises(SidekickError, match="sample a: 6 options, but the dataset has 5 classes"):
        score(models(), questions=[many])
    empty = replace(QUESTIONS[0], choices=("x", ""))
    with pytest.raises(SidekickError, match="sample a: option 1 has no text"):
        score(models(), questions=[empty], normalise="bytes")
    long = replace(QUESTIONS[0], choices=("x", "word " * 3000))
    with pytest.raises(SidekickError, match="but the model reads at most 2048"):
        score(models(), questions=[long])
    with pytest.raises(SidekickError, match="hedge: 'x' is not known"):
        score(models(), hedge="x")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    sizes = {"train": 8, "val": 6, "test": 10}
    return prepare(folder, "arc_easy", arc_folder(tmp_path_factory.mktemp("hub")), sizes)


@pytest.fixture(scope="module")
def checkpoints(models, tmp_path_factory):
    folder, made = tmp_path_factory.mktemp("checkpoints"), {}
    for seed, recipe in enumerate(("finetune", "gatekeeper_a30")):
        model = models()
        torch.manual_seed(seed)
        torch.nn.init.normal_(model.network.get_output_embeddings().weight, std=0.1)
        made[recipe] = folder / f"{recipe}.safetensors"
        save_language_checkpoint(
            made[recipe], model, entry={"pretrained": "org/tiny"}, recipe={}, facts={}, classes=4,
            seed=seed, val_accuracy=0.5,
        )  # fmt: skip
    return made


def arguments(folder, **changes):
    return {
        "dataset_folder": folder, "seed": 0, "device": "cpu", "threads": 1,
        "facts": {"dataset": "arc_easy", "model": "tiny"},
        "task": {"prompt": "arc_option_text", "shots": 2, "normalise": "bytes"}, **changes,
    }  # fmt: skip


def test_cached_files(prepared, checkpoints, tmp_path):
    outputs = {split: tmp_path / f"{split}.parquet" for split in ("val", "test", "shift")}
    cache_choice_logits(checkpoint=checkpoints["finetune"], outputs=outputs, **arguments(prepared))
    for split, rows in {"val": 6, "test": 10, "shift": 0}.items():
        found = read_logits(outputs[split])
        assert len(found) == rows
        assert found.classes == 4
        assert (found.corruption is not None) == (split == "shift")
        assert found.sample_ids.tolist() == sorted(found.sample_ids)
        table = read_table(outputs[split])
        kinds = {name: str(table.schema.field(name).type) for name in table.column_names[-5:]}
        assert kinds == {
            "subject": "string", "level": "string", "entropy": "float", "answer_nll": "float",
            "answer_tokens": "int32",
        }  # fmt: skip
        facts = read_facts(outputs[split])
        wanted = {
            "split": split, "architecture": "org/tiny", "prompt": "arc_option_text", "shots": "2",
            "prompt_version": "1", "normalise": "bytes", "protocol": "option_text", "hedge": "",
        }  # fmt: skip
        assert {name: facts[name] for name in wanted} == wanted
        assert facts["model"] == "tiny"


def test_a_sweep_writes_what_its_parts_write(prepared, checkpoints, tmp_path):
    weights = {**checkpoints, "hedge_n": checkpoints["finetune"]}
    outputs = {"val": {recipe: tmp_path / f"{recipe}.parquet" for recipe in weights}}
    cache_choice_sweep(
        checkpoints=weights, outputs=outputs, hedges={"hedge_n": "n"}, **arguments(prepared)
    )
    tables = {}
    for recipe, checkpoint in weights.items():
        alone_path = tmp_path / f"{recipe}_alone.parquet"
        given = arguments(prepared)
        given["facts"] = {**given["facts"], "recipe": recipe}
        given["task"] = {**given["task"], "hedge": "n" if recipe == "hedge_n" else ""}
        cache_choice_logits(checkpoint=checkpoint, outputs={"val": alone_path}, **given)
        assert outputs["val"][recipe].read_bytes() == alone_path.read_bytes()
        tables[recipe] = read_table(alone_path)["logit_max"].to_pylist()
    assert len({tuple(values) for values in tables.values()}) == 3
