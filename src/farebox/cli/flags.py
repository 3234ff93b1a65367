"""The options of commands that serve, generated from the table of settings."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path

import typer

from farebox.cli.output import Output
from farebox.config import Settings, load_settings, settings_table


def with_setting_flags(command: Callable[[Output, Settings], None]) -> Callable[..., None]:
    """Give a Typer command `--config`, `--json` and one option per setting; it is handed what was read of all sources.

    Values stay text here, so that flags, variables and file are read by the same rules.

        @app.command()
        @with_setting_flags
        def serve(out: Output, settings: Settings) -> None: ...
    """

    def run(config: str | None, as_json: bool, **flags: str | None) -> None:
        out = Output(as_json=as_json)
        with out.guard():
            command(out, load_settings(flags, file=Path(config) if config else None))

    parameters = [_option("config", "PATH", "A TOML file of settings."), _json()]
    parameters += [
        _option(row.name, row.kind.upper(), f"{row.help} (default: {row.default})") for row in settings_table()
    ]
    run.__name__, run.__doc__ = command.__name__, command.__doc__
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return run


def _option(name: str, metavar: str, help_text: str) -> inspect.Parameter:
    flag = "--" + name.replace("_", "-")
    option = typer.Option(None, flag, metavar=metavar, help=help_text, show_default=False)
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=option, annotation=str | None)


def _json() -> inspect.Parameter:
    option = typer.Option(False, "--json", help="Print JSON for programs.")
    return inspect.Parameter("as_json", inspect.Parameter.KEYWORD_ONLY, default=option, annotation=bool)
