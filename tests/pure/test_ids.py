"""Ids: their form, their order, and what they refuse."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox import ids
from farebox.store.id_source import new_id

MILLISECONDS = st.integers(0, 2**48 - 1)
ENTROPY = st.integers(0, 2**80 - 1)


@given(MILLISECONDS, ENTROPY)
def test_an_id_tells_its_time(unix_ms: int, entropy: int) -> None:
    identifier = ids.encode("req", unix_ms, entropy)
    assert ids.time_of(identifier) == unix_ms
    assert len(identifier) == len("req_") + ids.BODY_LENGTH


@given(MILLISECONDS, ENTROPY, MILLISECONDS, ENTROPY)
def test_ids_sort_by_time_as_text(first: int, a: int, second: int, b: int) -> None:
    assert (ids.encode("x", first, a) < ids.encode("x", second, b)) == ((first, a) < (second, b))


@pytest.mark.parametrize(("unix_ms", "entropy"), [(-1, 0), (2**48, 0), (0, -1), (0, 2**80)])
def test_what_does_not_fit_is_refused(unix_ms: int, entropy: int) -> None:
    with pytest.raises(ValueError, match="48 bits"):
        ids.encode("x", unix_ms, entropy)


@pytest.mark.parametrize("text", ["", "req", "req_", "req_short", "req_" + "u" * 26])
def test_a_foreign_id_has_no_time(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a Farebox id|substring not found"):
        ids.time_of(text)


def test_a_request_its_hold_and_back() -> None:
    request = ids.encode("req", 5, 7)
    assert ids.hold_of(request) == ids.encode("hold", 5, 7)
    assert ids.request_of(ids.hold_of(request)) == request


def test_new_ids_are_of_now_and_never_alike() -> None:
    before = time.time_ns() // 1_000_000
    made = [new_id("req") for _ in range(10_000)]
    after = time.time_ns() // 1_000_000
    assert len(set(made)) == len(made)
    assert all(before <= ids.time_of(each) <= after for each in made)
    assert all(set(each.removeprefix("req_")) <= set(ids.ALPHABET) for each in made)
