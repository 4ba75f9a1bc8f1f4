"""A faster way to encode with tokenizers of whole words, which gives the same tokens."""

from collections.abc import Callable, Sequence
from functools import cache

from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import PreTrainedTokenizerBase

from sidekick.models.encoding import encode_options
from sidekick.models.word_tokenizer import START, UNKNOWN

EncodeOptions = Callable[[str, Sequence[str]], tuple[list[int], list[list[int]]]]
"""As `sidekick.models.encoding.encode_options` of one tokenizer."""


def options_encoder(tokenizer: PreTrainedTokenizerBase) -> EncodeOptions:
    """Give `encode_options` of a tokenizer, some twenty times as fast for tokenizers of words.

    There the tokens of a text are those of its words, so that a continuation need not be encoded
    together with its context, and a dictionary does the rest.
    """
    if not _is_of_words(tokenizer):
        return lambda context, continuations: encode_options(tokenizer, context, continuations)
    vocabulary = tokenizer.get_vocab()
    start, unknown = vocabulary[START], vocabulary[UNKNOWN]

    @cache
    def words(text: str) -> tuple[int, ...]:
        return tuple(vocabulary.get(word, unknown) for word in text.split())

    def encode(context: str, continuations: Sequence[str]) -> tuple[list[int], list[list[int]]]:
        is_plain = _is_plain(context) and all(map(_is_plain, continuations))
        if not (is_plain and context and all(one[:1] == " " for one in continuations)):
            return encode_options(tokenizer, context, continuations)
        found = [list(words(one)) for one in continuations]
        if not all(found):
            # Refuses them.
            return encode_options(tokenizer, context, continuations)
        return [start, *(vocabulary.get(word, unknown) for word in context.split())], found

    return encode


def _is_of_words(tokenizer: PreTrainedTokenizerBase) -> bool:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    return (
        backend is not None
        and isinstance(backend.model, WordLevel)
        and isinstance(backend.pre_tokenizer, WhitespaceSplit)
        and backend.normalizer is None
        and tokenizer("")["input_ids"] == [tokenizer.get_vocab().get(START)]
    )


def _is_plain(text: str) -> bool:
    """Say whether the only white space is spaces, and no special token can hide in a text."""
    return text.isascii() and text.isprintable() and "<" not in text
