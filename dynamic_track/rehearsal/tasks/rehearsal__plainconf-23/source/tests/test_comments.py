import pytest

from plainconf import ConfError, loads


@pytest.mark.parametrize("mark", ["#", ";"], ids=["hash", "semicolon"])
def test_a_comment_line_is_skipped(mark):
    assert loads(f"{mark} nothing\nport = 80\n  {mark}nothing") == {"": {"port": 80}}


@pytest.mark.parametrize(
    "text", ["80 # web", "80# web", "80 ; web", "80;web", "80 # a ; b", "80 ; a # b"], ids=range(6)
)
def test_a_comment_ends_a_setting(text):
    assert loads(f"port = {text}") == {"": {"port": 80}}


def test_a_comment_may_follow_a_section():
    assert loads("[tls]# secure\nport = 443") == {"tls": {"port": 443}}


def test_a_comment_may_hold_quotes():
    assert loads("""port = 80 # the "usual" one, don't change""") == {"": {"port": 80}}


def test_a_comment_follows_a_quoted_string():
    assert loads("""name = "billing" # the name""") == {"": {"name": "billing"}}


def test_a_literal_string_may_end_in_a_backslash():
    assert loads(r"share = 'C:\share\' # on the server") == {"": {"share": "C:\\share\\"}}


def test_a_setting_without_a_value_is_refused():
    with pytest.raises(ConfError, match="line 1"):
        loads("port = # later")
