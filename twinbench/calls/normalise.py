"""Remove from text what differs from run to run, so that recordings can be looked up and compared.

Each rule has a name and a reason. A rule matches only forms that show what a number means: a number that may be content
(``0.12`` in code, a version, a commit hash) is kept. No rule matches what a rule inserts, so normalising twice is the
same as once. No pattern has an unbounded repetition, so the time is linear; and rules are tried only on lines that
contain a rare marker that can be searched quickly.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

_CACHED_TEXTS = 4096
"""Size of the cache of normalised texts: a conversation is normalised at every call, and most of it is unchanged."""
_CACHED_LENGTH = 65_536


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that differs from run to run, matched within a line."""

    name: str
    why: str
    pattern: re.Pattern[str]
    replacement: str | Callable[[re.Match[str]], str]
    """The replacement for a match."""


Marker = Callable[[str, int], int]
"""Finds where, from a position on, a text may have something to replace; -1 if nowhere."""


@dataclass(frozen=True, slots=True)
class RuleGroup:
    """Rules for lines that contain one of the same markers."""

    markers: tuple[Marker, ...]
    """Markers: a line without any of them has nothing to replace."""
    rules: tuple[Rule, ...]

    def apply(self, text: str) -> str:
        """Return ``text`` after applying these rules."""
        parts: list[str] = []
        done = 0
        for start, end in _lines_with(self.markers, text):
            line = text[start:end]
            for rule in self.rules:
                line = rule.pattern.sub(rule.replacement, line)
            parts += (text[done:start], line)
            done = end
        return "".join((*parts, text[done:])) if parts else text


