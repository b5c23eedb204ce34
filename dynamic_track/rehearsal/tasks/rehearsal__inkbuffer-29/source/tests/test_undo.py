import pytest

from inkbuffer import Buffer, HistoryError


def typed(text, *words, limit=1000):
    """A buffer to whose end each of the words was added as a step of its own."""
    buffer = Buffer(text, limit)
    for word in words:
        buffer.insert(len(buffer.text), f"\n{word}")
    return buffer


def test_undo_and_redo_go_back_and_forth():
    buffer = typed("one", "two", "three")
    buffer.undo()
    buffer.undo()
    assert buffer.text == "one"
    buffer.redo()
    buffer.redo()
    assert buffer.text == "one\ntwo\nthree"


def test_nothing_to_undo_or_redo():
    buffer = Buffer("one")
    assert not buffer.can_undo
    assert not buffer.can_redo
    with pytest.raises(HistoryError, match="undo"):
        buffer.undo()
    with pytest.raises(HistoryError, match="redo"):
        buffer.redo()


def test_a_new_change_forgets_what_was_undone():
    buffer = typed("one", "two")
    buffer.undo()
    buffer.insert(0, "x")
    assert not buffer.can_redo


def test_typing_is_one_step():
    buffer = Buffer()
    for at, character in enumerate("word"):
        buffer.insert(at, character)
    buffer.undo()
    assert buffer.text == ""
    buffer.redo()
    assert buffer.text == "word"


def test_typing_elsewhere_is_another_step():
    buffer = Buffer()
    buffer.insert(0, "b")
    buffer.insert(0, "a")
    buffer.undo()
    assert buffer.text == "b"


def test_typing_after_an_undo_is_another_step():
    buffer = Buffer()
    buffer.insert(0, "a")
    buffer.delete(0, 1)
    buffer.undo()
    buffer.insert(1, "b")
    buffer.undo()
    assert buffer.text == "a"


def test_a_group_is_one_step():
    buffer = Buffer("one two one")
    assert buffer.replace_all("one", "three") == 2
    assert buffer.text == "three two three"
    buffer.undo()
    assert buffer.text == "one two one"


def test_groups_may_be_nested():
    buffer = Buffer("a")
    with buffer.group():
        buffer.insert(1, "b")
        with buffer.group():
            buffer.delete(0, 1)
        buffer.insert(1, "c")
    assert buffer.text == "bc"
    buffer.undo()
    assert buffer.text == "a"


def test_an_empty_group_is_no_step():
    buffer = Buffer("a")
    with buffer.group():
        pass
    assert buffer.replace_all("x", "y") == 0
    assert not buffer.can_undo


def test_older_steps_than_the_limit_are_forgotten():
    buffer = typed("one", "two", "three", "four", limit=2)
    buffer.undo()
    buffer.undo()
    assert buffer.text == "one\ntwo"
    assert not buffer.can_undo


def test_marks_move_with_the_text():
    buffer = Buffer("one two")
    mark, end = buffer.mark(4), buffer.mark(7, sticks_left=False)
    buffer.insert(0, ">> ")
    buffer.insert(10, "!")
    assert (mark.at, end.at) == (7, 11)
    buffer.delete(5, 4)
    assert mark.at == 5
    buffer.undo()
    assert buffer.text == ">> one two!"
