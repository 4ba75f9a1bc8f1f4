"""Tiny models of random weights, saved as real Hugging Face checkpoints with a BPE tokenizer."""

import torch
from tokenizers import Tokenizer, decoders, pre_tokenizers, processors, trainers
from tokenizers import models as tokenizer_models
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    GPT2Config,
    LlamaConfig,
    PreTrainedTokenizerFast,
)

VOCABULARY = 700
SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    # Larger than usual, so that tokens differ much in probability.
    "initializer_range": 0.15,
}
FAMILIES = {
    "llama": (LlamaConfig, {"intermediate_size": 48, "num_key_value_heads": 2}),
    "gpt2": (GPT2Config, {}),
    "gemma2": (
        Gemma2Config,
        # A window that is shorter than most contexts.
        {"intermediate_size": 48, "num_key_value_heads": 2, "head_dim": 8, "sliding_window": 16},
    ),
}


def bpe_tokenizer(texts, starts=True):
    """Train a byte-level BPE tokenizer that puts a token in front, or does not (as GPT-2's)."""
    tokenizer = Tokenizer(tokenizer_models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    if starts:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", 0)]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>" if starts else None, eos_token="</s>"
    )


def publish(folder, family, texts, **options):
    """Save a model and its tokenizer in the hub's layout."""
    tokenizer = bpe_tokenizer(texts, starts=family != "gpt2")
    kind, own = FAMILIES[family]
    special = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": None}
    config = kind(**{**SIZES, **own, **special, **options}, vocab_size=len(tokenizer))
    with torch.random.fork_rng():
        torch.manual_seed(5)
        network = AutoModelForCausalLM.from_config(config)
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)
