#!/bin/bash
set -uxo pipefail
cd /testbed
git config --global --add safe.directory /testbed
cd /testbed
git status
git show
git -c core.fileMode=false diff 12a0b5941a9c0cf9e6274312bb4fe2c4fdc5b029
git checkout 12a0b5941a9c0cf9e6274312bb4fe2c4fdc5b029 tests/test_invoice.py tests/test_ledger.py tests/test_money.py
git apply -v - <<'EOF_114329324912'
diff --git a/tests/test_invoice.py b/tests/test_invoice.py
--- a/tests/test_invoice.py
+++ b/tests/test_invoice.py
@@ -26,6 +26,17 @@ def test_a_discount_is_shared_by_the_lines():
     assert [net.minor for net in invoice.net_lines()] == [996, 997, 997]
 
 
+def test_half_a_cent_of_tax_is_credited_as_it_was_billed():
+    invoice = Invoice("R-1", [line("0.50")], tax_rate=SEVEN_PERCENT)
+    assert invoice.credit_note("C-1").tax == -invoice.tax
+    assert invoice.credit_note("C-1").total.minor == -54
+
+
+def test_the_lines_of_a_credit_note_mirror_the_invoice():
+    invoice = Invoice("R-1", [line("10.00"), line("10.00"), line("10.00")], discount_rate=Fraction(1, 300))
+    assert [net.minor for net in invoice.credit_note("C-1").net_lines()] == [-996, -997, -997]
+
+
 def test_an_invoice_does_not_mix_billing_and_crediting():
     with pytest.raises(ValueError, match="all lines"):
         Invoice("R-1", [line("1.00"), line("1.00", -1)])
diff --git a/tests/test_ledger.py b/tests/test_ledger.py
--- a/tests/test_ledger.py
+++ b/tests/test_ledger.py
@@ -43,6 +43,24 @@ def test_open_accounts_are_those_with_a_balance():
     assert list(ledger.open_accounts()) == ["receivables", "sales:0"]
 
 
+@pytest.mark.parametrize(
+    ("prices", "tax_rate", "discount_rate"),
+    [
+        (("10.00", "10.00", "10.00"), Fraction(7, 100), Fraction(1, 300)),
+        (("0.50",), Fraction(7, 100), Fraction(0)),
+        (("0.30", "0.20"), Fraction(19, 100), Fraction(1, 20)),
+        (("3.33", "0.01", "7.77"), Fraction(1, 8), Fraction(1, 3)),
+    ],
+    ids=["discount", "tax", "half-discount", "both"],
+)
+def test_a_credit_note_leaves_nothing_open(prices, tax_rate, discount_rate):
+    ledger = Ledger(EUR)
+    billed = invoice(prices=prices, tax_rate=tax_rate, discount_rate=discount_rate)
+    ledger.post(billed.entry())
+    ledger.post(billed.credit_note("C-1").entry())
+    assert ledger.open_accounts() == {}
+
+
 def test_a_credit_note_takes_a_round_invoice_back():
     ledger = Ledger(EUR)
     billed = invoice(prices=("10.00", "20.00"), tax_rate=Fraction(1, 5), discount_rate=Fraction(1, 10))
diff --git a/tests/test_money.py b/tests/test_money.py
--- a/tests/test_money.py
+++ b/tests/test_money.py
@@ -38,6 +38,26 @@ def test_half_an_amount_is_rounded_commercially(minor, expected):
     assert (Money(minor, EUR) * Fraction(1, 2)).minor == expected
 
 
+@pytest.mark.parametrize(("minor", "expected"), [(-1, -1), (-5, -3), (-7, -4), (-4, -2)], ids=str)
+def test_half_a_debt_is_rounded_commercially(minor, expected):
+    assert (Money(minor, EUR) * Fraction(1, 2)).minor == expected
+
+
+@pytest.mark.parametrize(("minor", "expected"), [(-7, -2), (-8, -3), (7, 2), (8, 3)], ids=str)
+def test_what_is_not_half_is_rounded_to_the_nearest(minor, expected):
+    assert (Money(minor, EUR) * Fraction(1, 3)).minor == expected
+
+
+@pytest.mark.parametrize(
+    ("minor", "weights"),
+    [(100, [1, 1, 1]), (100, [0, 1, 2]), (1001, [3, 5, 0, 9]), (2, [1, 1, 1, 1]), (12, [1, 2, 3])],
+    ids=["thirds", "zero", "many", "few", "exact"],
+)
+def test_a_debt_is_allocated_like_a_claim(minor, weights):
+    claim = minors(Money(minor, EUR).allocate(weights))
+    assert minors(Money(-minor, EUR).allocate(weights)) == [-share for share in claim]
+
+
 def test_allocate_gives_left_over_units_to_the_first():
     assert minors(Money(100, EUR).allocate([1, 1, 1])) == [34, 33, 33]
 

EOF_114329324912
: '>>>>> Start Test Output'
python3 -m pytest -rA -p no:cacheprovider tests/test_invoice.py tests/test_ledger.py tests/test_money.py
: '>>>>> End Test Output'
git checkout 12a0b5941a9c0cf9e6274312bb4fe2c4fdc5b029 tests/test_invoice.py tests/test_ledger.py tests/test_money.py
