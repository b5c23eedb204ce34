import pytest

from plainconf import ConfError, load, loads


def value(text):
    return loads(f"key = {text}").lookup("key")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("8080", 8080),
        ("-3", -3),
        ("1.5", 1.5),
        ("yes", True),
        ("False", False),
        ("billing", "billing"),
        ("a/b:c", "a/b:c"),
    ],
    ids=["whole", "negative", "decimal", "yes", "no", "word", "path"],
)
def test_bare_values_have_types(text, expected):
    assert value(text) == expected


def test_double_quotes_know_escapes():
    assert value(r'"a \"b\"\n"') == 'a "b"\n'


def test_single_quotes_are_literal():
    assert value(r"'C:\new'") == r"C:\new"


def test_lists_hold_scalars():
    assert value('[1, "a, b", yes]') == [1, "a, b", True]
    assert value("[]") == []


def test_sections_and_the_unnamed_one():
    document = loads("name = x\n[tls]\nport = 1\n[empty]\n")
    assert document == {"": {"name": "x"}, "tls": {"port": 1}, "empty": {}}


def test_lookup_walks_into_a_section():
    document = loads("[tls]\nport = 1")
    assert document.lookup("tls/port") == 1
    assert document.lookup("tls/host", "localhost") == "localhost"


def test_a_key_set_twice_is_refused():
    with pytest.raises(ConfError, match="line 2: a is set a second time"):
        loads("a = 1\na = 2")


@pytest.mark.parametrize("text", ['"open', "[1, 2", '"a" b', r'"\q"', "two words", ""], ids=range(6))
def test_what_is_no_value_is_refused(text):
    with pytest.raises(ConfError, match="line 1"):
        value(text)


def test_load_reads_a_file(tmp_path):
    path = tmp_path / "service.conf"
    path.write_text("name = size.x\n", encoding="utf-8")
    assert load(path).lookup("name") == "size.x"
