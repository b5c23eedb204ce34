"""The pages' colours: what is read and what is told apart has enough contrast, in light and in dark (WCAG 2.2, AA)."""

from __future__ import annotations

import re

import pytest

from twinbench.display.html.page import HERE

TEXT, GRAPHICS = 4.5, 3.0


def colours(scheme: str) -> dict[str, str]:
    """The variables of a scheme."""
    light, dark = re.findall(r":root \{(.*?)\}", (HERE / "style.css").read_text("utf-8"), re.DOTALL)
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", light if scheme == "light" else dark))


def shades(scheme: str) -> dict[str, str]:
    """What cells of a confusion matrix are shaded with, at most."""
    light, dark = re.findall(r":root \{(.*?)\}", (HERE / "style.css").read_text("utf-8"), re.DOTALL)
    found = re.findall(r"--heat-(\w+): (\d+), (\d+), (\d+)", light if scheme == "light" else dark)
    under = [int(colours(scheme)["surface"][place : place + 2], 16) for place in (1, 3, 5)]
    mixed = {name: [0.3 * int(on) + 0.7 * below for on, below in zip(rgb, under, strict=True)] for name, *rgb in found}
    return {name: "#" + "".join(f"{round(part):02x}" for part in rgb) for name, rgb in mixed.items()}


def contrast(one: str, other: str) -> float:
    """The ratio of two colours' luminance."""

    def luminance(colour: str) -> float:
        parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read(scheme: str) -> None:
    found = colours(scheme)
    for text in ("ink", "soft", "link", "good", "bad"):
        for ground in ("surface", "raised"):
            assert contrast(found[text], found[ground]) >= TEXT, (text, ground)
    assert contrast(found["ink"], found["warn-surface"]) >= TEXT
    for name, shade in shades(scheme).items():
        assert contrast(found["ink"], shade) >= TEXT, name
    assert len(shades(scheme)) == 3


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_is_drawn_can_be_told_from_its_ground(scheme: str) -> None:
    found = colours(scheme)
    series = [name for name in found if name.startswith("series-")]
    assert len(series) == 8
    for name in (*series, "focus"):
        assert contrast(found[name], found["surface"]) >= GRAPHICS, name


def test_both_schemes_have_the_same_variables() -> None:
    assert colours("light").keys() == colours("dark").keys()
