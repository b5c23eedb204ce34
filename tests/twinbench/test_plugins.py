"""Specs, their typed arguments, and what a router's fingerprint depends on."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, Optional, Union

import pytest

from tests.twinbench.calls import TIERS, a_call
from twinbench.errors import UsageError
from twinbench.plugins.arguments import ArgumentError, typed_arguments
from twinbench.plugins.loading import load_router
from twinbench.plugins.spec import RouterSpec, parse_spec
from twinbench.routing.built_in import BUILT_IN

# --- Specs ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kind", "target", "attribute", "arguments"),
    [
        ("always-high", "built-in", "always-high", "", {}),
        ("random?seed=3&mix=1:0:0:1", "built-in", "random", "", {"seed": "3", "mix": "1:0:0:1"}),
        ("pack.age:Mine", "module", "pack.age", "Mine", {}),
        ("pack:Outer.Inner?k=5", "module", "pack", "Outer.Inner", {"k": "5"}),
        ("pack:Mine?no=&space=a%20b&plus=a%2Bb", "module", "pack", "Mine", {"no": "", "space": "a b", "plus": "a+b"}),
        ("pack:Mine?path=a:b/c.py", "module", "pack", "Mine", {"path": "a:b/c.py"}),
    ],
)
def test_a_spec_says_where_a_router_is_and_with_what_arguments(
    text: str, kind: Any, target: str, attribute: str, arguments: dict[str, str]
) -> None:
    assert parse_spec(text) == RouterSpec(text, kind, target, attribute, arguments)


def test_a_file_may_lie_anywhere_and_have_colons_in_its_path(tmp_path: Path) -> None:
    path = tmp_path / "a:b" / "my router.py"
    path.parent.mkdir()
    path.touch()
    spec = parse_spec(f"{path}:Mine?k=1")
    assert (spec.kind, spec.target, spec.attribute, spec.arguments) == ("file", str(path), "Mine", {"k": "1"})


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "Mine:",
        ":Mine",
        "pack:",
        "router.py",
        "a/b",
        "no/such/file.py:Mine",
        "random?seed",
        "random?seed=1&seed=2",
        "random?=1&x",
    ],
)
def test_what_is_no_spec_is_wrong_usage(text: str) -> None:
    with pytest.raises(UsageError, match="router"):
        parse_spec(text)


# --- Arguments ------------------------------------------------------------------------------------------------------


class Metric(Enum):
    COSINE = "cosine"
    L2 = "euclidean"


class Everything:
    def __init__(  # type: ignore[no-untyped-def]
        self,
        *,
        k: int = 1,
        share: float = 0.5,
        on: bool = True,
        name: str = "x",
        path: Path = Path(),
        metric: Literal["cosine", "l2", 3] = "l2",
        kind: Metric = Metric.L2,
        maybe: int | None = None,
        either: int | str = 0,
        old: Optional[float] = None,  # noqa: UP045 - people write it
        older: Union[bool, int, str] = 0,  # noqa: UP007
        noted: Annotated[int, "a note"] = 0,
        anything: Any = None,
        many: list[int] = [],  # noqa: B006
        untyped=None,
    ) -> None: ...


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("k", "5", 5),
        ("k", "-5", -5),
        ("share", "0.25", 0.25),
        ("share", "1", 1.0),
        ("on", "false", False),
        ("on", "YES", True),
        ("on", "0", False),
        ("name", "5", "5"),
        ("name", "", ""),
        ("path", "/data/knn.bin", Path("/data/knn.bin")),
        ("metric", "cosine", "cosine"),
        ("metric", "3", 3),
        ("kind", "cosine", Metric.COSINE),
        ("maybe", "7", 7),
        ("maybe", "none", None),
        ("either", "7", 7),
        ("either", "seven", "seven"),
        ("old", "7", 7.0),
        ("old", "None", None),
        ("older", "true", True),
        ("older", "7", 7),
        ("older", "x", "x"),
        ("noted", "7", 7),
        ("anything", "7", "7"),
        ("untyped", "7", "7"),
    ],
)
def test_an_argument_has_the_type_that_the_constructor_declares(name: str, text: str, value: object) -> None:
    (converted,) = typed_arguments(Everything, {name: text}).values()
    assert converted == value
    assert type(converted) is type(value)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("k", "five", "its argument 'k' must be of type int, not 'five'"),
        ("k", "5.0", "its argument 'k' must be of type int, not '5.0'"),
        ("share", "half", "its argument 'share' must be of type float, not 'half'"),
        ("on", "maybe", "its argument 'on' must be of type bool, not 'maybe'"),
        ("metric", "manhattan", "its argument 'metric' must be Literal['cosine', 'l2', 3], not 'manhattan'"),
        ("kind", "manhattan", "its argument 'kind' must be of type Metric, not 'manhattan'"),
        ("maybe", "x", "its argument 'maybe' must be int | None, not 'x'"),
        ("many", "1", "its argument 'many' has type list[int], which a spec cannot express"),
        ("nothing", "1", "it takes no argument 'nothing'; its arguments: k, share, on, "),
    ],
)
def test_an_argument_that_does_not_fit_is_refused_in_words(name: str, text: str, said: str) -> None:
    with pytest.raises(ArgumentError) as refused:
        typed_arguments(Everything, {name: text})
    assert str(refused.value).startswith(said)


def test_a_required_argument_must_be_given() -> None:
    class Needs:
        def __init__(self, path: str) -> None: ...

    with pytest.raises(ArgumentError, match=r"it needs the argument 'path': add \?path=…"):
        typed_arguments(Needs, {})


def test_a_factory_a_class_without_a_constructor_and_open_arguments_are_all_served() -> None:
    def factory(k: int, **others: float) -> None: ...

    class Bare:
        pass

    assert typed_arguments(factory, {"k": "1"}) == {"k": 1}
    assert typed_arguments(factory, {"k": "1", "other": "x"}) == {"k": 1, "other": "x"}
    assert typed_arguments(Bare, {}) == {}
    with pytest.raises(ArgumentError, match="its arguments: none"):
        typed_arguments(Bare, {"k": "1"})


def test_annotations_that_name_what_does_not_exist_leave_the_text() -> None:
    class Broken:
        def __init__(self, k: "Missing") -> None: ...  # type: ignore[name-defined] # noqa: F821, UP037

    assert typed_arguments(Broken, {"k": "5"}) == {"k": "5"}


def test_relative_paths_start_from_the_folder_of_the_user() -> None:
    folder = Path("/home/me")
    assert typed_arguments(Everything, {"path": "knn.bin"}, folder) == {"path": folder / "knn.bin"}
    assert typed_arguments(Everything, {"path": "/knn.bin"}, folder) == {"path": Path("/knn.bin")}


def test_built_in_routers_take_arguments_and_refuse_wrong_ones() -> None:
    with load_router("random?seed=7&mix=0:0:0:1").opened(TIERS) as router:
        assert router.route(a_call()) == 3
    for spec, said in {
        "random?sead=7": "it takes no argument 'sead'; its arguments: seed, mix",
        "random?mix=1": "mix needs four weights",
        "sticky?at_least=best": "unknown tier 'best'",
        "always-high?k=1": "its arguments: none",
    }.items():
        with pytest.raises(UsageError, match=said):
            load_router(spec)


# --- Fingerprints ---------------------------------------------------------------------------------------------------

ROUTER = """
    class Mine:
        def __init__(self, tier: str = "low", data: str = "") -> None: ...

        def route(self, call):
            return "low"
