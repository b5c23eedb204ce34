import pytest

from inkbuffer import Buffer, HistoryError


def changed(buffer, word):
    buffer.insert(len(buffer.text), f"\n{word}")


def test_a_loaded_text_is_not_modified():
    assert not Buffer("one").modified


def test_a_change_modifies_and_a_save_settles():
    buffer = Buffer("one")
    changed(buffer, "two")
    assert buffer.modified
    assert buffer.save() == "one\ntwo"
    assert not buffer.modified


def test_a_change_of_nothing_does_not_modify():
    buffer = Buffer("one")
    buffer.insert(1, "")
    assert not buffer.modified


def test_undo_back_to_what_was_saved():
    buffer = Buffer("one")
    changed(buffer, "two")
    buffer.save()
    changed(buffer, "three")
    buffer.undo()
    assert not buffer.modified
    buffer.undo()
    assert buffer.modified
    buffer.redo()
    assert not buffer.modified


def test_a_group_modifies_from_its_first_change_on():
    buffer = Buffer("one")
    with buffer.group():
        assert not buffer.modified
        buffer.insert(0, "x")
        assert buffer.modified
        with pytest.raises(HistoryError, match="group"):
            buffer.save()
    assert buffer.modified
