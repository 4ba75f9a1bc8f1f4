"""A later run's mark keeps the jobs of a killed one from writing."""

import os

import pytest

from sidekick import run_marks
from sidekick.artifacts import read_json, write_json
from sidekick.errors import SidekickError
from sidekick.jobs import job_log


@pytest.fixture
def state(tmp_path, monkeypatch):
    """The records of a run that has begun in this process."""
    folder = tmp_path / ".snakemake"
    folder.mkdir()
    monkeypatch.setenv("SIDEKICK_MARK", "")
    run_marks.leave_mark(folder)
    return folder


def test_the_jobs_of_the_run_at_work_write(state, tmp_path):
    assert not run_marks.is_superseded()
    write_json({"by": "this run"}, tmp_path / "result.json")
    assert read_json(tmp_path / "result.json") == {"by": "this run"}


def test_the_jobs_of_an_earlier_run_neither_write_nor_begin(state, tmp_path, monkeypatch):
    write_json({"by": "this run"}, tmp_path / "result.json")
    earlier = os.environ["SIDEKICK_MARK"]
    run_marks.leave_mark(state)
    assert not run_marks.is_superseded()
    monkeypatch.setenv("SIDEKICK_MARK", earlier)
    assert run_marks.is_superseded()
    with pytest.raises(SidekickError, match="a later run has taken over this folder"):
        write_json({"by": "an earlier run"}, tmp_path / "result.json")
    assert read_json(tmp_path / "result.json") == {"by": "this run"}
    assert not list(tmp_path.glob(".*.tmp"))
    with (
        pytest.raises(SystemExit, match="a later run has taken over this folder"),
        job_log(tmp_path / "job.log"),
    ):
        raise AssertionError("the job began")


@pytest.mark.parametrize("mark", [None, "", "a/relative/path", "/not/a/folder/here/mark"])
def test_where_nobody_can_say_jobs_write(mark, monkeypatch):
    monkeypatch.delenv("SIDEKICK_MARK", raising=False)
    if mark is not None:
        monkeypatch.setenv("SIDEKICK_MARK", mark)
    assert not run_marks.is_superseded()
