"""What jobs depend on: neither more nor less than what changes their results."""

import copy

import pytest

from sidekick import recipes
from unit.test_config import DATASET, DISTILL, MODEL, PROBE, SEARCH, of_images, put


@pytest.fixture
def config():
    return of_images()


def reordered(value):
    """The same configuration with the keys of every block in reverse order."""
    if isinstance(value, dict):
        return {key: reordered(value[key]) for key in reversed(value)}
    return [reordered(one) for one in value] if isinstance(value, list) else value


def everything(config):
    """What jobs depend on, as Snakemake compares it: by representation."""
    models, datasets = sorted(config["models"]), sorted(config["datasets"])
    per_model = (
        recipes.architecture,
        recipes.finetune_recipe,
        recipes.linear_probe_recipe,
        recipes.search,
        recipes.evaluated_recipes,
    )
    distilled = [model for model in models if "distill" in config["models"][model]]
    return repr(
        [
            *(recipe(config, model) for recipe in per_model for model in models),
            *(recipes.distill_recipe(config, model) for model in distilled),
            *(recipes.dataset_recipe(config, dataset) for dataset in datasets),
            *(recipes.mc_dropout_recipe(config, m) for m in config["mc_dropout"]["models"]),
            recipes.alphas(config),
            *(recipes.gatekeeper_recipe(config, m) for m in recipes.gatekept_models(config)),
        ]
    )


def test_the_order_of_keys_does_not_enter_recipes(config):
    config["models"]["test_resnet"]["finetune"] = {"epochs": 3, "augmentation": {"noise": 0.1}}
    config["models"]["test_resnet"]["options"] = {"b": {"d": 1, "c": 2}, "a": [{"z": 1, "y": 2}]}
    assert everything(reordered(config)) == everything(config)


def test_labels_do_not_enter_recipes(config):
    before = everything(config)
    for entry in config["models"].values():
        entry["labels"] = {"family": "other", "colour": "red"}
    assert everything(config) == before
    config["models"]["test_resnet"].pop("labels")
    assert everything(config) == before


def test_what_does_not_matter_to_training_does_not_enter_recipes(config):
    before = everything(config)
    config["compute"] = {"device": "cuda", "threads": 8}
    config["evaluation"]["seed"] = 9
    config["cascade"]["deferral_ratios"] = [0.1]
    config["mc_dropout"]["passes"] = 99
    config["benchmark"] = "other"
    config["downloads"] = {"folder": "elsewhere", "offline": True}
    for block in (config["datasets"]["digits"], config["datasets"]["digits"]["shift"]):
        block |= {"mirror": "https://host", "path": "here"}
    assert everything(config) == before


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("finetune/epochs", 21),
        (f"{MODEL}/architecture", "resnet18"),
        (f"{MODEL}/pretrained", True),
        (f"{MODEL}/options", {"width": 2}),
        (f"{MODEL}/finetune", {"epochs": 1}),
        ("mc_dropout/training/hidden", 9),
        ("mc_dropout/training/backbone", "tuned"),
        ("mc_dropout/start", "pretrained"),
        ("gatekeeper/alphas", [0.5, 0.9]),
        ("gatekeeper/training/epochs", 3),
        ("gatekeeper/anchor", 0.5),
        (f"{DATASET}/splits/val", 301),
        (f"{DATASET}/shift/samples", 299),
        (f"{DATASET}/main_metric", "macro_f1"),
        (f"{DATASET}/checksum", "md5:0"),
        (f"{DATASET}/shift/checksum", "md5:0"),
        (f"{MODEL}/input", {"size": 64}),
        (f"{MODEL}/distill", DISTILL),
        ("finetune/linear_probe", PROBE),
        ("finetune/search", SEARCH),
        ("finetune/search", SEARCH | {"soups": True}),
    ],
    ids=lambda part: str(part)[:30],
)
def test_what_does_matter_enters_recipes(config, path, value):
    before = everything(config)
    put(config, path, value)
    assert everything(config) != before


def test_a_models_own_settings_override_the_shared_ones_key_by_key(config):
    config["finetune"] = {"epochs": 20, "augmentation": {"noise": 0.06, "shift": 2}}
    config["models"]["test_resnet"]["finetune"] = {"augmentation": {"noise": 0.1}, "batch_size": 8}
    assert recipes.finetune_recipe(config, "test_resnet") == {
        "augmentation": {"noise": 0.1, "shift": 2},
        "batch_size": 8,
        "epochs": 20,
    }
    assert recipes.finetune_recipe(config, "small_cnn") == config["finetune"]


def test_recipes_leave_the_configuration_alone(config):
    config["models"]["test_resnet"]["finetune"] = {"augmentation": {"noise": 0.1}}
    before = copy.deepcopy(config)
    everything(config)
    assert config == before


def test_an_absent_option_is_not_in_the_recipe(config):
    """A default here would retrain every model on the day an option is added."""
    assert recipes.architecture(config, "test_resnet") == {"architecture": "test_resnet"}


