"""`farebox rotate-secret-key`: a new key for what is stored sealed, and every upstream key sealed with it."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from farebox.books import database
from farebox.cli.desk import Stage, bring_up_to_date, with_settings
from farebox.cli.output import Column, Kind, refused
from farebox.store.embedded import EmbeddedPostgres
from farebox.store.overview import Overview
from farebox.store.postgres import open_pool
from farebox.upstream.secrets import KeyRing, load_or_create, rotate

app = typer.Typer(add_completion=False)

COLUMNS = (Column("secret_key_file"), Column("upstream_keys_sealed_anew", Kind.NUMBER))


@app.command("rotate-secret-key")
@with_settings
def rotate_secret_key(
    stage: Stage,
    stopped: Annotated[
        bool,
        typer.Option("--gateways-are-stopped", help="Say so for an external database: it cannot be seen from here."),
    ] = False,
) -> None:
    """Add a new secret key and seal every upstream key with it. Gateways must be stopped: they could not open them."""
    settings = stage.settings
    if not settings.embedded and not stopped:
        raise refused(
            "A gateway that runs could not open what the new key seals.",
            next_step="Stop every gateway of this database, then add --gateways-are-stopped.",
        )
    if settings.embedded:
        # Claims the data directory as a gateway would, so that none can start meanwhile.
        with EmbeddedPostgres(settings.data_dir, serving=True) as server:
            sealed = asyncio.run(_rotate(stage, server.dsn))
    else:
        with database(settings) as dsn:
            sealed = asyncio.run(_rotate(stage, dsn))
    path = str(settings.secret_key_path)
    stage.out.record({"secret_key_file": path, "upstream_keys_sealed_anew": sealed}, COLUMNS)
    stage.out.say(
        "\nCopy the file to every node. Its older lines open answers kept for 24 hours, and stored responses as "
        "long as those are kept (response_retention_days); after that they may go."
    )


async def _rotate(stage: Stage, dsn: str) -> int:
    await bring_up_to_date(dsn)
    path = stage.settings.secret_key_path
    ring: KeyRing = rotate(path) if path.exists() else load_or_create(path)
    async with open_pool(dsn, size=1) as pool:
        return await Overview(pool).seal_anew(ring)
