"""An artifact that is damaged after it was written: the run names it; made anew, it mends all."""

import os

import pytest

pytestmark = pytest.mark.slow


def flip(content: bytes) -> bytes:
    damaged = bytearray(content)
    damaged[len(damaged) // 2] ^= 4
    return bytes(damaged)


def truncate(content: bytes) -> bytes:
    return content[: len(content) // 2]


LOGITS, PARTNER = (f"logits/digits/{model}/finetune/seed0" for model in ("beta", "alpha"))
EVALUATION = "evaluation/single/digits/beta"


@pytest.mark.parametrize(
    ("name", "damage", "read_for"),
    [
        # A pair job depends on its partner's caches by way of a list of them.
        (f"{PARTNER}/test.parquet", flip, "evaluation/pairs/digits/beta"),
        (f"{LOGITS}/val.parquet", truncate, EVALUATION),
        ("checkpoints/digits/beta/finetune/seed0.safetensors", flip, LOGITS),
        ("flops/digits/beta.json", flip, EVALUATION),
    ],
)
def test_a_damaged_artifact_is_named_and_made_anew(real_run, tmp_path, name, damage, read_for):
    project = real_run.copy(tmp_path / "project")
    path = project.path(f"results/{name}")
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    path.write_bytes(damage(path.read_bytes()))
    os.utime(path, ns=times)
    assert "Nothing to be done" in project.snakemake("--dry-run").output, "nobody has read it yet"
    lost = next(project.path(f"results/{read_for}").iterdir())
    lost.unlink()
    target = str(lost.relative_to(project.folder))
    output = project.snakemake(target, "--cores", "2", succeeds=False).output
    assert f"Error: results/{name}: " in output
    assert "Delete it and start the run again: its job is then repeated" in output
    assert "Traceback" not in output

    path.unlink()
    project.snakemake(target, "--cores", "2")
    project.snakemake("--cores", "2")
    before, after = real_run.artifacts(), project.artifacts()
    assert set(before) == set(after)
    assert [n for n in before if before[n].read_bytes() != after[n].read_bytes()] == []
