"""API keys: made, shown once, changed, revoked, given a new secret.

A secret is `sk-` and 52 characters of 256 random bits; only its SHA-256 is stored. Every
change runs under the account's lock and raises the key's settings version, by which requests
in all processes notice it.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import msgspec

from farebox.admission.access import parse_ip_range
from farebox.admission.budgets import check_budget, edited, started
from farebox.admission.rate_limits import check_limits
from farebox.admission.state import Budget
from farebox.ids import ALPHABET, AccountId, KeyId
from farebox.money import Nano
from farebox.store import statements
from farebox.store.id_source import new_id
from farebox.store.keyring import digest_of
from farebox.store.ledger_alone import LockedAccount
from farebox.store.ledger_rows import KeySettings
from farebox.store.ledger_writer import LedgerWriter
from farebox.store.postgres import Pool
from farebox.tariff.billing_mode import check_mode

SECRET_LENGTH = 52


class KeyRefusal(StrEnum):
    TOO_MANY_KEYS = "too_many_keys"
    BILLING_MODE_NOT_APPLICABLE = "billing_mode_not_applicable"
    REVOKED = "key_revoked"


class ApiKey(msgspec.Struct, frozen=True):
    """An API key as its owner sees it; never its secret."""

    account_id: AccountId
    id: KeyId
    name: str
    hint: str | None
    """The first and last characters of the secret; None when it has none."""
    settings: KeySettings
    cap: Budget | None
    running: int
    spent: Nano
    created_us: int


class NewKey(msgspec.Struct, frozen=True):
    """A key just made or given a new secret, which is shown this once."""

    id: KeyId
    secret: str

    def __repr__(self) -> str:
        return f"NewKey({self.id!r})"


class KeyChange(msgspec.Struct, frozen=True):
    """What to change of a key; what is UNSET stays."""

    name: str | msgspec.UnsetType = msgspec.UNSET
    settings: KeySettings | msgspec.UnsetType = msgspec.UNSET
    cap: Budget | msgspec.UnsetType | None = msgspec.UNSET


class ApiKeys:
    """See the module."""

    def __init__(self, pool: Pool, writer: LedgerWriter) -> None:
        self._pool = pool
        self._writer = writer
        self._sql = statements.load("accounts")

    async def create(
        self, account_id: AccountId, name: str, *, settings: KeySettings | None = None, cap: Budget | None = None
    ) -> NewKey | KeyRefusal:
        """Make a key. Refused beyond the tier's number of keys; bad IP ranges and limits raise `ValueError`."""
        settings = settings or KeySettings()
        refusal = _check(settings, cap)
        if refusal is not None:
            return refusal
        new = NewKey(KeyId(new_id("key")), new_secret())

        async def work(locked: LockedAccount) -> NewKey | KeyRefusal:
            if await locked.connection.fetchrow(self._sql["lock_key"], account_id, new.id) is not None:
                return new  # made by an attempt whose commit was not heard of
            most = await locked.connection.fetchval(self._sql["most_keys"], locked.state.gate.tier)
            if most is not None and await locked.connection.fetchval(self._sql["count_keys"], account_id) >= most:
                return KeyRefusal.TOO_MANY_KEYS
            counting = None if cap is None else started(cap, now_us=locked.state.now_us)
            await locked.connection.execute(
                self._sql["new_key"], account_id, new.id, name, _text(settings), _text_or_none(counting)
            )
            await self._store_secret(locked, new)
            return new

        return await self._writer.under_lock(account_id, work)

    async def edit(self, account_id: AccountId, key_id: KeyId, change: KeyChange) -> KeyRefusal | None:
        """Change a key; what it has counted stays counted. An unknown key raises `KeyError`.

        Requests under way keep the settings they were admitted with.
        """
        settings = change.settings if isinstance(change.settings, KeySettings) else KeySettings()
        cap = change.cap if isinstance(change.cap, Budget) else None
        if (refusal := _check(settings, cap)) is not None:
            return refusal

        async def work(locked: LockedAccount) -> KeyRefusal | None:
            row = await self._locked_key(locked, key_id)
            settings = msgspec.json.decode(row["settings"], type=KeySettings)
            if settings.revoked_us is not None:
                return KeyRefusal.REVOKED
            if isinstance(change.settings, KeySettings):
                settings = change.settings
            current = msgspec.json.decode(row["cap"], type=Budget) if row["cap"] else None
            cap = _changed_cap(current, change.cap, locked.state.now_us)
            name = row["name"] if isinstance(change.name, msgspec.UnsetType) else change.name
            await locked.connection.execute(
                self._sql["edit_key"], account_id, key_id, name, _text(settings), _text_or_none(cap)
            )
            return None

        return await self._writer.under_lock(account_id, work)

    async def revoke(self, account_id: AccountId, key_id: KeyId) -> None:
        """End a key for good; its next request is refused with `key_revoked`. Repeating it changes nothing."""

        async def work(locked: LockedAccount) -> None:
            row = await self._locked_key(locked, key_id)
            settings = msgspec.json.decode(row["settings"], type=KeySettings)
            if settings.revoked_us is None:
                revoked = msgspec.structs.replace(settings, revoked_us=locked.state.now_us)
                await locked.connection.execute(
                    self._sql["edit_key"], account_id, key_id, row["name"], _text(revoked), row["cap"]
                )

        await self._writer.under_lock(account_id, work)

    async def regenerate(self, account_id: AccountId, key_id: KeyId) -> NewKey | KeyRefusal:
        """A new secret for the same key; the old one is unknown from the next request on."""
        new = NewKey(key_id, new_secret())

        async def work(locked: LockedAccount) -> NewKey | KeyRefusal:
            row = await self._locked_key(locked, key_id)
            if msgspec.json.decode(row["settings"], type=KeySettings).revoked_us is not None:
                return KeyRefusal.REVOKED
            await locked.connection.execute(self._sql["drop_secrets"], account_id, key_id)
            await self._store_secret(locked, new)
            await locked.connection.execute(self._sql["touch_key"], account_id, key_id)
            return new

        return await self._writer.under_lock(account_id, work)

    async def list(self, account_id: str = "") -> Sequence[ApiKey]:
        """The keys of an account, or of all."""
        return [_api_key(row) for row in await self._pool.fetch(self._sql["keys"], account_id)]

    async def owner_of(self, key_id: str) -> AccountId | None:
        return await self._pool.fetchval(self._sql["key_owner"], key_id)

    async def _store_secret(self, locked: LockedAccount, new: NewKey) -> None:
        hint = f"{new.secret[:7]}…{new.secret[-4:]}"
        account_id = locked.state.books.account_id
        await locked.connection.execute(self._sql["new_secret"], digest_of(new.secret), account_id, new.id, hint)

    async def _locked_key(self, locked: LockedAccount, key_id: KeyId) -> Any:
        row = await locked.connection.fetchrow(self._sql["lock_key"], locked.state.books.account_id, key_id)
        if row is None:
            raise KeyError(key_id)
        return row


