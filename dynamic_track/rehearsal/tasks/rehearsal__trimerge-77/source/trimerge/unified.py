"""Differences as they are written in patches."""

from collections.abc import Iterator, Sequence

from trimerge.edits import Edit, edits_between
from trimerge.lines import split_lines

NO_NEWLINE = "\\ No newline at end of file\n"


def unified(old: str, new: str, context: int = 3) -> str:
    """The difference of two texts with some lines around each change; empty if they are the same."""
    before, after = split_lines(old), split_lines(new)
    out = []
    shift = 0
    for hunk in _hunks(edits_between(before, after), context):
        start, end = max(hunk[0].start - context, 0), min(hunk[-1].end + context, len(before))
        grown = sum(len(edit.lines) - (edit.end - edit.start) for edit in hunk)
        spans = (_span(start, end - start), _span(start + shift, end - start + grown))
        out += [f"@@ -{spans[0]} +{spans[1]} @@\n", *_lines(before, hunk, start, end)]
        shift += grown
    return "".join(line if line.endswith("\n") else f"{line}\n{NO_NEWLINE}" for line in out)


def _hunks(edits: Sequence[Edit], context: int) -> list[list[Edit]]:
    """The edits in groups whose surroundings do not overlap."""
    hunks: list[list[Edit]] = []
    for edit in edits:
        if hunks and edit.start - hunks[-1][-1].end <= 2 * context:
            hunks[-1].append(edit)
        else:
            hunks.append([edit])
    return hunks


def _lines(before: Sequence[str], hunk: Sequence[Edit], start: int, end: int) -> Iterator[str]:
    position = start
    for edit in hunk:
        yield from (f" {line}" for line in before[position : edit.start])
        yield from (f"-{line}" for line in before[edit.start : edit.end])
        yield from (f"+{line}" for line in edit.lines)
        position = edit.end
    yield from (f" {line}" for line in before[position:end])


def _span(start: int, length: int) -> str:
    first = start + 1 if length else start
    return str(first) if length == 1 else f"{first},{length}"
