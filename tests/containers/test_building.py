"""Images that are built: from what, when again, and what they are known by."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.containers.running import SMALL, said
from twinbench.causes import Cause
from twinbench.containers.building import build_image, context_files, parent_images
from twinbench.containers.engine import Engine, ImageError
from twinbench.containers.sandbox import Sandbox


@pytest.fixture
def image(engine: Engine) -> Iterator[str]:
    """The name of an image that is removed afterwards, if there is one by then."""
    name = f"twinbench-test-{uuid.uuid4().hex[:8]}:latest"
    yield name
    if engine.has_image(name):
        engine.client.images.remove(name, force=True)


@pytest.fixture
def context(tmp_path: Path) -> Path:
    """A small project, with what no image may hold."""
    folder = tmp_path / "project"
    for name, text in {
        "src/a.py": "print('a')",
        "src/__pycache__/a.pyc": "x",
        "src/gold.patch": "not the one",
        "gold.patch": "the answer",
        "tests/test_a.py": "hidden",
        "run.sh": "echo ran",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / "run.sh").chmod(0o700)
    return folder


def made(engine: Engine, image: str, context: Path, dockerfile: str) -> list[str]:
    """Build it; what progress was told. An image that it replaces is removed."""
    told: list[str] = []
    before = engine.client.images.get(image).id if engine.has_image(image) else None
    build_image(
        engine,
        image,
        dockerfile,
        context_files(context, ["gold.patch", "tests"]),
        lambda what, done, _: told.append(f"{what} {done}"),
    )
    if before is not None and engine.client.images.get(image).id != before:
        engine.client.images.remove(before)
    return told


def test_a_context_leaves_out_what_it_is_told_to(context: Path) -> None:
    assert sorted(context_files(context, ["gold.patch", "tests"])) == ["run.sh", "src/a.py", "src/gold.patch"]
    assert sorted(context_files(context, [])) == [
        "gold.patch",
        "run.sh",
        "src/a.py",
        "src/gold.patch",
        "tests/test_a.py",
    ]


def test_the_images_that_a_dockerfile_starts_from_are_known() -> None:
    text = (
        "# FROM no\nFROM --platform=linux/amd64 one:1 AS First\nRUN echo FROM x\n  from two\nFROM first\nFROM scratch\n"
    )
    assert parent_images(text) == ["one:1", "two"]


def test_an_image_is_built_once_and_again_when_its_recipe_changes(
    engine: Engine, base_image: str, image: str, context: Path
) -> None:
    dockerfile = f"FROM {base_image}\nCOPY . /project/\nRUN /project/run.sh >/said && date +%N >/built\n"
    assert made(engine, image, context, dockerfile)[:2] == [f"building {image} {step}" for step in (1, 2)]
    first = engine.client.images.get(image).id
    identity = engine.image_identity(image)
    with Sandbox(engine, image, "case", limits=SMALL) as sandbox:
        assert said(sandbox, "cd /project; find . -type f | sort; cat /said; stat -c %a run.sh src/a.py") == (
            "./Dockerfile\n./run.sh\n./src/a.py\n./src/gold.patch\nran\n755\n644\n"
        )
    assert made(engine, image, context, dockerfile) == []
    (context / "run.sh").chmod(0o755)  # as somebody else's umask has it
    (context / "gold.patch").write_text("another answer")
    assert made(engine, image, context, dockerfile) == []
    assert engine.client.images.get(image).id == first

    engine.client.images.remove(image, force=True)
    assert made(engine, image, context, dockerfile) != []
    assert engine.image_identity(image) == identity
    assert identity.startswith("recipe:")

    (context / "src" / "a.py").write_text("print('b')")
    assert made(engine, image, context, dockerfile) != []
    changed = engine.image_identity(image)
    (context / "run.sh").chmod(0o644)
    again = dockerfile.replace("RUN /project", "RUN bash /project")
    assert made(engine, image, context, again) != []
    assert len({identity, changed, engine.image_identity(image)}) == 3


def test_an_image_is_built_in_stages(engine: Engine, base_image: str, image: str, context: Path) -> None:
    dockerfile = f"FROM {base_image} AS made\nRUN echo one >/one\nFROM made AS more\nRUN cat /one >/two\nFROM more\n"
    made(engine, image, context, dockerfile)
    with Sandbox(engine, image, "case", limits=SMALL) as sandbox:
        assert said(sandbox, "cat /one /two") == "one\none\n"


def test_a_build_that_fails_shows_its_last_lines_and_leaves_no_container(
    engine: Engine, base_image: str, image: str, context: Path
) -> None:
    only_here = image.partition(":")[0]
    dockerfile = (
        f"FROM {base_image}\nRUN for n in $(seq 100); do echo line $n; done; sleep 0.2; : {only_here}; "
        "echo the reason >&2; exit 3\n"
    )
    with pytest.raises(ImageError, match=f"image {image} cannot be built: ") as raised:
        made(engine, image, context, dockerfile)
    text = str(raised.value)
    assert "returned a non-zero code: 3" in text
    assert "\nthe reason\n" in text
    assert "line 100" in text
    assert "line 50\n" not in text
    assert raised.value.cause is Cause.image
    assert not engine.has_image(image)
    made_of_it = engine.client.containers.list(all=True, ignore_removed=True, filters={"ancestor": base_image})
    assert [each.name for each in made_of_it if only_here in str(each.attrs["Config"]["Cmd"])] == []


def test_a_dockerfile_that_is_none_is_said(engine: Engine, base_image: str, image: str, context: Path) -> None:
    with pytest.raises(ImageError, match=r"(?i)unknown instruction: nonsense"):
        made(engine, image, context, f"FROM {base_image}\nNONSENSE here\n")


def test_an_image_that_a_dockerfile_starts_from_and_cannot_be_had_is_named(
    engine: Engine, image: str, context: Path
) -> None:
    with pytest.raises(ImageError, match=r"could not pull image 127\.0\.0\.1:9/nowhere:1: "):
        made(engine, image, context, "FROM 127.0.0.1:9/nowhere:1\n")
