"""The log: one line per request with a closed set of fields, and structured messages for everything else.

A request's line is a struct, so nothing can be written that is not a field of it: no prompt, no answer, no key.
Other messages go through structlog and a redactor. Both end in the same `LineWriter`, as JSON or, for people, as text.
"""

from __future__ import annotations

import io
import logging
from collections.abc import MutableMapping
from datetime import UTC, datetime
from typing import Any, BinaryIO, cast

import msgspec
import structlog

from farebox.observe.lines import LineWriter
from farebox.observe.redact import redact

_encode = msgspec.json.Encoder(enc_hook=repr).encode
_URGENT = {"warning", "error", "critical"}


class RequestLine(msgspec.Struct, frozen=True, omit_defaults=True, gc=False, tag="request", tag_field="event"):
    """All that is ever written about a request. Amounts are decimal strings of credits, times microseconds."""

    at: datetime
    request_id: str
    route: str
    """What was asked for: `chat`, `embeddings`, `models`, …; never the raw path."""
    code: str
    """`ok`, or the code of the refusal or error."""
    status: int
    account_id: str = ""
    key_id: str = ""
    model: str = ""
    """The catalogue's name of the model; empty when the caller named none we know."""
    channel: str = ""
    stream: bool = False
    attempts: int = 0
    ended: str = ""
    """The row of the failure policy that was stamped on the charge."""
    charged: str = ""
    total_us: int = 0
    admit_us: int = 0
    queue_us: int = 0
    first_byte_us: int = 0
    upstream_us: int = 0
    settle_us: int = 0


class RequestLog:
    """Writes request lines, about a microsecond each."""

    def __init__(self, lines: LineWriter, *, text: bool = False) -> None:
        self._lines = lines
        self._text = text

    def write(self, line: RequestLine) -> None:
        written = _encode(line)
        if b"sk-" in written:  # a key in the place of a name: the caller's slip stays out of the log
            written = redact(written.decode()).encode()
        self._lines.write(_as_text(line).encode() if self._text else written)


def configure_logging(lines: LineWriter, *, level: str, text: bool = False) -> None:
    """Send structlog's and the standard library's messages (asyncio, uvicorn, …) to `lines` from `level` on."""
    least = logging.getLevelNamesMapping()[level.upper()]
    chain: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        _stamp,
        _hurrying(lines),
        structlog.processors.format_exc_info,
        _redacted,
        structlog.dev.ConsoleRenderer(colors=False, sort_keys=False) if text else _rendered,
        _encoded,
    ]
    file = cast(BinaryIO, _LineFile(lines))
    structlog.configure(
        processors=chain,
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=structlog.BytesLoggerFactory(file),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers[:] = [_Handler()]
    root.setLevel(max(least, logging.INFO))


class _LineFile(io.RawIOBase):
    """What structlog writes its finished messages to."""

    def __init__(self, lines: LineWriter) -> None:
        self._lines = lines

    def write(self, line: Any) -> int:
        self._lines.write(bytes(line).removesuffix(b"\n"))
        return len(line)


class _Handler(logging.Handler):
    """Hands messages of the standard library's loggers to structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        message = structlog.get_logger(record.name)
        known: dict[str, Any] = {"logger": record.name}
        if record.exc_info:
            known["exc_info"] = record.exc_info
        message.log(record.levelno, record.getMessage(), **known)


def _hurrying(lines: LineWriter) -> structlog.typing.Processor:
    """Urgent messages do not wait for the next half second."""

    def hurry(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        if event.get("level") in _URGENT:
            lines.hurry()
        return event

    return hurry


def _stamp(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    event["at"] = datetime.now(UTC)
    return event


def _redacted(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {name: _clean(value) for name, value in event.items()}


def _clean(value: Any) -> Any:
    match value:
        case str():
            return redact(value)
        case dict():
            return {key: _clean(each) for key, each in value.items()}  # pyright: ignore[reportUnknownVariableType]
        case list() | tuple():
            return [_clean(each) for each in value]  # pyright: ignore[reportUnknownVariableType]
        case int() | bool() | None | datetime():
            return value
        case _:
            return redact(str(value))


def _rendered(_: Any, __: str, event: MutableMapping[str, Any]) -> bytes:
    return _encode(dict(event))


def _encoded(_: Any, __: str, rendered: Any) -> bytes:
    return rendered if isinstance(rendered, bytes) else str(rendered).encode()


def _as_text(line: RequestLine) -> str:
    shown = msgspec.to_builtins(line)
    at, code = line.at.strftime("%H:%M:%S.%f")[:-3], shown.pop("code")
    rest = " ".join(f"{name}={value}" for name, value in shown.items() if name not in {"event", "at", "route"})
    return f"{at} {line.route} {code} {redact(rest)}"