def new_secret() -> str:
    """A new API key: 256 random bits in Crockford base32 after `sk-`."""
    bits = secrets.randbits(256)
    return "sk-" + "".join(ALPHABET[(bits >> (5 * place)) & 31] for place in range(SECRET_LENGTH))


def _check(settings: KeySettings, cap: Budget | None) -> KeyRefusal | None:
    for text in settings.ip_ranges:
        parse_ip_range(text)
    check_limits(settings.limits)
    if cap is not None:
        check_budget(cap)
    if check_mode(settings.billing_mode) is not None:
        return KeyRefusal.BILLING_MODE_NOT_APPLICABLE
    return None


def _changed_cap(current: Budget | None, wanted: Budget | msgspec.UnsetType | None, now_us: int) -> Budget | None:
    if isinstance(wanted, msgspec.UnsetType):
        return current
    if wanted is None:
        return None
    return started(wanted, now_us=now_us) if current is None else edited(current, wanted, now_us=now_us)


def _api_key(row: Any) -> ApiKey:
    return ApiKey(
        AccountId(row["account_id"]),
        KeyId(row["id"]),
        row["name"],
        row["hint"],
        msgspec.json.decode(row["settings"], type=KeySettings),
        msgspec.json.decode(row["cap"], type=Budget) if row["cap"] else None,
        row["running"],
        Nano(row["spent"]),
        row["created_us"],
    )


def _text(settings: KeySettings) -> str:
    return msgspec.json.encode(settings).decode()


def _text_or_none(cap: Budget | None) -> str | None:
    return None if cap is None else msgspec.json.encode(cap).decode()
