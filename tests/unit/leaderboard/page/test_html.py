"""The page as a file: whole, the same each time, and harmless whatever names say."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from sidekick.leaderboard.collect import collect_leaderboard
from sidekick.leaderboard.page import html
from sidekick.leaderboard.page.render import render_page
from unit.evaluation.generated import BIG, SMALL, Generated
from unit.leaderboard.page.made import (
    CITATION,
    CONFIG,
    HOSTILE,
    make_page,
    opened,
    page_arguments,
    payload_of,
)

PARQUET = ("leaderboard", "curves", "parts")
CSV = ("wide", "wide_parts", "fits", "findings", "budgets", "promises", "quantisation")


class Elements(HTMLParser):
    """Collects start tags and the text of the title."""

    def __init__(self, text: str):
        super().__init__()
        self.tags, self.titles, self._open = [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self._open = tag

    def handle_data(self, data):
        if self._open == "title":
            self.titles.append(data)
            self._open = None


@pytest.fixture(scope="module")
def bundle():
    """Stands in for the charting libraries, which take seconds to put together."""
    patch = pytest.MonkeyPatch()
    patch.setattr(html, "charting", lambda: "/* charts </script><!-- */")
    yield
    patch.undo()


@pytest.fixture(scope="module")
def page(bundle, tmp_path_factory) -> Path:
    return make_page(tmp_path_factory.mktemp("page"))


def test_the_same_inputs_give_the_same_bytes(page, bundle, tmp_path):
    arguments = page_arguments(tmp_path)
    render_page(**arguments)
    assert Path(arguments["output"]).read_bytes() == page.read_bytes()


def test_names_change_no_element_of_the_page(page, bundle, tmp_path):
    plain = make_page(tmp_path, ["a", "b", "c", "d"], config={**CONFIG, "benchmark": "plain"})
    tags = [[tag for tag, _ in Elements(one.read_text()).tags] for one in (page, plain)]
    assert tags[0] == tags[1]
    assert Elements(page.read_text()).titles == [f"Sidekick leaderboard: {CONFIG['benchmark']}"]


def test_names_stand_nowhere_but_in_the_packed_data(page):
    text = page.read_text()
    for name in HOSTILE:
        assert name not in text
    header, _ = opened(payload_of(page))
    assert [model["name"] for model in header["datasets"][0]["models"]] == list(HOSTILE[::-1])


def test_nothing_is_fetched(page):
    text = page.read_text()
    tags = Elements(text).tags
    assert not [tag for tag, own in tags if "src" in own]
    assert [own["href"] for tag, own in tags if tag == "link"] == ["data:,"]
    assert not [tag for tag, _ in tags if tag in ("iframe", "object", "embed", "form-action")]
    policy = next(
        own["content"] for tag, own in tags if own.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert "@import" not in text
    assert not re.search(r"url\((?!data:)", text.partition("<style>")[2].partition("</style>")[0])


def test_a_board_of_generated_answers_has_a_page(bundle, tmp_path):
    made = Generated(tmp_path).write()
    made.evaluate(BIG)
    made.evaluate(SMALL, [BIG], BIG)
    outputs = {name: str(tmp_path / f"{name}.parquet") for name in PARQUET}
    outputs |= {name: str(tmp_path / f"{name}.csv") for name in CSV}
    tables = {
        name: [made.outputs(model)[name] for model in (BIG, SMALL)]
        for name in ("metrics", "curves", "fits")
    }
    summary = {"summary": str(tmp_path / "summary.txt")}
    collect_leaderboard(
        **tables, parts=[], models=[BIG, SMALL], benchmark="made_up", outputs=outputs | summary
    )
    wanted = ("leaderboard", "curves", "fits", "findings", "budgets", "promises")
    nothing = {"cards": [], "deployed": [], "examples": [], "times": str(tmp_path / "none")}
    path = tmp_path / "index.html"
    render_page(
        **{name: outputs[name] for name in wanted},
        **nothing,
        citation=CITATION,
        config=CONFIG,
        output=str(path),
    )
    header, _ = opened(payload_of(path))
    (dataset,) = header["datasets"]
    assert dataset["title"] == dataset["name"] == "maths"
    assert "cascade" in dataset["headlines"]["test"]["accuracy"]["sentence"]


def test_libraries_cannot_end_their_element(page):
    assert "/* charts <\\/script><\\!-- */" in page.read_text()


def test_every_script_of_ours_is_in_the_page():
    folder = Path(html.__file__).parent / "static"
    assert {path.stem for path in folder.glob("*.js")} == set(html._SCRIPTS)
    assert len(set(html._SCRIPTS)) == len(html._SCRIPTS)


def test_the_vendored_library_is_what_its_readme_says():
    vendor = Path(html.__file__).parent / "vendor"
    name, version, licence, _ = html.LIBRARIES[0]
    assert f"{name} {version}" in (vendor / "dataTables.min.js").read_text()[:200]
    assert f"{name} {version}" in (vendor / "README.md").read_text()
    assert f"The {licence} License" in (vendor / "dataTables.LICENSE.txt").read_text()


def test_scripts_never_write_html():
    folder = Path(html.__file__).parent / "static"
    for path in folder.glob("*.js"):
        text = path.read_text()
        for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
            assert word not in text, path.name
