import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

from sidekick.errors import SidekickError
from sidekick.models.checkpoints import describe
from sidekick.models.preprocessing import Preprocessing
from sidekick.training.distillation import DistillationLoss, distill
from sidekick.training.finetune import cross_entropy
from unit.training.fakes import ENTRY, RECIPE

CPU = torch.device("cpu")
PLAIN = Preprocessing((4, 4), 1.0, "bicubic", (0.0,) * 3, (1.0,) * 3)
TEACHER = {"architecture": "test_resnet"}


@pytest.fixture
def teach(tmp_path):
    def run(teacher, name="student", recipe=(), **changes):
        arguments = {
            "dataset_folder": "bars",
            "entry": ENTRY,
            "recipe": {**RECIPE, "distill": {"temperature": 4.0, "weight": 0.9}, **dict(recipe)},
            "teacher": teacher,
            "seed": 0,
            "checkpoint": tmp_path / name / "seed0.safetensors",
            "curve": tmp_path / name / "seed0.parquet",
            "device": "cpu",
            "threads": 1,
            "facts": {"benchmark": "tiny", "seed": 0},
        }
        arguments.update(changes)
        distill(**arguments)
        return arguments["checkpoint"]

    return run


def _batch():
    generator = torch.Generator().manual_seed(0)
    pixels = torch.rand(5, 3, 4, 4, generator=generator)
    logits = torch.randn(5, 7, generator=generator, requires_grad=True)
    return logits, torch.tensor([0, 3, 6, 2, 2]), pixels


def _loss(temperature, weight, preprocessing=PLAIN):
    torch.manual_seed(1)
    size = preprocessing.size[0] * preprocessing.size[1] * 3
    teacher = nn.Sequential(nn.Flatten(), nn.Linear(size, 7))
    hard = cross_entropy({})
    return teacher, DistillationLoss(teacher, preprocessing, hard, temperature, weight, CPU)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
@pytest.mark.parametrize("weight", [0.3, 1.0])
def test_the_loss_by_its_formula(temperature, weight):
    logits, labels, pixels = _batch()
    teacher, loss = _loss(temperature, weight)
    p = (teacher(pixels) / temperature).softmax(1)
    q = (logits / temperature).softmax(1)
    divergence = (p * (p.log() - q.log())).sum(1).mean()
    expected = weight * temperature**2 * divergence
    expected = expected + (1 - weight) * F.cross_entropy(logits, labels)
    torch.testing.assert_close(loss(logits, labels, pixels), expected)


def test_the_teacher_takes_no_gradient_and_the_student_does():
    logits, labels, pixels = _batch()
    teacher, loss = _loss(2.0, 0.5)
    loss(logits, labels, pixels).backward()
    assert logits.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert not teacher.training


def test_a_teacher_with_its_own_answers_costs_nothing():
    _, labels, pixels = _batch()
    teacher, loss = _loss(3.0, 1.0)
    assert loss(teacher(pixels), labels, pixels).item() == pytest.approx(0, abs=1e-6)


def test_the_teacher_reads_images_in_its_own_way():
    _, labels, pixels = _batch()
    own = Preprocessing((6, 6), 1.0, "bilinear", (0.5,) * 3, (0.25,) * 3)
    teacher, loss = _loss(3.0, 1.0, own)
    read = (F.interpolate(pixels, (6, 6), mode="bilinear", antialias=True) - 0.5) / 0.25
    assert loss(teacher(read), labels, pixels).item() == pytest.approx(0, abs=1e-5)


def test_a_student_learns_and_says_from_whom(train, teach):
    teacher = train("teacher", {"epochs": 15}, entry=TEACHER)
    assert describe(teacher).val_accuracy > 0.9
    before = teacher.read_bytes()
    checkpoint = teach(teacher)
    description = describe(checkpoint)
    assert description.val_accuracy > 0.9
    assert description.entry == ENTRY
    assert description.recipe["distill"] == {"temperature": 4.0, "weight": 0.9}
    assert teacher.read_bytes() == before
    assert sorted(file.name for file in checkpoint.parent.iterdir()) == [
        "seed0.parquet",
        "seed0.safetensors",
    ]


def test_temperature_weight_and_teacher_decide(train, teach):
    teacher, other = train("teacher", entry=TEACHER), train("other", entry=TEACHER, seed=1)
    short = {"epochs": 1}
    weights = [
        load_file(teach(teacher, "a", short))["fc.weight"],
        load_file(teach(other, "b", short))["fc.weight"],
        *(
            load_file(teach(teacher, f"c{row}", {**short, "distill": block}))["fc.weight"]
            for row, block in enumerate(
                ({"temperature": 1.0, "weight": 0.9}, {"temperature": 4.0, "weight": 0.1})
            )
        ),
    ]
    assert all(
        not torch.equal(one, two) for row, one in enumerate(weights) for two in weights[:row]
    )


def test_everything_else_is_as_in_fine_tuning(train, teach, probe):
    teacher = train("teacher", entry=TEACHER)
    settings = {
        "accumulation": 2,
        "ema": 0.9,
        "early_stopping": 2,
        "augmentation": {"mixup": 0.2, "flip": True},
    }
    start = probe()
    first, second = (teach(teacher, name, settings, start=start) for name in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()


def test_unsuitable_teachers_are_refused(train, train_head, teach, monkeypatch):
    teacher = train("teacher")
    with pytest.raises(SidekickError, match="MC-dropout head cannot be a teacher"):
        teach(train_head(teacher))
    description = describe(teacher)
    object.__setattr__(description, "classes", 7)
    monkeypatch.setattr("sidekick.training.distillation.describe", lambda path: description)
    with pytest.raises(SidekickError, match="made for 7 classes, but bars has 3"):
        teach(teacher)
