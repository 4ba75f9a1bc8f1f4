import hashlib
import json

import pytest

from sidekick.errors import SidekickError
from sidekick.evaluation.sources import read_sources, write_sources


@pytest.fixture
def listed(tmp_path):
    """Write the lists of two models; give their paths and the files that they name."""
    lists, files = [], {}
    for model in ("a", "b"):
        own = {split: [tmp_path / f"{model}{seed}.{split}" for seed in (0, 1)] for split in "vt"}
        flops = tmp_path / f"{model}.json"
        for path in [flops, *own["v"], *own["t"]]:
            path.write_text(path.name)
        lists.append(tmp_path / f"{model}.sources.json")
        write_sources(own, flops, {"model": model}, lists[-1])
        files[model] = (own, flops)
    return lists, files


def test_lists_are_joined_in_their_order(listed):
    lists, files = listed
    logits, flops = read_sources(reversed(lists))
    assert flops == [str(files[model][1]) for model in "ba"]
    assert logits == {
        split: [str(path) for model in "ba" for path in files[model][0][split]] for split in "vt"
    }


def test_a_list_changes_with_the_content_of_its_files_only(listed):
    (first, _), files = listed
    own, flops = files["a"]
    before = first.read_text()
    content = json.loads(before)
    for path in own["v"]:
        path.touch()
    write_sources(own, flops, {"model": "a"}, first)
    assert first.read_text() == before
    assert content["flops"] == [
        {"path": str(flops), "sha256": hashlib.sha256(b"a.json").hexdigest()}
    ]
    own["t"][1].write_text("other logits")
    write_sources(own, flops, {"model": "a"}, first)
    assert first.read_text() != before


def test_one_file_instead_of_a_list_of_them(tmp_path):
    path = tmp_path / "logits.parquet"
    path.touch()
    write_sources({"val": str(path)}, str(path), {}, tmp_path / "list.json")
    assert read_sources([tmp_path / "list.json"]) == ({"val": [str(path)]}, [str(path)])


def test_a_missing_list_is_named(tmp_path):
    with pytest.raises(SidekickError, match=r"nowhere\.json: no such file"):
        read_sources([tmp_path / "nowhere.json"])