def test_stages_are_no_part_of_what_finetuning_depends_on(config):
    before = recipes.finetune_recipe(config, "small_cnn")
    config["finetune"] |= {"linear_probe": PROBE, "search": SEARCH}
    assert recipes.finetune_recipe(config, "small_cnn") == before
    assert recipes.linear_probe_recipe(config, "small_cnn") == PROBE
    assert recipes.search(config, "small_cnn") == SEARCH


def test_null_switches_off_what_all_others_have(config):
    config["finetune"] |= {"linear_probe": PROBE, "search": SEARCH, "ema": 0.9}
    off = {"linear_probe": None, "search": None, "ema": None}
    config["models"]["small_cnn"]["finetune"] = off
    assert recipes.linear_probe_recipe(config, "small_cnn") is None
    assert recipes.search(config, "small_cnn") is None
    assert recipes.trials(config, "small_cnn") == []
    assert "ema" not in recipes.finetune_recipe(config, "small_cnn")


def test_trials_draw_their_own_settings_and_share_the_rest(config):
    config["finetune"]["search"] = SEARCH
    names = recipes.trials(config, "small_cnn")
    assert names == ["trial00", "trial01", "trial02"]
    drawn = [recipes.trial_recipe(config, "small_cnn", 0, name) for name in names]
    for key in ("learning_rate", "weight_decay"):
        values = [recipe.pop(key) for recipe in drawn]
        assert len(set(values)) == 3
        assert all(SEARCH[key][0] <= value <= SEARCH[key][1] for value in values)
    shared = {**config["finetune"]}
    for key in ("search", "learning_rate", "weight_decay"):
        del shared[key]
    assert drawn == [shared] * 3


def test_another_seed_draws_others_and_more_trials_leave_the_first_ones(config):
    config["finetune"]["search"] = SEARCH
    first = recipes.trial_recipe(config, "small_cnn", 0, "trial01")
    assert recipes.trial_recipe(config, "small_cnn", 1, "trial01") != first
    config["finetune"]["search"] = SEARCH | {"trials": 9}
    assert recipes.trial_recipe(config, "small_cnn", 0, "trial01") == first


def test_the_teacher_is_an_input_and_no_setting(config):
    config["models"]["small_cnn"]["distill"] = DISTILL
    recipe = recipes.distill_recipe(config, "small_cnn")
    assert recipe == {**config["finetune"], "distill": {"temperature": 2, "weight": 0.5}}


def test_a_sweep_has_a_recipe_per_alpha_and_a_control(config):
    config["gatekeeper"]["alphas"] = [0.9, 0.05, 0.5]
    assert recipes.sweep(config) == [
        "gatekeeper_a05", "gatekeeper_a50", "gatekeeper_a90", "ce_control",
    ]  # fmt: skip
    del config["gatekeeper"]["alphas"]
    papers = [0.1, 0.3, 0.5, 0.7, 0.9]
    assert recipes.alphas(config) == papers
    del config["gatekeeper"]
    assert recipes.alphas(config) == papers, "what a rule without jobs declares"
    assert recipes.gatekept_models(config) == []


def test_a_sweep_goes_on_with_the_models_settings_but_for_its_stages(config):
    config["finetune"] |= {"linear_probe": PROBE, "search": SEARCH, "early_stopping": 3, "ema": 0.9}
    config["gatekeeper"]["training"] = {
        "epochs": 4, "learning_rate": 0.001, "ema": None, "augmentation": {"noise": 0},
    }  # fmt: skip
    config["models"]["small_cnn_narrow"]["finetune"] = {"weight_decay": 0.2}
    assert recipes.gatekeeper_recipe(config, "small_cnn_narrow") == {
        "augmentation": {"noise": 0, "shift": 2},
        "batch_size": 32,
        "epochs": 4,
        "gatekeeper": {},
        "learning_rate": 0.001,
        "weight_decay": 0.2,
    }
    config["gatekeeper"] |= {"targets": "large", "anchor": 0.5}
    found = recipes.gatekeeper_recipe(config, "small_cnn_narrow")
    assert found["gatekeeper"] == {"anchor": 0.5, "targets": "large"}


@pytest.mark.parametrize(
    ("block", "start", "is_asked"),
    [
        ({}, "finetune", False),
        ({}, "distill", False),
        ({"targets": "large"}, "finetune", True),
        ({"anchor": 0.5, "anchor_targets": "large"}, "finetune", True),
        ({"anchor": 0.5}, "finetune", False),
        ({"correctness": "cross_fitted"}, "finetune", False),
        ({"correctness": "cross_fitted"}, "distill", True),
    ],
    ids=str,
)
def test_the_large_model_is_an_input_only_where_it_takes_part(config, block, start, is_asked):
    config["gatekeeper"] |= block
    model = "small_cnn_narrow"
    assert recipes.gatekeeper_pair(config, model) == {"large": "test_resnet", "start": "finetune"}
    config["gatekeeper"]["pairs"][model]["start"] = start
    expected = "test_resnet" if is_asked else None
    assert recipes.gatekeeper_partner(config, model) == expected


