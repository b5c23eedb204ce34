"""The documentation is true: its examples give what it shows, its links lead somewhere, and nothing is left out."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from _pytest.mark.structures import ParameterSet
from markdown_it import MarkdownIt
from markdown_it.token import Token
from typer.main import get_command

from docs import make_cli, make_real_banks, make_trained_routers, refresh
from tests.cli.commands import commands as every_command
from tests.cli.forked import OWN_PROCESSES_VARIABLE
from tests.docs.loaded import loaded_command
from twinbench.cli import app

ROOT = refresh.ROOT
PAGES = refresh.pages()
BY_NAME = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)

JSON_PAGES = (
    "json.md",
    "live.md",
    "run-live.md",
    "rehearsal.md",
    "imported-runs.md",
    "audit.md",
    "explain.md",
    "live-scores.md",
    "construction.md",
    "exports.md",
    "reports.md",
    "before-you-pay.md",
    "submissions.md",
    "leaderboard.md",
)
NEEDS_DOCKER = "<!-- needs: docker"
WITH_CONTAINERS = [page for page in PAGES if page.read_text("utf-8").startswith(NEEDS_DOCKER)]
LATER = ("train-a-router.md", "rehearsal.md", "submissions.md", "reports.md", "live.md", "exports.md")
"""Pages whose examples take about ten seconds or more: ``make acceptance PART=pages`` runs them."""


def run_long_ones_later(pages: Iterable[Path]) -> list[ParameterSet]:
    """Pages as arguments of a test, of which the long ones do not run in the suite."""
    later = pytest.mark.acceptance
    return [pytest.param(page, id=page.name, marks=later if page.name in LATER else ()) for page in pages]


needs_a_shell = pytest.mark.skipif(
    sys.platform == "win32" or not all(map(shutil.which, ("bash", "make"))), reason="the examples are for bash and make"
)


@needs_a_shell
@pytest.mark.parametrize("page", run_long_ones_later(page for page in PAGES if page not in WITH_CONTAINERS))
def test_examples_give_what_the_page_shows(page: Path, tmp_path: Path, commands: Path | None) -> None:
    assert_examples_are_true(page, tmp_path, commands)


@needs_a_shell
@pytest.mark.usefixtures("rehearsal_images")
@pytest.mark.parametrize("page", run_long_ones_later(WITH_CONTAINERS))
def test_examples_with_containers_give_what_the_page_shows(page: Path, tmp_path: Path, commands: Path | None) -> None:
    assert_examples_are_true(page, tmp_path, commands)


@pytest.fixture(scope="session")
def commands() -> Iterator[Path | None]:
    """Where the command of the examples is, that need not be loaded each time."""
    if os.environ.get(OWN_PROCESSES_VARIABLE) == "1":
        yield None
        return
    with loaded_command() as folder:
        yield folder


def assert_examples_are_true(page: Path, tmp_path: Path, commands: Path | None) -> None:
    wrong = refresh.check(page.read_text("utf-8"), tmp_path, commands)
    told = [f"{page.name}:{each.step.line}: {each.step.text.strip()}\n{each.what}" for each in wrong]
    assert not told, "\n\n".join([*told, "If that is meant: python -m docs.refresh"])


@BY_NAME
def test_links_lead_somewhere(page: Path) -> None:
    dead = [link for link in links(page.read_text("utf-8")) if not leads_somewhere(link, page)]
    assert not dead


@BY_NAME
def test_what_is_only_shown_installs_something(page: Path) -> None:
    for block in refresh.blocks(page.read_text("utf-8")):
        assert block.language in {"console", "python", "json", "jsonl", "toml", "text", "sh", "yaml"}
        if block.language == "sh":
            assert "install" in block.content
        if block.language == "yaml":
            assert isinstance(yaml.safe_load(block.content), dict)


@BY_NAME
def test_json_is_json(page: Path) -> None:
    for block in refresh.blocks(page.read_text("utf-8")):
        if block.language == "json":
            json.loads(block.content)
        elif block.language == "jsonl" and block.title != "wrong.jsonl":
            for line in block.content.splitlines():
                json.loads(line)


@BY_NAME
def test_no_path_of_a_machine_is_shown(page: Path) -> None:
    assert not re.search(r"(?<![\w.])/(tmp|home|root|work|Users)/", page.read_text("utf-8"))


def test_every_page_is_on_the_map() -> None:
    index = ROOT / "docs" / "index.md"
    mapped = {(index.parent / link).resolve() for link in links(index.read_text("utf-8"))}
    assert set(PAGES) - {index} <= mapped


def test_the_command_line_page_is_what_help_says() -> None:
    assert make_cli.PAGE.read_text("utf-8") == make_cli.page(), "run: python docs/make_cli.py"


@pytest.mark.acceptance
def test_the_page_of_real_banks_is_what_they_score(shared: Path) -> None:
    assert make_real_banks.PAGE.read_text("utf-8") == make_real_banks.page(shared / "banks"), (
        "run: python docs/make_real_banks.py FOLDER"
    )


def test_the_page_of_trained_routers_concludes_what_its_tables_say() -> None:
    sections = make_trained_routers.read_sections()
    page = make_trained_routers.page(sections)
    assert make_trained_routers.PAGE.read_text("utf-8") == page
    assert ", 0 are better, 34 worse," in " ".join(page.split())
    bank = sections["official_part"].replace("| not told apart (+0.70", "| better (+0.70")
    text = " ".join(make_trained_routers.page({**sections, "official_part": bank}).split())
    assert ", 1 is better, 34 worse," in text
    assert "Better ones are on `official_part`." in text


def test_every_json_output_is_shown() -> None:
    pages = [(ROOT / "docs" / name).read_text("utf-8") for name in JSON_PAGES]
    steps = [step for page in pages for step in refresh.steps(page)]
    commands = [step.text for step in steps if step.kind == "command" and "--json" in step.text]
    missing = [
        " ".join(path)
        for path in make_cli.command_paths()
        if "--json" in options(path) and not any(each.startswith(f"twinbench {' '.join(path)} ") for each in commands)
    ]
    assert not missing


@BY_NAME
def test_commands_and_options_that_a_page_names_exist(page: Path) -> None:
    known = dict(every_command())
    groups = {name.rpartition(" ")[0] for name in known}
    named = re.findall(
        r"(?:twinbench |`)([a-z]+(?: review)?) ([a-z]+(?:\|[a-z]+)*)(?![\w:.?-])([^`|;&\n]*)", page.read_text("utf-8")
    )
    wrong = []
    for group, commands_, rest in named:
        for command in commands_.split("|") if group in groups else ():
            path = f"{group} {command}" if group != "rehearse" or f"rehearse {command}" in known else "rehearse run"
            given = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", rest)) - {"--help"}
            if path not in groups:
                wrong += [path] if path not in known else [f"{path} {option}" for option in given - known[path]]
    assert wrong == []


def test_every_module_has_its_room_in_the_design() -> None:
    page = (ROOT / "docs" / "design.md").read_text("utf-8")
    modules = [
        path.relative_to(ROOT / package).as_posix()
        for package in ("twinbench", "static_track", "dynamic_track")
        for path in (ROOT / package).rglob("*")
        if path.suffix in (".py", ".sql", ".sh")
        and path.name != "__init__.py"
        and not ("cli" in path.parts or "rehearsal/tasks/" in path.as_posix())
    ]
    assert [module for module in modules if f"`{module}`" not in page] == []


def links(markdown: str) -> Iterator[str]:
    """The relative links of a page."""

    def walk(tokens: list[Token]) -> Iterator[str]:
        for token in tokens:
            if token.type == "link_open":
                yield str(token.attrs["href"])
            yield from walk(token.children or [])

    found = walk(MarkdownIt("commonmark").enable("table").parse(markdown))
    return (link for link in found if "://" not in link)


def leads_somewhere(link: str, page: Path) -> bool:
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    return target.exists() and (not anchor or anchor in anchors(target.read_text("utf-8")))


def anchors(markdown: str) -> set[str]:
    """What a page's headings can be linked by, as code hosts make it of their text."""
    headings = re.findall(
        r"^#+ (.+)$", re.sub(r"^```.*?^```", "", markdown, flags=re.DOTALL | re.MULTILINE), re.MULTILINE
    )
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def options(path: tuple[str, ...]) -> set[str]:
    """The options of a command."""
    command: Any = get_command(app)
    for name in path:
        command = command.commands[name]
    return {option for parameter in command.params for option in parameter.opts}


