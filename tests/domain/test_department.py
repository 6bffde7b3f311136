"""Many spellings, one department."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.department import DOCUMENTED_DEPARTMENTS, DepartmentNames

NAMES = DepartmentNames.with_aliases({})

spaces = st.text(" \t", max_size=3)


@st.composite
def spellings(draw: st.DrawFn, name: str) -> str:
    """The name with any letters in capitals, and space around it."""
    letters = [draw(st.sampled_from((letter.lower(), letter.upper()))) for letter in name]
    return draw(spaces) + "".join(letters) + draw(spaces)


@pytest.mark.parametrize("name", DOCUMENTED_DEPARTMENTS)
@given(data=st.data())
def test_a_documented_department_is_known_however_it_is_written(name: str, data: st.DataObject) -> None:
    assert NAMES.canonical(data.draw(spellings(name))) == name


@given(spellings("Sport"))
def test_sport_is_sports(spelling: str) -> None:
    assert NAMES.canonical(spelling) == "Sports"


@given(st.text().filter(lambda text: text.strip().casefold() not in NAMES.canonical_by_key))
def test_a_department_that_nobody_configured_keeps_its_spelling(spelling: str) -> None:
    assert NAMES.canonical(spelling) == spelling.strip()


@given(st.text() | st.sampled_from(DOCUMENTED_DEPARTMENTS))
def test_a_canonical_name_is_its_own(spelling: str) -> None:
    name = NAMES.canonical(spelling)

    assert NAMES.canonical(name) == name


def test_a_configured_alias_stands_for_a_documented_department() -> None:
    names = DepartmentNames.with_aliases({" Kids ": "boys"})

    assert [names.canonical(spelling) for spelling in ("Kids", "KIDS", "boys")] == ["Boys", "Boys", "Boys"]


def test_a_configured_alias_may_name_a_department_of_its_own() -> None:
    names = DepartmentNames.with_aliases({"Yard": "Garden"})

    assert [names.canonical(spelling) for spelling in ("yard", "GARDEN", "garden")] == ["Garden"] * 3


def test_a_configured_alias_beats_a_documented_one() -> None:
    names = DepartmentNames.with_aliases({"Sport": "Men"})

    assert names.canonical("Sport") == "Men"


def test_an_alias_of_an_alias_stands_for_the_same_department() -> None:
    names = DepartmentNames.with_aliases({"Sports": "Athletics", "Gym": "Workout", "Workout": "Sport"})

    assert {names.canonical(spelling) for spelling in ("Sport", "Sports", "Gym", "Workout")} == {"Athletics"}


def test_aliases_in_a_circle_stand_for_something() -> None:
    names = DepartmentNames.with_aliases({"Men": "Gents", "Gents": "Men"})

    assert names.canonical("Men") in {"Men", "Gents"}
