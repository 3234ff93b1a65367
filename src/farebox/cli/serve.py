"""`farebox serve`: the gateway, until it is told to stop."""

from __future__ import annotations

import importlib.metadata

import msgspec
import typer

from farebox.cli import serving
from farebox.cli.flags import with_setting_flags
from farebox.cli.output import Output
from farebox.config import Settings

app = typer.Typer(add_completion=False)


@app.command("serve")
@with_setting_flags
def serve(out: Output, settings: Settings) -> None:
    """Serve until stopped."""
    serving.serve(settings, lambda standing: _tell(out, settings, standing))


def _tell(out: Output, settings: Settings, standing: serving.Standing) -> None:
    """Say on standard error that requests are answered, and what is still missing; the log has standard output."""
    if out.as_json:
        out.err.write(msgspec.json.encode({"serving": standing}).decode() + "\n")
        return
    version = importlib.metadata.version("farebox")
    workers = "1 worker" if settings.workers == 1 else f"{settings.workers} workers"
    place = f"data in {settings.data_dir}" if settings.embedded else "external PostgreSQL"
    out.note(f"Farebox {version} serves at {standing.url}/v1 ({workers}, {place}). Ctrl-C stops it.")
    for missing in _missing(standing):
        out.note(missing)


def _missing(standing: serving.Standing) -> list[str]:
    steps: list[str] = []
    if not standing.channels:
        steps.append("No channel to a provider yet:  farebox channel add NAME --base-url https://… --key-env VARIABLE")
        steps.append("            or to rehearse:    farebox channel add sandbox --dialect sandbox")
    if not standing.accounts:
        steps.append("No account yet:                farebox account create NAME --credits 10")
        steps.append("            and its key:       farebox key create NAME")
    return steps
