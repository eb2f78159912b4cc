"""Ids: what users may give, and what is the same in every run."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid.errors import InvalidMessage
from hybrid.ids import checked_id, command_id, derived_id, new_id


def test_new_ones_are_new():
    assert len({new_id() for _ in range(1000)}) == 1000
    assert checked_id(new_id())


def test_derived_ones_are_the_same_in_every_version():
    assert derived_id("order-1", "mail", "send", "0") == "287586f5e9b977d47911eb95"


@given(
    st.lists(
        st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0")), min_size=1),
        min_size=2,
        max_size=5,
    )
)
def test_derived_ones_differ_when_the_parts_do(many):
    assert len({derived_id(*parts) for parts in many}) == len({tuple(parts) for parts in many})


def test_a_command_is_known_by_its_place():
    assert command_id("f", 2, 3) == "f/2/3"


@pytest.mark.parametrize("id", ["a", "0", "order-1", "A.b_c:d-9", "x" * 100])
def test_users_ids(id):
    assert checked_id(id) == id


@pytest.mark.parametrize("id", ["", "-a", ".a", "a/1/1", "a b", "a\n", "ü", "a\0", "{a}", "a*", "x" * 101])
def test_users_ids_that_are_refused(id):
    with pytest.raises(InvalidMessage, match="1 to 100 letters"):
        checked_id(id)