def test_the_probe_is_an_input_only_of_folds(config):
    model = "small_cnn_narrow"
    config["finetune"]["linear_probe"] = PROBE
    assert recipes.gatekeeper_probe(config, model) is None
    config["gatekeeper"]["correctness"] = "cross_fitted"
    assert recipes.gatekeeper_probe(config, model) == PROBE
    config["models"][model]["finetune"] = {"linear_probe": None}
    assert recipes.gatekeeper_probe(config, model) is None


def test_a_head_depends_on_the_network_itself_only_if_it_starts_from_it(config):
    config["models"]["test_resnet"] |= {"pretrained": True, "options": {"drop_rate": 0.1}}
    training = config["mc_dropout"]["training"]
    assert recipes.mc_dropout_recipe(config, "test_resnet") == training
    config["mc_dropout"]["start"] = "pretrained"
    recipe = recipes.mc_dropout_recipe(config, "test_resnet")
    start = {"architecture": "test_resnet", "options": {"drop_rate": 0.1}, "pretrained": True}
    assert recipe == {**training, "start": start}


def test_to_say_what_is_so_anyway_changes_no_head(config):
    before = repr(recipes.mc_dropout_recipe(config, "test_resnet"))
    config["mc_dropout"]["training"]["backbone"] = "frozen"
    config["mc_dropout"]["start"] = "finetune"
    assert repr(recipes.mc_dropout_recipe(config, "test_resnet")) == before


def test_only_what_is_evaluated_is_cached(config):
    assert recipes.evaluated_recipes(config, "small_cnn") == ["finetune"]
    config["finetune"]["search"] = SEARCH
    assert recipes.evaluated_recipes(config, "small_cnn") == ["finetune"]
    config["finetune"]["search"] = SEARCH | {"soups": True, "ensemble": 2}
    config["models"]["small_cnn"]["distill"] = DISTILL
    assert recipes.evaluated_recipes(config, "small_cnn") == [
        "finetune", "soup_uniform", "soup_greedy", "trial_ensemble", "distill",
    ]  # fmt: skip
    assert recipes.trial_ensemble(config, "digits", "small_cnn") == {
        "metric": "accuracy",
        "size": 2,
    }
    del config["datasets"]["digits"]["main_metric"]
    assert recipes.trial_ensemble(config, "digits", "small_cnn")["metric"] == "accuracy"


def test_files_are_downloaded_as_registered_or_as_the_checksum_says(config):
    name = "tiny-imagenet-200.zip"
    entry = {**config["datasets"]["digits"], "source": "tinyimagenet"}
    config["datasets"] = {"tiny": entry}
    registered = recipes.remote_file(config, "tinyimagenet", name)
    assert registered["checksum"] == "md5:90528d7ca1a48142e341f4ef8d21d0de"
    entry["checksum"] = "md5:" + "0" * 32
    assert recipes.remote_file(config, "tinyimagenet", name)["checksum"] == entry["checksum"]
    entry["path"] = "here.zip"
    assert recipes.remote_file(config, "tinyimagenet", name) == registered


def imported(config, **entry):
    """Let small_cnn bring its logits of the digits."""
    files = {"test": "a/test{seed}.npz", "val": "a/val{seed}.npz", **entry}
    config["models"]["small_cnn"] = {"logits": {"digits": files}, "gmacs": 0.1}
    return config


def test_an_imported_model_has_one_recipe_and_no_training(config):
    config["finetune"]["search"] = SEARCH | {"soups": True}
    imported(config)
    assert recipes.is_imported(config, "small_cnn")
    assert not recipes.is_imported(config, "test_resnet")
    assert recipes.evaluated_recipes(config, "small_cnn") == ["imported"]
    assert recipes.evaluated_recipes(config, "test_resnet")[0] == "finetune"
    assert recipes.search(config, "small_cnn") is None
    assert recipes.trials(config, "small_cnn") == []
    del config["finetune"]
    assert recipes.linear_probe_recipe(config, "small_cnn") is None


def test_a_request_names_the_files_of_one_seed_and_how_to_read_them(config):
    imported(config, label_files={"test": "y{seed}.npy"}, kind="probabilities")
    assert recipes.import_request(config, "digits", "small_cnn", 7) == {
        "files": {"test": "a/test7.npz", "val": "a/val7.npz"},
        "kind": "probabilities",
        "labels_files": {"test": "y7.npy"},
    }
    config["datasets"]["digits"] = {"val_share": 0.5, "val_seed": 3, "main_metric": "accuracy"}
    request = recipes.import_request(config, "digits", "small_cnn", 7)
    assert (request["val_share"], request["val_seed"]) == (0.5, 3)


def test_deployed_models_come_with_their_recipes(config):
    imported(config)
    models = ["small_cnn", "test_resnet", "test_convnext@distill"]
    config["deployment"] = {"mine": {"kind": "duo", "models": models, "dataset": "digits"}}
    assert recipes.deployed_models(config, "mine") == [
        ("small_cnn", "imported"),
        ("test_resnet", "finetune"),
        ("test_convnext", "distill"),
    ]
    assert list(recipes.deployment(config, "mine")) == ["dataset", "kind", "models"]
