"""A wrong configuration stops with one line before anything runs."""

import pytest

from workflow.configs import small_config
from workflow.project import Project


@pytest.fixture
def project(tmp_path):
    return Project.create(tmp_path / "project", small_config())


def set_value(config, path, value):
    *parents, last = path
    for key in parents:
        config = config[key]
    config[last] = value


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (
            ["models", "alpha", "architecture"],
            "resnet51",
            ["resnet51", "Most similar:", "resnet50"],
        ),
        (["models", "alpha", "lerning_rate"], 1, ["unknown key 'lerning_rate'", "finetune"]),
        (["models", "../alpha"], {"architecture": "small_cnn"}, ["'../alpha'", "legal id"]),
        (["finetune", "epochs"], "many", ["finetune.epochs", "'many'", "integer"]),
        (["datasets", "digits", "source"], "cifar11", ["datasets.digits.source", "'cifar11'"]),
        (["compute", "device"], "tpu", ["compute.device", "'tpu'", "cpu, cuda"]),
        (["gatekeeper", "alphas"], [0.125], ["gatekeeper.alphas", "[0.125]", "two decimals"]),
    ],
    ids=["architecture", "key", "id", "type", "dataset", "choice", "alpha"],
)
def test_a_wrong_value_is_named_with_what_is_allowed(project, path, value, words):
    with project.edit() as config:
        set_value(config, path, value)
    refuse(project, words)


def test_a_file_that_is_no_yaml_is_named_with_the_line(project):
    config = project.path("config.yaml")
    config.write_text("benchmark: tiny\n seeds: [0]\n")
    refuse(project, ["config.yaml", "line 2"], lines=2)


def test_a_repeated_key_is_named_with_the_line(project):
    config = project.path("config.yaml")
    lines = len(config.read_text().splitlines())
    config.write_text(config.read_text() + "benchmark: other\n")
    refuse(project, [f"config.yaml, line {lines + 1}", "'benchmark' stands twice"])


def test_a_given_configuration_is_checked_as_well(project, tmp_path):
    other = Project(tmp_path)
    other.config = {**small_config(), "seeds": []}
    given = str(other.path("config.yaml"))
    refuse(project, ["seeds: []", "at least 1"], arguments=["--configfile", given])


def refuse(project, words, lines=1, arguments=()):
    outcome = project.snakemake("--cores", "1", *arguments, succeeds=False)
    output = outcome.output.removeprefix(
        "Using workflow specific profile profiles/default for setting default command line "
        "arguments.\n"
    )
    assert output.startswith("Error in the configuration: "), output
    assert len(output.splitlines()) == lines, output
    missing = [word for word in words if word not in output]
    assert not missing, f"{missing} should be in:\n{output}"
    assert not project.path("results").exists()
