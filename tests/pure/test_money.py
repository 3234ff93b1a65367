"""Credits in and out, and the two roundings."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox.money import (
    MAX_NANO,
    AmountError,
    format_credits,
    parse_credits,
    parse_positive_credits,
    round_half_even,
    round_up,
)


@given(st.integers(-MAX_NANO, MAX_NANO))
def test_what_is_written_is_read_back(amount: int) -> None:
    assert parse_credits(format_credits(amount)) == amount


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("0", 0),
        ("1", 1_000_000_000),
        ("0.25", 250_000_000),
        ("1.000000001", 1_000_000_001),
        ("-0.000000001", -1),
        ("9223372036.854775807", MAX_NANO),
        ("0000000001", 1_000_000_000),
    ],
)
def test_exact_decimals(text: str, amount: int) -> None:
    assert parse_credits(text) == amount


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "1 ", "+1", ".5", "1.", "1e3", "1_000", "0x1", "NaN", "inf", "--1", "1.2.3", "１", "1,5"),
        *("0.0000000001", "9223372036.854775808", "99999999999", "1" * 5000),
    ],
)
def test_everything_else_is_refused(text: str) -> None:
    with pytest.raises(AmountError):
        parse_credits(text)


@pytest.mark.parametrize("text", ["0", "-1", "-0.000000001", "0.0"])
def test_d18_an_amount_that_must_be_positive(text: str) -> None:
    with pytest.raises(AmountError):
        parse_positive_credits(text)


@given(st.integers(-(10**30), 10**30), st.integers(1, 10**20))
def test_the_rounding_of_a_charge_is_half_even(numerator: int, denominator: int) -> None:
    assert round_half_even(numerator, denominator) == round(Fraction(numerator, denominator))


@given(st.integers(-(10**30), 10**30), st.integers(1, 10**20))
def test_a_hold_is_rounded_up_by_less_than_one(numerator: int, denominator: int) -> None:
    exact = Fraction(numerator, denominator)
    assert exact <= round_up(numerator, denominator) < exact + 1
