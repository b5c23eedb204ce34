"""Plain-text tables and wrapped paragraphs for terminals."""

from gridwrap.align import pad
from gridwrap.table import Column, Table
from gridwrap.width import char_width, text_width
from gridwrap.wrap import shorten, wrap

__all__ = ["Column", "Table", "char_width", "pad", "shorten", "text_width", "wrap"]
