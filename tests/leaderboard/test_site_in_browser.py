"""The site in a real browser: nothing leaves a page, nothing overflows, and axe-core finds nothing serious."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.leaderboard.made import PROTOCOLS
from tests.leaderboard.test_site import fill
from tests.reports.chromium import browser as browser
from tests.reports.chromium import screenshots as screenshots
from tests.reports.test_in_browser import CUT_TABLES, SCHEMES, SERIOUS, WHOLE_TABLES_FROM, WIDTHS, opened
from twinbench.leaderboard.site import make_site

pytestmark = pytest.mark.acceptance

PAGES = ("index.html", "static.html", "live.html", "published.html", "live/live-2.html", "static/hostile.html", "table")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("board")
    fill(folder / "results")
    made = make_site(folder / "results", PROTOCOLS)
    made.write(folder / "site")
    [table] = [name for name in made.files if name.startswith("static-") and "gone" in made.files[name]]
    (folder / "site" / "table").write_text(table)
    return folder / "site"


def page_of(site: Path, name: str) -> Path:
    return site / ((site / "table").read_text() if name == "table" else name)


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_page_is_whole_readable_and_alone(
    browser: Any, site: Path, screenshots: Path, name: str, scheme: str
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    lesser = 0
    for width in WIDTHS:
        with opened(browser, page_of(site, name), width=width, scheme=scheme) as tab:
            picture = screenshots / f"board-{name.replace('/', '-')}-{width}-{scheme}.png"
            tab.screenshot(path=picture, full_page=True)
            tab.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
            wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            assert tab.evaluate(wide) <= 0, "the page scrolls sideways"
            if width >= WHOLE_TABLES_FROM:
                assert tab.evaluate(CUT_TABLES) == [], "a column is cut"
            assert tab.evaluate("document.querySelectorAll('script, iframe, object, embed, img').length") == 0
            found = axe.run(tab).response["violations"]
            told = [(each["id"], each["impact"], [node["html"][:200] for node in each["nodes"]]) for each in found]
            assert [each for each in told if each[1] in SERIOUS] == []
            lesser += len(told)
    print(
        f"evidence: leaderboard {name}, {scheme}, three widths: axe-core found nothing serious, {lesser} lesser things"
    )


def test_one_goes_from_the_first_page_to_an_entry_with_the_keyboard(browser: Any, site: Path) -> None:
    with opened(browser, site / "static.html") as tab:
        tab.keyboard.press("Tab")
        assert tab.evaluate("document.activeElement.textContent") == "To the content"
        for _ in range(60):
            tab.keyboard.press("Tab")
            if tab.evaluate("document.activeElement.getAttribute('href')") == "static/router-11.html":
                break
        assert tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        address = tab.evaluate("document.activeElement.href")
        assert Path(address.removeprefix("file://")).is_file()
