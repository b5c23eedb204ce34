import pytest

from boxsweep import Box, skyline


def test_the_skyline_of_overlapping_boxes():
    assert skyline([Box(0, 0, 4, 2), Box(2, 0, 6, 3)]) == [(0, 2), (2, 3), (6, 0)]


def test_the_skyline_of_touching_boxes():
    assert skyline([Box(0, 0, 1, 2), Box(1, 0, 3, 2), Box(3, 0, 4, 1)]) == [(0, 2), (3, 1), (4, 0)]


def test_the_skyline_of_boxes_apart():
    assert skyline([Box(0, 0, 1, 2), Box(0, 0, 2, 1), Box(5, 0, 6, 1)]) == [(0, 2), (1, 1), (2, 0), (5, 1), (6, 0)]


def test_a_box_in_the_air_has_no_skyline():
    with pytest.raises(ValueError, match="on the ground"):
        skyline([Box(0, 1, 1, 2)])
