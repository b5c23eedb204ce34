"""Fixtures of live runs, which are executed on clusters."""

from tests.dynamic_track.conftest import _victims, killing  # noqa: F401 - fixtures
