from fractions import Fraction

import pytest

from metricmill import Dimension, Term, UnitError, parse_terms
from metricmill.grammar import unit_of, write_terms


def scale(text):
    return unit_of(parse_terms(text)).scale


def test_terms_have_prefix_symbol_and_exponent():
    assert parse_terms("kg m^2/s^2") == (Term("k", "g"), Term("", "m", 2), Term("", "s", 2, divided=True))


@pytest.mark.parametrize("text", ["kg m^2/s^2", "J/kg/K", "m s^-1", "/s", ""])
def test_what_is_read_can_be_written(text):
    assert write_terms(parse_terms(text)) == text


@pytest.mark.parametrize("text", ["furlong", "kmin", "m^x", "m^", "5", "kkm"])
def test_other_text_is_refused(text):
    with pytest.raises(UnitError, match="not a unit"):
        parse_terms(text)


def test_a_symbol_goes_before_a_prefix():
    assert parse_terms("min") == (Term("", "min"),)
    assert parse_terms("mm") == (Term("m", "m"),)


def test_the_dimension_of_a_unit():
    assert unit_of(parse_terms("N m")).dimension == unit_of(parse_terms("J")).dimension
    assert unit_of(parse_terms("km^3")).dimension == Dimension(length=3)


def test_prefixes_scale():
    assert scale("km") == 1000
    assert scale("km/ms") == 10**6
    assert scale("J/kg") == 1


def test_exponents_without_a_prefix():
    assert scale("h^2") == 3600**2
    assert scale("h^-1") == scale("/h") == Fraction(1, 3600)
