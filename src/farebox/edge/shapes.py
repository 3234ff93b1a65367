"""The JSON of everything that is read: models, receipts, profile, key, billing. Amounts as decimal strings.

Field names follow the public interface of this kind of service: what clients already read.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from farebox.admission.budgets import next_period_us, rest
from farebox.admission.state import Budget, Limits, Tier
from farebox.ids import request_of
from farebox.money import NANO_PER_CREDIT, format_credits
from farebox.relay.settle import Receipt
from farebox.store.catalogue import PricedModel
from farebox.store.history import ChargeRow, DayRow, LotRow, RunningRow
from farebox.store.keyring import KeyView
from farebox.tariff.meters import SUBUNITS
from farebox.tariff.public_price import public_price
from farebox.tariff.rate import Charge, Line, exact_amount

PRIORITY_NAMES = {1: "Low", 2: "Normal", 3: "High", 4: "Critical"}
_DAY_S = 86_400


def model_shape(priced: PricedModel, now_us: int) -> dict[str, Any] | None:
    """A model of the list, with its full price; None before its first price is in force."""
    price = priced.price_at(now_us)
    if price is None:
        return None
    facts = priced.model
    launched = (
        datetime(facts.launched.year, facts.launched.month, facts.launched.day, tzinfo=UTC) if facts.launched else None
    )
    public = public_price(price.card)
    return {
        "id": facts.id,
        "object": "model",
        "created": int(launched.timestamp()) if launched else price.starts_us // 1_000_000,
        "owned_by": facts.provider,
        "provider": facts.provider,
        "model_type": facts.type.value,
        "display_name": facts.display_name,
        "context_length": facts.context_length,
        "max_output_tokens": facts.max_output_tokens,
        "capabilities": list(facts.capabilities),
        "aliases": list(facts.aliases),
        "min_tier": facts.min_tier,
        "available": bool(priced.offers),
        "input_price": public.pop("input_price"),
        "output_price": public.pop("output_price"),
        "pricing_unit": public.pop("pricing_unit"),
        "billing_methods": public.pop("billing_methods"),
        "price": {"version": price.version, "source": price.source, **public},
    }


def receipt_shape(found: Sequence[ChargeRow] | RunningRow) -> dict[str, Any]:
    """A receipt: what was held and charged, line by line, and why."""
    if isinstance(found, RunningRow):
        return {
            "object": "receipt",
            "request_id": request_of(found.id),
            "status": "running",
            "held": format_credits(found.amount),
            "created": found.opened_us // 1_000_000,
        }
    ended = next((row for row in found if row.kind == "end"), found[0])
    charged = next((row for row in found if row.kind == "late"), ended)
    stored = msgspec.json.decode(charged.receipt, type=Receipt) if "request_id" in charged.receipt else None
    return {
        "object": "receipt",
        "request_id": request_of(ended.hold_id),
        "status": ended.ended,
        "reason": charged.stamp,
        "late": charged.kind == "late",
        "model": ended.model,
        "key_id": ended.key_id,
        "held": format_credits(ended.held),
        "charged": format_credits(sum(row.amount for row in found)),
        "released": format_credits(ended.held - ended.from_hold),
        "from_available": format_credits(sum(row.from_available for row in found)),
        "shortfall": format_credits(sum(row.shortfall for row in found)),
        "created": ended.opened_us // 1_000_000,
        "ended": charged.ended_us // 1_000_000,
        "stream": stored.stream if stored else False,
        "queue_wait_ms": stored.queue_wait_ms if stored else 0,
        "attempts": len(stored.attempts) if stored else 0,
        "flags": list(stored.flags) if stored else [],
        **_charge_shape(stored.charge if stored else None),
    }


def _charge_shape(charge: Charge | None) -> dict[str, Any]:
    if charge is None:
        return {"billing_method": None, "price_version": None, "usage_source": None, "usage": {}, "lines": []}
    basis = charge.basis
    return {
        "billing_method": basis.method.value,
        "price_version": int(charge.card_id) if charge.card_id.isdigit() else charge.card_id,
        "usage_source": basis.usage_source.value,
        "usage": {meter.value: quantity for meter, quantity in basis.usage.items()},
        "circumstances": msgspec.to_builtins(basis.circumstances),
        "multipliers": msgspec.to_builtins(basis.multipliers),
        "at_most": None if basis.at_most is None else format_credits(basis.at_most),
        "lines": [_line_shape(line) for line in charge.lines if line.quantity],
    }


def _line_shape(line: Line) -> dict[str, Any]:
    exact = exact_amount(line) * NANO_PER_CREDIT
    return {
        "meter": line.meter.value,
        "quantity": line.quantity,
        "price": line.price,
        "per": line.per,
        "unit": line.unit.value if line.unit else ("millisecond" if line.meter in SUBUNITS else None),
        "multiplier": line.multiplier,
        "amount": format_credits(round(exact)) if exact.denominator == 1 else None,
        "amount_nanocredits": str(exact),
    }


def me_shape(view: KeyView, tier: Tier) -> dict[str, Any]:
    """The profile, with tier and priority."""
    return {
        "id": view.account.id,
        "name": view.account_name,
        "email": view.email,
        "tier": tier.name,
        "priority": tier.priority,
        "priority_level": PRIORITY_NAMES[tier.priority],
        "limits": _limits_shape(tier.limits),
        "webhooks": tier.webhooks,
        "credits": {
            "available": format_credits(view.books.available),
            "held": format_credits(view.books.held),
            "refunding": format_credits(view.books.refunding),
            "owed": format_credits(view.books.owed),
        },
        "created_at": view.account_created_us // 1_000_000,
    }


def key_shape(view: KeyView) -> dict[str, Any]:
    """What this key has spent and may spend."""
    key = view.key
    return {
        "object": "key",
        "id": key.id,
        "name": view.key_name,
        "hint": view.hint,
        "enabled": key.enabled,
        "expires_at": key.expires_us // 1_000_000 if key.expires_us else None,
        "billing_mode": key.billing_mode,
        "on_low_credits": key.on_low_credits.value,
        "models": sorted(key.models),
        "ip_ranges": list(key.ip_ranges),
        "limits": _limits_shape(key.limits),
        "running": key.running,
        "spent": format_credits(key.spent),
        "cap": None if key.cap is None else _budget_shape(key.cap, view.read_us),
        "available": format_credits(_spendable(view)),
        "account": {"available": format_credits(view.books.available), "held": format_credits(view.books.held)},
    }


def _spendable(view: KeyView) -> int:
    cap = view.key.cap
    left = view.books.available
    return left if cap is None else min(left, rest(cap, admitted_us=view.read_us, now_us=view.read_us))


def _budget_shape(budget: Budget, now_us: int) -> dict[str, Any]:
    resets_us = next_period_us(budget.period, now_us)
    return {
        "limit": format_credits(budget.limit),
        "period": budget.period.value,
        "action": budget.action.value,
        "remaining": format_credits(rest(budget, admitted_us=now_us, now_us=now_us)),
        "resets_at": None if resets_us is None else resets_us // 1_000_000,
    }


def _limits_shape(limits: Limits) -> dict[str, Any]:
    shown: dict[str, int | None] = msgspec.structs.asdict(limits)
    return {name: "unlimited" if value is None else value for name, value in shown.items()}


def subscription(view: KeyView, granted: int) -> dict[str, Any]:
    """In the shape older dashboards read: limits in credits."""
    limit = format_credits(granted)
    return {
        "object": "billing_subscription",
        "has_payment_method": True,
        "plan": {"id": view.account.tier, "title": view.account.tier.title()},
        "soft_limit_usd": limit,
        "hard_limit_usd": limit,
        "system_hard_limit_usd": limit,
        "access_until": (view.key.expires_us or 0) // 1_000_000,
    }


def usage_shape(days: Sequence[DayRow]) -> dict[str, Any]:
    """Charges by day and model; `total_usage` in hundredths of a credit, as that interface has it."""
    by_day: dict[int, list[DayRow]] = {}
    for row in days:
        by_day.setdefault(row.day, []).append(row)
    return {
        "object": "list",
        "total_usage": _hundredths(sum(row.amount for row in days)),
        "daily_costs": [
            {
                "timestamp": day * _DAY_S,
                "line_items": [{"name": row.model, "cost": _hundredths(row.amount)} for row in rows],
            }
            for day, rows in sorted(by_day.items())
        ],
    }


def credit_grants(view: KeyView, lots: Sequence[LotRow]) -> dict[str, Any]:
    """Lots as grants; what was spent and not yet burned is shown as used in the total."""
    granted = sum(lot.amount for lot in lots)
    available = view.books.available
    return {
        "object": "credit_summary",
        "total_granted": format_credits(granted),
        "total_used": format_credits(granted - available),
        "total_available": format_credits(available),
        "total_held": format_credits(view.books.held),
        "grants": {"object": "list", "data": [_grant_shape(lot) for lot in lots]},
    }


def _grant_shape(lot: LotRow) -> dict[str, Any]:
    return {
        "object": "credit_grant",
        "id": lot.id,
        "category": lot.category,
        "grant_amount": format_credits(lot.amount),
        "used_amount": format_credits(lot.burned),
        "expired_amount": format_credits(lot.expired),
        "refunded_amount": format_credits(lot.refunded),
        "effective_at": lot.created_us // 1_000_000,
        "expires_at": lot.expires_us // 1_000_000 if lot.expires_us else None,
    }


def _hundredths(amount: int) -> str:
    return format_credits(amount * 100)
