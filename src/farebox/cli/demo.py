"""`farebox demo`: a gateway of its own with the sandbox as provider, a few billed calls, and their receipts.

It proves what it prints: every receipt is worked out anew, the charges are compared with what left the account, and
the books are audited; anything else than expected ends it with an exit code of its own.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
import uvloop

from farebox.books import Books, set_up
from farebox.cli import serving
from farebox.cli.demo_screen import DemoScreen
from farebox.cli.desk import JsonFlag
from farebox.cli.output import CommandFailed, ExitCode, Output
from farebox.cli.receipt_table import adds_up
from farebox.config import Settings, default_data_dir, load_settings
from farebox.edge.watch import RequestWatch
from farebox.faults import SetupFault
from farebox.ids import AccountId
from farebox.main import Site, Watching, serve_worker
from farebox.money import format_credits, parse_credits
from farebox.observe.lines import LineWriter
from farebox.observe.metrics import Metrics
from farebox.store.api_keys import NewKey
from farebox.store.audit import audit
from farebox.store.audit_report import AuditReport
from farebox.store.catalogue_changes import ChannelRow
from farebox.store.id_source import new_id
from farebox.store.ledger_rows import KeySettings
from farebox.tariff.billing_mode import RECOMMENDED, BillingMode

app = typer.Typer(add_completion=False)

ACCOUNT, TIER, CHANNEL = "Demo", "pro", "sandbox"
STARTER, TOP_UP_BELOW = parse_credits("25"), parse_credits("5")
MODES = {"everyday": RECOMMENDED, "per-call": BillingMode.PAY_PER_CALL}


@app.command("demo")
def demo(
    once: Annotated[bool, typer.Option("--once", help="End after the receipts.")] = False,
    data_dir: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Where the demo keeps its data; a folder of its own by default.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int | None, typer.Option(help="Port to listen on; a free one if 8080 is taken.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Serve with a sandbox provider, make a few billed calls and print their receipts."""
    out = Output(as_json=as_json)
    with out.guard():
        # The client takes longest to load; the database starts meanwhile.
        threading.Thread(target=_load_client, daemon=True).start()
        settings = _settings(data_dir, host, port)
        serving.keep_log(settings, LineWriter(sys.stderr.buffer))
        with serving.database_of(settings) as database:
            uvloop.run(_Demo(settings, DemoScreen(out), once=once).run(database))


class _Demo:
    """One run of it."""

    def __init__(self, settings: Settings, screen: DemoScreen, *, once: bool) -> None:
        self._settings = settings
        self._screen = screen
        self._once = once
        self._listener = _listen(settings)
        self._trouble: BaseException | None = None

    async def run(self, database: serving.ServedDatabase) -> None:
        """Serve, show, and go on serving unless it is to end after the receipts."""
        await set_up(database.dsn)
        with serving.until_told() as stop:

            async def shows(books: Books) -> None:
                self._listener.listen(serving.BACKLOG)
                try:
                    await self._show(books)
                except BaseException as trouble:
                    self._trouble = trouble
                if self._once or self._trouble is not None:
                    stop.set()

            async with database.watched(stop.set):
                watch = RequestWatch(Metrics(), None)
                site = Site(self._settings, database.dsn)
                await serve_worker(site, self._listener, stop=stop, watching=Watching(watch), ready=shows)
        if self._trouble is not None:
            raise self._trouble

    async def _show(self, books: Books) -> None:
        from farebox.cli import demo_calls

        account_id, keys = await _prepare(books)
        url = f"{serving.url_of(self._settings, self._listener)}/v1"
        self._screen.begins(url, TIER)
        before = await asyncio.to_thread(demo_calls.available, url, keys["everyday"])
        done = await asyncio.to_thread(demo_calls.run, url, keys, self._screen.step)
        report = await audit(books.pool)
        account = await books.accounts.get(account_id)
        after = format_credits(account.available if account else 0)
        self._screen.summary(before, after, done, report)
        _prove(before, after, done, report)
        self._screen.ends(url, keys, once=self._once)


def _prove(before: str, after: str, done: Sequence[Any], report: AuditReport) -> None:
    """Everything is as it must be. Raises `CommandFailed` with what is not."""
    wrong = [
        f"'{each.step.title}' came to {each.spoken.refused or 'an answer'}" for each in done if not each.as_expected
    ]
    receipts = [each.receipt for each in done if each.receipt is not None]
    wrong += [f"receipt {receipt['request_id']} does not add up" for receipt in receipts if not adds_up(receipt)]
    charged = sum(parse_credits(receipt["charged"]) for receipt in receipts)
    if parse_credits(before) - parse_credits(after) != charged:
        wrong.append(f"{before} − {after} is not the sum of the charges")
    wrong += [f"the audit found: {check.says}" for check in report.checks if check.failed]
    if wrong:
        raise CommandFailed("Not as expected: " + "; ".join(wrong) + ".", next_step="Run `farebox audit`.")


def _settings(data_dir: Path | None, host: str, port: int | None) -> Settings:
    """The demo's own: it never touches the database or the settings of an installation."""
    folder = data_dir or default_data_dir() / "demo"
    flags = {"data_dir": str(folder), "host": host, "log_level": "error"}
    return load_settings({**flags, "port": None if port is None else str(port)}, environment={})


def _listen(settings: Settings) -> Any:
    try:
        return serving.listen(settings.host, settings.port, shared=False)
    except SetupFault:
        if settings.port != Settings().port:
            raise
        return serving.listen(settings.host, 0, shared=False)


async def _prepare(books: Books) -> tuple[AccountId, dict[str, str]]:
    """The sample account with credits, a channel, and fresh secrets for its two keys."""
    if not books.catalogue.current.channels:
        row = ChannelRow(new_id("chan"), CHANNEL, CHANNEL, "http://sandbox", True, {"models": {"*": "*"}})
        await books.changes.put_channel(row, secrets=(CHANNEL,))
        await books.catalogue.verify()
    account_id = await books.accounts.find(ACCOUNT) or (await books.accounts.create(ACCOUNT, tier=TIER)).id
    account = await books.accounts.get(account_id)
    if account is not None and account.available < TOP_UP_BELOW:
        await books.accounts.grant(account_id, STARTER, reason="starter credits of the demo")
    return account_id, {name: await _secret(books, account_id, name, mode) for name, mode in MODES.items()}


async def _secret(books: Books, account_id: AccountId, name: str, mode: BillingMode) -> str:
    known = [key for key in await books.api_keys.list(account_id) if key.name == name]
    alive = [key for key in known if key.settings.revoked_us is None]
    if alive:
        made = await books.api_keys.regenerate(account_id, alive[0].id)
    else:
        made = await books.api_keys.create(account_id, name, settings=KeySettings(billing_mode=mode))
    if not isinstance(made, NewKey):
        raise CommandFailed(f"The demo's key cannot be made: {made.value}.", code=ExitCode.REFUSED)
    return made.secret


def _load_client() -> None:
    importlib.import_module("farebox.cli.demo_calls")
