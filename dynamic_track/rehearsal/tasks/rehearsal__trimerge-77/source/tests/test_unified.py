from trimerge import unified

OLD = "".join(f"line {number}\n" for number in range(1, 21))


def test_the_same_has_no_difference():
    assert unified(OLD, OLD) == ""


def test_a_change_stands_in_its_context():
    new = OLD.replace("line 9\n", "line nine\n")
    assert unified(OLD, new, 1) == "@@ -8,3 +8,3 @@\n line 8\n-line 9\n+line nine\n line 10\n"


def test_changes_far_apart_are_hunks_of_their_own():
    new = OLD.replace("line 2\n", "").replace("line 19\n", "line 19\nmore\n")
    assert unified(OLD, new, 0) == "@@ -2 +1,0 @@\n-line 2\n@@ -19,0 +19 @@\n+more\n"
    assert unified(OLD, new).count("@@ -") == 2


def test_a_missing_newline_is_told():
    assert unified("a\n", "a") == "@@ -1 +1 @@\n-a\n+a\n\\ No newline at end of file\n"
