import pytest

from buildorder import ManifestError, read_manifest


def test_a_manifest_lists_sources_and_dependencies():
    manifest = read_manifest("# all\napp: main.c app.h <- core # the program\ncore: core.c app.h\nall: <- app")
    assert list(manifest.graph) == ["all", "app", "core"]
    assert manifest.graph.dependencies("app") == {"core"}
    assert manifest.owners == {"main.c": {"app"}, "app.h": {"app", "core"}, "core.c": {"core"}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a:\nno target", "line 2: not a target"),
        ("a:\na:", "line 2: a is listed twice"),
        ("a: <- b", "line 1: a depends on b, which is not listed"),
    ],
    ids=["malformed", "twice", "missing"],
)
def test_what_is_no_manifest_is_refused(text, message):
    with pytest.raises(ManifestError, match=message):
        read_manifest(text)
