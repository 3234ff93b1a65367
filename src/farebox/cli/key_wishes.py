"""What an operator may wish of an API key, as options, and what that makes of its settings and its cap.

Every wish left out leaves things as they are, so making and editing a key share them. Aliases of models become their
ids; a model that is not in the catalogue, a bad address and the mode `hybrid` are refused before anything changes.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Annotated

import msgspec
import typer

from farebox.admission.access import parse_ip_range
from farebox.admission.state import Budget, Limits, OnLowCredits, Period
from farebox.cli.moments import read_moment_us
from farebox.cli.output import CommandFailed, ExitCode, not_found, refused
from farebox.money import parse_positive_credits
from farebox.store.catalogue import Snapshot
from farebox.store.ledger_rows import KeySettings
from farebox.tariff.billing_mode import BillingMode, check_mode

ANY, NEVER, NONE = "any", "never", "none"

LimitOption = Annotated[str | None, typer.Option(metavar="N|none", help="The key's own, lower limit.")]


@dataclass(frozen=True, slots=True)
class KeyWishes:
    """See the module."""

    name: Annotated[str | None, typer.Option(help="What to call the key.")] = None
    cap: Annotated[str | None, typer.Option(metavar="AMOUNT|none", help="The most it may spend in a period.")] = None
    cap_period: Annotated[Period | None, typer.Option(help="The period of the cap; lifetime by default.")] = None
    expires: Annotated[str | None, typer.Option(metavar="WHEN|never", help="A date, or a span from now: 90d.")] = None
    model: Annotated[
        list[str] | None, typer.Option(metavar="MODEL|any", help="A model it may call; repeat for several.")
    ] = None
    ip: Annotated[
        list[str] | None, typer.Option(metavar="ADDRESS|any", help="An address or network it may be used from; repeat.")
    ] = None
    billing_mode: Annotated[BillingMode | None, typer.Option(help="How it is charged.")] = None
    on_low_credits: Annotated[
        OnLowCredits | None, typer.Option(help="Shorten answers that credits do not reach for, or refuse them.")
    ] = None
    requests_per_minute: LimitOption = None
    tokens_per_minute: LimitOption = None
    requests_per_day: LimitOption = None
    concurrency: LimitOption = None
    enabled: Annotated[bool | None, typer.Option("--enabled/--disabled", help="Switch it on or off.")] = None

    @property
    def changes_settings(self) -> bool:
        """Whether anything but the name and the cap is wished."""
        wished = (self.expires, self.model, self.ip, self.billing_mode, self.on_low_credits, self.enabled)
        return any(wish is not None for wish in (*wished, *self._limits.values()))

    @property
    def _limits(self) -> dict[str, str | None]:
        return {name: getattr(self, name) for name in Limits.__struct_fields__}

    def settings(self, current: KeySettings, snapshot: Snapshot) -> KeySettings:
        """`current` with what is wished. Raises `CommandFailed` for what cannot be."""
        settings = current
        if self.expires is not None:
            expires_us = None if self.expires == NEVER else read_moment_us(self.expires)
            settings = msgspec.structs.replace(settings, expires_us=expires_us)
        if self.model is not None:
            settings = msgspec.structs.replace(settings, models=_models(self.model, snapshot))
        if self.ip is not None:
            settings = msgspec.structs.replace(settings, ip_ranges=_ip_ranges(self.ip))
        if self.billing_mode is not None:
            settings = msgspec.structs.replace(settings, billing_mode=_mode(self.billing_mode))
        if self.on_low_credits is not None:
            settings = msgspec.structs.replace(settings, on_low_credits=self.on_low_credits)
        if self.enabled is not None:
            settings = msgspec.structs.replace(settings, enabled=self.enabled)
        return msgspec.structs.replace(settings, limits=changed_limits(settings.limits, self._limits))

    def changed_cap(self, current: Budget | None) -> Budget | msgspec.UnsetType | None:
        """The cap as wished; UNSET leaves it."""
        if self.cap == NONE:
            return None
        if self.cap is None:
            if self.cap_period is None:
                return msgspec.UNSET
            if current is None:
                raise CommandFailed("There is no cap to give a period to.", code=ExitCode.USAGE, next_step="Add --cap.")
            return msgspec.structs.replace(current, period=self.cap_period)
        period = self.cap_period or (Period.LIFETIME if current is None else current.period)
        return Budget("cap", parse_positive_credits(self.cap), period)


def changed_limits(current: Limits, wishes: dict[str, str | None]) -> Limits:
    """`current` with the limits that are wished: a whole number, or `none` for unlimited."""
    return msgspec.structs.replace(current, **{name: limit_of(name, w) for name, w in wishes.items() if w is not None})


def limit_of(name: str, wish: str) -> int | None:
    """The limit that is wished: a whole number, or `none` for unlimited."""
    if wish == NONE:
        return None
    if not (wish.isascii() and wish.isdigit()) or not 0 < int(wish) < 2**53:
        raise CommandFailed(
            f"{wish!r} is no limit.",
            code=ExitCode.USAGE,
            next_step=f"Write --{name.replace('_', '-')} 60, or none for unlimited.",
        )
    return int(wish)


def _models(wishes: list[str], snapshot: Snapshot) -> tuple[str, ...]:
    if wishes == [ANY]:
        return ()
    return tuple(sorted({known_model(wish, snapshot) for wish in wishes}))


def known_model(name: str, snapshot: Snapshot) -> str:
    """The id of the model of this id or alias; refused when there is none."""
    found = snapshot.names.get(name)
    if found is None:
        near = difflib.get_close_matches(name, snapshot.names, n=1)
        advice = f"Did you mean {near[0]}? " if near else ""
        raise not_found("model", name, next_step=f"{advice}`farebox price list` shows all models.")
    return found.model.id


def _ip_ranges(wishes: list[str]) -> tuple[str, ...]:
    if wishes == [ANY]:
        return ()
    try:
        return tuple(str(parse_ip_range(wish)) for wish in wishes)
    except ValueError as trouble:
        raise CommandFailed(
            f"{trouble}.", code=ExitCode.USAGE, next_step="Write 203.0.113.7, 203.0.113.0/24 or 2001:db8::/32."
        ) from None


def _mode(mode: BillingMode) -> BillingMode:
    refusal = check_mode(mode)
    if refusal is not None:
        reasons = "; ".join(refusal.reasons)
        raise refused(
            f"{mode.value} cannot be chosen ({refusal.problem.value}): {reasons}.",
            next_step=f"Use --billing-mode {refusal.would_work.value}: it reaches every priced model.",
        )
    return mode
