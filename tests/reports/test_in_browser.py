"""Reports in a real browser: nothing leaves the page, nothing overflows, and axe-core finds nothing serious."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.banks import import_rows
from tests.cli.commands import twinbench
from tests.cli.test_hostile_text import HOSTILE, SHOWN, hostile_rows
from tests.reports.chromium import browser as browser
from tests.reports.chromium import screenshots as screenshots
from tests.reports.journals import HIGH, Call, Case, write_live_run
from tests.reports.test_static_report import ROUTERS, ROWS
from twinbench.storage.store import STORE_VARIABLE, Store

pytestmark = pytest.mark.acceptance

WIDTHS = (400, 900, 1280)
SCHEMES = ("light", "dark")
SERIOUS = ("serious", "critical")
LONG = "a" * 400
WHOLE_TABLES_FROM = 1280
CUT_TABLES = """[...document.querySelectorAll('.scroll')]
    .filter(each => each.checkVisibility() && each.scrollWidth > each.clientWidth).map(each => each.ariaLabel)"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Reports of either track, an ordinary one and one that is full of codes and of words without an end."""
    folder = tmp_path_factory.mktemp("pages")
    store = Store(folder / "store")
    import_rows(ROWS, store, "mine")
    import_rows(hostile_rows(), store, "hostile")
    router = folder / f"r{'x' * 200}.py"
    router.write_text(f"class Hostile:\n    def route(self, call):\n        raise ValueError({HOSTILE + LONG!r})\n")
    calls = [Call(), Call(HIGH, rationale="depth 2", failed="it was cut"), Call(HIGH)]
    cases = [Case("a__a-1", calls), Case("b__b-2", resolved=False), Case("c__c-3", cause="transport", resolved=None)]
    odd = Call(says=HOSTILE, command=HOSTILE + LONG, gives=LONG, rationale=HOSTILE, router_error=LONG, failed=LONG)
    runs = [
        write_live_run(folder / "runs" / "low", cases, simulated=True),
        write_live_run(folder / "runs" / "high", cases[:2], simulated=True, router="always-high"),
    ]
    hostile = write_live_run(
        folder / "odd", [Case("x" + LONG, [odd], cause="router", detail=LONG, resolved=None)], router=HOSTILE + LONG
    )
    found = {name: folder / f"{name}.html" for name in ("static", "static-hostile", "live", "live-hostile")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(STORE_VARIABLE, str(store.root))
        twinbench("static", "report", *ROUTERS, "--bank", "mine", "-o", found["static"]).succeeded()
        told = twinbench("static", "report", f"{router}:Hostile", "--bank", "hostile", "-o", found["static-hostile"])
        assert told.code == 1, "its router fails on every row"
    twinbench("dynamic", "report", *runs, "-o", found["live"]).succeeded()
    twinbench("dynamic", "report", hostile, "-o", found["live-hostile"]).succeeded()
    return found


PAGES = pytest.mark.parametrize("name", ["static", "static-hostile", "live", "live-hostile"])


@contextmanager
def opened(browser: Any, page: Path, *, width: int = 900, scheme: str = "light") -> Any:
    """A page in a window, offline; whatever it asks for or complains of fails the test."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True)
    try:
        tab = context.new_page()
        asked: list[str] = []
        complaints: list[str] = []
        tab.on("request", lambda request: asked.append(request.url))
        tab.on("console", lambda message: complaints.append(message.text))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.goto(page.as_uri())
        yield tab
        assert [url for url in asked if url != page.as_uri() and not url.startswith("data:")] == []
        assert complaints == []
    finally:
        context.close()


@PAGES
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_page_is_whole_readable_and_alone(
    browser: Any, pages: dict[str, Path], screenshots: Path, name: str, width: int, scheme: str
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    findings = 0
    for details in ("closed", "open"):
        with opened(browser, pages[name], width=width, scheme=scheme) as tab:
            if details == "open":
                tab.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
            tab.screenshot(path=screenshots / f"{name}-{details}-{width}-{scheme}.png", full_page=details == "closed")
            wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            assert tab.evaluate(wide) <= 0, "the page scrolls sideways"
            if width >= WHOLE_TABLES_FROM and details == "closed":
                assert tab.evaluate(CUT_TABLES) == [], "a column is cut"
            shown = tab.evaluate("[...document.querySelectorAll('svg')].filter(each => each.checkVisibility()).length")
            assert shown == tab.evaluate("document.querySelectorAll('svg').length") / 2, "one form of each plot"
            found = axe.run(tab).response["violations"]
            told = [(each["id"], each["impact"], [node["html"][:200] for node in each["nodes"]]) for each in found]
            assert [each for each in told if each[1] in SERIOUS] == []
            findings += len(told)
    print(
        f"evidence: report {name} at {width} px, {scheme}: axe-core found nothing serious, and {findings} lesser things"
    )


@PAGES
def test_light_and_dark_differ_and_plots_follow(browser: Any, pages: dict[str, Path], name: str) -> None:
    drawn = []
    for scheme in SCHEMES:
        with opened(browser, pages[name], scheme=scheme) as tab:
            colour = "getComputedStyle(document.querySelector('svg.wide text')).fill"
            drawn.append((tab.evaluate("getComputedStyle(document.body).backgroundColor"), tab.evaluate(colour)))
    assert drawn[0][0] != drawn[1][0]
    assert drawn[0][1] != drawn[1][1]


@PAGES
def test_everything_is_reached_with_the_keyboard(browser: Any, pages: dict[str, Path], name: str) -> None:
    with opened(browser, pages[name]) as tab:
        tab.keyboard.press("Tab")
        assert tab.evaluate("document.activeElement.textContent") == "To the content"
        assert tab.evaluate("document.activeElement.getBoundingClientRect().left") >= 0, "it is seen once it has focus"
        reached, most = [], 400
        for _ in range(most):
            tab.keyboard.press("Tab")
            tag = tab.evaluate("document.activeElement.tagName")
            if tag == "BODY":
                break
            reached.append(tag)
            if tag == "SUMMARY" and "SUMMARY" not in reached[:-1]:
                outline = tab.evaluate("getComputedStyle(document.activeElement).outlineStyle")
                assert outline == "solid"
                tab.keyboard.press("Enter")
                assert tab.evaluate("document.activeElement.parentElement.open")
        assert {"A", "DIV", "SUMMARY", "PRE"} <= set(reached)


@PAGES
def test_text_of_others_is_there_letter_by_letter(browser: Any, pages: dict[str, Path], name: str) -> None:
    with opened(browser, pages[name]) as tab:
        tab.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        assert tab.evaluate("document.querySelectorAll('script, iframe, object, embed, img').length") == 0
        if name.endswith("hostile"):
            assert SHOWN in tab.evaluate("document.body.textContent")


@pytest.mark.parametrize("change", ["<img src='http://localhost:9/x.png'>", "<script>console.log('ran')</script>"])
def test_these_tests_would_see_a_request_or_a_script(
    browser: Any, pages: dict[str, Path], tmp_path: Path, change: str
) -> None:
    changed = tmp_path / "changed.html"
    changed.write_text(pages["live"].read_text("utf-8").replace("</main>", f"{change}</main>"), "utf-8")

    def look() -> None:
        with opened(browser, changed) as tab:
            tab.wait_for_timeout(200)

    raises_assertion(look)


def raises_assertion(call: Callable[[], None]) -> None:
    with pytest.raises(AssertionError):
        call()