PAGE = """\
# Page

```console
$ echo hello; echo 'took 1.234 ms'
{shown}
```

```python title="two.py"
print('{{"a": 1, "b": [1, 2, 3], "latency_ms": 7}}')
```

```console
$ python two.py
```

```json
{json}
```
"""


@needs_a_shell
@pytest.mark.parametrize(
    ("shown", "data"),
    [
        ("hello\ntook 9.876 ms", '{"a": 1, "b": [1, 2, 3], "latency_ms": 0}'),
        ("h…o\n…", '{"b": [1, "…"], "…": "…"}'),
        ("…", '{"latency_ms": null, "…": ""}'),
    ],
)
def test_a_true_page_stays_as_it_is(shown: str, data: str, tmp_path: Path) -> None:
    assert refresh.check(PAGE.format(shown=shown, json=data), tmp_path) == []


@needs_a_shell
@pytest.mark.parametrize(
    ("shown", "data", "now_shown", "now_data"),
    [
        ("bye", '{"a": 2, "…": ""}', "hello\ntook 1.234 ms", '{"a": 1, "…": ""}'),
        ("bye\n…", '{"b": [2, "…"], "a": 1, "latency_ms": 3}', "hello\n…", '{"a": 1, "b": [1, "…"], "latency_ms": 7}'),
        ("hello\ntook 1.23 ms", "{}", "hello\ntook 1.234 ms", '{"a": 1, "b": [1, 2, 3], "latency_ms": 7}'),
    ],
)
def test_a_page_that_shows_something_else_is_found_and_refreshed(
    shown: str, data: str, now_shown: str, now_data: str, tmp_path: Path
) -> None:
    page = PAGE.format(shown=shown, json=data)
    wrong = refresh.check(page, tmp_path)
    assert [each.step.line for each in wrong] == [4, 13 + shown.count("\n")]
    assert refresh.refreshed(page, wrong) == PAGE.format(shown=now_shown, json=now_data)


@needs_a_shell
def test_json_of_a_command_is_compared_by_content_where_it_is_shown(tmp_path: Path) -> None:
    page = '```console\n$ echo \'{"b": 2, "a": [1, 2]}\'\n{"a": [1, "…"],\n "…": ""}\n$ echo done\ndone\n```\n'
    assert refresh.check(page, tmp_path) == []
    (tmp_path / "other").mkdir()
    (wrong,) = refresh.check(page.replace('[1, "…', '[3, "…'), tmp_path / "other")
    assert refresh.refreshed(page, [wrong]) == page.replace("\n ", " ")


@needs_a_shell
def test_a_command_that_fails_is_found_and_left_for_a_person(tmp_path: Path) -> None:
    page = "```console\n$ echo no; exit 3\nno\n```\n"
    (wrong,) = refresh.check(page, tmp_path)
    assert wrong.what == "exits with 3:\nno"
    assert refresh.refreshed(page, [wrong]) == page


@needs_a_shell
def test_python_that_raises_is_found(tmp_path: Path) -> None:
    (wrong,) = refresh.check("```python\nraise SystemExit('broken')\n```\n", tmp_path)
    assert wrong.what == "exits with 1:\nbroken"
