"""What goes with the numbers: files to deploy, examples, and where all comes from."""

import pyarrow as pa
import pytest

from sidekick.artifacts import write_json, write_table
from sidekick.errors import SidekickError
from sidekick.leaderboard.page.deploying import deployable, link
from sidekick.leaderboard.page.examples import KINDS, read_examples
from sidekick.leaderboard.page.predictors import describe, families
from sidekick.leaderboard.page.provenance import (
    citations,
    config_text,
    machine,
    read_cards,
    read_origin,
    read_times,
)
from sidekick.leaderboard.page.selection import KEYS
from sidekick.leaderboard.pick_examples import EXAMPLES_SCHEMA
from sidekick.leaderboard.pick_examples import KINDS as PICKED
from unit.leaderboard.boards import DATASET, board_tables
from unit.leaderboard.page.made import (
    CITATION,
    example_rows,
    page_arguments,
)
from unit.leaderboard.rows import make_rows


def test_links_are_relative_to_the_page(tmp_path):
    page = tmp_path / "results" / "leaderboard" / "index.html"
    assert link(tmp_path / "results" / "deployment" / "a.json", page) == "../deployment/a.json"
    assert link(tmp_path / "results" / "leaderboard" / "b.csv", page) == "b.csv"
    assert link(tmp_path / "c.csv", page) == "../../c.csv"


def test_deployable_files_are_described(tmp_path):
    arguments = page_arguments(tmp_path, ["tiny", "large"])
    (found,) = deployable(arguments["deployed"], arguments["output"])
    assert found["link"] == f"../deployment/{DATASET}/first_duo.json"
    assert (found["kind"], found["large"], found["small"]) == ("duo", "large", ["tiny"])
    assert found["recipes"] == {"large": "finetune", "tiny": "finetune"}
    assert [target["threshold"] for target in found["targets"]] == [0.5, None]
    assert found["targets"][1]["reason"] == "too few"


def test_a_damaged_deployable_file_is_named(tmp_path):
    path = tmp_path / "broken.json"
    path.write_text("{")
    with pytest.raises(SidekickError, match=r"broken\.json"):
        deployable([str(path)], str(tmp_path / "index.html"))


def test_examples_of_all_kinds_come_in_turn_until_there_is_no_room(tmp_path):
    path = tmp_path / "examples.parquet"
    rows = example_rows(["tiny", "large"], count=3)
    write_table(pa.Table.from_pylist(rows, EXAMPLES_SCHEMA), path, {"rule": "the first"})
    size = len(rows[0]["image"])
    whole, told = read_examples([str(path)], 10 * size)
    assert [row["sample_id"] for row in whole[DATASET]["samples"]] == [
        f"{kind}{number}" for number in range(3) for kind in ("large_wrong_duo_right", "gallery")
    ]
    assert told == []
    samples = whole[DATASET]["samples"]
    assert whole[DATASET]["rule"] == "the first"
    assert samples[0]["image"].startswith("data:image/png;base64,iVBOR")
    assert samples[1]["image"] is None
    fewer, told = read_examples([str(path)], size)
    assert len(fewer[DATASET]["samples"]) == 2
    assert told == [f"{DATASET}: 2 of 6 example samples are here."]


def test_kinds_of_examples_are_told():
    assert tuple(KINDS) == PICKED


def test_times_are_summed_per_rule(tmp_path):
    found = read_times(page_arguments(tmp_path, ["tiny", "large"])["times"])
    assert found == [{"rule": "finetune", "jobs": 2, "seconds": 4.0, "megabytes": 100}]


def test_no_times_are_no_error(tmp_path):
    assert read_times(str(tmp_path / "nowhere")) == []


def test_cards_are_known_by_their_folder(tmp_path):
    path = tmp_path / "toys" / "dataset.json"
    write_json({"title": "Toys", "classes": ["a", "b"], "files": ["x"], "licence": None}, path)
    assert read_cards([str(path)]) == {"toys": {"title": "Toys", "licence": None, "classes": 2}}


def test_origin_names_software_and_revision(tmp_path):
    path = tmp_path / "board.parquet"
    write_table(make_rows({}).to_arrow(), path, {})
    origin = read_origin(str(path))
    assert "polars" in origin["software"]
    assert origin["git_revision"]


def test_citations_name_software_and_papers():
    assert citations(CITATION) == {
        "software": "The Makers </script> (2026). A tool. Version 1.2.",
        "works": ["Zhou, et al. (2025). A paper. arXiv:1"],
    }


def test_a_config_is_shown_in_its_order():
    assert config_text({"b": 1, "a": [{"ü": None}]}) == "b: 1\na:\n- ü: null\n"


def test_the_machine_has_a_name():
    found = machine()
    assert found["processor"]
    assert found["cores"] >= 1


def test_predictors_are_described():
    board = board_tables(["tiny", "large"], gatekept=["tiny"], shift=False)[0]
    predictors = board.select(KEYS).unique().sort(KEYS, nulls_last=True)
    columns = describe(board, predictors)
    texts = columns["texts"]
    rows = {texts[key]: row for row, key in enumerate(columns["key"])}
    duo = rows["duo:weighted:large+tiny"]
    assert texts[columns["method"][duo]] == "Duo, weighted"
    assert texts[columns["models"][duo]] == "large + tiny"
    assert columns["baseline"][duo] == rows["temperature:scaled:large"]
    assert columns["kind"][duo] == 0
    for control in ("duo:noise_sidekick:large+tiny", "cascade:random_defer25:large+tiny"):
        assert columns["kind"][rows[control]] == 1
        assert texts[columns["look"][rows[control]]] == "control"
    again = rows["single:raw_vs_untuned:tiny@gatekeeper_a10"]
    assert columns["kind"][again] == 2
    assert columns["alpha"][again] == 0.1
    assert columns["alpha"][duo] is None


def test_families_look_like_the_figures():
    found = families()
    assert found["duo"]["name"] == "Duo"
    assert len({one["color"] for one in found.values()}) == len(found)
    assert len({one["shape"] for one in found.values()}) == len(found)
