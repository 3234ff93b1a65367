"""`farebox migrate`: bring the database up to this version, without serving."""

from __future__ import annotations

import asyncio

import typer

from farebox.books import database, set_up
from farebox.cli.desk import Stage, with_settings

app = typer.Typer(add_completion=False)


@app.command("migrate")
@with_settings
def migrate(stage: Stage) -> None:
    """Bring the database up to this version; `farebox serve` does it too."""
    with database(stage.settings) as dsn:
        applied = asyncio.run(set_up(dsn))
    if stage.out.as_json:
        stage.out.json({"applied": applied})
    stage.out.say(f"Applied {', '.join(applied)}." if applied else "The database is up to date.")
