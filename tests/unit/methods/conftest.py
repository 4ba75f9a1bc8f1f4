import pytest

from unit.methods import data


@pytest.fixture(scope="session")
def real():
    """Name to the logits of real CIFAR-100 classifiers, and their labels."""
    names = {"wrn": "wideresnet-16-4", "densenet": "densenet-bc-100", "lenet": "lenet-5"}
    loaded = {short: data.real_logits(name) for short, name in names.items()}
    if None in loaded.values():
        pytest.skip(f"no real softmax outputs in {data.REAL}")
    return {short: logits for short, (logits, _) in loaded.items()}, loaded["wrn"][1]
