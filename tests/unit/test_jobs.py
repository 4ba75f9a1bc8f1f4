"""Jobs run in processes of their own here, as they do under Snakemake."""

import os
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest

from sidekick.jobs import job_device


@pytest.fixture
def run(tmp_path):
    """Run the body of a job; give the process and the content of its log."""

    def start(body, log="logs/rule/job.log", **environment):
        code = "import logging, sys, warnings\n"
        code += "from sidekick.errors import SidekickError\nfrom sidekick.jobs import job_log\n"
        code += f"with job_log({str(tmp_path / log)!r}) as logger:\n    {body}\n"
        result = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            encoding="utf-8",
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
        )
        return result, (tmp_path / log).read_text(encoding="utf-8")

    return start


def test_messages_go_to_the_log_only(run):
    result, log = run("logger.info('epoch %d', 3); logging.getLogger('sidekick').info('done')")
    assert result.returncode == 0
    assert result.stdout == result.stderr == ""
    first, second = log.splitlines()
    assert first.endswith("INFO epoch 3")
    assert second.endswith("INFO done")


def test_a_users_error_is_printed_and_logged_without_a_traceback(run):
    result, log = run("raise SidekickError('models.x: 3 is not text')")
    assert result.returncode == 1
    assert result.stderr == "Error: models.x: 3 is not text\n"
    assert log.rstrip().endswith("ERROR models.x: 3 is not text")
    assert "Traceback" not in log


def test_any_other_error_leaves_its_traceback_in_the_log(run):
    result, log = run("{}['absent']")
    assert result.returncode == 1
    assert "Traceback" in result.stderr
    assert "ERROR The job failed" in log
    assert "Traceback" in log
    assert log.rstrip().endswith("KeyError: 'absent'")


@pytest.mark.parametrize("error", ["KeyboardInterrupt", "MemoryError"])
def test_no_error_is_too_base_for_the_log(run, error):
    result, log = run(f"raise {error}")
    assert result.returncode != 0
    assert error in log


def test_warnings_go_to_the_log(run):
    result, log = run("warnings.warn('an old format', DeprecationWarning)")
    assert result.stderr == ""
    assert "DeprecationWarning: an old format" in log


def test_a_log_is_written_anew(run):
    run("logger.info('first run')")
    _, log = run("logger.info('second run')")
    assert "first" not in log
    assert "second run" in log


def test_logs_are_utf8_whatever_the_locale(run):
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    _, log = run(r"logger.error('\u2265 2')", **ascii_only)
    assert "≥ 2" in log


def test_nothing_is_logged_after_the_job(run):
    _, log = run("logger.info('inside')\nlogger.info('outside')")
    assert "inside" in log
    assert "outside" not in log


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux to end jobs with their run")
def test_a_job_ends_with_the_run_that_started_it(tmp_path):
    job = (
        "import time\nfrom sidekick.jobs import job_log\n"
        f"with job_log({str(tmp_path / 'job.log')!r}):\n"
        "    print('at work', flush=True)\n    time.sleep(60)\n"
    )
    run = (
        "import os, signal, subprocess, sys\n"
        "os.environ['SIDEKICK_RUN'] = str(os.getpid())\n"
        f"job = subprocess.Popen([sys.executable, '-c', {job!r}], stdout=subprocess.PIPE)\n"
        "assert job.stdout.readline()\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", run],
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    # The job inherits this end of the pipe: it closes when both have ended.
    process.communicate(timeout=20)
    assert process.returncode == -signal.SIGKILL


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux to end jobs with their run")
def test_a_job_whose_run_is_gone_does_not_begin(run):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    with pytest.raises(FileNotFoundError, match=r"job\.log"):
        run("logger.info('at work')", SIDEKICK_RUN=str(gone.pid))
    result, _ = run("logger.info('at work')", SIDEKICK_RUN=str(os.getpid()))
    assert result.returncode == 0


@pytest.mark.parametrize(("gpus", "device"), [(0, "cpu"), (1, "cuda"), (2, "cuda"), (None, "cpu")])
def test_the_device_is_what_was_granted(gpus, device, monkeypatch):
    # One that was given its GPU has none to claim.
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    resources = {} if gpus is None else {"gpu": gpus}
    assert job_device(SimpleNamespace(resources=resources)) == device
