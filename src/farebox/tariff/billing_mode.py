"""Billing modes: the key chooses, the card decides what is possible.

Enters: a key's mode and a compiled card. Leaves: the `Method` a request is charged by, or a
`ModeRefusal` that names the mode that would work. Never looks at the modality: `gpt-image-1`
makes images and has token prices.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from farebox.tariff.compiled import CompiledCard, Method, Unpriced


class BillingMode(StrEnum):
    PAY_PER_USE = "pay_per_use"
    PAY_PER_CALL = "pay_per_call"
    PAY_PER_USE_PRIORITY = "pay_per_use_priority"
    PAY_PER_CALL_PRIORITY = "pay_per_call_priority"
    HYBRID = "hybrid"
    """Shown, never chosen."""


RECOMMENDED = BillingMode.PAY_PER_USE_PRIORITY
"""The default of a new key: it reaches every priced model."""

HYBRID_REASONS = (
    "unclear billing logic: the same call could be charged in two ways",
    "costs that are hard to predict before a call",
    "compatibility problems with clients that expect one way of billing",
)

_HYBRID = BillingMode.HYBRID
_BY_TOKENS, _BY_CALL = frozenset({Method.TOKENS}), frozenset({Method.CALL})
_BOTH = _BY_TOKENS | _BY_CALL

DECISIONS: dict[BillingMode, dict[frozenset[Method], Method | None]] = {
    #                                     token prices only     call price only     both
    BillingMode.PAY_PER_USE:           {_BY_TOKENS: Method.TOKENS, _BY_CALL: None,        _BOTH: Method.TOKENS},
    BillingMode.PAY_PER_CALL:          {_BY_TOKENS: None,         _BY_CALL: Method.CALL, _BOTH: Method.CALL},
    BillingMode.PAY_PER_USE_PRIORITY:  {_BY_TOKENS: Method.TOKENS, _BY_CALL: Method.CALL, _BOTH: Method.TOKENS},
    BillingMode.PAY_PER_CALL_PRIORITY: {_BY_TOKENS: Method.TOKENS, _BY_CALL: Method.CALL, _BOTH: Method.CALL},
}  # fmt: skip
"""The whole decision. None refuses. `hybrid` has no row: no key can have it."""


class ModeProblem(StrEnum):
    UNSUPPORTED = "billing_mode_unsupported"
    NOT_APPLICABLE = "billing_mode_not_applicable"


class ModeRefusal(msgspec.Struct, frozen=True):
    """A mode that does not work, and the one that would."""

    problem: ModeProblem
    mode: BillingMode
    """The key's."""
    offered: tuple[Method, ...]
    """What the model can be charged by; empty where the mode itself is refused."""
    would_work: BillingMode
    reasons: tuple[str, ...] = ()


def choose(mode: BillingMode, card: CompiledCard) -> Method | ModeRefusal | Unpriced:
    """The method a request of this key is charged by. A card without any price is `Unpriced` (Law 10)."""
    refusal = check_mode(mode)
    if refusal is not None:
        return refusal
    if not card.methods:
        return Unpriced(None)
    method = DECISIONS[mode][card.methods]
    if method is None:
        return ModeRefusal(ModeProblem.UNSUPPORTED, mode, billing_methods(card), RECOMMENDED)
    return method


def check_mode(mode: BillingMode) -> ModeRefusal | None:
    """Whether a key may be given this mode: every one but `hybrid`, which is refused with its reasons."""
    if mode is _HYBRID:
        return ModeRefusal(ModeProblem.NOT_APPLICABLE, mode, (), RECOMMENDED, HYBRID_REASONS)
    return None


def billing_methods(card: CompiledCard) -> tuple[Method, ...]:
    """How the model can be charged at all, token first."""
    return tuple(method for method in Method if method in card.methods)
