import pytest

from metricmill import DimensionError, Quantity


def q(text):
    return Quantity.parse(text)


def test_conversion():
    assert q("90 km/h").to("m/s").value == pytest.approx(25)
    assert q("2 t").to("kg").value == pytest.approx(2000)
    assert q("1.5 h").to("min").value == pytest.approx(90)


def test_a_litre_is_a_volume():
    assert q("1000 L").to("m^3").value == pytest.approx(1)


def test_conversion_into_another_dimension_is_refused():
    with pytest.raises(DimensionError, match="length"):
        q("1 m").to("s")


def test_sums_have_the_unit_of_their_left_side():
    assert str(q("1 km") + q("500 m")) == "1.5 km"
    assert str(q("1 h") - q("15 min")) == "0.75 h"


def test_products_and_quotients_have_compound_units():
    assert q("2 km") * q("3 km") == q("6000000 m^2")
    assert q("10 km") / q("5 ms") == q("2000000 m/s")
    assert str(q("3 N") * 2) == "6 N"
    assert str(q("3 N") / 2) == "1.5 N"


def test_comparisons_mind_the_unit():
    assert q("1000 m") == q("1 km")
    assert q("999 m") < q("1 km")
    assert q("1 m") != q("1 s")


def test_compact_picks_the_prefix():
    assert str(q("0.0042 m").compact()) == "4.2 mm"
    assert str(q("1500 m/s").compact()) == "1.5 km/s"
    assert str(q("0.005 kg").compact()) == "5 g"


def test_compact_takes_the_least_prefix_for_what_is_tiny():
    assert str(q("0.0000000002 m").compact()) == "0.2 nm"


def test_compact_leaves_other_units():
    assert str(q("5000 min").compact()) == "5000 min"
    assert str(q("0 m").compact()) == "0 m"
