import pytest

from sievequery import Store

PEOPLE = [
    {"name": "ann", "age": 31, "team": "red", "lead": True},
    {"name": "bob", "age": 17, "team": "blue", "lead": False},
    {"name": "cem", "team": "red"},
    {"name": "dia", "age": "unknown"},
    {"name": "eli", "age": 45.5, "team": "green", "lead": True},
]


@pytest.fixture(params=[(), ("age",), ("age", "team", "lead")], ids=["no-index", "age-index", "all-indexes"])
def people(request):
    store = Store(PEOPLE)
    for field in request.param:
        store.create_index(field)
    return store


def names(records):
    return " ".join(str(record["name"]) for record in records)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("age >= 31", "ann eli"),
        ("age > 31", "eli"),
        ("age < 45.5", "ann bob"),
        ("age <= 17", "bob"),
        ("age = 'unknown'", "dia"),
        ("age = 99", ""),
        ("lead = true", "ann eli"),
        ("lead = 1", ""),
        ("team = 'red' and age > 18", "ann"),
        ("team = 'red' or age < 18", "ann bob cem"),
        ("name != 'ann' and age < 18", "bob"),
        ("not team != 'red'", "ann cem"),
    ],
    ids=range(12),
)
def test_expressions_find_records(people, text, expected):
    assert names(people.find(text)) == expected


def test_a_missing_field_compares_with_nothing(people):
    assert names(people.find("age < 1000 or age >= 1000")) == "ann bob eli"


def test_indexes_narrow_down_what_is_looked_at():
    store = Store(PEOPLE)
    assert store.explain("age > 18 and name = 'ann'") == "age > 18 and name = 'ann' [5]"
    store.create_index("age")
    assert store.explain("age > 18 and name = 'ann'") == "age > 18 and name = 'ann' [2]"
    assert store.explain("age > 18 or name = 'ann'") == "age > 18 or name = 'ann' [5]"


def test_a_negated_chain_still_uses_an_index():
    store = Store(PEOPLE)
    store.create_index("team")
    assert store.explain("not (team != 'red' or age = 1)") == "team = 'red' and age != 1 [2]"
