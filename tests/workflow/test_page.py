"""The page in a real Chromium: what a reader does with it, and what it must not do."""

import csv
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import polars as pl
import pytest
import yaml

from sidekick.artifacts import read_json, write_json
from sidekick.leaderboard.headline import headline
from sidekick.leaderboard.page.render import render_page
from unit.leaderboard.boards import DATASET
from unit.leaderboard.page.made import CITATION, HOSTILE, TITLE, make_page, page_arguments
from workflow.project import ROOT

playwright = pytest.importorskip("playwright.sync_api")

pytestmark = pytest.mark.slow

CHROMIUM = os.environ.get("CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
# Chromium reaches for nothing of its own accord.
OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
MODELS = ["tiny", "small", "middle", "large"]


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("no Chromium found: install one, or name it in CHROMIUM")
    with playwright.sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def page_file(tmp_path_factory) -> Path:
    return make_page(tmp_path_factory.mktemp("page"), MODELS)


@pytest.fixture(scope="module")
def hostile_file(tmp_path_factory) -> Path:
    return make_page(tmp_path_factory.mktemp("hostile"), HOSTILE)


@contextmanager
def opened(browser, file: Path, fragment: str = "", **options) -> Iterator:
    """Open a page; afterwards nothing may have been complained about or fetched."""
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
    page = context.new_page()
    troubles = []
    page.on("console", lambda message: troubles.append(message.text))
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("dialog", lambda dialog: troubles.append(dialog.message))
    address = file.resolve().as_uri()
    page.on(
        "request",
        lambda request: (
            None
            if request.url.partition("#")[0] == address
            or request.url.startswith(("data:", "blob:"))
            else troubles.append(request.url)
        ),
    )
    page.goto(address + fragment)
    page.wait_for_selector("html[data-ready=yes]", timeout=60_000)
    yield page
    settle(page)
    context.close()
    assert troubles == []


def settle(page) -> None:
    """Scroll past every chart, so that each is drawn."""
    for figure in page.locator("figure").all():
        figure.scroll_into_view_if_needed()
        figure.locator(".plot > *").first.wait_for(state="attached", timeout=30_000)


def names(page) -> list[str]:
    """Give the predictors of the table's page, in its order."""
    rows = page.locator("#predictors tbody tr")
    return [" ".join(row.split()) for row in rows.locator("td.name").all_inner_texts()]


def column(page, name: str) -> list[float]:
    """Give the numbers of a column of the table's page."""
    heads = [head.strip() for head in page.locator("#predictors thead th").all_inner_texts()]
    index = next(i for i, head in enumerate(heads) if head.split("\n")[0].strip() == name)
    cells = page.locator(f"#predictors tbody td:nth-child({index + 1})").all_inner_texts()
    return [number(cell.split("\n")[0]) for cell in cells]


def number(text: str) -> float:
    return float(text.replace("\N{MINUS SIGN}", "-").replace("%", "").replace("*", "").strip())


def shown(page) -> int:
    """Count the predictors that pass the filters."""
    words = page.locator(".dt-info").inner_text()
    return 0 if words.startswith("0 ") else int(words.split(" of ")[1].split()[0].replace(",", ""))


def board_of(file: Path) -> pl.DataFrame:
    return pl.read_parquet(file.parent / "leaderboard.parquet")


def test_the_first_screen_says_the_answer(browser, page_file):
    expected = headline(board_of(page_file), DATASET).sentence
    with opened(browser, page_file) as page:
        assert page.locator("#sentence").inner_text().replace("\xa0", " ") == expected
        assert "4 models" in page.locator(".lead").inner_text()
        assert "95 % intervals" in page.locator("#honesty").inner_text()
        label = page.locator("#front").get_attribute("aria-label")
        assert "Pareto front" in label
        assert "Temperature-scaled: large" in label


def test_other_data_and_measures_can_be_chosen(browser, page_file):
    board = board_of(page_file)
    with opened(browser, page_file) as page:
        page.select_option("#metric", "accuracy")
        expected = headline(board, DATASET, "test", "accuracy").sentence
        assert page.locator("#sentence").inner_text().replace("\xa0", " ") == expected
        page.select_option("#place", "shift")
        expected = headline(board, DATASET, "shift", "accuracy").sentence
        assert expected in page.locator("#sentence").inner_text().replace("\xa0", " ")
        page.select_option("#place", "shift-blur-1")
        assert "blur, severity 1" in page.locator("#predictors caption").inner_text()
        assert len(names(page)) > 3


def test_the_table_sorts_by_mouse_and_by_keyboard(browser, page_file):
    with opened(browser, page_file) as page:
        values = column(page, "AURC")
        assert values == sorted(values)
        head = page.locator("#predictors thead th", has_text="Accuracy")
        head.click()
        # DataTables sorts in a task of its own, and then writes the order into the address.
        page.wait_for_url("**sort=accuracy%3Adesc**")
        values = column(page, "Accuracy")
        assert values == sorted(values, reverse=True)
        assert head.get_attribute("aria-sort") == "descending"
        order = page.locator("#predictors thead th", has_text="Accuracy").locator("[tabindex='0']")
        order.last.focus()
        page.keyboard.press("Enter")
        page.wait_for_url("**sort=accuracy%3Aasc**")
        values = column(page, "Accuracy")
        assert values == sorted(values)


def test_search_and_filters_narrow_the_table(browser, page_file):
    board = board_of(page_file)
    with opened(browser, page_file) as page:
        everything = shown(page)
        page.fill("#search", "unweighted")
        assert shown(page) == 6
        assert all("unweighted" in name for name in names(page))
        page.fill("#search", "")
        page.locator("#filter-families label", has_text="Ensemble").locator("input").check()
        assert shown(page) == 4
        page.locator("#filter-families label", has_text="Ensemble").locator("input").uncheck()
        page.select_option("#filter-verdict", "better")
        better = shown(page)
        page.select_option("#filter-verdict", "worse")
        worse = shown(page)
        page.select_option("#filter-verdict", "none")
        assert 0 < better + worse + shown(page) < everything
        page.select_option("#filter-verdict", "")
        page.fill("#filter-cost", "1.0")
        aurc = board.filter((pl.col("split") == "test") & (pl.col("metric") == "aurc"))
        assert shown(page) < everything
        assert max(column(page, "MMACs")) <= 1.0
        page.fill("#filter-cost", "")
        page.select_option("#filter-large", "tiny")
        assert all("tiny" in name for name in names(page))
        page.select_option("#filter-large", "")
        page.locator("#filter-controls").check()
        assert shown(page) == len(aurc)
        page.fill("#search", "no such thing")
        assert shown(page) == 0


def test_verdicts_are_told_by_sign_and_text(browser, page_file):
    with opened(browser, page_file) as page:
        texts = set(page.locator("#predictors .verdict").all_inner_texts())
        assert texts <= {"▲ better", "▼ worse", "= no difference"}
        assert len(texts) > 1


def test_columns_are_chosen(browser, page_file):
    with opened(browser, page_file) as page:
        page.locator("#columns summary").click()
        page.locator("#column-list label", has_text="Brier").locator("input").check()
        assert len(column(page, "Brier")) == len(names(page))
        assert "columns=brier" in page.url


def test_two_rows_are_compared(browser, page_file):
    with opened(browser, page_file) as page:
        page.locator("#selected .chip button").first.click()
        page.locator("#selected .chip button").first.click()
        assert "Select two rows" in page.locator("#compare-result").inner_text()
        page.fill("#search", "unweighted large + tiny")
        page.locator("#predictors tbody input").first.check()
        page.fill("#search", "Temperature-scaled")
        page.locator("#predictors tbody tr", has_text="large").locator("input").check()
        heads = page.locator("#compare-result thead th").all_inner_texts()
        assert heads[1:3] == ["Duo, unweighted: large + tiny", "Temperature-scaled: large"]
        row = page.locator("#compare-result tbody tr", has_text="NLL").inner_text()
        # A duo's control is the scaled large model, so the difference is the board's.
        board = board_of(page_file)
        own = board.filter(
            pl.col("variant") == "unweighted", pl.col("large") == "large",
            pl.col("small") == "tiny", pl.col("metric") == "nll", pl.col("split") == "test",
        ).row(0, named=True)  # fmt: skip
        change = f"{own['delta']:+.9f}".replace("-", "\N{MINUS SIGN}")
        assert change[:5] in row
        page.locator("#compare-result button", has_text="Swap").click()
        heads = page.locator("#compare-result thead th").all_inner_texts()
        assert heads[1] == "Temperature-scaled: large"


def test_a_budget_picks_what_it_can_pay_for(browser, page_file):
    board = board_of(page_file)
    aurc = board.filter(
        (pl.col("split") == "test")
        & (pl.col("metric") == "aurc")
        & ~pl.col("variant").str.contains("oracle|noise|random|as_released|_vs_untuned|_at_")
    ).sort("value", "gmacs")
    cost = 0.001 * 1.33**3
    with opened(browser, page_file) as page:
        for extra in (-50, 0, 100):
            page.fill("#budget-extra", str(extra))
            within = aurc.filter(pl.col("gmacs") <= cost * (1 + extra / 100) * (1 + 1e-9))
            best = within.row(0, named=True)
            assert f"Best of {len(within)} predictors" in page.locator(".card .kicker").inner_text()
            models = page.locator(".card .choice").inner_text()
            assert best["large"] in models
            assert (
                f"{1000 * best['gmacs']:.2f} MMACs" in page.locator(".card .numbers").inner_text()
            )
        page.fill("#budget-extra", "-99")
        assert "Nothing on the board costs" in page.locator("#budget-result").inner_text()
        page.fill("#budget-extra", "100")
        page.select_option("#budget-goal", "sac_98")
        assert "98 % right" in page.locator(".card .numbers").inner_text()
        page.locator(".card button", has_text="Show in curves").click()
        assert page.locator("#selected .chip").count() == 2


def deployable_choice(board: pl.DataFrame) -> dict:
    """Find a predictor that a budget picks by some metric, and that a deployable file can hold."""
    cascade = r"^max_softmax_(defer|budget|target)\d+$"
    kinds = {"duo": r"^(weighted|uq_only)$", "cascade": cascade, "duo_cascade": cascade}
    of_kind = pl.any_horizontal(
        (pl.col("predictor") == kind) & pl.col("variant").str.contains(variant)
        for kind, variant in kinds.items()
    )
    for metric in ("aurc", "accuracy", "nll", "brier", "auroc", "ece"):
        up = metric in ("accuracy", "auroc")
        rows = board.filter(
            (pl.col("split") == "test")
            & (pl.col("metric") == metric)
            & ~pl.col("variant").str.contains("oracle|noise|random|as_released|_vs_untuned|_at_")
        ).with_columns(loss=pl.col("value") * (-1 if up else 1))
        ordered = rows.sort("gmacs", "loss")
        front = ordered.filter(pl.col("loss") == pl.col("loss").cum_min())
        found = front.filter(of_kind & ~pl.col("recipe").str.contains("chosen"))
        if len(found):
            return found.row(-1, named=True)
    raise AssertionError("the synthetic board has no such predictor: change its seed")


def spend_as_much(page, choice: dict) -> None:
    page.select_option("#metric", choice["metric"])
    extra = 100 * (choice["gmacs"] / (0.001 * 1.33**3) - 1)
    page.fill("#budget-extra", f"{extra + 0.1:.2f}")
    assert choice["large"] in page.locator(".card .choice").inner_text()


def deploy_entry(page) -> dict:
    """Read the entry that the page suggests for the config."""
    (entry,) = yaml.safe_load(page.locator(".card pre").inner_text())["deployment"].values()
    return entry


def test_a_config_entry_is_given_for_what_is_not_deployed(browser, page_file):
    choice = deployable_choice(board_of(page_file))
    with opened(browser, page_file) as page:
        spend_as_much(page, choice)
        entry = deploy_entry(page)
        assert (entry["dataset"], entry["kind"]) == (DATASET, choice["predictor"])
        assert [name.split("@")[0] for name in entry["models"]] == [
            choice["large"],
            choice["small"],
        ]
        recipes = choice["recipe"].split("+")
        assert [name.partition("@")[2] or "finetune" for name in entry["models"]] == [
            recipes[0],
            recipes[-1],
        ]
        schema = yaml.safe_load((ROOT / "rules/schemas/config.schema.yaml").read_text())
        allowed = schema["properties"]["deployment"]["additionalProperties"]["properties"]
        assert set(entry) <= set(allowed)
        assert entry["accuracies"] == [0.9, 0.95]


def test_a_deployable_file_is_linked(browser, tmp_path):
    arguments = page_arguments(tmp_path, MODELS)
    choice = deployable_choice(pl.read_parquet(arguments["leaderboard"]))
    (path,) = map(Path, arguments["deployed"])
    content = read_json(path)
    models = [choice["large"], choice["small"]]
    recipes = choice["recipe"].split("+")
    content |= {
        "kind": choice["predictor"],
        "variant": choice["variant"] if choice["predictor"] == "duo" else "weighted",
        "gate": None if choice["predictor"] == "duo" else "max_softmax",
        "models": {"large": {"name": models[0]}, "small": [{"name": models[1]}]},
    }
    content["provenance"]["models"] = [
        {"model": model, "recipe": recipe}
        for model, recipe in zip(models, (recipes[0], recipes[-1]), strict=True)
    ]
    write_json(content, path)
    render_page(**arguments)
    with opened(browser, Path(arguments["output"])) as page:
        spend_as_much(page, choice)
        link = page.locator(".card a", has_text="first_duo.json")
        assert Path(urlparse(link.evaluate("one => one.href")).path) == path
        promised = page.locator(".card table", has_text="Certified accuracies").inner_text()
        assert "91.0 %" in promised
        assert "too few" in promised


def test_a_link_brings_back_the_view(browser, page_file):
    with opened(browser, page_file) as page:
        page.select_option("#metric", "nll")
        page.select_option("#place", "shift-3")
        page.fill("#search", "large")
        page.locator("#filter-families label", has_text="Duo cascade").locator("input").check()
        page.locator("#predictors thead th", has_text="MMACs").click()
        page.locator("#predictors tbody input").nth(2).check()
        page.fill("#budget-extra", "20")
        before = names(page), page.locator("#selected").inner_text(), page.url
        found = parse_qs(urlparse(page.url).fragment)
        assert found["metric"] == ["nll"]
        assert found["place"] == ["shift-3"]
    with opened(browser, page_file, "#" + urlparse(before[2]).fragment) as page:
        assert (names(page), page.locator("#selected").inner_text()) == before[:2]
        assert page.locator("#budget-extra").input_value() == "20"
        assert page.locator("#search").input_value() == "large"


def test_the_shown_rows_are_downloaded(browser, page_file, tmp_path):
    board = board_of(page_file)
    with opened(browser, page_file) as page:
        page.fill("#search", "weighted large")
        with page.expect_download() as download:
            page.locator("#csv").click()
        download.value.save_as(tmp_path / "rows.csv")
        count, first = shown(page), names(page)[0]
    with (tmp_path / "rows.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == count
    assert f"{rows[0]['predictor']} {rows[0]['models']}" == first
    for row in rows:
        predictor, variant, models = row["key"].split("@")[0].split(":")
        large, _, small = models.partition("+")
        recipe = row["key"].partition("@")[2] or "finetune"
        own = board.filter(
            pl.col("predictor") == predictor, pl.col("variant") == variant,
            pl.col("large") == large, pl.col("small").eq_missing(small or None),
            pl.col("recipe") == recipe, pl.col("split") == "test", pl.col("metric") == "aurc",
        ).row(0, named=True)  # fmt: skip
        assert float(row["aurc"]) == pytest.approx(own["value"], rel=1e-4)
        assert float(row["aurc_delta_low"]) == pytest.approx(own["delta_low"], rel=1e-4)
        assert float(row["gmacs"]) == pytest.approx(own["gmacs"], rel=1e-4)
        assert row["control"] == own["baseline"]


def test_curves_follow_the_selection(browser, page_file):
    with opened(browser, page_file) as page:
        settle(page)
        first = page.locator("#chart-risk_coverage .plot").get_attribute("aria-label")
        assert "Duo, weighted" in first
        page.fill("#search", "Ensemble")
        page.locator("#predictors tbody input").first.check()
        page.locator("#chart-risk_coverage").scroll_into_view_if_needed()
        plot = page.locator("#chart-risk_coverage .plot")
        playwright.expect(plot).to_have_attribute("aria-label", re.compile("Ensemble"))
        box = page.locator("#chart-risk_coverage .plot svg").bounding_box()
        page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.6 * box["height"])
        page.wait_for_selector("#tip:not([hidden])")
        assert "Answered (%)" in page.locator("#tip").inner_text()
        for figure in page.locator("#curve-list figure").all():
            assert figure.locator(".plot > *").count() == 1


def colors(page) -> tuple[str, str]:
    style = "getComputedStyle(document.body)"
    return page.evaluate(f"{style}.backgroundColor"), page.evaluate(f"{style}.color")


def test_dark_mode_follows_the_system_and_the_button(browser, page_file):
    with opened(browser, page_file, color_scheme="light") as page:
        light = colors(page)
        page.locator("#theme").click()
        dark = colors(page)
        assert dark != light
    with opened(browser, page_file, color_scheme="dark") as page:
        assert colors(page) == dark
        page.locator("#theme").click()
        assert colors(page) == light


@pytest.mark.parametrize("width", [390, 768, 1440])
def test_the_page_fits_its_window(browser, hostile_file, width):
    size = {"width": width, "height": 844}
    with opened(browser, hostile_file, viewport=size) as page:
        settle(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        for part in ("#sentence", "#front svg", "#budget-result .card", "#predictors"):
            assert page.locator(part).first.is_visible()


def test_nothing_moves_while_the_page_opens(browser, page_file):
    with opened(browser, page_file) as page:
        page.wait_for_timeout(1000)
        moved = page.evaluate(
            """() => new Promise((resolve) => {
              let sum = 0;
              new PerformanceObserver((list) => {
                for (const entry of list.getEntries()) sum += entry.value;
              }).observe({type: 'layout-shift', buffered: true});
              setTimeout(() => resolve(sum), 300);
            })"""
        )
        # Google calls up to 0.1 good.
        assert moved < 0.1


def test_it_prints_without_its_controls(browser, page_file):
    with opened(browser, page_file) as page:
        page.emulate_media(media="print")
        assert not page.locator("header.top").is_visible()
        assert not page.locator("#filters").is_visible()
        assert page.locator("#sentence").is_visible()
        assert page.locator("#predictors").is_visible()
        page.emulate_media(media="screen")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_accessible(browser, page_file, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    with opened(browser, page_file, color_scheme=scheme, bypass_csp=True) as page:
        settle(page)
        for details in page.locator("details").all():
            details.evaluate("one => one.open = true")
        rules = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]}
        results = axe.run(page, options=rules).response
        found = [
            (violation["id"], node["html"][:200], node["failureSummary"][:300])
            for violation in results["violations"]
            for node in violation["nodes"]
        ]
        assert found == []
        assert len(results["passes"]) > 20


def test_names_are_shown_as_text_whatever_they_say(browser, hostile_file):
    with opened(browser, hostile_file) as page:
        settle(page)
        assert page.title().endswith("</title><script>document.title='broken'</script>")
        assert page.locator("#dataset option").inner_text() == TITLE
        text = page.locator("body").inner_text()
        for name in HOSTILE:
            assert " ".join(name.split()) in " ".join(text.split())
        assert page.locator("main img[onerror], main b b, main script").count() == 0
        page.select_option("#filter-large", HOSTILE[0])
        assert shown(page) > 5
        page.locator("#examples").scroll_into_view_if_needed()
        assert "<i>What</i>?" in page.locator("#example-list").inner_text()
        # It is loaded when it comes into view.
        image = page.locator("#example-list img").first
        assert image.evaluate("one => one.decode().then(() => one.naturalWidth)") == 8
        page.locator("#front svg").scroll_into_view_if_needed()
        assert page.title().endswith("</script>")


def test_examples_and_origin_are_shown(browser, page_file):
    with opened(browser, page_file) as page:
        assert (
            "The large model is wrong, the duo is right" in page.locator("#examples").inner_text()
        )
        assert page.locator("#example-list .example").count() == 4
        assert page.locator("#example-list img").first.get_attribute("alt")
        for details in page.locator("#about details").all():
            details.evaluate("one => one.open = true")
        about = page.locator("#about").inner_text()
        for word in ("CC BY 4.0", "finetune", "replicates", "arXiv:1", "Vega-Lite", "polars"):
            assert word in about, word
        assert "Lower" not in page.locator("#about table caption").first.inner_text()


def test_the_finished_run_fits_in_five_megabytes(browser, tmp_path):
    results = ROOT / "results"
    if not (results / "leaderboard" / "leaderboard.parquet").is_file():
        pytest.skip("no finished run in results/")
    output = tmp_path / "index.html"
    folder = results / "leaderboard"
    render_page(
        **{name: str(folder / f"{name}.parquet") for name in ("leaderboard", "curves")},
        **{
            name: str(folder / f"{name}.csv")
            for name in ("fits", "findings", "budgets", "promises")
        },
        cards=sorted(map(str, results.glob("datasets/*/dataset.json"))),
        deployed=sorted(map(str, results.glob("deployment/*/*.json"))),
        examples=sorted(map(str, folder.glob("examples/*.parquet"))),
        times=str(results / "benchmarks"),
        citation=CITATION,
        config={"benchmark": "run", "seeds": [0], "evaluation": {"level": 0.95, "replicates": {}}},
        output=str(output),
    )
    assert output.stat().st_size <= 5_000_000
    with opened(browser, output) as page:
        for name in page.locator("#dataset option").evaluate_all("all => all.map(o => o.value)"):
            page.select_option("#dataset", name)
            assert page.locator("#sentence").inner_text()
            assert shown(page) > 10
            settle(page)
