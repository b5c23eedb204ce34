"""Texts filled up to a width."""

ALIGNMENTS = ("left", "right", "center")


def pad(text: str, width: int, align: str = "left") -> str:
    """The text with spaces, so that it takes the width; a longer text stays as it is.

    Raises:
        ValueError: there is no such alignment.
    """
    if align == "left":
        return text.ljust(width)
    if align == "right":
        return text.rjust(width)
    if align == "center":
        before = max(width - len(text), 0) // 2
        return (" " * before + text).ljust(width)
    raise ValueError(f"align is one of {', '.join(ALIGNMENTS)}, got {align!r}")
