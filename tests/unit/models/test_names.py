import subprocess
import sys

import pytest

from sidekick.models import names


def test_file_holds_what_the_installed_timm_gives():
    assert names.NAMES_FILE.read_text().split() == names.installed_architectures(), (
        "run python -m sidekick.models.names"
    )


def test_write_names(tmp_path):
    names.write_names(tmp_path / "names.txt")
    assert (tmp_path / "names.txt").read_bytes() == names.NAMES_FILE.read_bytes()


@pytest.mark.parametrize(
    "name",
    [
        "small_cnn",
        "test_resnet",
        "resnet50",
        "resnet50.a1_in1k",
        "hf-hub:timm/resnet50.a1_in1k",
        "local-dir:/some/where",
    ],
)
def test_known(name):
    assert names.is_known(name)


@pytest.mark.parametrize(
    "name", ["", "resnet5O", "resnet50.nonsense", "hf-hub:", "local-dir:", "x:y"]
)
def test_unknown(name):
    assert not names.is_known(name)


def test_similar_names_come_best_first():
    assert names.similar("ResNet-50")[0] == "resnet50"
    assert names.similar("smallcnn")[0] == "small_cnn"
    assert len(names.similar("zzz", count=5)) == 5


def test_import_leaves_torch_and_timm_out():
    code = (
        "import sys\n"
        "from sidekick.models import names\n"
        "names.similar('resnet5')\n"
        "heavy = {'torch', 'timm', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)})
