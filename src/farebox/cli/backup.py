"""`farebox backup` and `farebox restore`: verified copies of the embedded database, taken while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from farebox.cli.desk import Stage, with_settings
from farebox.cli.output import Column, Kind
from farebox.store import backup as copies

backup_app = typer.Typer(add_completion=False)
restore_app = typer.Typer(add_completion=False)

COLUMNS = (
    Column("folder"),
    Column("farebox", title="made by farebox"),
    Column("postgres_major", Kind.NUMBER, "PostgreSQL"),
    Column("made_at", title="made"),
    Column("size_bytes", Kind.NUMBER, "bytes"),
)


@backup_app.command("backup")
@with_settings
def backup(
    stage: Stage,
    destination: Annotated[Path, typer.Argument(help="A folder that does not exist yet.")],
    without_secret_key: Annotated[
        bool, typer.Option("--without-secret-key", help="Leave out the key that opens stored upstream keys.")
    ] = False,
) -> None:
    """Copy the embedded database to a new folder and verify the copy. A gateway may serve meanwhile."""
    with stage.out.progress("Copying and verifying"):
        made = copies.backup(stage.settings, destination, with_secret_key=not without_secret_key)
    stage.out.record(_row(made), COLUMNS)
    stage.out.say(f"\nPut it back with: farebox restore {made.folder} --data-dir PATH")
    if not without_secret_key:
        stage.out.say("It holds the key that opens stored upstream keys: keep it as private as that key.")


@restore_app.command("restore")
@with_settings
def restore(stage: Stage, source: Annotated[Path, typer.Argument(help="A folder made by `farebox backup`.")]) -> None:
    """Put a backup into a data directory that holds no database yet."""
    with stage.out.progress("Verifying and copying"):
        found = copies.restore(source, stage.settings.data_dir)
    stage.out.record(_row(found), COLUMNS)
    stage.out.say(
        f"\nRestored to {stage.settings.data_dir}. Prove it: farebox audit --data-dir {stage.settings.data_dir}"
    )


def _row(made: copies.Backup) -> Mapping[str, object]:
    note = made.note
    return {
        "folder": str(made.folder),
        "farebox": note.farebox,
        "postgres_major": note.postgres_major,
        "made_at": note.made_at.isoformat(timespec="seconds"),
        "size_bytes": made.size_bytes,
    }
