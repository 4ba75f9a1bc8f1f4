import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors import safe_open

from sidekick.errors import SidekickError
from sidekick.models.checkpoints import describe
from sidekick.models.language import create_language_model
from sidekick.models.language_checkpoints import (
    load_language_checkpoint,
    save_language_checkpoint,
)
from sidekick.models.loading import load_model
from unit.models.published import FAMILIES, publish

CPU = torch.device("cpu")
TEXTS = ["question : one two answer : red", "question : three answer : blue"]
SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4}
ENTRY = {"modality": "text", "architecture": "llama", "options": SIZES}
IDS = torch.tensor([[2, 5, 6, 7]])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return publish(tmp_path_factory.mktemp("llama"), "llama", TEXTS)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "deep" / "seed0.safetensors"


def save(path, model, entry, **changes):
    settings = {"recipe": {"steps": 3}, "facts": {"dataset": "toy"}, "classes": 4, "seed": 1}
    save_language_checkpoint(path, model, entry=entry, **settings, val_accuracy=0.5, **changes)
    return path


def same_outputs(first, second):
    assert torch.equal(first.network(IDS).logits, second.network(IDS).logits)
    texts = ["question : one", "answer : none"]
    assert first.tokenizer(texts)["input_ids"] == second.tokenizer(texts)["input_ids"]
    assert first.tokenizer.special_tokens_map == second.tokenizer.special_tokens_map


def with_adapter(model):
    config = LoraConfig(r=2, target_modules=["q_proj", "v_proj"], lora_alpha=4)
    model.network = get_peft_model(model.network, config)
    for name, parameter in model.network.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter)
    model.network.eval()
    return model


def names_in(path):
    with safe_open(path, "pt") as file:
        return set(file.keys())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("family", FAMILIES)
def test_from_scratch(path, family, dtype):
    entry = {**ENTRY, "architecture": family, "dtype": dtype}
    model = create_language_model(entry, TEXTS)
    save(path, model, entry, val_metric={"name": "accuracy", "value": 0.5})
    loaded = load_language_checkpoint(path, CPU)
    same_outputs(model, loaded)
    assert not loaded.network.training
    assert loaded.entry == entry
    assert {p.dtype for p in loaded.network.parameters()} == {getattr(torch, dtype)}
    found = describe(path)
    assert (found.entry, found.classes, found.recipe) == (entry, 4, {"steps": 3})
    assert found.val_metric == {"name": "accuracy", "value": 0.5}


def test_equal_models_give_equal_files(path, tmp_path):
    files = []
    for name in ("a", "b"):
        torch.manual_seed(0)
        model = create_language_model(ENTRY, TEXTS)
        files.append(save(tmp_path / name, model, ENTRY).read_bytes())
    assert files[0] == files[1]


def test_tied_weights_are_stored_once_and_stay_tied(path):
    entry = {**ENTRY, "architecture": "gpt2"}
    save(path, create_language_model(entry, TEXTS), entry)
    assert len({"lm_head.weight", "transformer.wte.weight"} & names_in(path)) == 1
    network = load_language_checkpoint(path, CPU).network
    assert network.get_input_embeddings().weight is network.get_output_embeddings().weight


def test_published_and_fine_tuned(path, folder):
    model = create_language_model({"pretrained": folder})
    with torch.no_grad():
        model.network.get_output_embeddings().weight.mul_(2)
    # What a checkpoint holds must suffice where the published model is gone.
    save(path, model, {"pretrained": "/nowhere"})
    same_outputs(model, load_language_checkpoint(path, CPU))


def test_adapter(path, folder):
    entry = {"pretrained": folder}
    model = with_adapter(create_language_model(entry))
    save(path, model, entry)
    assert all("lora" in name for name in names_in(path))
    loaded = load_language_checkpoint(path, CPU)
    same_outputs(model, loaded)
    plain = create_language_model(entry).network(IDS).logits
    assert not torch.equal(loaded.network(IDS).logits, plain)
    trainable = [name for name, p in loaded.network.named_parameters() if p.requires_grad]
    assert trainable
    assert all("lora" in name for name in trainable)


def test_adapters_give_equal_files(tmp_path, folder):
    entry, files = {"pretrained": folder}, []
    for name in ("a", "b"):
        torch.manual_seed(0)
        files.append(save(tmp_path / name, with_adapter(create_language_model(entry)), entry))
    assert files[0].read_bytes() == files[1].read_bytes()


def test_untouched(path, folder):
    entry = {"pretrained": folder}
    model = create_language_model(entry)
    save(path, model, entry, untouched=True)
    assert names_in(path) == set()
    same_outputs(model, load_language_checkpoint(path, CPU))


def test_the_commit_is_pinned(path, folder):
    model = create_language_model({"pretrained": folder})
    model.network.config._commit_hash = "abc"
    save(path, model, {"pretrained": "org/model", "revision": "main"}, untouched=True)
    assert describe(path).entry["revision"] == "abc"


@pytest.mark.parametrize("untouched", [False, True])
def test_a_base_must_be_published(path, untouched):
    model = create_language_model(ENTRY, TEXTS)
    if not untouched:
        model = with_adapter(model)
    with pytest.raises(SidekickError, match="only of a model with `pretrained`"):
        save(path, model, ENTRY, untouched=untouched)
    assert not path.exists()


def test_another_base(path, folder, tmp_path):
    save(path, with_adapter(create_language_model({"pretrained": folder})), {"pretrained": folder})
    gone = save(
        tmp_path / "gone.safetensors",
        create_language_model({"pretrained": folder}),
        {"pretrained": str(tmp_path / "none")},
        untouched=True,
    )
    with pytest.raises(SidekickError, match=r"pretrained: .*none: no such folder"):
        load_language_checkpoint(gone, CPU)


def test_damage(path):
    save(path, create_language_model(ENTRY, TEXTS), ENTRY)
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(SidekickError, match=f"{path}: its weights are not those"):
        load_language_checkpoint(path, CPU)


def test_other_kinds_of_checkpoint(path):
    save(path, create_language_model(ENTRY, TEXTS), ENTRY)
    with pytest.raises(SidekickError, match=f"{path}: a language model; expected a network that"):
        load_model(path, CPU)
