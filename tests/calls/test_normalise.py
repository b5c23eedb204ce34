"""What differs from run to run is taken out of a text, and nothing else."""

# ruff: noqa: S108 - paths to be found in texts, not used

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.examples import thinned
from tests.timing import cpu_s, growth
from twinbench.calls.normalise import GROUPS, RULES, normalise, normalise_text

NOT_KEPT = 70_000
"""The length of a text that is too long to be remembered, and so is normalised each time."""

HEX64 = "3f2a9c" * 10 + "beef"
HEX40 = "da39a3ee5e6b4b0d3255bfef95601890afd80709"

TAKEN_OUT: dict[str, list[tuple[str, str]]] = {
    "written date": [
        ("Tue Nov 24 20:07:31 UTC 2026", "<time>"),
        ("Date:   Tue Nov 24 20:07:31 2026 +0000", "Date:   <time>"),
        ("Tue, 24 Nov 2026 20:07:31 GMT", "<time>"),
        ('"GET / HTTP/1.1" at [24/Nov/2026:20:07:31 +0000]', '"GET / HTTP/1.1" at [<time>]'),
        ('[24/Nov/2026 20:07:31] "GET /"', '[<time>] "GET /"'),
        ("November 24, 2026 - 20:07:31", "<time>"),
        ("-rw-r--r-- 1 root root  331 Nov 24 20:07 setup.py", "-rw-r--r-- 1 root root  331 <time> setup.py"),
        ("-rw-r--r-- 1 root root  331 Mar  2  2025 setup.py", "-rw-r--r-- 1 root root  331 <time> setup.py"),
        ("December 15, 2012", "<time>"),
        ("built on 24 Nov 2026.", "built on <time>."),
        ("24-Nov-2026", "<time>"),
    ],
    "timestamp": [
        ("2026-11-24T20:07:31.123456Z start", "<time> start"),
        ('{"at": "2026-11-24T20:07:31+00:00"}', '{"at": "<time>"}'),
        ("2026-11-24 20:07:31,123 INFO x", "<time> INFO x"),
        ("2026/11/24 20:07 done", "<time> done"),
    ],
    "time of day": [("[20:07:31] begin", "[<time>] begin"), ("20:07:31.5 GET /", "<time> GET /")],
    "date": [("report of 2026-11-24.", "report of <date>."), ("today: 2026-11-24", "today: <date>")],
    "duration after a word": [
        ("Ran 3 tests in 0.004s", "Ran 3 tests in <duration>"),
        ("3 passed in 61.20s (0:01:01)", "3 passed in <duration>"),
        ("added 5 packages in 2s", "added 5 packages in <duration>"),
        ("it took 12 ms", "it took <duration>"),
        ("elapsed: 0.5 s", "elapsed: <duration>"),
        ("Time: 1.234 seconds", "Time: <duration>"),
    ],
    "duration in words": [("finished after 0.123 seconds", "finished after <duration>")],
    "duration in parentheses": [("--- PASS: TestX (0.01s)", "--- PASS: TestX (<duration>)")],
    "pytest's duration column": [
        ("0.12s call     tests/test_x.py::test", "<duration> call     tests/test_x.py::test"),
    ],
    "timeit": [
        ("20 loops, best of 5: 12.3 msec per loop", "<loops>, best of 5: <duration> per loop"),
    ],
    "bar around a duration": [
        ("===== 3 passed in 9.87s =====", "= 3 passed in <duration> ="),
        ("==== 3 passed in 12.34s =====", "= 3 passed in <duration> ="),
        ("= tests finished: 5 passed, in 0.74 seconds ==", "= tests finished: 5 passed, in <duration> ="),
        ("=== 1 passed in 0.10s ===\r\nnext", "= 1 passed in <duration> =\r\nnext"),
    ],
    "shell's time": [
        ("real\t0m0.123s\nuser\t0m0.100s\nsys\t0m0.020s", "real\t<duration>\nuser\t<duration>\nsys\t<duration>"),
        ("real 0.12\n", "real <duration>\n"),
    ],
    "address": [
        ("<Cell object at 0x7aacbfd42da0>", "<Cell object at <address>>"),
        ("Thread 0x00007f12345678ab (most recent call first)", "Thread <address> (most recent call first)"),
        ("ptr=0x55d0c3a1b2c0;", "ptr=<address>;"),
        ("0xffff8b3a2c10", "<address>"),
    ],
    "container id": [(f"docker exec {HEX64} bash", "docker exec <container> bash"), (HEX64, "<container>")],
    "container's host name": [
        ("root@d31ef1c26093:/testbed# ls", "root@<host>:/testbed# ls"),
        ("HOSTNAME=d31ef1c26093", "HOSTNAME=<host>"),
        ("Linux d31ef1c26093 6.1.0-18-amd64", "Linux <host> 6.1.0-18-amd64"),
    ],
    "process id": [
        ("started (pid 4711)", "started (pid <pid>)"),
        ("pid=4711, PID: 4712", "pid=<pid>, PID: <pid>"),
        (
            "created in thread id 140245 and this is thread id 140999",
            "created in thread id <pid> and this is thread id <pid>",
        ),
    ],
    "shell's job": [
        ("[1] 4711\n", "[1] <pid>\n"),
        ("[1]+ 4711 Done", "[1]+ <pid> Done"),
        ("bash: line 1:  4711 Killed                  sleep 9", "bash: line 1:  <pid> Killed                  sleep 9"),
    ],
    "system log's process": [("Nov 24 20:07:31 host sshd[123]: hello", "<time> host sshd[<pid>]: hello")],
    "temporary path": [
        ("/tmp/tmpab1d_234/x.py", "/tmp/tmp<random>/x.py"),
        ("/tmp/tmp.aB3dE5gH7j", "/tmp/tmp.<random>"),
        ("/tmp/pytest-of-root/pytest-12/test_a0", "/tmp/pytest-of-root/pytest-<random>/test_a0"),
        ("/tmp/django_ab12cd34/media", "/tmp/django_<random>/media"),
        ("/tmp/pip-req-build-ab12cd34/setup.py", "/tmp/pip-req-build-<random>/setup.py"),
    ],
    "port": [
        ("http://127.0.0.1:54321/x", "http://127.0.0.1:<port>/x"),
        ("localhost:40001.", "localhost:<port>."),
        ("[::1]:54321", "[::1]:<port>"),
        ("('127.0.0.1', 54321)", "('127.0.0.1', <port>)"),
        ("listening on port 54321", "listening on port <port>"),
    ],
}

