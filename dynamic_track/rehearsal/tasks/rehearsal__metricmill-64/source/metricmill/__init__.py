"""Numbers with units, and their conversion."""

from metricmill.dimension import Dimension
from metricmill.grammar import Term, UnitError, parse_terms
from metricmill.quantity import DimensionError, Quantity
from metricmill.unit import Unit

__all__ = ["Dimension", "DimensionError", "Quantity", "Term", "Unit", "UnitError", "parse_terms"]
