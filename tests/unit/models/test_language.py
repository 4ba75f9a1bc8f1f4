import json
import shutil
from types import SimpleNamespace

import pytest
import torch
from transformers import GenerationMixin

from sidekick.errors import SidekickError
from sidekick.models.encoding import encode_options, encode_texts, longest_input, padding_token
from sidekick.models.language import create_language_model, encode_pair
from unit.models.published import FAMILIES, bpe_tokenizer, publish

TEXTS = ["question : one two answer : red", "question : three answer : blue <pad>"]
SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4}
ENTRY = {"modality": "text", "architecture": "llama", "options": SIZES, "tokenizer": "words"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return publish(tmp_path_factory.mktemp("llama"), "llama", TEXTS)


@pytest.mark.parametrize("family", FAMILIES)
def test_from_scratch(family):
    model = create_language_model({**ENTRY, "architecture": family}, TEXTS)
    assert model.network.config.model_type == family
    assert model.network.config.vocab_size == len(model.tokenizer) == 12
    assert not model.network.training
    ids = torch.tensor([encode_texts(model.tokenizer, TEXTS[:1])[0]])
    assert model.network(ids).logits.shape == (1, 8, 12)
    for name in ("pad_token_id", "bos_token_id", "eos_token_id"):
        assert getattr(model.network.config, name) == getattr(model.tokenizer, name)


def test_the_seed_decides_the_weights():
    weights = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        network = create_language_model(ENTRY, TEXTS).network
        weights.append(network.get_input_embeddings().weight)
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_heads_make_the_hidden_size_together():
    network = create_language_model({**ENTRY, "architecture": "gemma2"}, TEXTS).network
    assert network.model.layers[0].self_attn.q_proj.weight.shape == (16, 16)
    assert network.config.query_pre_attn_scalar == 4


def test_word_tokenizer():
    tokenizer = create_language_model(ENTRY, reversed(TEXTS)).tokenizer
    words = ["<pad>", "<unk>", "<bos>", "<eos>", ":", "answer", "blue", "one"]
    assert tokenizer.convert_ids_to_tokens(range(8)) == words
    ids = tokenizer("answer : green\nred")["input_ids"]
    tokens = ["<bos>", "answer", ":", "<unk>", "red"]
    assert tokenizer.convert_ids_to_tokens(ids) == tokens
    assert encode_pair(tokenizer, "answer :", " red") == (ids[:3], ids[4:])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_dtype(folder, dtype):
    for entry in (ENTRY, {"pretrained": folder}):
        model = create_language_model({**entry, "dtype": dtype}, TEXTS)
        assert {str(p.dtype) for p in model.network.parameters()} == {f"torch.{dtype}"}


def test_published(folder):
    model = create_language_model({"modality": "text", "pretrained": folder})
    assert isinstance(model.network, GenerationMixin)
    assert model.tokenizer("one")["input_ids"][0] == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": "bert"}, "architecture: 'bert' .* allowed are llama, gemma2, gpt2"),
        ({"options": {**SIZES, "hiden": 3}}, "options: hiden unknown to 'llama'; .*hidden_size"),
        ({"options": {"hidden_size": 8}}, "'llama' needs num_hidden_layers, num_attention_heads"),
        ({"options": {**SIZES, "hidden_size": 18}}, "options: .*18.* do not suit 'llama'"),
        ({"options": {**SIZES, "hidden_size": "x"}}, "options: .*'x'.* do not suit 'llama'"),
        ({"tokenizer": "bpe"}, "tokenizer: 'bpe' is not known"),
        ({"dtype": "int8"}, "dtype: 'int8' is not known; allowed are float32, bfloat16"),
    ],
)
def test_bad_entries(changes, message):
    with pytest.raises(SidekickError, match=message):
        create_language_model({**ENTRY, **changes}, TEXTS)


