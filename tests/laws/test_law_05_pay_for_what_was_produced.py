"""Law 5: the table of the failure policy is the whole policy, and the row that applied is stamped on every charge.

The table is decided by one pure function; here all its inputs are gone through. What each row looks like over HTTP
is in `tests/edge/test_who_pays.py`.
"""

from __future__ import annotations

from itertools import product

import msgspec
import pytest
from tests.support.openai_answers import chat_answer, chat_stream, failure, usage
from tests.support.shop import Shop, until

from farebox.relay.job import Stamp
from farebox.relay.policy import Basis, Ending, is_empty, rule_on

FIELDS = [field.name for field in msgspec.structs.fields(Ending)]
ENDINGS = [Ending(**dict(zip(FIELDS, values, strict=True))) for values in product([False, True], repeat=len(FIELDS))]
WAYS = [(per_call, charge) for per_call in (False, True) for charge in (False, True)]
CASES = [(ending, per_call, charge) for ending in ENDINGS for per_call, charge in WAYS]

# complete, how it ended otherwise, anything produced → stamp, basis (token prices, upstream deaths not charged)
TABLE = [
    ("complete produced", Stamp.PROVIDER, Basis.REPORTED),
    ("complete", Stamp.PROVIDER, Basis.REPORTED),
    ("complete left_drained produced", Stamp.CLIENT_LEFT_DRAINED, Basis.REPORTED),
    ("left_cancelled produced", Stamp.CLIENT_LEFT_CANCELLED, Basis.COUNTED),
    ("left_cancelled", Stamp.CLIENT_LEFT_CANCELLED, Basis.COUNTED),
    ("exhausted produced", Stamp.CREDITS_EXHAUSTED, Basis.COUNTED),
    ("cut_by_us produced", Stamp.GATEWAY_CUT, Basis.COUNTED),
    ("cut_by_us", Stamp.GATEWAY_CUT, Basis.NOTHING),
    ("too_slow produced", Stamp.GATEWAY_CUT, Basis.COUNTED),
    ("produced", Stamp.UPSTREAM_DIED, Basis.NOTHING),
    ("left_drained produced", Stamp.UPSTREAM_DIED, Basis.NOTHING),
    ("", Stamp.UPSTREAM_FAILED, Basis.NOTHING),
    ("left_drained", Stamp.UPSTREAM_FAILED, Basis.NOTHING),
]

# the same for call prices: in full or not at all
PER_CALL = [
    ("complete produced", Stamp.PROVIDER, True),
    ("left_cancelled produced", Stamp.CLIENT_LEFT_CANCELLED, True),
    ("left_cancelled", Stamp.CLIENT_LEFT_CANCELLED, False),
    ("too_slow produced", Stamp.GATEWAY_CUT, True),
    ("cut_by_us produced", Stamp.GATEWAY_CUT, False),
    ("produced", Stamp.UPSTREAM_DIED, False),
    ("", Stamp.UPSTREAM_FAILED, False),
]


def ending_of(words: str) -> Ending:
    return Ending(**dict.fromkeys(words.split(), True))


@pytest.mark.parametrize(("words", "stamp", "basis"), TABLE)
def test_each_ending_has_its_row(words: str, stamp: Stamp, basis: Basis) -> None:
    ruling = rule_on(ending_of(words), per_call=False, charge_what_died=False)
    assert (ruling.stamp, ruling.basis) == (stamp, basis)


@pytest.mark.parametrize(("words", "stamp", "charged"), PER_CALL)
@pytest.mark.parametrize("charge_what_died", [False, True])
def test_a_call_price_is_charged_in_full_or_not_at_all(
    words: str, stamp: Stamp, charged: bool, charge_what_died: bool
) -> None:
    ruling = rule_on(ending_of(words), per_call=True, charge_what_died=charge_what_died)
    assert (ruling.stamp, ruling.basis is not Basis.NOTHING) == (stamp, charged)


def test_every_possible_ending_has_exactly_one_row() -> None:
    assert len(CASES) == 2 ** len(FIELDS) * 4
    for ending, per_call, charge in CASES:
        assert rule_on(ending, per_call=per_call, charge_what_died=charge).stamp in Stamp


def test_a_complete_answer_is_always_charged_as_reported() -> None:
    for ending, per_call, charge in CASES:
        ruling = rule_on(ending, per_call=per_call, charge_what_died=charge)
        assert (ruling.basis is Basis.REPORTED) is ending.complete


def test_what_was_never_produced_is_charged_only_to_a_client_that_left_its_own_request() -> None:
    for ending, per_call, charge in CASES:
        ruling = rule_on(ending, per_call=per_call, charge_what_died=charge)
        if ruling.basis is Basis.COUNTED and not ending.produced and not ending.exhausted:
            assert ending.left_cancelled
            assert not per_call


def test_an_upstream_that_died_is_charged_only_where_the_operator_says_so() -> None:
    for ending, per_call, charge in CASES:
        ruling = rule_on(ending, per_call=per_call, charge_what_died=charge)
        if ruling.stamp is Stamp.UPSTREAM_DIED:
            assert (ruling.basis is Basis.COUNTED) is (charge and not per_call)


@pytest.mark.parametrize(
    ("output", "finish", "has_stop", "empty"),
    [
        (0, ["stop"], False, True),
        (0, [], False, True),
        (0, ["content_filter"], False, True),
        (1, ["stop"], False, False),
        (0, ["length"], False, False),
        (0, ["stop", "length"], False, False),
        (0, ["stop"], True, False),
    ],
)
def test_an_answer_is_empty_only_if_nobody_asked_for_so_little(
    output: int, finish: list[str], has_stop: bool, empty: bool
) -> None:
    assert is_empty(output_tokens=output, finish_reasons=finish, has_stop=has_stop) is empty


def test_every_end_in_the_books_carries_a_row_of_the_table(shop: Shop) -> None:
    customer = shop.customer(credits="1")
    shop.upstream.play(
        chat_answer(), chat_stream(), failure(500), failure(400), chat_answer(usage=None),
        chat_answer(text="", usage=usage(12, 0)), chat_stream(text="one two three").cut(600),
    )  # fmt: skip
    for stream in (False, True, False, False, False, False, True):
        shop.chat(customer, stream=stream)
    shop.upstream.play(chat_stream(text="one two three four", pause_s=0.1))
    with shop.stream(customer) as stream:
        stream.until(b"one")
    until(lambda: len(shop.charges_so_far(customer)) == 8)
    stamps = [charge.stamp for charge in shop.charges(customer)]
    assert stamps == [
        "provider", "provider", "upstream_failed", "caller_refused", "counted", "empty", "upstream_died",
        "client_left_cancelled",
    ]  # fmt: skip
    for charge in shop.charges(customer):
        assert Stamp(charge.stamp)
        assert (charge.amount == 0) is (charge.ended == "voided")
