"""Rules in words."""

from datetime import date

from monthwheel.rule import Rule


def describe(rule: Rule, start: date) -> str:
    """A rule in words, as ``every 2 months on day 15``."""
    text = f"every {rule.every}" if rule.interval == 1 else f"every {rule.interval} {rule.every}s"
    if rule.goes_by_months:
        text += f" on day {rule.on_day or start.day}"
    if rule.every == "year":
        text += f" of month {start.month}"
    if rule.short == "skip":
        text += ", if there is one"
    if rule.count is not None:
        text += f", {rule.count} times"
    if rule.until is not None:
        text += f", until {rule.until}"
    return text
