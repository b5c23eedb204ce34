"""Fixtures of live runs, which submissions are made of."""

from tests.dynamic_track.conftest import _victims, killing, rehearsal, verdicts  # noqa: F401 - fixtures
