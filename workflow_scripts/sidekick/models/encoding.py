"""Texts to tokens, exactly as lm-evaluation-harness does, so that log-likelihoods agree.

The rules are those of its Hugging Face model (`HFLM._encode_pair` and `HFLM.tok_encode` of
lm-eval 0.4.13): what a tokenizer adds by itself stays, unless the text starts with that already;
and a continuation's tokens are those that it adds to the tokens of its context.
"""

from collections.abc import Sequence

from transformers import PreTrainedConfig, PreTrainedTokenizerBase
from transformers.tokenization_utils_base import VERY_LARGE_INTEGER

from sidekick.errors import SidekickError

_DEFAULT_LENGTH = 2048
_LENGTH_KEYS = ("n_positions", "max_position_embeddings", "n_ctx")


def encode_pair(
    tokenizer: PreTrainedTokenizerBase, context: str, continuation: str
) -> tuple[list[int], list[int]]:
    """Encode a context and what follows it; `encode_options` says how.

    Returns
    -------
    context, continuation : list of int
        Token ids.
    """
    context_ids, (continuation_ids,) = encode_options(tokenizer, context, [continuation])
    return context_ids, continuation_ids


def encode_options(
    tokenizer: PreTrainedTokenizerBase, context: str, continuations: Sequence[str]
) -> tuple[list[int], list[list[int]]]:
    """Encode a context once and each of its continuations.

    Parameters
    ----------
    tokenizer
        Of the model.
    context
        White space at its end moves to the continuations.
    continuations
        Texts that follow it.

    Returns
    -------
    context : list of int
        Token ids; of an empty context the token that starts a sequence.
    continuations : list of list of int

    Raises
    ------
    SidekickError
        If a continuation adds no token.
    """
    if context:
        wholes = [context + continuation for continuation in continuations]
        context_ids, *whole_ids = encode_texts(tokenizer, [context.rstrip(), *wholes])
        found = [ids[len(context_ids) :] for ids in whole_ids]
    else:
        context_ids = [_start_token(tokenizer)]
        alone = [tokenizer.encode(text, add_special_tokens=False) for text in continuations]
        found = [ids[1:] if ids[:1] == context_ids else ids for ids in alone]
    for continuation, ids in zip(continuations, found, strict=True):
        if not ids:
            raise SidekickError(
                f"tokenizer: '{continuation}' adds no token to the context that ends in "
                f"'{context[-40:]}'"
            )
    return context_ids, found


def encode_texts(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[int]]:
    """Encode whole texts, without a second token for the start of a sequence."""
    start = tokenizer.decode([_start_token(tokenizer)])
    plain = [not text.startswith(start) for text in texts]
    if all(plain):
        return tokenizer(list(texts))["input_ids"]
    return [
        tokenizer.encode(text, add_special_tokens=add)
        for text, add in zip(texts, plain, strict=True)
    ]


def longest_input(config: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase) -> int:
    """Give how many tokens a model reads at most."""
    config = getattr(config, "text_config", None) or config
    for key in _LENGTH_KEYS:
        length = getattr(config, key, None)
        if length is not None:
            return int(length)
    known = tokenizer.model_max_length
    return _DEFAULT_LENGTH if known >= VERY_LARGE_INTEGER else int(known)


def padding_token(tokenizer: PreTrainedTokenizerBase) -> int:
    """Give a token to fill rows up with; no result depends on which."""
    candidates = (tokenizer.pad_token_id, tokenizer.eos_token_id)
    return next((token for token in candidates if token is not None), 0)


def _start_token(tokenizer: PreTrainedTokenizerBase) -> int:
    for token in (tokenizer.bos_token_id, tokenizer.eos_token_id):
        if token is not None:
            return token
    raise SidekickError(
        f"{tokenizer.name_or_path or 'tokenizer'}: has neither a token for the start of a "
        "sequence nor one for its end"
    )
