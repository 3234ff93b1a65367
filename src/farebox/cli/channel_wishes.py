"""What an operator may wish of a channel, as options, and what that makes of its stored options.

Every wish left out leaves things as they are. What is wished is checked as a whole before it is stored, so that no
process ever meets a channel it cannot read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

import msgspec
import typer

from farebox.cli.key_wishes import known_model
from farebox.cli.output import CommandFailed, ExitCode
from farebox.store.catalogue import EVERY_MODEL, Snapshot
from farebox.store.catalogue_changes import ChannelRow
from farebox.upstream.channel import channels_from
from farebox.upstream.target import Target

NONE = "none"
SANDBOX_URL = "http://sandbox"
_AS_GIVEN = ("weight", "priority", "limit_field", "stream_usage", "bills_after_disconnect")
_TIMEOUTS = ("connect_s", "first_byte_s", "idle_s", "total_s")

Seconds = Annotated[float | None, typer.Option(metavar="SECONDS", help="Instead of the setting of this name.")]


class DialectName(StrEnum):
    """What a provider speaks."""

    OPENAI = "openai"
    OPENAI_RESPONSES = "openai_responses"
    ANTHROPIC = "anthropic"
    GEMINI = "gemini"
    SANDBOX = "sandbox"


@dataclass(frozen=True, slots=True)
class ChannelWishes:
    """See the module."""

    dialect: Annotated[DialectName | None, typer.Option(help="What the provider speaks.")] = None
    base_url: Annotated[
        str | None, typer.Option(metavar="URL", help="Where it is, version included: https://api.openai.com/v1.")
    ] = None
    model: Annotated[
        list[str] | None,
        typer.Option(metavar="MODEL[=NAME]|*", help="A model it serves, and the provider's name for it; repeat."),
    ] = None
    models_of: Annotated[
        list[str] | None,
        typer.Option(metavar="PROVIDER", help="Every catalogue model of this provider; repeat."),
    ] = None
    weight: Annotated[int | None, typer.Option(min=1, help="Its share among channels of the same priority.")] = None
    priority: Annotated[int | None, typer.Option(help="Higher is asked first; 0 by default.")] = None
    concurrency: Annotated[str | None, typer.Option(metavar="N|none", help="Most requests at once, per worker.")] = None
    header: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="A header to send; without a value: to leave out.")
    ] = None
    parameter: Annotated[
        list[str] | None, typer.Option(metavar="NAME=JSON", help="A field to lay over every body; repeat.")
    ] = None
    limit_field: Annotated[
        str | None, typer.Option(help="Where an output limit goes; max_completion_tokens by default.")
    ] = None
    stream_usage: Annotated[
        bool | None, typer.Option("--stream-usage/--no-stream-usage", help="Whether it reports usage in streams.")
    ] = None
    bills_after_disconnect: Annotated[
        bool | None,
        typer.Option("--bills-after-disconnect/--stops-when-told", help="Whether it bills on when a client leaves."),
    ] = None
    proxy: Annotated[str | None, typer.Option(metavar="URL|none", help="An outbound proxy.")] = None
    connect_timeout_s: Seconds = None
    first_byte_timeout_s: Seconds = None
    idle_timeout_s: Seconds = None
    total_timeout_s: Seconds = None

    def applied(self, current: ChannelRow, snapshot: Snapshot) -> ChannelRow:
        """`current` with what is wished, known to be sound. Raises `CommandFailed` or `SetupFault`."""
        dialect = current.dialect if self.dialect is None else self.dialect.value
        url = self.base_url or current.base_url or (SANDBOX_URL if dialect == DialectName.SANDBOX else "")
        options = current.options | self._options(current.options, snapshot)
        if not options.get("models"):
            if dialect != DialectName.SANDBOX:
                raise _wrong("A channel needs models.", "Add --model gpt-4o, --models-of openai, or --model '*'.")
            options["models"] = {EVERY_MODEL: EVERY_MODEL}
        if not url:
            raise _wrong("A channel needs the provider's address.", "Add --base-url https://api.openai.com/v1.")
        row = msgspec.structs.replace(current, dialect=dialect, base_url=url, options=options)
        check_channel(row)
        return row

    def _options(self, current: dict[str, Any], snapshot: Snapshot) -> dict[str, Any]:
        wished: dict[str, Any] = {name: getattr(self, name) for name in _AS_GIVEN if getattr(self, name) is not None}
        if self.model is not None or self.models_of is not None:
            wished["models"] = _models(self.model or [], self.models_of or [], snapshot)
        if self.concurrency is not None:
            wished["concurrency"] = None if self.concurrency == NONE else _whole(self.concurrency)
        if self.proxy is not None:
            wished["proxy"] = None if self.proxy == NONE else self.proxy
        if self.header is not None:
            wished["headers"] = {name: value or None for name, value in map(_pair, self.header)}
        if self.parameter is not None:
            wished["parameters"] = {name: _json(value) for name, value in map(_pair, self.parameter)}
        given = {name: getattr(self, name.replace("_s", "_timeout_s")) for name in _TIMEOUTS}
        timeouts = {name: seconds for name, seconds in given.items() if seconds is not None}
        return wished | ({"timeouts": current.get("timeouts", {}) | timeouts} if timeouts else {})


def check_channel(row: ChannelRow) -> None:
    """Read a channel as every process will; raises `SetupFault` where that fails."""
    plain = {name: getattr(row, name) for name in ("id", "name", "dialect", "base_url", "enabled")}
    channel = channels_from([{**plain, **row.options, "keys": [{"id": "upkey", "secret": "none"}]}])[0]
    Target.parse(channel.base_url, proxy=channel.proxy)


def _models(names: Sequence[str], providers: Sequence[str], snapshot: Snapshot) -> dict[str, str]:
    models: dict[str, str] = {}
    for provider in providers:
        found = [name for name, priced in snapshot.models.items() if priced.model.provider == provider]
        if not found:
            raise _wrong(f"No model in the catalogue is of {provider}.", "`farebox price list` shows the providers.")
        models |= {name: name for name in found}
    for written in names:
        name, _, theirs = written.partition("=")
        ours = EVERY_MODEL if name == EVERY_MODEL else known_model(name, snapshot)
        models[ours] = theirs or (EVERY_MODEL if name == EVERY_MODEL else name)
    return models


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise _wrong(f"{text!r} is no NAME=VALUE.", "Write it like OpenAI-Beta=assistants=v2.")
    return name, value


def _json(text: str) -> object:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        raise _wrong(f"{text!r} is no JSON.", "Write --parameter store=false or --parameter user='\"x\"'.") from None


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise _wrong(f"{text!r} is no whole number.", "Write --concurrency 8, or none.")
    return int(text)


def _wrong(message: str, next_step: str) -> CommandFailed:
    return CommandFailed(message, code=ExitCode.USAGE, next_step=next_step)
