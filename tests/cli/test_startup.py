"""What is loaded, and when: help and an import cost next to nothing, a command what it needs."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from tests.cli.commands import commands, spawned, twinbench
from twinbench.storage.store import Store

HEAVY = {
    *("duckdb", "pydantic", "litellm", "tokenizers", "tiktoken", "huggingface_hub", "httpx", "requests", "psutil"),
    *("platformdirs", "rich", "numpy", "pandas", "pyarrow", "docker", "datasets", "openai", "anthropic", "ray"),
    *("jinja2", "matplotlib"),
}
OURS = (
    "static_track",
    "dynamic_track",
    "twinbench.api",
    "twinbench.storage.manifests",
    "twinbench.text.tokens",
    "twinbench.storage.store",
)


def loaded_by(code: str) -> set[str]:
    """The modules that a fresh interpreter has after running some code, by full name."""
    tail = "\nimport sys, json; sys.__stdout__.write('\\n' + json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code + tail], capture_output=True, text=True, check=True)
    modules: list[str] = json.loads(done.stdout.splitlines()[-1])
    return set(modules)


def running(*arguments: str) -> str:
    return f"from twinbench.cli import exit_code\nassert exit_code({list(arguments)!r}) == 0"


@pytest.mark.parametrize(
    ("arguments", "of_typer"),
    # Below the first level typer reads its arguments with pydantic.
    [
        (("--help",), set()),
        (("--version",), set()),
        (("bank", "--help"), {"pydantic"}),
        (("demo", "--help"), {"pydantic"}),
    ],
)
def test_help_loads_no_heavy_library_and_none_of_the_tracks(arguments: tuple[str, ...], of_typer: set[str]) -> None:
    loaded = loaded_by(running(*arguments))

    assert ({module.partition(".")[0] for module in loaded} & HEAVY) - of_typer == set()
    assert [module for module in loaded if module.startswith(OURS)] == []
    if not of_typer:
        assert "twinbench.cli.options" not in loaded, "no command is loaded for the list of commands"


def test_importing_the_library_loads_nothing() -> None:
    loaded = loaded_by("import twinbench")

    assert {module for module in loaded if module.partition(".")[0] in HEAVY | {"typer", "static_track"}} == set()
    assert {module for module in loaded if module.startswith("twinbench.")} == set()


def test_a_name_of_the_library_is_loaded_when_it_is_used() -> None:
    code = "import twinbench as tb\nassert tb.Tier.HIGH == 3\nassert tb.Decision('low').score is None"

    assert {module.partition(".")[0] for module in loaded_by(code)} & HEAVY == set()


def test_every_name_that_the_library_promises_is_there() -> None:
    code = "import twinbench as tb\nfor name in tb.__all__: getattr(tb, name)\nfrom twinbench import *"

    loaded_by(code)


def test_a_score_imports_no_litellm_and_no_large_library_for_its_intervals(embedded_store: Store) -> None:
    code = running("static", "score", "sticky", "--json", "--store", str(embedded_store.root))

    loaded = {module.partition(".")[0] for module in loaded_by(code)}
    assert loaded & {"litellm", "scipy", "statsmodels", "pandas", "pyarrow"} == set()


@pytest.mark.acceptance
def test_the_default_pattern_of_commands_in_text_is_the_packages_and_loads_no_litellm() -> None:
    from dynamic_track.running.agent import _default_pattern, _quiet_import

    with _quiet_import():  # else litellm looks for prices on the network, and says so while other tests run
        from minisweagent.models.litellm_textbased_model import LitellmTextbasedModelConfig

    assert _default_pattern() == LitellmTextbasedModelConfig.model_fields["action_regex"].default
    loaded = loaded_by("from dynamic_track.running.agent import _default_pattern\n_default_pattern()")
    assert "minisweagent" in loaded
    assert "litellm" not in loaded


@pytest.mark.parametrize("command", sorted(name for name, _ in commands()))
def test_every_command_explains_itself_and_its_options(command: str) -> None:
    ran = twinbench(*command.split(), "--help").succeeded()

    assert ran.text.startswith(f"Usage: twinbench {command}")
    assert ran.err == ""
    options = dict(commands())[command]
    assert all(option in ran.text for option in options if option.startswith("--"))


def test_options_stand_in_panels_and_no_line_is_wider_than_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = twinbench("static", "score", "--help").succeeded().text
    panels = re.findall(r"^([A-Z].*):$", text, re.MULTILINE)
    assert panels == [
        *("Arguments", "Options", "Bank and store", "Router process", "LLM calls", "Statistics", "Output"),
    ]
    (output,) = re.findall(r"^Output:\n(.*)", text, re.MULTILINE | re.DOTALL)
    assert re.findall(r"^  (?:-., )?(--[a-z-]+)", output, re.MULTILINE) == [
        *("--summary", "--before", "--legacy", "--json", "--format", "--output"),
    ]
    for group in ("", "static", "dynamic", "rehearse", "bank", "pool", "router"):
        help_ = twinbench(*group.split(), "--help").succeeded().text
        assert "..." not in help_.partition("Options:")[2], "no explanation is cut"
        assert max(map(len, help_.splitlines())) < 80


def test_the_version_is_the_packages() -> None:
    from importlib.metadata import version

    import twinbench

    assert spawned("--version").succeeded().text == f"twinbench {twinbench.__version__}\n"
    assert version("twinbench") == twinbench.__version__
