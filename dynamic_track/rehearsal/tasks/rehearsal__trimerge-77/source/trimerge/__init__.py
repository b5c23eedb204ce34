"""Differences of texts, line by line, and merges of two versions with a common base."""

from trimerge.edits import Edit, apply_edits, edits_between
from trimerge.lines import split_lines
from trimerge.merging import merge
from trimerge.result import Conflict, Merged
from trimerge.unified import unified

__all__ = ["Conflict", "Edit", "Merged", "apply_edits", "edits_between", "merge", "split_lines", "unified"]
