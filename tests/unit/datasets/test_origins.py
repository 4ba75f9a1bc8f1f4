"""Where files are downloaded from."""

from sidekick.datasets.origins import mirror


def test_a_datasets_own_mirror_comes_before_the_general_one():
    config = {"datasets": {"tiny": {"source": "tinyimagenet"}}}
    assert mirror(config, "tinyimagenet") is None
    config["downloads"] = {"mirror": "https://general"}
    assert mirror(config, "tinyimagenet") == "https://general"
    config["datasets"]["tiny"]["mirror"] = "https://own"
    assert mirror(config, "tinyimagenet") == "https://own"
    assert mirror(config, "frost") == "https://general"


def test_a_shift_set_may_have_a_mirror_of_its_own():
    shift = {"source": "cifar10_c", "mirror": "https://shifted"}
    config = {"datasets": {"cifar10": {"source": "cifar10", "shift": shift}}}
    assert mirror(config, "cifar10_c") == "https://shifted"
    assert mirror(config, "cifar10") is None
