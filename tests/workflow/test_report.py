"""The report of `snakemake --report`: complete, offline, and of no effect on finished work."""

import os
import re
import shutil

import pytest

from sidekick.leaderboard import REPORT_ENTRIES
from workflow.project import ROOT

pytestmark = pytest.mark.slow

TABLES = ("leaderboard", "findings", "budgets", "promises", "parts", "quantisation")
# Nothing listens there: whoever asks for a file from elsewhere fails.
OFFLINE = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), "http://127.0.0.1:9")
OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture
def report(finished):
    finished.snakemake("--report", "report.html", **OFFLINE)
    return finished.path("report.html")


def expected_files(project):
    """The files that the board declares for a reader, as they are on disk."""
    folder = project.path("results/leaderboard")
    figures = [str(path.relative_to(project.folder)) for path in folder.rglob("*.svg")]
    assert len(figures) > 10
    tables = [f"results/leaderboard/{name}.csv" for name in TABLES]
    return [*figures, *tables, "results/leaderboard/summary.txt"]


def test_every_figure_and_table_is_in_it_with_its_caption(finished, report):
    html = report.read_text(encoding="utf-8")
    for path in expected_files(finished):
        assert path in html, path
    shown = {path.stem for path in finished.path("results/leaderboard/figures").rglob("*.svg")}
    for figure in shown & set(REPORT_ENTRIES):
        category, label = REPORT_ENTRIES[figure]
        assert category in html
        assert label in html
        assert first_words(ROOT / "rules/report/figures" / f"{figure}.rst") in html, figure
    for table in TABLES:
        assert first_words(ROOT / "rules/report/tables" / f"{table}.rst") in html, table
    # The description of the whole, and a caption, have their values.
    assert "alpha, beta, gamma" in " ".join(html.split())
    assert "accept/ignore rule of beta" in " ".join(html.split())


def first_words(path):
    """The beginning of a caption, as far as it is plain text on one line."""
    return re.split(r"[*`{\n]", path.read_text(encoding="utf-8"))[0][:60].strip()


def test_nothing_is_asked_of_another_machine(report):
    playwright = pytest.importorskip("playwright.sync_api")
    found = map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))
    chromium = os.environ.get("CHROMIUM") or next(filter(None, found), None)
    if chromium is None:
        pytest.skip("no Chromium found: install one, or name it in CHROMIUM")
    with playwright.sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=chromium, args=OPTIONS)
        page = browser.new_page()
        asked, errors = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(report.as_uri())
        page.get_by_text("1 Overview", exact=True).click()
        page.get_by_text("digits", exact=True).first.click()
        page.get_by_text("AURC against cost", exact=True).wait_for()
        assert "do I best know when my model is wrong?" in page.inner_text("body")
        browser.close()
    assert errors == []
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []


def test_captions_and_flags_repeat_no_job(finished):
    rules = finished.path("rules")
    for caption in (rules / "report").rglob("*.rst"):
        caption.write_text("Another caption.\n")
    rule = rules / "leaderboard.smk"
    text = rule.read_text()
    changed = re.sub(r'category="\d [^"]*"', 'category="Elsewhere"', text)
    assert changed != text
    rule.write_text(changed)
    assert finished.plan() == set()


def test_a_figure_taken_out_of_the_report_is_not_drawn_again(finished):
    common = finished.path("rules/common.smk")
    text = common.read_text()
    start, end = text.index('    return report(\n        f"results'), text.index("def remote_file")
    path = 'f"results/leaderboard/figures/{dataset}/{figure}.svg"'
    common.write_text(f"{text[:start]}    return {path}\n\n\n{text[end:]}")
    assert finished.plan() == set()
