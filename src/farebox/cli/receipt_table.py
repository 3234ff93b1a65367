"""A receipt as people read it: lines that visibly add up, then what was held, charged and released.

Enters: a receipt in the shape `GET /v1/receipts/{request_id}` has. Leaves: a table for a terminal of 100 columns. The
amounts of one receipt are written to the same number of places, so that they can be added by eye; none is rounded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

from rich.box import ROUNDED
from rich.table import Table

from farebox.money import NANO_PER_CREDIT, format_credits, parse_credits, round_half_even

WIDTH = 92
ORDINARY = "provider"
"""The stamp of a whole answer with the usage its provider reported."""
_DIGITS = 60


def receipt_table(receipt: Mapping[str, Any], *, title: str, remaining: str | None = None, width: int = WIDTH) -> Table:
    """The receipt of one request; `remaining` is what its account has available after it."""
    table = Table(title=title, title_justify="left", title_style="bold", box=ROUNDED, show_footer=True)
    table.width = min(width, WIDTH)
    table.add_column("meter", footer="charged", ratio=1)
    table.add_column("quantity", justify="right")
    table.add_column("× price", justify="right")
    table.add_column("per", justify="left")
    amounts = [_exact(line) for line in receipt["lines"]]
    charged = Fraction(receipt["charged"])
    places = max((_places(amount) for amount in (*amounts, charged)), default=0)
    table.add_column("= credits", footer=_written(charged, places), justify="right", footer_style="bold")
    for line, amount in zip(receipt["lines"], amounts, strict=True):
        table.add_row(_meter(line), f"{line['quantity']:,}", _price(line), _per(line), _written(amount, places))
    table.caption = _caption(receipt, remaining)
    table.caption_justify = "left"
    return table


def adds_up(receipt: Mapping[str, Any]) -> bool:
    """Whether the lines, worked out anew and rounded once, come to the charge, and hold, charge and release agree."""
    exact = sum((_exact(line) for line in receipt["lines"]), Fraction(0)) * NANO_PER_CREDIT
    charged = parse_credits(receipt["charged"])
    paid_by_hold = charged - parse_credits(receipt["from_available"]) - parse_credits(receipt["shortfall"])
    whole = round_half_even(exact.numerator, exact.denominator) == charged or receipt.get("at_most") is not None
    return whole and parse_credits(receipt["held"]) - paid_by_hold == parse_credits(receipt["released"])


def total_of(receipts: Sequence[Mapping[str, Any]]) -> str:
    """The sum of several charges, as a decimal."""
    return format_credits(sum(parse_credits(receipt["charged"]) for receipt in receipts))


def _exact(line: Mapping[str, Any]) -> Fraction:
    """Quantity ÷ per × price × multiplier, from what the receipt shows and nothing else."""
    return line["quantity"] * Fraction(line["price"]) * Fraction(line["multiplier"]) / line["per"]


def _meter(line: Mapping[str, Any]) -> str:
    return "call" if line["meter"] == "calls" else line["meter"].replace("_", " ")


def _price(line: Mapping[str, Any]) -> str:
    return line["price"] if line["multiplier"] == "1" else f"{line['price']} × {line['multiplier']}"


def _per(line: Mapping[str, Any]) -> str:
    unit = line["unit"] or ("tokens" if line["per"] > 1 else "unit")
    return unit if line["per"] == 1 else f"{line['per']:,} {unit}{'' if unit.endswith('s') else 's'}"


def _caption(receipt: Mapping[str, Any], remaining: str | None) -> str:
    parts = [f"held {receipt['held']}", f"charged {receipt['charged']}", f"released {receipt['released']}"]
    if receipt["shortfall"] != "0":
        parts.append(f"shortfall {receipt['shortfall']}")
    if remaining is not None:
        parts.append(f"remaining {remaining}")
    return " · ".join(parts) + f"\n{receipt['request_id']} · {_why(receipt)}"


def _why(receipt: Mapping[str, Any]) -> str:
    """By what it was charged, and which row of the failure policy applied where that is not the ordinary one."""
    method = {"token": "by tokens", "call": "by the call", None: "nothing charged"}[receipt["billing_method"]]
    parts = [method] if receipt["price_version"] is None else [method, f"price version {receipt['price_version']}"]
    return " · ".join(parts if receipt["reason"] == ORDINARY else [*parts, receipt["reason"]])


def _places(amount: Fraction) -> int:
    return max(0, -int(_decimal(amount).normalize().as_tuple().exponent))


def _written(amount: Fraction, places: int) -> str:
    return f"{_decimal(amount):.{places}f}"


def _decimal(amount: Fraction) -> Decimal:
    with localcontext() as context:
        context.prec = _DIGITS
        return Decimal(amount.numerator) / Decimal(amount.denominator)
