import pytest

from sidekick.errors import SidekickError
from sidekick.models.encoding import encode_options
from sidekick.models.word_encoding import options_encoder
from sidekick.models.word_tokenizer import build_word_tokenizer
from unit.models.published import bpe_tokenizer
from unit.training_language.fakes_language import texts

WORDS = build_word_tokenizer(["what is a b c ? < é"])
CONTEXTS = [
    "what is a ?", "what is new ?", "  what   is", "what is ", "what\tis\na", "what\x1cis", "é a",
    "a\u00a0b", "a\u2003b", "<bos> a", "a<eos>b", "a <unk> b", "<pad>", "", " ", "\n",
]  # fmt: skip
OPTIONS = [" a", " b c", " new", " <eos>", " a ", "  c", " é", " a\x1fb"]


@pytest.mark.parametrize("context", CONTEXTS, ids=repr)
def test_the_same_tokens_as_the_tokenizers(context):
    expected = encode_options(WORDS, context, OPTIONS)
    assert options_encoder(WORDS)(context, OPTIONS) == expected


def _outcome(encode, continuations):
    try:
        return encode("what is", continuations)
    except SidekickError as error:
        return str(error)


@pytest.mark.parametrize("continuation", ["a", "", " ", "\ta"], ids=repr)
def test_continuations_that_are_no_word_of_their_own(continuation):
    encode = options_encoder(WORDS)
    assert _outcome(encode, [" b", continuation]) == _outcome(
        lambda *texts: encode_options(WORDS, *texts), [" b", continuation]
    )


def test_answers_do_not_share_lists():
    encode = options_encoder(WORDS)
    encode("a", [" b"])[1][0].append(7)
    assert encode("a", [" b"]) == encode_options(WORDS, "a", [" b"])


def test_other_tokenizers_are_left_alone():
    tokenizer = bpe_tokenizer(texts())
    expected = encode_options(tokenizer, "say red", [" red", " grey paint"])
    assert options_encoder(tokenizer)("say red", [" red", " grey paint"]) == expected