def test_a_vocabulary_needs_texts():
    with pytest.raises(SidekickError, match="needs the texts"):
        create_language_model(ENTRY)


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_folder_without_a_file(folder, tmp_path, missing):
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / missing).unlink()
    with pytest.raises(SidekickError, match=rf"pretrained: {copy}/{missing}: no such file"):
        create_language_model({"pretrained": str(copy)})


def test_pickled_weights_are_not_read(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(SidekickError, match=r"model.safetensors: no such file.*not read"):
        create_language_model({"pretrained": str(copy)})


def test_code_that_comes_with_a_model_is_not_run(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    witness = tmp_path / "ran"
    (copy / "mine.py").write_text(f"open({str(witness)!r}, 'w')\nclass Config: pass\n")
    config = json.loads((copy / "config.json").read_text())
    config |= {"model_type": "mine", "auto_map": {"AutoConfig": "mine.Config"}}
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(SidekickError, match=f"pretrained: {copy}: cannot be loaded"):
        create_language_model({"pretrained": str(copy)})
    assert not witness.exists()


def test_damaged_weights(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "model.safetensors").write_bytes(b"\0" * 50)
    with pytest.raises(SidekickError, match=f"pretrained: {copy}: cannot be loaded"):
        create_language_model({"pretrained": str(copy)})


def test_no_such_folder(tmp_path):
    with pytest.raises(SidekickError, match=r"pretrained: .*/none: no such folder"):
        create_language_model({"pretrained": str(tmp_path / "none")})


@pytest.mark.parametrize(("revision", "flag"), [(None, ""), ("abc123", " --revision abc123")])
def test_offline(monkeypatch, tmp_path, revision, flag):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    entry = {"pretrained": "google/gemma-2-2b-it", "revision": revision}
    with pytest.raises(SidekickError) as caught:
        create_language_model(entry)
    message = str(caught.value)
    assert "'google/gemma-2-2b-it'" in message
    assert "lacks config.json, model.safetensors, tokenizer.json" in message
    assert f"`hf download google/gemma-2-2b-it{flag}`" in message
    assert "or set `pretrained` to a folder" in message


def test_pairs_are_encoded_together():
    tokenizer = bpe_tokenizer(["abab abab abab"] * 9)
    whole = tokenizer("ab abab")["input_ids"]
    context, continuation = encode_pair(tokenizer, "ab ", "abab")
    assert context == tokenizer("ab")["input_ids"]
    assert context + continuation == whole


def test_a_text_that_has_its_start_gets_no_second():
    tokenizer = bpe_tokenizer(TEXTS)
    assert encode_texts(tokenizer, ["<s>one", "one"])[0] == encode_texts(tokenizer, ["one"])[0]


def test_no_context():
    tokenizer = bpe_tokenizer(TEXTS)
    context, (continuation, same) = encode_options(tokenizer, "", ["one", "<s>one"])
    assert context == [0]
    assert continuation == same == tokenizer("one", add_special_tokens=False)["input_ids"]


def test_a_continuation_without_tokens():
    with pytest.raises(SidekickError, match="'' adds no token to the context that ends in 'one'"):
        encode_pair(bpe_tokenizer(TEXTS), "one", "")


def test_how_much_a_model_reads(folder):
    model = create_language_model({"pretrained": folder})
    config = model.network.config
    assert longest_input(config, model.tokenizer) == config.max_position_embeddings == 2048
    assert longest_input(SimpleNamespace(n_positions=9, n_ctx=8), model.tokenizer) == 9
    silent = SimpleNamespace()
    assert longest_input(silent, bpe_tokenizer(TEXTS)) == 2048
    model.tokenizer.model_max_length = 77
    assert longest_input(silent, model.tokenizer) == 77


def test_padding_token():
    tokenizer = bpe_tokenizer(TEXTS)
    assert padding_token(tokenizer) == tokenizer.eos_token_id == 1
    assert padding_token(create_language_model(ENTRY, TEXTS).tokenizer) == 0
