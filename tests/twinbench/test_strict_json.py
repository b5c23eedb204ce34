"""JSON without room for misreading; lists that are read member by member, wherever a file is cut into blocks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twinbench.reading import strict_json
from twinbench.reading.input_files import InputError
from twinbench.reading.strict_json import FaultyJsonError, JsonError, NotJsonError, parse_json, read_list_members
from twinbench.reading.validation import MAX_DEPTH, find_unstorable

VALUES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=9)
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=4), inner, max_size=4)),
    max_leaves=12,
)


def cut(data: bytes, *sizes: int) -> Iterator[bytes]:
    """The data in blocks of these sizes, again and again."""
    at = number = 0
    while at < len(data):
        size = sizes[number % len(sizes)]
        yield data[at : at + size]
        at, number = at + size, number + 1


@pytest.fixture
def _small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strict_json, "_FIRST_WINDOW", 1)


@pytest.mark.slow
@settings(max_examples=300)
@given(
    st.lists(VALUES, max_size=6),
    st.lists(st.integers(1, 40), min_size=1, max_size=4),
    st.sampled_from([None, 1]),
    st.booleans(),
)
def test_a_list_has_the_same_members_however_its_file_is_cut(
    members: list[Any], sizes: list[int], indent: int | None, ascii_only: bool
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(strict_json, "_FIRST_WINDOW", 1)
        data = json.dumps(members, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
        try:
            data.decode()
        except UnicodeDecodeError:
            return  # a lone surrogate is no UTF-8
        found = list(read_list_members(cut(data, *sizes)))
    assert json.dumps(found) == json.dumps(members)


def read(data: bytes, size: int) -> list[Any]:
    """The members up to the first that cannot be read, and what is said of it and of those that are refused."""
    found: list[Any] = []
    try:
        for member in read_list_members(cut(data, size)):
            found.append(str(member) if isinstance(member, JsonError) else member)  # noqa: PERF401 - it may raise
    except (JsonError, InputError) as error:
        found.append(str(error))
    return found


WRONG: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "not JSON: Expecting value at column 1"),
    "spaces": (b"  \n ", "not JSON: Expecting value at line 2, column 2"),
    "no JSON": (b"nope", "a .json file is one list of rows; for a row a line use .jsonl"),
    "no list": (b'{"a": 1}', "a .json file is one list of rows; for a row a line use .jsonl"),
    "cut before a member": (b"[1,\n", "not JSON: Expecting value at line 2, column 1"),
    "cut in a text": (b'[1,\n "ab', "not JSON: Unterminated string starting at line 2, column 2"),
    "cut in an object": (b'[1, {"a": 1', "not JSON: Expecting ',' delimiter at column 12"),
    "cut before the end": (b"[1", "not JSON: Expecting ',' delimiter at column 3"),
    "cut before the end, behind others": (b"[1, 22, 333", "not JSON: Expecting ',' delimiter at column 12"),
    "no comma": (b"[1 2]", "not JSON: Expecting ',' delimiter at column 4"),
    "a comma too many": (b"[1,\n]", "not JSON: Expecting value at line 2, column 1"),
    "a wrong value": (b"[1,\n\n nope, 2]", "not JSON: Expecting value at line 3, column 2"),
    "a wrong escape": (b'[1, "\\x"]', "not JSON: Invalid \\escape at column 6"),
    "something behind": (b"[1]\n [2]", "not JSON: Extra data at line 2, column 2"),
    "no UTF-8": (b'[1, "\xff"]', "not UTF-8: byte 6"),
    "UTF-8 that is cut": (b'[1, "\xc3', "not UTF-8: byte 6"),
    "too deep": (b"[" * 100_000, "not JSON: nested too deeply"),
}


@pytest.mark.usefixtures("_small_windows")
@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize(("data", "said"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_list_is_refused_at_its_place_however_it_is_cut(data: bytes, said: str, size: int) -> None:
    assert read(data, size)[-1] == said


@pytest.mark.usefixtures("_small_windows")
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_what_is_refused_in_a_member_does_not_end_the_list(size: int) -> None:
    data = b'\xef\xbb\xbf[1, {"a": [NaN, 1e999]}, {"b": 1, "b": 2}, -Infinity, 2]'
    assert read(data, size) == [
        1,
        "a[0]: NaN is not a JSON number; a[1]: the number 1e999 is too large",
        "b: occurs twice in one object",
        "-Infinity is not a JSON number",
        2,
    ]


def test_a_wrong_member_is_refused_before_the_rest_of_a_large_file_is_read() -> None:
    def endless() -> Iterator[bytes]:
        yield b'[{"a": nope, '
        while True:
            read_blocks.append(1)
            yield b'"b": "' + b"x" * 2**20 + b'", '

    read_blocks: list[int] = []
    with pytest.raises(NotJsonError):
        list(read_list_members(endless()))
    assert len(read_blocks) < 4


PLACES: dict[str, tuple[str, list[tuple[tuple[int | str, ...], str]]]] = {
    "NaN": ('{"messages": [{}, {"extra": {"x": NaN}}]}', [(("messages", 1, "extra", "x"), "NaN is not a JSON number")]),
    "alone": ("-Infinity", [((), "-Infinity is not a JSON number")]),
    "several": (
        '[1e999, {"a": 1, "a": Infinity}]',
        [
            ((0,), "the number 1e999 is too large"),
            ((1, "a"), "occurs twice in one object"),
            ((1, "a"), "Infinity is not a JSON number"),
        ],
    ),
    "an integer": (f"[{'9' * 5000}]", [((0,), "an integer of 5,000 digits")]),
    "lost behind a key that comes again": ('{"a": NaN, "a": 1}', [(("a",), "occurs twice in one object")]),
}


@pytest.mark.parametrize(("text", "faults"), PLACES.values(), ids=PLACES.keys())
def test_what_is_refused_in_a_value_is_named_by_its_place(
    text: str, faults: list[tuple[tuple[int | str, ...], str]]
) -> None:
    with pytest.raises(FaultyJsonError) as refused:
        parse_json(text)
    assert [(fault.location, fault.what) for fault in refused.value.faults] == faults


def test_of_very_many_faults_some_are_named() -> None:
    with pytest.raises(FaultyJsonError) as refused:
        parse_json(f"[{'NaN,' * 10_000}1]")
    assert len(refused.value.faults) == 20


def nested(depth: int) -> Any:
    value: Any = "a\ud800"
    for number in range(depth):
        value = [value] if number % 2 else {"k": value}
    return value


def test_what_is_nested_deeper_than_others_can_follow_is_named() -> None:
    assert find_unstorable(nested(MAX_DEPTH), surrogates=False) is None
    assert find_unstorable(nested(MAX_DEPTH)) is not None
    path, what = find_unstorable(nested(MAX_DEPTH + 1), "row", surrogates=False) or ("", "")
    assert path.startswith("row")
    assert len(path) < 100
    assert what == "is nested too deeply: more than 512 objects and lists"