"""

Files = dict[str, str]


def write(folder: Path, files: Files) -> None:
    for name, code in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(code), "utf-8")


@pytest.fixture
def fingerprint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """The fingerprint of a router after some files were written to the current folder."""
    monkeypatch.chdir(tmp_path)

    def fingerprinted(spec: str = "router.py:Mine", files: Files | None = None) -> str:
        write(tmp_path, files or {})
        found = load_router(spec).fingerprint
        assert found is not None
        return found

    return fingerprinted


def test_the_same_files_and_arguments_have_the_same_fingerprint_in_any_folder(
    fingerprint: Callable[..., str], tmp_path: Path
) -> None:
    here = fingerprint(files={"router.py": "import sibling\n" + textwrap.dedent(ROUTER), "sibling.py": ""})
    assert fingerprint() == here
    write(tmp_path / "elsewhere", {"router.py": "import sibling\n" + textwrap.dedent(ROUTER), "sibling.py": ""})
    assert fingerprint("elsewhere/router.py:Mine") == here
    assert fingerprint(f"{tmp_path}/elsewhere/router.py:Mine") == here


def test_the_class_its_arguments_and_every_byte_of_its_file_count(fingerprint: Callable[..., str]) -> None:
    seen = [
        fingerprint(files={"router.py": ROUTER}),
        fingerprint("router.py:Other"),
        fingerprint("router.py:Mine?tier=mid"),
        fingerprint("router.py:Mine?tier=high"),
        fingerprint(files={"router.py": ROUTER + "\n# a comment\n"}),
    ]
    assert len(set(seen)) == len(seen)
    assert fingerprint(files={"unrelated.py": "x = 1", "data.txt": "x"}) == seen[-1]


@pytest.mark.parametrize(
    "importing",
    [
        "import sibling",
        "from sibling import x",
        "import folder.inner",
        "from folder import inner",
        "from folder.inner import x",
        "import far",
    ],
)
def test_a_sibling_counts_even_if_it_is_imported_late(importing: str, fingerprint: Callable[..., str]) -> None:
    late = textwrap.dedent(ROUTER).replace('        return "low"', f"        {importing}\n        return 'low'")
    files = {
        "router.py": late,
        "sibling.py": "x = 1",
        "folder/__init__.py": "",
        "folder/inner.py": "x = 1",
        "far.py": "import sibling\nimport router",  # a circle, too
    }
    before = fingerprint(files=files)
    edited = "sibling.py" if "sibling" in importing or "far" in importing else "folder/inner.py"
    assert fingerprint(files={edited: "x = 2"}) != before
    assert fingerprint(files={edited: "x = 1"}) == before


def test_a_file_that_an_argument_names_counts_with_its_content(fingerprint: Callable[..., str]) -> None:
    spec = "router.py:Mine?data=knn.bin"
    absent = fingerprint(spec, {"router.py": ROUTER})
    first = fingerprint(spec, {"knn.bin": "1"})
    assert len({absent, first, fingerprint(spec, {"knn.bin": "2"})}) == 3
    assert fingerprint(spec, {"knn.bin": "1"}) == first


PACKAGE = {
    "pack/__init__.py": "",
    "pack/router.py": "from . import near\nfrom .sub import deep\nfrom .sub.deeper import x\n"
    + textwrap.dedent(ROUTER),
    "pack/near.py": "from pack.absolute import x",
    "pack/absolute.py": "x = 1",
    "pack/sub/__init__.py": "",
    "pack/sub/deep.py": "from .. import upward",
    "pack/sub/deeper.py": "from ..outward import x",
    "pack/upward.py": "x = 1",
    "pack/outward.py": "x = 1",
    "pack/unused.py": "x = 1",
}


@pytest.mark.parametrize("edited", sorted(set(PACKAGE) - {"pack/unused.py"}))
def test_each_module_that_a_package_imports_from_itself_counts(edited: str, fingerprint: Callable[..., str]) -> None:
    before = fingerprint("pack.router:Mine", PACKAGE)
    assert fingerprint("pack.router:Mine", {"pack/unused.py": "x = 2"}) == before
    assert fingerprint("pack.router:Mine", {edited: PACKAGE[edited] + "\ny = 2\n"}) != before


def test_modules_found_elsewhere_on_the_path_count_alike_wherever_they_lie(
    fingerprint: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    for place in ("one", "another"):
        lib = tmp_path / place / "lib"
        (lib / "tools_of_mine").mkdir(parents=True)
        (lib / "tools_of_mine" / "__init__.py").write_text("import helper_of_mine\n")
        (lib / "helper_of_mine.py").write_text("x = 1\n")
        with monkeypatch.context() as patch:
            patch.syspath_prepend(str(lib))
            seen.append(fingerprint(files={"router.py": "import tools_of_mine\n" + textwrap.dedent(ROUTER)}))
            (lib / "helper_of_mine.py").write_text("x = 2\n")
            assert fingerprint() != seen[-1]
    assert seen[0] == seen[1]


def test_the_init_of_a_package_counts_where_nothing_names_it(fingerprint: Callable[..., str]) -> None:
    files = {
        "pack/__init__.py": "LEVEL = 1",
        "pack/router.py": ROUTER,
        "router.py": "import lib.deep.x\n" + textwrap.dedent(ROUTER),
    }
    files |= {"lib/__init__.py": "", "lib/deep/__init__.py": "", "lib/deep/x.py": ""}
    of_package, of_file = fingerprint("pack.router:Mine", files), fingerprint("router.py:Mine")
    assert fingerprint("pack.router:Mine", {"pack/__init__.py": "LEVEL = 2"}) != of_package
    assert fingerprint("router.py:Mine", {"lib/deep/__init__.py": "LEVEL = 2"}) != of_file


def test_a_module_that_is_not_there_is_wrong_usage(fingerprint: Callable[..., str]) -> None:
    with pytest.raises(UsageError, match="no module 'nowhere'; install it, or run from its folder"):
        fingerprint("nowhere.router:Mine")


def distribution(site: Path, name: str, version: str, requires: str = "", code: str = "x = 1") -> None:
    """Something that pip might have installed."""
    write(
        site,
        {
            f"{name}/__init__.py": code,
            f"{name}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
            + (f"Requires-Dist: {requires}\n" if requires else ""),
            f"{name}.dist-info/top_level.txt": name,
            f"{name}.dist-info/RECORD": f"{name}/__init__.py,,\n",
        },
    )


def test_an_installed_distribution_counts_by_its_version_and_those_of_what_it_requires(tmp_path: Path) -> None:
    site = tmp_path / "site"
    write(tmp_path, {"router.py": "import knn_lib\n" + textwrap.dedent(ROUTER)})

    def fingerprinted() -> str:
        code = "from twinbench.plugins.loading import load_router; print(load_router('router.py:Mine').fingerprint)"
        search = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": search},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    distribution(site, "math_lib", "1.0")
    distribution(site, "knn_lib", "1.0", requires='math-lib>=1; python_version >= "3"')
    first = fingerprinted()
    distribution(site, "knn_lib", "1.0", requires='math-lib>=1; python_version >= "3"', code="x = 2")
    assert fingerprinted() == first  # its version stands for its files
    distribution(site, "math_lib", "1.1")
    second = fingerprinted()
    distribution(site, "knn_lib", "2.0", requires='math-lib>=1; python_version >= "3"')
    third = fingerprinted()
    assert len({first, second, third}) == 3


def test_instances_have_no_fingerprint_and_built_in_routers_one_each() -> None:
    assert load_router(BUILT_IN["random"]()).fingerprint is None
    assert load_router(BUILT_IN["random"]()).name == "instance:Random"
    found = {load_router(name).fingerprint for name in (*BUILT_IN, "random?seed=1")}
    assert None not in found
    assert len(found) == len(BUILT_IN) + 1
