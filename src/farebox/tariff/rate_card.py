"""The readable rate card: prices per meter, a call price, and overrides with their conditions.

Enters: what a YAML or JSON price list decodes to (`read_card`). Leaves: a frozen `RateCard`
that is known to be sound: exact decimals as strings, nothing negative, no field that is not
understood. It never calculates: `compiled` turns it into integers. Law 10: a rate that is not
written is inherited from the meter's parent or missing, never zero.

    rates:
      input: "2.50"                        # per million tokens
      images: {price: "0.04", per: 1}
    call_price: {price: "0.05", unit: image, input_covered: 32000}
    overrides:                             # in order: later matches win, meter by meter
      - when: {input_above: 200000}
        rates: {input: "5", output: "22.50"}
      - when: {batch: true}
        multiply: "0.5"                    # scales every price reached so far, call price too
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from fractions import Fraction

import msgspec

from farebox.tariff.conditions import When
from farebox.tariff.decimals import PriceError, parse_decimal, parse_positive_decimal
from farebox.tariff.meters import MAX_QUANTITY, SUBUNITS, Meter, default_per


class CallUnit(StrEnum):
    """What a call price is for: the whole call, or each thing it asks for."""

    CALL = "call"
    IMAGE = "image"
    CLIP = "clip"
    TRACK = "track"
    ASSET = "asset"


class Rate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A price for `per` units of a meter: tokens, seconds, images."""

    price: str
    per: int | None = None
    """None: the meter's own custom, a million for tokens and one for anything else."""

    def __post_init__(self) -> None:
        parse_decimal(self.price)
        if self.per is not None and not 0 < self.per <= MAX_QUANTITY:
            raise PriceError(f"a rate is for one unit or more, not {self.per}")


class CallPrice(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A price per unit asked for, whatever its tokens."""

    price: str
    unit: CallUnit = CallUnit.CALL
    input_covered: int | None = None
    """The most input, in tokens, that the price pays for; None: any input."""

    def __post_init__(self) -> None:
        parse_decimal(self.price)
        if self.input_covered is not None and self.input_covered < 0:
            raise PriceError("input_covered counts tokens and cannot be negative")


RateText = str | Rate
"""A bare string is a price per the meter's own custom."""


class Override(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Prices for some circumstances: first `multiply` scales all prices so far, then its own prices replace."""

    when: When
    rates: dict[Meter, RateText] = {}
    call_price: CallPrice | None = None
    multiply: str | None = None

    def __post_init__(self) -> None:
        _check_rates(self.rates)
        if self.multiply is not None:
            parse_positive_decimal(self.multiply)
        elif not self.rates and self.call_price is None:
            raise ValueError("an override needs rates, a call_price or a factor to multiply by")


class RateCard(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a customer pays for a model, or what we pay (a cost card has the same form)."""

    rates: dict[Meter, RateText] = {}
    call_price: CallPrice | None = None
    overrides: tuple[Override, ...] = ()

    def __post_init__(self) -> None:
        _check_rates(self.rates)


class CardRefusal(msgspec.Struct, frozen=True):
    """The input is no rate card; `problem` says where and why, for the operator."""

    problem: str


class ExactRate(msgspec.Struct, frozen=True):
    """A rate ready for arithmetic: credits for `per` units of the quantity as it is counted."""

    price: Fraction
    per: int
    """In units of `Usage`: 1000 for a rate per second, since seconds are counted in milliseconds."""

    @property
    def each(self) -> Fraction:
        """Credits for one unit of the quantity."""
        return self.price / self.per

    def times(self, factor: Fraction) -> ExactRate:
        return ExactRate(self.price * factor, self.per)


def read_card(raw: Mapping[str, object]) -> RateCard | CardRefusal:
    """Check a decoded card. Refuses unknown fields and meters, floats, signs, exponents, factors of zero."""
    try:
        return msgspec.convert(raw, RateCard)
    except msgspec.ValidationError as error:
        return CardRefusal(str(error))


def exact_rates(rates: Mapping[Meter, RateText]) -> dict[Meter, ExactRate]:
    """The rates a card or override names itself, without inheritance."""
    return {meter: _exact(meter, rate) for meter, rate in rates.items()}


def _exact(meter: Meter, rate: RateText) -> ExactRate:
    price, per = (rate, None) if isinstance(rate, str) else (rate.price, rate.per)
    units = default_per(meter) if per is None else per
    return ExactRate(parse_decimal(price), units * SUBUNITS.get(meter, 1))


def _check_rates(rates: Mapping[Meter, RateText]) -> None:
    for meter, rate in rates.items():
        if isinstance(rate, str):
            try:
                parse_decimal(rate)
            except PriceError as error:
                raise PriceError(f"{meter}: {error}") from None
