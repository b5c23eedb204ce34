"""Patches from files: what is read, and what is refused by line and key."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dynamic_track.grading.submissions import read_predictions
from twinbench.errors import ContentError

PATCH = '"model_patch": "diff"'
REFUSED = {
    "a key twice in a line": (
        "p.jsonl",
        f'\n{{"instance_id": "a", {PATCH}, {PATCH}}}\n',
        "p.jsonl, line 2, field model_patch: occurs twice in one object",
    ),
    "an instance twice in an object": (
        "p.json",
        f'{{"a": {{{PATCH}}}, "a": {{{PATCH}}}}}',
        "p.json, field a: occurs twice in one object",
    ),
    "a key twice in a list": (
        "p.json",
        f'[{{"instance_id": "a", {PATCH}}}, {{"instance_id": "b", "instance_id": "b"}}]',
        "p.json, entry 2, field instance_id: occurs twice in one object",
    ),
    "no JSON": ("p.json", "[1", "p.json: not JSON: Expecting ',' delimiter at column 3"),
    "no object": ("p.jsonl", "1\n", "p.jsonl, line 1: must be a JSON object"),
    "a text": ("p.json", '"a"', "p.json: must be a list of predictions, or an object by instance id"),
}


@pytest.mark.parametrize(("name", "content", "said"), REFUSED.values(), ids=REFUSED.keys())
def test_a_file_of_patches_is_refused_by_line_and_key(tmp_path: Path, name: str, content: str, said: str) -> None:
    (tmp_path / name).write_text(content, "utf-8")
    with pytest.raises(ContentError) as refused:
        read_predictions(tmp_path / name)
    assert str(refused.value).split("\n")[0].endswith(said)


@pytest.mark.parametrize("name", ["p.jsonl", "p.json"])
def test_patches_are_read_from_lines_lists_and_objects(tmp_path: Path, name: str) -> None:
    one, other = {"instance_id": "a", "model_patch": "x\r\n"}, {"instance_id": "b", "model_patch": None}
    wanted = {"a": "x\r\n", "b": ""}
    for content in ([one, other], {"a": {"model_patch": "x\r\n"}, "b": other}) if name == "p.json" else ([one, other],):
        text = json.dumps(content) if name == "p.json" else f"{json.dumps(one)}\n\n{json.dumps(other)}"
        (tmp_path / name).write_text(text, "utf-8")
        assert read_predictions(tmp_path / name) == wanted
