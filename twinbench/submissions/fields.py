"""Fields of documents that strangers write: every text is bounded and printable, every number finite."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import islice
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from twinbench.display.wording import make_printable, shorten
from twinbench.errors import ContentError, Problem
from twinbench.reading.strict_json import parse_document
from twinbench.reading.validation import describe_validation_error, field_path, find_unstorable

MOST_TEXT = 2_000
"""Characters of a text that people read, such as a description."""
MOST_NAME = 300
"""Characters of a name, such as a router's spec."""
MOST_REASON = 4_000
"""Characters of the reason of a check."""
MOST_PATH = 240
"""Characters of the name of a file within an archive."""

_MOST_INNER_TEXT = 500
_MOST_MEMBERS = 1_000


def _printable(text: str) -> str:
    hidden = next((each for each in text if each != "\n" and not each.isprintable()), None)
    if hidden is not None:
        raise ValueError(f"must be printable (found the character {hidden!a})")
    return text


def _one_line(text: str) -> str:
    if "\n" in text:
        raise ValueError("must be one line")
    return _printable(text)


def _within(path: str) -> str:
    parts = path.split("/")
    if "\\" in path or path.startswith("/") or any(part in ("", ".", "..") or part.endswith(":") for part in parts):
        raise ValueError(f"must be a path within the archive, such as runs/mine/plan.json (found {path!r})")
    return _one_line(path)


def _web(url: str) -> str:
    if not url.startswith(("https://", "http://")) or any(each in url for each in " \"'<>"):
        raise ValueError(f"must be an address that begins with https:// (found {url!r})")
    return _one_line(url)


def printable_line(text: str) -> str:
    """A text that others wrote as a ``Line``: cut, in one line, control characters visible."""
    return shorten(make_printable(text).replace("\n", " ").replace("\t", " "), MOST_NAME - 1) or "–"


def printable_text(text: str) -> str:
    """A text that others wrote as a ``Reason``: cut, control characters visible."""
    return shorten(make_printable(text).replace("\t", " "), MOST_REASON - 1)


def bounded_json(value: Any) -> Any:
    """A JSON value with texts of others in it, without more of them than a page shows: long texts and lists are cut."""
    if isinstance(value, str):
        return shorten(make_printable(value), _MOST_INNER_TEXT)
    if isinstance(value, Mapping):
        return {bounded_json(str(key)): bounded_json(item) for key, item in islice(value.items(), _MOST_MEMBERS)}
    if isinstance(value, list | tuple):
        return [bounded_json(item) for item in islice(value, _MOST_MEMBERS)]
    return value


Line = Annotated[str, Field(min_length=1, max_length=MOST_NAME), AfterValidator(_one_line)]
"""A text in one line, without characters that control a terminal."""
Prose = Annotated[str, Field(max_length=MOST_TEXT), AfterValidator(_printable)]
"""A text of several lines."""
Reason = Annotated[str, Field(max_length=MOST_REASON), AfterValidator(_printable)]
ArchivePath = Annotated[str, Field(min_length=1, max_length=MOST_PATH), AfterValidator(_within)]
"""A relative path with ``/`` between its parts, which leads out of nothing."""
WebAddress = Annotated[str, Field(max_length=500), AfterValidator(_web)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""A SHA-256 in hexadecimal."""
Slug = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}[a-z0-9]$")]
"""A name that is also that of a folder and of a page."""
Count = Annotated[int, Field(ge=0, le=10**12, strict=True)]
Amount = Annotated[float, Field(ge=-(10**15), le=10**15, allow_inf_nan=False)]


class Document(BaseModel):
    """A JSON document, or a part of one; unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def text(self) -> str:
        """The document as the text of its file: the same content gives the same bytes."""
        return json.dumps(self.model_dump(mode="json"), indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def parse(cls, data: bytes, source: str) -> Self:
        """Read a document of this class.

        Args:
            data: the bytes of its file, which the caller has bounded.
            source: what to call it in errors.

        Raises:
            ContentError: it is not JSON, or not such a document; every problem is named with its field.
        """
        return cls.parse_content(parse_document(data, source), source)

    @classmethod
    def parse_content(cls, content: Any, source: str) -> Self:
        """Read a document of this class from JSON that was parsed; same errors as ``parse``."""
        if (found := find_unstorable(content)) is not None:
            raise ContentError([Problem(source, None, *found)])
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            details = error.errors(include_url=False)
            problems = [
                Problem(source, None, field_path(each["loc"]) or None, describe_validation_error(each))
                for each in details
            ]
            raise ContentError(problems) from None
