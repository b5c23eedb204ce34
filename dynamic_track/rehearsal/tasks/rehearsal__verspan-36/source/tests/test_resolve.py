from verspan import Version, best, outdated

AVAILABLE = ["0.0.3", "0.0.9", "0.1.0", "0.4.2", "1.3.0", "1.9.2", "1.10.0", "2.0.0-rc.1"]


def test_best_is_the_highest_in_the_range():
    assert best(AVAILABLE, "^1.3.0") == Version(1, 10, 0)
    assert best(AVAILABLE, "*") == Version(1, 10, 0)


def test_best_of_nothing_is_none():
    assert best(AVAILABLE, ">=3.0.0") is None
    assert best([], "*") is None


def test_outdated_names_what_should_be_installed():
    installed = {"alpha": "1.3.0", "beta": "1.0.0", "gamma": "2.0.0"}
    wanted = {"alpha": "~1.3", "beta": "^1.0.0"}
    available = {"alpha": ["1.3.0", "1.4.0"], "beta": ["1.0.0", "1.2.0", "2.0.0"]}
    assert outdated(installed, wanted, available) == {"beta": Version(1, 2, 0)}