def normalise(value: Any) -> Any:
    """Return ``value`` with every string in it normalised, at any depth; mapping keys and other values are
    unchanged.
    """
    if isinstance(value, str):
        return normalise_text(value)
    if isinstance(value, Mapping):
        return {key: normalise(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [normalise(item) for item in value]
    return value


def normalise_text(text: str) -> str:
    """Return ``text`` after applying all rules."""
    return _apply_rules_cached(text) if len(text) <= _CACHED_LENGTH else _apply_rules(text)


def _apply_rules(text: str) -> str:
    for group in GROUPS:
        text = group.apply(text)
    return text


_apply_rules_cached = lru_cache(maxsize=_CACHED_TEXTS)(_apply_rules)


def _lines_with(signs: tuple[Marker, ...], text: str) -> list[tuple[int, int]]:
    """Return start and end of each line that contains one of the markers, in order."""
    found: set[tuple[int, int]] = set()
    for sign in signs:
        end = 0
        while (at := sign(text, end)) >= 0:
            end = text.find("\n", at)
            if end < 0:
                end = len(text)
            found.add((text.rfind("\n", 0, at) + 1, end))
    return sorted(found)


def _literal_marker(sign: str) -> Marker:
    return lambda text, start: text.find(sign, start)


def _pattern_marker(pattern: str) -> Marker:
    """Make a marker from a pattern; patterns that begin with a character that is rare in code are fastest."""
    search = re.compile(pattern).search
    return lambda text, start: match.start() if (match := search(text, start)) else -1


def _find_long_hex(text: str, start: int) -> int:
    """Return where a run of 64 hexadecimal digits may be, by sampling every eighth character."""
    for begin in range(start, len(text), _PIECE):
        if match := _EIGHT_HEX.search(text[begin : begin + _PIECE + 64 : 8]):
            return begin + 8 * match.start()
    return -1


_EIGHT_HEX = re.compile("[0-9a-f]{8}")
_PIECE = 8192

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH = (
    r"(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sep(?:t(?:ember)?)?"
    r"|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)"
)
_WEEKDAY = r"(?:Mon|Tues?|Wed(?:nes)?|Thu(?:rs)?|Fri|Sat(?:ur)?|Sun)(?:day)?"
_DAY = r"(?:0?[1-9]|[12]\d|3[01])"
_YEAR = r"(?:19|20)\d\d"
_SECONDS = r":[0-5]\d:[0-6]\d(?:[.,]\d{1,9})?"
_TIME = rf"(?:[01]?\d|2[0-3])(?:{_SECONDS}|:[0-5]\d)(?: ?[AP]M\b)?"
_ZONE = r"(?: ?(?:Z|UTC|GMT|[CEW]ES?T|[ECMP][SD]T|BST|IST|JST|[+-]\d\d:?\d\d)(?!\w))?"

_N = r"\d{1,9}(?:\.\d{1,9})?"
_F = r"\d{1,9}\.\d{1,9}"
_SHORT_UNIT = r"(?:[mnuµμ]?s)"
_WORD_UNIT = r"(?:(?:milli|micro|nano)?seconds?|m?secs?|minutes?|mins?)"
_UNIT = rf"(?:{_SHORT_UNIT}|{_WORD_UNIT})"
_AS_CLOCK = r"(?: \(\d{1,3}:[0-5]\d:[0-5]\d\))?"  # pytest adds it from a minute on
_LINE_END = r"(?=\r?$)"

_EPHEMERAL = range(32768, 65536)


def _port(match: re.Match[str]) -> str:
    return f"{match[1]}<port>" if int(match[2]) in _EPHEMERAL else match[0]


def _rule(name: str, why: str, pattern: str, by: str | Callable[[re.Match[str]], str]) -> Rule:
    return Rule(name, why, re.compile(pattern), by)


_WRITTEN_DATES = (
    _rule(
        "written date",
        "date, git, ls, mail and web servers write the month in letters; ls has a year in place of an old time.",
        rf"\b(?:{_WEEKDAY},? {{1,2}})?(?:{_MONTH} {{1,3}}{_DAY}|{_DAY}[ /-]{_MONTH})"
        rf"(?:(?:(?:,? {{1,2}}|[:/-]){_YEAR}\b)?(?:(?: at|,| -)? {{1,2}}|:)"
        rf"{_TIME}{_ZONE}(?: {_YEAR}\b)?{_ZONE}(?!\w|:\d)|(?:,? {{1,2}}|[/-]){_YEAR}(?!\w))",
        "<time>",
    ),
)

_CLOCK_TIMES = (
    _rule(
        "timestamp",
        "Logs and reports begin with the moment at which they were written.",
        rf"{_YEAR}(?<![\w.]\d\d\d\d)[-/](?:0[1-9]|1[0-2])[-/](?:0[1-9]|[12]\d|3[01])[ T]{_TIME}{_ZONE}(?!\w|:\d)",
        "<time>",
    ),
    _rule(
        "time of day",
        "Logs begin with it. In quotes or as a slice it is a value that somebody wrote, and stays.",
        rf"\d\d(?<![\w:.'\"+>-]\d\d)(?<![\w)\]>]\[\d\d)(?<=[0-2]\d)(?<!2[4-9]){_SECONDS}{_ZONE}(?!\w|['\":]|-\d)",
        "<time>",
    ),
)

_DATES = (
    _rule(
        "date",
        "Tools print today's date. In quotes it is a value that somebody wrote, and stays.",
        rf"{_YEAR}(?<![\w.'\"/+>-]\d\d\d\d)-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])(?!\w|[-/'\"]|\.\d)",
        "<date>",
    ),
)

_DURATIONS = (
    _rule(
        "pytest's duration column",
        "--durations lists a time for each test.",
        rf"^{_F}s(?= {{1,8}}(?:call|setup|teardown)\b)",
        "<duration>",
    ),
    _rule(
        "timeit",
        "timeit chooses how many loops it makes, and reports how long one took.",
        rf"\b\d{{1,12}} loops?, best of (\d{{1,6}}): {_N} [num]?sec per loop",
        r"<loops>, best of \1: <duration> per loop",
    ),
    _rule(
        "duration after a word",
        "Runners say how long it took: pytest and unittest with 'in', others with 'took' or 'elapsed'.",
        r"\b(in|[Tt]ook|[Ee]lapsed(?: time)?|[Tt]otal time|[Tt]ime|[Dd]uration)([:=]? {1,3}|[:=])"
        rf"(?:(?<=in ){_N} ?m?s|(?<=ook ){_N} ?{_UNIT}|{_F} ?{_UNIT})(?!\w){_AS_CLOCK}",
        r"\1\2<duration>",
    ),
    _rule(
        "duration in words",
        "A measured time has decimals and names its unit; '5 seconds' is a limit that somebody set, and stays.",
        rf"\d(?<![\w.]\d)\d{{0,8}}\.\d{{1,9}} ?{_WORD_UNIT}(?!\w){_AS_CLOCK}",
        "<duration>",
    ),
    _rule(
        "duration in parentheses",
        "go, ctest, mocha and tap write it behind each test.",
        rf"(?<=\(){_F} ?(?:m?s|secs?)(?=\))",
        "<duration>",
    ),
    _rule(
        "bar around a duration",
        "pytest and sympy fill the line up with '=', so their number depends on the duration's digits.",
        rf"^={{1,200}} ([^=]{{0,300}}\bin <duration>[^=]{{0,40}}?) ?={{1,200}}{_LINE_END}",
        r"= \1 =",
    ),
)

_SHELL_TIMES = (
    _rule(
        "shell's time",
        "The shell's and POSIX's 'time' write three lines.",
        rf"^(real|user|sys)([ \t]{{1,8}})(?:\d{{1,6}}m\d{{1,2}}[.,]\d{{1,6}}s|{_F}){_LINE_END}",
        r"\1\2<duration>",
    ),
)

_ADDRESSES = (
    _rule(
        "address",
        "The memory address of an object differs in each process; Linux gives a program twelve digits.",
        r"\b(at )0x[0-9a-fA-F]{6,16}(?!\w)|\b0x(?:0000)?(?:[57][0-9a-f]{11}|(?:ffff|aaaa)[0-9a-f]{8})(?!\w)",
        lambda match: f"{match[1] or ''}<address>",
    ),
)

_CONTAINERS = (
    _rule(
        "container id",
        "Docker names a container by 64 random digits; after sha256: they are a checksum, and stay.",
        r"(?<![\w])(?<!sha256[:=-])[0-9a-f]{64}(?!\w)",
        "<container>",
    ),
)

_HOSTS = (
    _rule(
        "container's host name",
        "Without a name of its own a container's host is called by the first 12 of them.",
        r"(\w@|\bHOSTNAME[=:]|\bhostname[=:] ?\"?|\bLinux )(?=[a-f]{0,11}\d)(?=\d{0,11}[a-f])[0-9a-f]{12}(?!\w)",
        r"\1<host>",
    ),
)

_PROCESSES = (
    _rule(
        "process id",
        "The system numbers processes as they come, and Python its threads by an address.",
        r"\b([Pp]id|PID|[Pp]rocess id|[Tt]hread id)( is | ?[=:#] ?| )\d{1,20}(?!\w|\.\d)",
        r"\1\2<pid>",
    ),
    _rule(
        "shell's job",
        "A shell names the process that it puts into the background, and the one that was ended.",
        r"^(\[\d{1,4}\][+-]? {1,3})\d{1,10}(?=\r?$| )|(: line \d{1,9}: {1,3})\d{1,10}"
        r"(?= (?:Killed|Terminated|Aborted|Segmentation fault|Illegal instruction|Bus error|Hangup)\b)",
        lambda match: f"{match[1] or match[2]}<pid>",
    ),
    _rule(
        "system log's process",
        "A line of a system log has the process behind the program's name.",
        r"^(<time> [\w.-]{1,64} [\w./-]{1,64}\[)\d{1,10}(?=\]: )",
        r"\1<pid>",
    ),
)

_PATHS = (
    _rule(
        "temporary path",
        "tempfile, mktemp, pip and Django put random characters into the name; pytest counts its runs.",
        r"(/tmp/)(?:(tmp|django_|pip-[a-z-]{1,40}-)[a-z0-9_]{8}(?!\w)|(tmp\.)[A-Za-z0-9]{10}(?!\w)"
        r"|(pytest-of-[\w.-]{1,64}/pytest-)\d{1,9}(?!\w))",
        lambda match: f"{match[1]}{match[2] or match[3] or match[4]}<random>",
    ),
)

_PORTS = (
    _rule(
        "port",
        "A server for a test listens where the system lets it; below the ephemeral ports somebody chose the number.",
        r"((?:\b127\.0\.0\.1|\b0\.0\.0\.0|\blocalhost|\[::1?\]):|\('127\.0\.0\.1', |\b[Pp]ort[ =:]{1,3})"
        r"(\d{5})(?!\w|\.\d)",
        _port,
    ),
)

GROUPS: tuple[RuleGroup, ...] = (
    RuleGroup(tuple(map(_literal_marker, _MONTHS)), _WRITTEN_DATES),
    RuleGroup((_pattern_marker(r":[0-5]\d"),), _CLOCK_TIMES),
    RuleGroup((_pattern_marker(r"-[01]\d-[0-3]"),), _DATES),
    RuleGroup(
        (
            _pattern_marker(rf"\.\d{{1,9}} ?{_UNIT}"),
            _pattern_marker(r"in \d{1,9} ?m?s"),
            _pattern_marker(r"ook\W{1,4}\d"),
            _pattern_marker(r"loops?, b"),
        ),
        _DURATIONS,
    ),
    RuleGroup(tuple(map(_literal_marker, ("real\t", "real ", "user\t", "user ", "sys\t", "sys "))), _SHELL_TIMES),
    RuleGroup((_literal_marker("0x"),), _ADDRESSES),
    RuleGroup((_find_long_hex,), _CONTAINERS),
    RuleGroup(tuple(map(_literal_marker, ("@", "HOSTNAME", "hostname", "Linux "))), _HOSTS),
    RuleGroup(
        (
            *map(_literal_marker, ("pid", "Pid", "PID", " id ", " id=", " id:", ": line ", "<time> ")),
            _pattern_marker(r"\][+-]? {1,3}\d"),
        ),
        _PROCESSES,
    ),
    RuleGroup((_literal_marker("/tmp/"),), _PATHS),  # noqa: S108 - to be found, not used
    RuleGroup(
        (*map(_literal_marker, ("127.0.0.1", "0.0.0.0:", "localhost:", "[::")), _pattern_marker(r"ort[ =:]{1,3}\d{5}")),
        _PORTS,
    ),
)
RULES: tuple[Rule, ...] = tuple(rule for group in GROUPS for rule in group.rules)
