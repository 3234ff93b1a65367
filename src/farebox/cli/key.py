"""`farebox key`: make API keys, change what they may do, revoke them, give them new secrets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec
import typer

from farebox.cli.desk import AccountName, Desk, with_books
from farebox.cli.key_wishes import KeyWishes
from farebox.cli.output import Column, Kind, not_found, refused
from farebox.ids import AccountId
from farebox.store.api_keys import ApiKey, KeyChange, KeyRefusal, NewKey
from farebox.store.ledger_rows import KeySettings

app = typer.Typer(no_args_is_help=True, help="API keys: what customers call with, and what each may do.")

COLUMNS = (
    Column("id"),
    Column("account_id", title="account"),
    Column("name"),
    Column("hint"),
    Column("enabled"),
    Column("revoked_at", Kind.TIME, "revoked"),
    Column("expires_at", Kind.TIME, "expires", empty="never"),
    Column("billing_mode"),
    Column("on_low_credits"),
    Column("models", empty="any"),
    Column("ip_ranges", empty="any"),
    Column("requests_per_minute", Kind.NUMBER, empty="as the tier"),
    Column("tokens_per_minute", Kind.NUMBER, empty="as the tier"),
    Column("requests_per_day", Kind.NUMBER, empty="as the tier"),
    Column("concurrency", Kind.NUMBER, empty="as the tier"),
    Column("cap", Kind.CREDITS, empty="none"),
    Column("cap_period"),
    Column("cap_used", Kind.CREDITS),
    Column("spent", Kind.CREDITS),
    Column("running", Kind.NUMBER),
    Column("created_at", Kind.TIME, "created"),
)
_BRIEF = ("id", "account_id", "name", "hint", "state", "billing_mode", "cap", "cap_period", "spent")
IN_A_LIST = (*(column for column in COLUMNS if column.name in _BRIEF), Column("state"))
SECRET = Column("secret", title="API key")

KeyName = Annotated[str, typer.Argument(metavar="KEY", help="A key's id, or its name where only one has it.")]

_ADVICE = {
    KeyRefusal.TOO_MANY_KEYS: "Revoke a key that is not used any more, or move the account to a higher tier.",
    KeyRefusal.REVOKED: "A revoked key stays revoked: make a new one with `farebox key create`.",
    KeyRefusal.BILLING_MODE_NOT_APPLICABLE: "Choose another billing mode.",
}
_WORDS = {
    KeyRefusal.TOO_MANY_KEYS: "The account has as many keys as its tier allows.",
    KeyRefusal.REVOKED: "This key is revoked.",
    KeyRefusal.BILLING_MODE_NOT_APPLICABLE: "This billing mode cannot be chosen.",
}


@app.command("create")
@with_books
async def create(desk: Desk, account: AccountName, wishes: KeyWishes) -> None:
    """Make a key; its secret is shown this once."""
    account_id = await desk.account(account)
    settings = wishes.settings(KeySettings(), desk.books.catalogue.current)
    cap = wishes.changed_cap(None) or None
    made = await desk.books.api_keys.create(account_id, wishes.name or "default", settings=settings, cap=cap)
    await _show_secret(desk, account_id, _made(made))


@app.command("list")
@with_books
async def list_keys(
    desk: Desk,
    account: Annotated[str | None, typer.Argument(metavar="[ACCOUNT]", help="Only this account's keys.")] = None,
) -> None:
    """List API keys."""
    account_id = "" if account is None else await desk.account(account)
    keys = await desk.books.api_keys.list(account_id)
    desk.out.table([row_of(key) for key in keys], COLUMNS if desk.out.as_json else IN_A_LIST, title="API keys")


@app.command("show")
@with_books
async def show(desk: Desk, key: KeyName) -> None:
    """Show one key and what it may do."""
    desk.out.record(row_of(await find_key(desk, key)), COLUMNS)


@app.command("edit")
@with_books
async def edit(desk: Desk, key: KeyName, wishes: KeyWishes) -> None:
    """Change a key from its next request on; what is left out stays."""
    found = await find_key(desk, key)
    change = KeyChange(
        name=wishes.name or msgspec.UNSET,
        settings=_settings(desk, found, wishes),
        cap=wishes.changed_cap(found.cap),
    )
    refusal = await desk.books.api_keys.edit(found.account_id, found.id, change)
    if refusal is not None:
        raise refused(_WORDS[refusal], next_step=_ADVICE[refusal])
    desk.out.record(row_of(await find_key(desk, found.id)), COLUMNS)


@app.command("revoke")
@with_books
async def revoke(desk: Desk, key: KeyName) -> None:
    """End a key for good; its next request is refused."""
    found = await find_key(desk, key)
    await desk.books.api_keys.revoke(found.account_id, found.id)
    desk.out.record(row_of(await find_key(desk, found.id)), COLUMNS)


@app.command("regenerate")
@with_books
async def regenerate(desk: Desk, key: KeyName) -> None:
    """Give a key a new secret, shown this once; the old one is unknown from its next request on."""
    found = await find_key(desk, key)
    made = await desk.books.api_keys.regenerate(found.account_id, found.id)
    await _show_secret(desk, found.account_id, _made(made))


async def find_key(desk: Desk, name: str) -> ApiKey:
    """The key of this id or name."""
    keys = await desk.books.api_keys.list()
    found = [key for key in keys if key.id == name] or [key for key in keys if key.name == name]
    if len(found) != 1:
        raise not_found(
            "one API key called" if found else "API key", name, next_step="`farebox key list` shows the ids."
        )
    return found[0]


def row_of(key: ApiKey) -> Mapping[str, object]:
    """A key as columns."""
    settings = key.settings
    cap = key.cap
    return {
        **msgspec.structs.asdict(key),
        **msgspec.structs.asdict(settings),
        **msgspec.structs.asdict(settings.limits),
        "created_at": key.created_us,
        "expires_at": settings.expires_us,
        "revoked_at": settings.revoked_us,
        "billing_mode": settings.billing_mode.value,
        "on_low_credits": settings.on_low_credits.value,
        "models": settings.models,
        "ip_ranges": settings.ip_ranges,
        "cap": None if cap is None else cap.limit,
        "cap_period": None if cap is None else cap.period.value,
        "cap_used": None if cap is None else cap.used,
        "state": _state(settings),
    }


def _state(settings: KeySettings) -> str:
    if settings.revoked_us is not None:
        return "revoked"
    return "enabled" if settings.enabled else "disabled"


def _settings(desk: Desk, found: ApiKey, wishes: KeyWishes) -> KeySettings | msgspec.UnsetType:
    if not wishes.changes_settings:
        return msgspec.UNSET
    return wishes.settings(found.settings, desk.books.catalogue.current)


async def _show_secret(desk: Desk, account_id: AccountId, made: NewKey) -> None:
    row = {**row_of(await find_key(desk, made.id)), "account_id": account_id, "secret": made.secret}
    desk.out.record(row, (SECRET, *COLUMNS))
    desk.out.say("\nThe API key is shown this once and kept nowhere: store it now.")


def _made(made: NewKey | KeyRefusal) -> NewKey:
    if isinstance(made, KeyRefusal):
        raise refused(_WORDS[made], next_step=_ADVICE[made])
    return made
