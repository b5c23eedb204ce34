import pytest

from verspan import Version, VersionError

ORDERED = ["0.9.9", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc", "1.0.0", "1.0.10"]


def test_versions_sort_by_their_parts():
    assert [str(version) for version in sorted(map(Version.parse, reversed(ORDERED)))] == ORDERED


def test_build_metadata_is_ignored():
    assert Version.parse("v1.2.3+linux.5") == Version(1, 2, 3)


@pytest.mark.parametrize("text", ["1.2", "01.2.3", "1.2.3-", "1.2.3.4", "one"])
def test_what_is_no_version_is_refused(text):
    with pytest.raises(VersionError, match="not a version"):
        Version.parse(text)
