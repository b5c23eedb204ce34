"""Bank files that are refused: the message names file, line and field, and the store is as it was."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import duckdb
import pytest

from static_track.banks.embedded_names import DEFAULT_BANK
from tests.banks import Row, a_row
from tests.cli.commands import files, twinbench
from twinbench.storage.store import Store

DEEP = 10_000
WHOLE_FILE = None


def row(number: int = 1, **fields: Any) -> Row:
    return a_row(step=number, **fields)


def without(field: str) -> Row:
    return {name: value for name, value in row(2).items() if name != field}


def saying(content: Any) -> Row:
    return row(2, messages=[{"role": "user", "content": content}])


def calling(*calls: Any) -> Row:
    return row(2, messages=[{"role": "assistant", "content": None, "tool_calls": list(calls)}])


def jsonl(*lines: Row | str | bytes) -> bytes:
    """Lines of JSON; texts and bytes stand as they are."""
    return b"".join(_line(line) + b"\n" for line in lines)


def _line(line: Row | str | bytes) -> bytes:
    if isinstance(line, bytes):
        return line
    return (line if isinstance(line, str) else json.dumps(line)).encode()


def with_raw(field: str, value: str) -> str:
    """A row with a field whose value is written as it is, be it JSON or not."""
    return f'{json.dumps(row(2))[:-1]}, "{field}": {value}}}'


ZIPPED = gzip.compress(jsonl(*(row(number) for number in range(1, 200))))
HALF = b'{"id": "half a line'

# name: the file's bytes, the line, the field, and words of the message
LINES: dict[str, tuple[bytes, int | None, str | None, str]] = {
    "no line": (b"", WHOLE_FILE, None, "contains no rows"),
    "blank lines only": (b"\n  \n\n", WHOLE_FILE, None, "contains no rows"),
    "cut short": (jsonl(row(1)) + HALF, 2, None, "not JSON: Unterminated string"),
    "no JSON": (jsonl(row(1), "{nope"), 2, None, "not JSON: Expecting property name"),
    "two values on a line": (jsonl(row(1), "{} {}"), 2, None, "not JSON: Extra data at column 4"),
    "not UTF-8": (jsonl(row(1), b'{"id": "\xe9"}'), 2, None, "not UTF-8: byte 9 of the line"),
    "UTF-16": (json.dumps(row(1)).encode("utf-16"), 1, None, "not UTF-8: byte 1 of the line"),
    "a list": (jsonl(row(1), "[1, 2]"), 2, None, "must be a JSON object, not a list"),
    "a text": (jsonl(row(1), '"row"'), 2, None, "must be a JSON object, not a text"),
    "null": (jsonl(row(1), "null"), 2, None, "must be a JSON object, not null"),
    "NaN": (jsonl(row(1), with_raw("x", "NaN")), 2, "x", "NaN is not a JSON number"),
    "Infinity": (jsonl(row(1), with_raw("x", "Infinity")), 2, "x", "Infinity is not a JSON number"),
    "minus Infinity": (jsonl(row(1), with_raw("x", "-Infinity")), 2, "x", "-Infinity is not a JSON number"),
    "a float too large": (jsonl(row(1), with_raw("x", "1e999")), 2, "x", "1e999 is too large"),
    "an integer too long": (jsonl(row(1), with_raw("x", "9" * 5000)), 2, "x", "an integer of 5,000 digits"),
    "lists too deep": (jsonl(row(1), with_raw("x", "[" * DEEP + "]" * DEEP)), 2, None, "nested too deeply"),
    "objects too deep": (jsonl(with_raw("x", '{"a":' * DEEP + "1" + "}" * DEEP)), 1, None, "nested too deeply"),
    "a key twice": (jsonl(row(1), with_raw("id", '"another"')), 2, "id", "occurs twice in one object"),
    "a key twice in a message": (
        jsonl(row(1), with_raw("x", '[0, {"role": "user", "role": "tool"}]')),
        2,
        "x[1].role",
        "occurs twice in one object",
    ),
    "brackets never closed": (jsonl(row(1), "[" * DEEP), 2, None, "nested too deeply"),
}

FIELDS: dict[str, tuple[Row, str, str]] = {
    **{f"no {field}": (without(field), field, "is missing") for field in row(2)},
    "id a number": (row(2, id=5), "id", "must be a string (found 5)"),
    "id empty": (row(2, id=""), "id", "must not be empty"),
    "benchmark null": (row(2, benchmark=None), "benchmark", "must be a string (found null)"),
    "step_index a text": (row(2, step_index="2"), "step_index", "must be a whole number (found '2')"),
    "step_index true": (row(2, step_index=True), "step_index", "must be a whole number (found true)"),
    "step_index a float": (row(2, step_index=2.0), "step_index", "must be a whole number (found 2.0)"),
    "step_index zero": (row(2, step_index=0), "step_index", "must be at least 1 (found 0)"),
    "step_index beyond int32": (row(2, step_index=2**31), "step_index", "found 2147483648"),
    "total_steps null": (row(2, total_steps=None), "total_steps", "must be a whole number (found null)"),
    "messages an object": (row(2, messages={}), "messages", "must be a list (found an object)"),
    "no message": (row(2, messages=[]), "messages", "must contain at least one message"),
    "a message a text": (row(2, messages=["hi"]), "messages[0]", "must be an object, not a text"),
    "no role": (row(2, messages=[{"content": "x"}]), "messages[0].role", "is missing"),
    "role null": (row(2, messages=[{"role": None}]), "messages[0].role", "must be a string, not null"),
    "content a number": (saying(5), "messages[0].content", "a string, null or a list of blocks, not a number"),
    "content an object": (saying({"text": "x"}), "messages[0].content", "not an object"),
    "content with a number": (saying([5]), "messages[0].content[0]", "must be an object or a string, not a number"),
    "text of a block a number": (saying(["x", {"text": 5}]), "messages[0].content[1].text", "must be a string"),
    "thinking of a block a number": (
        saying([{"type": "thinking", "thinking": 5}]),
        "messages[0].content[0].thinking",
        "must be a string, not a number",
    ),
    "input of a tool use a list": (
        saying([{"type": "tool_use", "name": "bash", "input": []}]),
        "messages[0].content[0].input",
        "must be an object or a JSON string, not a list",
    ),
    "name of a tool use a number": (
        saying([{"type": "server_tool_use", "name": 5}]),
        "messages[0].content[0].name",
        "must be a string, not a number",
    ),
    "a block of a tool result a number": (
        saying([{"type": "tool_result", "content": [{"type": "text", "text": "x"}, 5]}]),
        "messages[0].content[0].content[1]",
        "must be an object or a string, not a number",
    ),
    "tool_calls an object": (
        row(2, messages=[{"role": "assistant", "tool_calls": {}}]),
        "messages[0].tool_calls",
        "must be a list or null, not an object",
    ),
    "a call a text": (calling("ls"), "messages[0].tool_calls[0]", "must be an object, not a text"),
    "function a text": (calling({"function": "f"}), "messages[0].tool_calls[0].function", "must be an object"),
    "call's name a number": (
        calling({"function": {"name": 5}}),
        "messages[0].tool_calls[0].function.name",
        "must be a string",
    ),
    "arguments a list": (
        calling({"function": {"name": "f"}}, {"function": {"name": "f", "arguments": [1]}}),
        "messages[0].tool_calls[1].function.arguments",
        "must be an object or a JSON string, not a list",
    ),
    "arguments a number": (
        calling({"name": "f", "arguments": 1}),
        "messages[0].tool_calls[0].arguments",
        "not a number",
    ),
    "functions an object": (row(2, functions={"name": "f"}), "functions", "must be a list (found an object)"),
    "tier unknown": (row(2, target_tier="ultra"), "target_tier", "'mid_high' or 'high' (found 'ultra')"),
    "tier id unknown": (row(2, target_tier_id=4), "target_tier_id", "must be at most 3 (found 4)"),
    "tier id true": (row(2, target_tier="mid", target_tier_id=True), "target_tier_id", "found true"),
    "tier and id disagree": (
        row(2, target_tier="high"),
        "target_tier_id",
        "target_tier 'high' is tier 3, but target_tier_id says 0",
    ),
    "surrogate in a message": (saying("a\ud800"), "messages[0].content", "lone surrogate"),
    "surrogate in a block": (saying([{"text": "\udfff"}]), "messages[0].content[0].text", "lone surrogate"),
    "surrogate in arguments": (
        calling({"name": "f", "arguments": {"x": ["\ud800"]}}),
        "messages[0].tool_calls[0].arguments.x[0]",
        "lone surrogate",
    ),
    "surrogate in a key of a message": (
        row(2, messages=[{"role": "user", "content": "x", "\ud800": 1}]),
        "'messages[0].\\ud800'",
        "lone surrogate",
    ),
    "surrogate in a key of the row": (row(2, **{"k\udc00": 1}), "'k\\udc00'", "lone surrogate"),
    "surrogate in an id": (row(2, id="x\ud800"), "id", "lone surrogate"),
    "id repeated": (row(2, id=row(1)["id"]), "id", f"{row(1)['id']!r} is a duplicate of line 1"),
    "step repeated": (row(1, id="another"), "step_index", "step 1 of swebench/i-1 is a duplicate of line 1"),
}

CASES = LINES | {name: (jsonl(row(1), wrong), 2, field, words) for name, (wrong, field, words) in FIELDS.items()}


@pytest.mark.parametrize(("content", "line", "field", "words"), CASES.values(), ids=CASES.keys())
def test_a_wrong_file_is_refused_by_line_and_field_and_changes_nothing(
    kept_store: Store, tmp_path: Path, content: bytes, line: int | None, field: str | None, words: str
) -> None:
    path = tmp_path / "wrong.jsonl"
    path.write_bytes(content)
    before = files(kept_store.root)
    place = str(path) + (f", line {line}" if line else "") + (f", field {field}" if field else "")

    as_new = twinbench("bank", "import", path, "--name", "new")
    as_replacement = twinbench("bank", "import", path, "--name", "mine", "--replace")

    for ran in (as_new, as_replacement):
        assert ran.code == 1
        assert ran.out == b""
        first, *_, last = ran.err.splitlines()
        assert first.startswith(f"error: {place}: ")
        assert words in first
        assert last == "Nothing was imported."
        assert len(ran.err) < 1000
    assert files(kept_store.root) == before

    problems = twinbench("bank", "validate", path, "--json")
    assert problems.code == 1
    found = problems.json["problems"][0]
    assert (found["source"], found["line"], found["field"]) == (str(path), line, field)
    assert words in found["what"]


DAMAGED_GZIP = {
    "cut in the middle": ZIPPED[: len(ZIPPED) // 2],
    "cut in the header": ZIPPED[:6],
    "cut before its checksum": ZIPPED[:-8],
    "wrong checksum": ZIPPED[:-8] + bytes(8),
    "wrong bytes in the middle": ZIPPED[:400] + bytes(100) + ZIPPED[500:],
    "something behind the end": ZIPPED + b"more",
}


@pytest.mark.parametrize("content", DAMAGED_GZIP.values(), ids=DAMAGED_GZIP.keys())
def test_damaged_gzip_is_refused_and_changes_nothing(kept_store: Store, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "wrong.jsonl.gz"
    path.write_bytes(content)
    before = files(kept_store.root)

    ran = twinbench("bank", "import", path, "--name", "new")

    assert ran.code == 1
    assert ran.err.startswith(f"error: {path}, line ")
    assert files(kept_store.root) == before


OTHER_FORMATS = {
    "JSON that is no list": ("wrong.json", b'{"id": 1}', "a .json file is one list of rows"),
    "JSON cut short": (
        "wrong.json",
        b"[" + json.dumps(row(1)).encode() + b", \n",
        "not JSON: Expecting value at line 2, column 1",
    ),
    "JSON without rows": ("wrong.json", b"[]", "contains no rows"),
    "JSON not UTF-8": ("wrong.json", b"[\xff]", "not UTF-8: byte 2"),
    "Parquet that is none": ("wrong.parquet", b"PAR1 garbage", "not a Parquet file"),
    "Parquet without a byte": ("wrong.parquet", b"", "not a Parquet file"),
}


@pytest.mark.parametrize(("name", "content", "words"), OTHER_FORMATS.values(), ids=OTHER_FORMATS.keys())
def test_a_wrong_file_of_another_format_is_refused(
    kept_store: Store, tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    before = files(kept_store.root)

    ran = twinbench("bank", "import", path, "--name", "new")

    assert ran.code == 1
    assert ran.err.startswith(f"error: {path}: ")
    assert words in ran.err
    assert files(kept_store.root) == before


def test_a_row_of_a_json_list_is_named_by_its_number(kept_store: Store, tmp_path: Path) -> None:
    path = tmp_path / "wrong.json"
    path.write_text(json.dumps([row(1), row(2, id=5)]))

    ran = twinbench("bank", "import", path, "--name", "new")

    assert ran.code == 1
    assert ran.err.startswith(f"error: {path}, row 2, field id: ")


def test_a_key_that_stands_twice_is_named_in_every_format(kept_store: Store, tmp_path: Path) -> None:
    repeated = '[{"role": "user", "content": "a", "content": "b"}]'
    as_list, as_parquet = tmp_path / "wrong.json", tmp_path / "wrong.parquet"
    as_list.write_text(f"[{json.dumps(row(1))}, {with_raw('messages', repeated)}]")
    duckdb.execute(f"COPY (SELECT 'x' AS id, '{repeated}' AS messages) TO '{as_parquet}' (FORMAT parquet)")

    for path, number in ((as_list, 2), (as_parquet, 1)):
        ran = twinbench("bank", "import", path, "--name", "new")
        assert ran.code == 1
        place = f"{path}, row {number}, field messages[0].content"
        assert f"{place}: occurs twice in one object" in ran.err


def test_a_repeated_key_of_any_kind_can_be_shown(kept_store: Store, tmp_path: Path) -> None:
    path = tmp_path / "wrong.jsonl"
    path.write_text("\n".join(f'{{"{key}": 1, "{key}": 2}}' for key in ("\\ud800", "k" * 100_000)))

    refused = twinbench("bank", "import", path, "--name", "new")
    assert len(refused.err) < 1000
    first, second = twinbench("bank", "validate", path, "--json").json["problems"]
    assert first["field"] == "\\ud800"
    assert second["field"].startswith("kkk")


def test_standard_input_is_refused_by_line_too(kept_store: Store) -> None:
    ran = twinbench("bank", "import", "-", "--name", "new", stdin=jsonl(row(1), row(2, id=5)))

    assert ran.code == 1
    assert ran.err.startswith("error: standard input, line 2, field id: ")


def test_all_problems_are_named_up_to_a_screenful(kept_store: Store, tmp_path: Path) -> None:
    path = tmp_path / "wrong.jsonl"
    path.write_bytes(jsonl(*(row(number, id=5) for number in range(1, 31))))

    refused = twinbench("bank", "import", path, "--name", "new").err.splitlines()
    validated = twinbench("bank", "validate", path)

    assert [f"line {number}," in line for number, line in enumerate(refused[:20], 1)] == [True] * 20
    assert refused[20:] == ["… and 10 more", "Nothing was imported."]
    assert validated.text == f"{path}: 0 valid rows, 30 problems\n"
    assert len(twinbench("bank", "validate", path, "--json").json["problems"]) == 30


def test_a_long_wrong_value_does_not_fill_the_screen(kept_store: Store, tmp_path: Path) -> None:
    path = tmp_path / "wrong.jsonl"
    path.write_bytes(jsonl(row(1, target_tier="x" * 100_000), row(2, id="y" * 100_000), row(3, id="y" * 100_000)))

    assert len(twinbench("bank", "import", path, "--name", "new").err) < 1000


@pytest.mark.parametrize("name", ["", "../x", "a/b", "a\\b", ".hidden", "-x", "a b", "é", "x" * 101, "a\nb", "\x1b[1m"])
def test_a_name_that_no_bank_can_have_is_wrong_usage(kept_store: Store, one_row: Path, name: str) -> None:
    before = files(kept_store.root.parent)

    ran = twinbench("bank", "import", one_row, f"--name={name}")

    assert ran.code == 2
    assert ran.err.startswith(f"error: bank name {name!r}: use letters, digits")
    assert files(kept_store.root.parent) == before


def test_a_name_that_exists_is_kept_unless_told(kept_store: Store, one_row: Path) -> None:
    before = files(kept_store.root)

    ran = twinbench("bank", "import", one_row, "--name", "mine")

    assert ran.code == 2
    assert ran.err == "error: a bank named 'mine' exists; choose another --name, or --replace it\n"
    assert files(kept_store.root) == before


def test_the_name_of_the_embedded_bank_is_reserved(kept_store: Store, one_row: Path) -> None:
    before = files(kept_store.root)

    ran = twinbench("bank", "import", one_row, "--name", DEFAULT_BANK, "--replace")

    assert ran.code == 2
    assert "reserved for an embedded bank" in ran.err
    assert files(kept_store.root) == before


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing.jsonl", "no file"),
        ("bank.csv", "must end in one of .jsonl, .jsonl.gz, .json, .parquet"),
        (".", "is a folder"),
    ],
)
def test_a_path_that_is_no_bank_file_is_wrong_usage(
    kept_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bank.csv").write_bytes(jsonl(row(1)))

    ran = twinbench("bank", "import", name, "--name", "new")

    assert ran.code == 2
    assert words in ran.err
    assert name in ran.err


@pytest.mark.parametrize(
    "content", ['{"trajectory_format": "x", "messages": []}', '{\n "info": {},\n "trajectory_format": "x"}']
)
def test_a_trajectory_under_any_name_is_told_from_a_bank(kept_store: Store, tmp_path: Path, content: str) -> None:
    path = tmp_path / "trajectory.json"
    path.write_text(content, "utf-8")
    ran = twinbench("bank", "import", path, "--name", "new")
    assert ran.code == 2
    assert "is a trajectory of an agent" in ran.err
    assert "add --format mini-swe-agent" in ran.err


def test_validating_what_is_neither_bank_nor_file_says_which_banks_there_are(kept_store: Store) -> None:
    ran = twinbench("bank", "validate", "nowhere")

    assert ran.code == 2
    assert "nowhere" in ran.err
    assert "mine" in ran.err


def test_the_embedded_bank_can_be_validated_in_an_empty_store(default_store: Store) -> None:
    rows = twinbench("bank", "show", DEFAULT_BANK, "--json").succeeded().json["rows"]
    told = f"{DEFAULT_BANK}: {rows:,} valid rows, 0 problems\n"
    assert twinbench("bank", "validate", DEFAULT_BANK).succeeded().text == told


def test_a_valid_file_is_not_imported_by_validating_it(kept_store: Store, one_row: Path) -> None:
    before = files(kept_store.root)

    ran = twinbench("bank", "validate", one_row).succeeded()

    assert ran.text == f"{one_row}: 1 valid row, 0 problems\n"
    assert files(kept_store.root) == before


ACCEPTED: dict[str, bytes] = {
    "a byte order mark": b"\xef\xbb\xbf" + jsonl(row(1)),
    "Windows line ends": jsonl(json.dumps(row(1)) + "\r", json.dumps(row(2)) + "\r"),
    "blank lines between": jsonl(row(1), "", row(2)),
    "no last line end": jsonl(row(1), row(2))[:-1],
    "line separators inside texts": jsonl(json.dumps(saying("a\u2028b\u0085c"), ensure_ascii=False)),
    "a zero byte in texts": jsonl(row(1, id="a\0b", messages=[{"role": "user", "content": "\0"}])),
    "nesting that we can follow": jsonl(with_raw("x", "[" * 500 + "]" * 500)),
    "an integer of 4,000 digits": jsonl(with_raw("x", "9" * 4000)),
    "unknown keys": jsonl(row(1, **{"": 1, "ID": 2, 'q"': None}, messages=[{"role": "x", "reasoning": [1.5]}])),
    "messages without content": jsonl(row(1, messages=[{"role": "user"}, {"role": "user", "content": []}])),
    "blocks of Anthropic's API": jsonl(
        row(
            1,
            messages=[
                {
                    "role": "assistant",
                    "content": [{"type": "thinking"}, {"type": "tool_use", "name": "bash", "input": None}, "x"],
                },
                {"role": "user", "content": [{"type": "tool_result"}, {"type": "tool_result", "content": ["y"]}]},
            ],
        )
    ),
}


@pytest.mark.parametrize("content", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_odd_but_valid_rows_come_back_as_they_were(default_store: Store, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "odd.jsonl"
    path.write_bytes(content)
    twinbench("bank", "import", path, "--name", "odd").succeeded()

    exported = twinbench("bank", "export", "odd").succeeded().text.split("\n")[:-1]

    imported = [json.loads(line) for line in content.decode("utf-8-sig").split("\n") if line.strip()]
    assert [json.loads(line) for line in exported] == imported
    twinbench("bank", "validate", "odd").succeeded()


def test_fields_that_parquet_cannot_tell_apart_are_refused_there(default_store: Store, tmp_path: Path) -> None:
    path = tmp_path / "odd.jsonl"
    path.write_bytes(jsonl(row(1, ID=5)))
    twinbench("bank", "import", path, "--name", "odd").succeeded()

    ran = twinbench("bank", "export", "odd", "-o", tmp_path / "out.parquet")

    assert ran.code == 1
    assert ran.err.startswith("error: Parquet cannot store both fields 'ID' and 'id': export as .jsonl")
    assert not (tmp_path / "out.parquet").exists()


def test_the_small_input_without_messages_is_refused_by_line(kept_store: Store, shared: Path) -> None:
    path = shared / "found" / "banks" / "empty_messages.jsonl"
    if not path.is_file():
        pytest.skip(f"no {path}")

    ran = twinbench("bank", "import", path, "--name", "new")

    assert ran.code == 1
    assert ran.err.startswith(f"error: {path}, line 1, field messages: must contain at least one message\n")