STAYS = [
    HEX40,
    f"commit {HEX40}\nindex 83db48f..bf269f4 100644",
    f"sha256:{HEX64}",
    f"--hash=sha256:{HEX64}",
    f"{HEX64}0",
    "changeset 41c74fef2ded",
    "x = 0.12",
    "assert f(0.12) == 1.5",
    "for x in 0.12, 0.5:",
    "sleep(0.5)",
    "version 1.2.3",
    "Django 3.2.1 in /usr",
    "python3.11.4",
    "numpy==1.24.0",
    "time.sleep(5 seconds)",
    "timed out after 60 seconds",
    "timeout = 30s",
    "wait 5 seconds",
    "transition: 0.5s",
    "x[10:20:30]",
    "f(x)[10:20:30]",
    "aa:bb:12:34:56:78",
    "setup.py:12:34: error",
    "parse('10:20:30')",
    'datetime.strptime("2012-01-17", "%Y-%m-%d")',
    "date(2012, 1, 17)",
    "1-2-3",
    "2026-11-24-rc1",
    "may 5 be true; Mar 5 of them",
    "0xdeadbeef",
    "MASK = 0xFFFFFFFFFFFF",
    "0x9E3779B97F4A7C15",
    "__build__ = 0x010100",
    "values[123]: int",
    "a[1] 4711",
    "[1, 4711]",
    "pidgin 12",
    "rapid 5 steps",
    "/tmp/test_file.txt",
    "/tmp/tmpfile.txt",
    "/tmp/tmpdirectory",
    "/home/tmpab1d_234",
    "http://localhost:8000/",
    "127.0.0.1:5432",
    "localhost:543210",
    "import 54321",
    "user@example.com",
    "real numbers 0.12",
    "=== Introduction ===",
    "================ FAILURES ================",
    "a" * 63,
]


