"""Pages read as a browser would begin to: elements, headings, addresses, texts."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from itertools import pairwise

VOID = {"meta", "link", "br", "hr", "img", "input"}
IN_SVG = {"path", "use", "text", "tspan", "rect", "circle", "line", "g", "defs", "svg", "clippath"}


@dataclass
class Page(HTMLParser):
    """What a page holds."""

    headings: list[tuple[int, str]] = field(default_factory=list)
    elements: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    texts: list[tuple[str, str]] = field(default_factory=list)
    """The innermost element, and a text in it."""
    styles: list[str] = field(default_factory=list)
    left_open: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.elements.append((tag, found))
        if "style" in found:
            self.styles.append(found["style"])
        if tag not in VOID:
            self.left_open.append(tag)
        if re.fullmatch("h[1-6]", tag):
            self.headings.append((int(tag[1]), ""))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.left_open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.left_open, f"</{tag}> closes nothing"
        assert self.left_open.pop() == tag
        if tag in ("td", "th", "li", "dd", "dt"):
            self.texts.append((tag, " "))

    def handle_data(self, data: str) -> None:
        within = self.left_open[-1] if self.left_open else ""
        if within == "style":
            self.styles.append(data)
            return
        self.texts.append((within, data))
        if any(re.fullmatch("h[1-6]", tag) for tag in self.left_open):
            level, text = self.headings[-1]
            self.headings[-1] = level, text + data

    @property
    def text(self) -> str:
        """All that can be read."""
        return "".join(text for within, text in self.texts if within not in ("title", "desc"))

    def all(self, tag: str) -> list[dict[str, str]]:
        """The attributes of every element of a kind."""
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def addresses(self) -> list[str]:
        """Everything that a browser might fetch or go to."""
        names = ("src", "href", "xlink:href", "action", "data", "poster", "srcset")
        found = [attributes[name] for _, attributes in self.elements for name in names if name in attributes]
        found += [address for style in self.styles for address in re.findall(r"url\(\s*['\"]?([^)'\"]*)", style)]
        for _, attributes in self.elements:
            for name in ("clip-path", "fill", "stroke", "filter", "mask", "marker"):
                found += re.findall(r"url\(\s*['\"]?([^)'\"]*)", attributes.get(name, ""))
        return found


def read(html: str) -> Page:
    """A page, every element of which is closed."""
    page = Page()
    page.feed(html)
    page.close()
    assert page.left_open == []
    return page


def check(html: str) -> Page:
    """A page that is what every report has to be.

    No request leaves it, no script runs in it, headings come in order, ids stand once and what refers to them finds
    them, tables say what they are, and no character acts that should be read.
    """
    page = read(html)
    for address in page.addresses:
        assert address.startswith("#") or address == "data:,", address
    assert not any("@import" in style for style in page.styles)
    assert page.all("script") == []
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    [policy] = [each["content"] for each in page.all("meta") if each.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "script-src" not in policy

    levels = [level for level, _ in page.headings]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels)), page.headings
    assert all(text.strip() for _, text in page.headings)
    [language] = [attributes.get("lang") for attributes in page.all("html")]
    assert language == "en"
    assert len(page.all("main")) == 1

    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {address[1:] for address in page.addresses if address.startswith("#")} <= set(ids)
    for _, attributes in page.elements:
        for name in ("aria-labelledby", "aria-describedby"):
            assert set(attributes.get(name, "").split()) <= set(ids)
    tables = len(page.all("table"))
    assert tables
    assert len(page.all("caption")) == tables
    assert all("scope" in attributes for attributes in page.all("th"))
    for drawing in page.all("svg"):
        assert drawing["role"] == "img"
        assert drawing["aria-labelledby"]
    assert all(char.isprintable() or char == "\n" for char in html.replace("\t", ""))
    return page
