"""A tokenizer of whole words, for small language models that are trained from scratch."""

from collections.abc import Iterable

from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

PAD, UNKNOWN, START, END = "<pad>", "<unk>", "<bos>", "<eos>"
_SPECIAL = (PAD, UNKNOWN, START, END)


def build_word_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """Give every word of some texts, set apart by white space, a token of its own.

    The special tokens come first, then the words in alphabetical order, so that the same words
    give the same tokenizer whatever order the texts come in. Like most published tokenizers it
    puts a token before what it encodes; other words become `<unk>`.
    """
    words = sorted({word for text in texts for word in text.split()} - set(_SPECIAL))
    vocabulary = {word: index for index, word in enumerate((*_SPECIAL, *words))}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    tokenizer.post_processor = TemplateProcessing(
        single=f"{START} $A", special_tokens=[(START, vocabulary[START])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        unk_token=UNKNOWN,
        bos_token=START,
        eos_token=END,
    )