@pytest.mark.parametrize(
    ("rule", "text", "expected"), [(rule, *case) for rule, cases in TAKEN_OUT.items() for case in cases]
)
def test_what_differs_from_run_to_run_is_taken_out(rule: str, text: str, expected: str) -> None:
    assert normalise_text(text) == expected
    assert normalise_text(f"before\n{text}\nafter") == f"before\n{expected}\nafter"


@pytest.mark.parametrize("text", STAYS)
def test_what_may_be_content_stays(text: str) -> None:
    assert normalise_text(text) == text


def test_every_rule_has_a_reason_and_a_test() -> None:
    assert {rule.name for rule in RULES} == set(TAKEN_OUT)
    assert all(rule.why.endswith(".") for rule in RULES)


def test_strings_are_normalised_at_any_depth_and_nothing_else_is() -> None:
    value: dict[str, Any] = {
        "pid 12": ["pid 12", {"n": 4711, "t": ("pid 13", None, 0.5)}],
        "flag": True,
    }
    assert normalise(value) == {"pid 12": ["pid <pid>", {"n": 4711, "t": ["pid <pid>", None, 0.5]}], "flag": True}
    assert value["pid 12"][0] == "pid 12"


FRAGMENTS = [text for cases in TAKEN_OUT.values() for text, _ in cases] + STAYS
PIECES = sorted({piece for text in FRAGMENTS for piece in (text, text[: len(text) // 2], text[len(text) // 2 :])})
GLUE = [*" \n\t:.-/[]()'\"=@>_<,", "<time>", "<duration>", "in ", "at ", " s", "s", "0", "12", ":30", "pid ", "port "]


@given(st.lists(st.sampled_from(PIECES) | st.sampled_from(GLUE), max_size=12).map("".join))
def test_normalising_twice_is_the_same_as_once(text: str) -> None:
    once = normalise_text(text)
    assert normalise_text(once) == once


@given(st.text(alphabet="0127: .-/[]()<>=smin x@pidtorab'\n", max_size=80))
def test_any_text_is_the_same_after_the_second_time(text: str) -> None:
    once = normalise_text(text)
    assert normalise_text(once) == once


@given(st.lists(st.sampled_from(PIECES) | st.sampled_from(GLUE), max_size=12).map("".join))
def test_the_signs_of_a_group_hide_nothing_from_its_rules(text: str) -> None:
    for group in GROUPS:
        everywhere = "\n".join(_applied(group.rules, line) for line in text.split("\n"))
        assert group.apply(text) == everywhere


def _applied(rules: Any, line: str) -> str:
    for rule in rules:
        line = rule.pattern.sub(rule.replacement, line)
    return line


@pytest.mark.slow
@pytest.mark.parametrize(
    "piece",
    thinned(
        [
            *(
                "=",
                "1",
                "a",
                "-",
                "f",
                "0",
                "[",
                "(",
                ":",
                ".",
                "\n",
                "20",
                "1.1",
                "0x7",
                "12:",
                "12:34:56",
                "Mar  2",
                "Mon, ",
            ),
            *("in 1", "took 1", "0.12 s", ".1 s", "(1.1", "real ", "= in 0.12s =", "=in 0.12s=", "= in <duration>"),
            *("/tmp/pip-", "/tmp/pytest-of-a", "[1] ", "pid ", ": line 1: ", "<time> a", "a@0", "x@a1"),
            *("f" * 63 + " ", "f" * 64 + "\n", "2026-11-24 20:07:31\n"),
        ],
        3,
    ),
)
def test_no_text_takes_more_time_than_grows_with_its_length(piece: str) -> None:
    small, large = ((piece * (size // len(piece) + 1))[:size] for size in (NOT_KEPT, 16 * NOT_KEPT))
    assert growth(normalise_text, small, large) < 64  # linear takes 16 times as long, quadratic 256 times


def test_a_long_conversation_takes_a_few_times_as_long_as_a_look_for_digits() -> None:
    code = "\n".join(
        f"{n:6}\tdef method_{n}(self, value: int = {n}) -> None:  # does what it says" for n in range(2600)
    )
    assert 190_000 < len(code) < 250_000
    assert cpu_s(lambda: normalise_text(code)) < 20 * cpu_s(lambda: re.sub(r"\d+", "0", code))  # it takes twice that
