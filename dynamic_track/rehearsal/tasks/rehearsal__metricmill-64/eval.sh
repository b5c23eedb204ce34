#!/bin/bash
set -uxo pipefail
cd /testbed
git config --global --add safe.directory /testbed
cd /testbed
git status
git show
git -c core.fileMode=false diff 700064cdf4477b43432b9b138418f2cce9accfa5
git checkout 700064cdf4477b43432b9b138418f2cce9accfa5 tests/test_grammar.py tests/test_quantity.py
git apply -v - <<'EOF_114329324912'
diff --git a/tests/test_grammar.py b/tests/test_grammar.py
--- a/tests/test_grammar.py
+++ b/tests/test_grammar.py
@@ -44,3 +44,32 @@ def test_prefixes_scale():
 def test_exponents_without_a_prefix():
     assert scale("h^2") == 3600**2
     assert scale("h^-1") == scale("/h") == Fraction(1, 3600)
+
+
+@pytest.mark.parametrize(
+    ("text", "expected"),
+    [("km^2", 10**6), ("cm^3", Fraction(1, 10**6)), ("dm^3", Fraction(1, 1000)), ("mm^4", Fraction(1, 10**12)), ("kg^2", 1)],
+)
+def test_an_exponent_belongs_to_the_prefix_too(text, expected):
+    assert scale(text) == expected
+
+
+def test_a_negative_exponent_belongs_to_the_prefix_too():
+    assert scale("ms^-1") == 1000
+    assert scale("cm^-2") == 10_000
+
+
+def test_a_slash_divides_by_the_prefix_with_its_exponent():
+    assert scale("g/cm^3") == 1000
+    assert scale("kW/mm^2") == 10**9
+
+
+@pytest.mark.parametrize("name", ["km", "mg", "us", "cL", "kPa"])
+@pytest.mark.parametrize("exponent", [-3, -2, -1, 2, 3])
+def test_an_exponent_is_repetition(name, exponent):
+    repeated = " ".join([name] * exponent) if exponent > 0 else f"/{name}" * -exponent
+    assert scale(f"{name}^{exponent}") == scale(repeated)
+
+
+def test_exponent_zero_is_no_unit():
+    assert scale("km^0") == 1
diff --git a/tests/test_quantity.py b/tests/test_quantity.py
--- a/tests/test_quantity.py
+++ b/tests/test_quantity.py
@@ -17,6 +17,19 @@ def test_a_litre_is_a_volume():
     assert q("1000 L").to("m^3").value == pytest.approx(1)
 
 
+def test_conversion_of_areas_and_volumes():
+    assert q("4 cm^2").to("m^2").value == pytest.approx(0.0004)
+    assert q("3 km^2").to("m^2").value == pytest.approx(3_000_000)
+    assert q("1 L").to("dm^3").value == pytest.approx(1)
+    assert q("1 m^3").to("cm^3").value == pytest.approx(1_000_000)
+
+
+def test_conversion_of_densities_and_rates():
+    assert q("2.7 g/cm^3").to("kg/m^3").value == pytest.approx(2700)
+    assert q("2 ms^-1").to("Hz").value == pytest.approx(2000)
+    assert q("1 kW mm^-2").to("W/m^2").value == pytest.approx(10**9)
+
+
 def test_conversion_into_another_dimension_is_refused():
     with pytest.raises(DimensionError, match="length"):
         q("1 m").to("s")
@@ -27,6 +40,10 @@ def test_sums_have_the_unit_of_their_left_side():
     assert str(q("1 h") - q("15 min")) == "0.75 h"
 
 
+def test_sums_of_areas():
+    assert str(q("1 m^2") + q("2500 cm^2")) == "1.25 m^2"
+
+
 def test_products_and_quotients_have_compound_units():
     assert q("2 km") * q("3 km") == q("6000000 m^2")
     assert q("10 km") / q("5 ms") == q("2000000 m/s")
@@ -34,12 +51,22 @@ def test_products_and_quotients_have_compound_units():
     assert str(q("3 N") / 2) == "1.5 N"
 
 
+def test_products_are_areas():
+    assert q("2 km") * q("3 km") == q("6 km^2")
+    assert (q("20 cm") * q("30 cm")).to("m^2").value == pytest.approx(0.06)
+
+
 def test_comparisons_mind_the_unit():
     assert q("1000 m") == q("1 km")
     assert q("999 m") < q("1 km")
     assert q("1 m") != q("1 s")
 
 
+def test_comparisons_of_areas():
+    assert q("1 cm^2") < q("0.001 m^2") < q("1 km^2")
+    assert q("1 m^2") == q("10000 cm^2")
+
+
 def test_compact_picks_the_prefix():
     assert str(q("0.0042 m").compact()) == "4.2 mm"
     assert str(q("1500 m/s").compact()) == "1.5 km/s"
@@ -53,3 +80,19 @@ def test_compact_takes_the_least_prefix_for_what_is_tiny():
 def test_compact_leaves_other_units():
     assert str(q("5000 min").compact()) == "5000 min"
     assert str(q("0 m").compact()) == "0 m"
+
+
+def test_compact_picks_the_prefix_of_an_area():
+    assert str(q("5000000 m^2").compact()) == "5 km^2"
+    assert str(q("5000 m^2").compact()) == "5000 m^2"
+    assert str(q("0.00003 m^2").compact()) == "30 mm^2"
+
+
+def test_compact_picks_the_prefix_of_a_negative_exponent():
+    assert str(q("2000 s^-1").compact()) == "2 ms^-1"
+
+
+@pytest.mark.parametrize("text", ["7500000 m^2", "0.0042 m^3", "12345 s^-1", "12 km^2/s", "3 kg^2"])
+def test_compact_is_the_same_quantity(text):
+    assert q(text).compact() == q(text)
+    assert q(str(q(text).compact())) == q(text)

EOF_114329324912
: '>>>>> Start Test Output'
python3 -m pytest -rA -p no:cacheprovider tests/test_grammar.py tests/test_quantity.py
: '>>>>> End Test Output'
git checkout 700064cdf4477b43432b9b138418f2cce9accfa5 tests/test_grammar.py tests/test_quantity.py
