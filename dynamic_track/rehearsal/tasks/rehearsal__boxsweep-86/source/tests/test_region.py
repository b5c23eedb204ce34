import pytest

from boxsweep import Box, Region


def region(*boxes):
    return Region(Box(*box) for box in boxes)


def test_nothing_covers_nothing():
    nothing = Region()
    assert (nothing.area, nothing.perimeter, nothing.depth) == (0, 0, 0)
    assert (nothing.pieces, nothing.bounds) == ([], None)


def test_a_box_covers_something():
    with pytest.raises(ValueError, match="at least one square"):
        Box(1, 1, 1, 2)


def test_overlapping_boxes_are_counted_once():
    cross = region((0, 0, 4, 3), (2, 1, 6, 2))
    assert (cross.area, cross.perimeter, cross.depth) == (14, 18, 2)


def test_the_same_box_twice_is_one():
    assert len(region((0, 0, 1, 1), (0, 0, 1, 1))) == 1


def test_boxes_apart_have_borders_of_their_own():
    apart = region((0, 0, 1, 1), (3, 0, 4, 1))
    assert (apart.area, apart.perimeter, apart.depth) == (2, 8, 1)


def test_a_box_inside_of_another_changes_nothing():
    inside = region((0, 0, 5, 5), (1, 1, 2, 2))
    assert (inside.area, inside.perimeter, inside.depth) == (25, 20, 2)


def test_touching_boxes_do_not_cover_each_other():
    assert region((0, 0, 1, 1), (1, 0, 2, 1)).depth == 1
    assert region((0, 0, 1, 1), (0, 1, 1, 2)).depth == 1
    assert region((0, 0, 1, 1), (1, 0, 2, 1)).area == 2


def test_a_border_at_a_corner():
    assert region((0, 0, 1, 1), (1, 1, 2, 2)).perimeter == 8


def test_clipped_moved_and_united():
    cross = region((0, 0, 4, 3), (2, 1, 6, 2))
    assert list(cross.clipped(Box(3, 0, 9, 9))) == [Box(3, 0, 4, 3), Box(3, 1, 6, 2)]
    assert cross.moved(2, -1).bounds == Box(2, -1, 8, 2)
    assert cross.union(cross.moved(0, 10)).area == 28
