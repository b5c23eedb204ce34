"""What tests of containers share: a sandbox for a whole file, whose state no test may rely on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from tests.containers.running import SMALL
from twinbench.containers.engine import Engine
from twinbench.containers.sandbox import Sandbox

OpenSandbox = Callable[..., Sandbox]


@pytest.fixture(scope="module")
def sandbox(engine: Engine, base_image: str) -> Iterator[Sandbox]:
    """A sandbox that the tests of a file share: each must leave it usable."""
    with Sandbox(engine, base_image, "case", limits=SMALL) as opened:
        yield opened


@pytest.fixture
def open_sandbox(engine: Engine, base_image: str) -> OpenSandbox:
    """Makes a sandbox of its own: ``with open_sandbox(case="a", written_mib=10) as sandbox``."""

    def make(**fields: object) -> Sandbox:
        own = {name: fields.pop(name) for name in tuple(fields) if name in Sandbox.__dataclass_fields__}
        return Sandbox(engine, base_image, "case", limits=replace(SMALL, **fields), **own)  # type: ignore[arg-type]

    return make
