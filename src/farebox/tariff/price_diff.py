"""What a new price list changes: models that come and go, and each price that moves.

Enters: two read price lists. Leaves: a `PriceDiff` to show before an import. Compares values,
not spelling: `"2.50"` and `"2.5"` are one price. The source and date of a price are no change.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import msgspec

from farebox.tariff.conditions import When
from farebox.tariff.decimals import format_decimal, parse_decimal
from farebox.tariff.meters import Meter, default_per
from farebox.tariff.price_list import Model, PriceList
from farebox.tariff.rate_card import CallPrice, RateCard, RateText

_NOT_FACTS = ("price", "cost_card", "source", "as_of")


class Change(msgspec.Struct, frozen=True):
    """One price or fact of a model that differs. None: it is not there."""

    model: str
    where: str
    """`price input`, `cost call`, `price override 1 (batch True) output`, `min_tier`."""
    before: str | None
    after: str | None


class PriceDiff(msgspec.Struct, frozen=True):
    """What importing the new list would do."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[Change, ...]


def diff(old: PriceList, new: PriceList) -> PriceDiff:
    """Compare two lists by model id; models keep the order of the list they are in."""
    before = {model.id: model for model in old.models}
    after = {model.id: model for model in new.models}
    changed = [change for name in before if name in after for change in _changes(before[name], after[name])]
    return PriceDiff(
        added=tuple(name for name in after if name not in before),
        removed=tuple(name for name in before if name not in after),
        changed=tuple(changed),
    )


def described(card: RateCard) -> dict[str, str]:
    """Each price of a card by its place, in one spelling: `{"input": "2.5 per 1000000"}`."""
    places = _prices(card.rates, card.call_price)
    for number, override in enumerate(card.overrides, 1):
        name = f"override {number} ({_condition(override.when)})"
        for where, price in _prices(override.rates, override.call_price).items():
            places[f"{name} {where}"] = price
        if override.multiply is not None:
            places[f"{name} multiply"] = format_decimal(parse_decimal(override.multiply))
    return places


def _changes(before: Model, after: Model) -> list[Change]:
    old, new = _places(before), _places(after)
    names = [*old, *[name for name in new if name not in old]]
    return [Change(before.id, name, old.get(name), new.get(name)) for name in names if old.get(name) != new.get(name)]


def _places(model: Model) -> dict[str, str]:
    places = {f"price {where}": price for where, price in described(model.price).items()}
    if model.cost_card is not None:
        places |= {f"cost {where}": price for where, price in described(model.cost_card).items()}
    facts: dict[str, Any] = msgspec.to_builtins(model)
    return places | {name: _text(value) for name, value in facts.items() if name not in _NOT_FACTS}


def _prices(rates: Mapping[Meter, RateText], call_price: CallPrice | None) -> dict[str, str]:
    places = {meter.value: _rate(meter, rate) for meter, rate in rates.items()}
    if call_price is not None:
        covered = "" if call_price.input_covered is None else f", up to {call_price.input_covered} input tokens"
        places["call"] = f"{_plain(call_price.price)} per {call_price.unit}{covered}"
    return places


def _rate(meter: Meter, rate: RateText) -> str:
    price, per = (rate, None) if isinstance(rate, str) else (rate.price, rate.per)
    return f"{_plain(price)} per {default_per(meter) if per is None else per}"


def _plain(price: str) -> str:
    return format_decimal(parse_decimal(price))


def _condition(when: When) -> str:
    parts: dict[str, Any] = msgspec.to_builtins(when)
    flat = {name: value for name, value in parts.items() if name != "parameters"} | parts.get("parameters", {})
    return ", ".join(f"{name} {_text(value)}" for name, value in flat.items())


def _text(value: object) -> str:
    return ", ".join(map(str, cast("tuple[object, ...]", value))) if isinstance(value, tuple) else str(value)
