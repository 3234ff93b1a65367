"""`farebox doctor`: what Farebox depends on, and what to do where something is wrong. Changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import typer

from farebox.admission.state import LimitScope
from farebox.books import database
from farebox.cli import checks
from farebox.cli.checks import Finding, State
from farebox.cli.desk import Stage, with_settings
from farebox.cli.output import Column, ExitCode
from farebox.config import Settings
from farebox.faults import Fault
from farebox.store.catalogue import Catalogue
from farebox.store.migrate import pending
from farebox.store.overview import Overview
from farebox.store.postgres import Pool, connect_owner, open_pool
from farebox.upstream.secrets import load_or_create

app = typer.Typer(add_completion=False)

COLUMNS = (Column("check"), Column("state"), Column("found"), Column("next_step", title="what to do"))


@app.command("doctor")
@with_settings
def doctor(stage: Stage) -> None:
    """Check what Farebox depends on, and say what to do. Ends with exit code 1 if something is bad."""
    findings = [*checks.on_this_machine(stage.settings), *_beyond(stage.settings)]
    rows = [{**found._asdict(), "state": found.state.value} for found in findings]
    stage.out.table(rows, COLUMNS, title="Doctor")
    bad = sum(found.state is State.BAD for found in findings)
    stage.out.say(f"{bad} bad." if bad else "Nothing is bad.")
    if bad:
        raise typer.Exit(ExitCode.FOUND)


def _beyond(settings: Settings) -> Iterator[Finding]:
    try:
        if not checks.has_database(settings):
            yield Finding("database", State.WARNING, "there is none yet", "`farebox serve` makes it.")
            return
        with database(settings) as dsn:
            yield from asyncio.run(_in_the_database(settings, dsn))
    except Fault as trouble:
        advice = f"Its log is {settings.data_dir}/postgres.log." if settings.embedded else ""
        yield Finding("database", State.BAD, str(trouble), advice)


async def _in_the_database(settings: Settings, dsn: str) -> list[Finding]:
    owner = await connect_owner(dsn)  # says in words why it cannot
    try:
        missing = [str(migration) for migration in await pending(owner)]
    finally:
        await owner.close()
    async with open_pool(dsn, size=2) as pool:
        overview = Overview(pool)
        findings = [*checks.in_the_database(await overview.condition(), missing)]
        return findings if missing else findings + await _in_the_catalogue(settings, dsn, pool)


async def _in_the_catalogue(settings: Settings, dsn: str, pool: Pool) -> list[Finding]:
    if not settings.secret_key_path.exists():
        return []  # said before; reading the catalogue would make one
    key_ring = load_or_create(settings.secret_key_path)
    scope = LimitScope(settings.limit_scope)
    catalogue = Catalogue(dsn, pool, key_ring, limit_scope=scope, changed=lambda _: None)
    try:
        await catalogue.load()
    except Fault as trouble:
        return [Finding("catalogue", State.BAD, str(trouble), "farebox channel rotate-key, or the right key file.")]
    accounts = await Overview(pool).has_accounts()
    return [*checks.in_the_catalogue(catalogue.current, settings, accounts=accounts)]
