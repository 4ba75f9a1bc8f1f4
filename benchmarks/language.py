"""Scoring of multiple-choice items beside lm-evaluation-harness, as ratios within this run.

Run it alone by `python -m benchmarks.language`. Both score the same items with the same network
of random weights in one thread, in float32. Items are of made-up words, as long as those of ARC:
26 words in a question and 4 in an option on average. The harness has the batch size, of two,
that is fastest for it.
"""

import os

# Before numpy is imported, here and in the measured processes: one thread each.
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")
os.environ.update(TOKENIZERS_PARALLELISM="false", HF_HUB_OFFLINE="1")

import logging
import time
from collections.abc import Callable

import numpy as np
import torch
from tokenizers import Tokenizer, pre_tokenizers, processors, trainers
from tokenizers.models import BPE
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from benchmarks.measure import compare
from sidekick.datasets.questions import Question
from sidekick.logit_cache.choice_items import read_task, render_items
from sidekick.logit_cache.scoring import TOKEN_BUDGETS, score_items
from sidekick.models.language import LanguageModel

_SETTINGS = (("arc_option_text", 0), ("arc_option_text", 5), ("arc_letter", 0), ("arc_letter", 5))
_ITEMS, _SHOTS, _OPTIONS = 40, 5, 4
_WORDS, _VOCABULARY = 3_000, 8_000
_BATCH_SIZES = (1, 8)
_GOAL = 1.5
_TOLERANCE = 1e-4


def run() -> None:
    """Print items per second of both."""
    print(
        f"\nlanguage models: Llama, 4 layers of 256, {_VOCABULARY:,} tokens; {_ITEMS} items, one "
        f"thread; load average {os.getloadavg()[0]:.1f}"
    )
    print(
        f"{'prompt, worked examples':<28}{'ours /s':>9}{'lm-eval /s':>12}{'ratio':>8}{'goal':>7}"
        f"{'ours MB':>9}{'peer MB':>9}"
    )
    for prompt, shots in _SETTINGS:
        ours, peer, ratio = compare(our_scores, peer_scores, prompt, shots)
        print(
            f"{prompt + ', ' + str(shots):<28}{_ITEMS / ours.seconds:>9.1f}"
            f"{_ITEMS / peer.seconds:>12.1f}{ratio:>7.1f}×{_GOAL:>6.1f}×"
            f"{ours.megabytes:>9.0f}{peer.megabytes:>9.0f}",
            flush=True,
        )
    print(f"  largest difference of a log-likelihood: {_difference():.1e}")


def our_scores(prompt: str, shots: int) -> Callable[[], np.ndarray]:
    """Give a function that scores all items, from text to log-likelihoods, (items, options)."""
    torch.set_num_threads(1)
    model, (questions, worked) = _model(), _questions()
    task = read_task({"prompt": prompt, "shots": shots})
    budget = TOKEN_BUDGETS["cpu"]

    def score() -> np.ndarray:
        return score_items(model, task, questions, worked, _OPTIONS, budget)["logits"]

    return score


def peer_scores(prompt: str, shots: int) -> Callable[[], np.ndarray]:
    """Give a function by which lm-evaluation-harness scores them, from text as well."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    logging.disable()
    torch.set_num_threads(1)
    model, (questions, worked) = _model(), _questions()
    items = render_items(read_task({"prompt": prompt, "shots": shots}), questions, worked)
    requests = [
        Instance("loglikelihood", {}, (item.context, continuation), 0)
        for item in items
        for continuation in item.continuations
    ]

    def scorer(batch_size: int) -> Callable[[], np.ndarray]:
        peer = HFLM(model.network, tokenizer=model.tokenizer, batch_size=batch_size)

        def score() -> np.ndarray:
            found = peer.loglikelihood(requests, disable_tqdm=True)
            return np.array([value for value, _ in found]).reshape(-1, _OPTIONS)

        return score

    scorers = [scorer(size) for size in _BATCH_SIZES]
    scorers[0]()
    return min(scorers, key=_seconds)


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _difference() -> float:
    """Give the largest difference between both, which must not pass the tolerance."""
    largest = max(
        float(np.abs(our_scores(*setting)() - peer_scores(*setting)()).max())
        for setting in _SETTINGS[::2]
    )
    if largest > _TOLERANCE:
        raise AssertionError(f"log-likelihoods differ by {largest}")
    return largest


def _questions() -> tuple[list[Question], list[Question]]:
    """Make items and worked examples."""
    rng = np.random.default_rng(0)
    words = _words(rng)

    def text(least: int, most: int) -> str:
        return " ".join(rng.choice(words, rng.integers(least, most + 1)))

    def question(number: int, part: str) -> Question:
        choices = tuple(text(1, 7) for _ in range(_OPTIONS))
        asked = f"{text(8, 44)}?"
        return Question(f"{part}{number}", asked, choices, 0, choices[0], "", "", part)

    return (
        [question(number, "test") for number in range(_ITEMS)],
        [question(number, "dev") for number in range(_SHOTS)],
    )


def _words(rng: np.random.Generator) -> list[str]:
    syllables = [a + b for a in "bdfgklmnprst" for b in "aeiou"]
    return ["".join(rng.choice(syllables, rng.integers(1, 5))) for _ in range(_WORDS)]


def _model() -> LanguageModel:
    """Make a model of random weights with a byte-level BPE tokenizer."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=_VOCABULARY,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    letters = [f"Question: Answer: {letter}." for letter in "ABCD"]
    tokenizer.train_from_iterator(
        [*_words(np.random.default_rng(0)), *letters, *(f"x {one}" for one in letters)], trainer
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 0)]
    )
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=256,
        intermediate_size=1024,
        num_hidden_layers=4,
        num_attention_heads=8,
        num_key_value_heads=4,
        vocab_size=_VOCABULARY,
        bos_token_id=0,
        eos_token_id=1,
    )
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")
    return LanguageModel(LlamaForCausalLM(config).eval(), wrapped, {"architecture": "llama"})


if __name__ == "__main__":
    run()
