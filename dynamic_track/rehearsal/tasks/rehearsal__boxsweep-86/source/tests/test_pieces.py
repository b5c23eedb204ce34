from boxsweep import Box, Region


def pieces(*boxes):
    return [len(piece) for piece in Region(Box(*box) for box in boxes).pieces]


def test_overlapping_boxes_are_one_piece():
    assert pieces((0, 0, 4, 3), (2, 1, 6, 2)) == [2]
    assert pieces((0, 0, 9, 9), (1, 1, 2, 2)) == [2]


def test_boxes_apart_are_pieces_of_their_own():
    assert pieces((0, 0, 1, 1), (3, 0, 4, 1), (0, 3, 1, 4)) == [1, 1, 1]


def test_a_box_may_join_two_pieces():
    assert pieces((0, 0, 1, 5), (3, 0, 4, 5), (0, 1, 4, 2)) == [3]


def test_boxes_on_top_of_each_other_are_one_piece():
    assert pieces((0, 0, 2, 1), (1, 1, 3, 2)) == [2]
