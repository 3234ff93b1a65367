"""Error bodies of the OpenAI dialect: written for our refusals, read and scrubbed for an upstream's.

An upstream's error may quote keys, addresses, organisations or our own account with it. What a
customer gets is its code, its field and a text with all of that taken out and cut short (d50).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

import msgspec

from farebox.wire.payloads import UNREADABLE

MAX_MESSAGE = 500
MAX_READ_BYTES = 64 * 1024
HIDDEN = "[removed]"

_read_json = msgspec.json.Decoder(float_hook=str).decode
_NAME = re.compile(r"[A-Za-z0-9_.\-\[\]]{1,64}", re.ASCII)

_SECRETS = re.compile(
    r"""
      [a-z][a-z0-9+.\-]{1,20}://[^\s"'<>]+                      # addresses with a scheme
    | \b(?:bearer|basic|token|api[-_ ]?key)\b["']?\s*[:=]?\s*["']?[^\s"',;]{8,}   # credentials named as such
    | [\w.+\-]+@[\w\-]+(?:\.[\w\-]+)+                           # mail addresses
    | \b(?:sk|pk|rk|xai|gsk|org|proj|user|acct|key|asst|sess|project|req|AIza)[-_][\w*.\-]{4,}  # prefixed ids
    | \bAIza[\w\-]{10,}
    | \b(?:\d{1,3}\.){3}\d{1,3}(?::\d+)?\b                      # IPv4
    | \[?(?:[0-9a-f]{0,4}:){3,7}[0-9a-f]{0,4}\]?                # IPv6
    | \b(?:[a-z0-9](?:[a-z0-9\-]*[a-z0-9])?\.)+(?:com|net|org|io|ai|dev|cn|app|cloud|local|internal|svc)\b
      (?::\d+)?[^\s"']*                                          # host names
    | \b(?=[\w\-+/=]*\d)(?=[\w\-+/=]*[A-Za-z])[\w\-+/=]{32,}    # long opaque values
    | (?:/[\w.\-]+){3,}                                         # paths
    """,
    re.VERBOSE | re.IGNORECASE | re.ASCII,
)


_BY_OPENING = {
    "Your credit balance is too low": "billing_not_active",
    "User location is not supported": "billing_not_active",
    "The input token count": "context_length_exceeded",
}
"""How Anthropic begins, with a 400 and no code, to say that the account behind the key is empty; how Google says that
it serves no account from there, and that a request is too long. Words that quote a request stand further on in their
messages, so no caller can make them say this."""
_GOOGLES = {"API_KEY_INVALID": "invalid_api_key", "API_KEY_EXPIRED": "invalid_api_key"}
"""A key that Google does not know is a 400 to it."""


class UpstreamError(msgspec.Struct, frozen=True, gc=False):
    """What an upstream said, safe to show. Parts it did not say are None."""

    message: str
    type: str | None = None
    code: str | None = None
    param: str | None = None


def render(
    type_: str, code: str, message: str, *, param: str | None = None, extra: Mapping[str, object] | None = None
) -> bytes:
    """An error body. `extra` stands beside the four standard fields (`required`, `available` …)."""
    error: dict[str, object] = {"type": type_, "code": code, "message": message, "param": param}
    return msgspec.json.encode({"error": {**error, **(extra or {})}})


def read_upstream_error(body: bytes, *, names: Mapping[str, str] | None = None) -> UpstreamError:
    """Read and scrub an upstream's error of any shape. Never raises.

    `names` maps words that must not be seen to what stands for them, such as the upstream's name of a
    model to the name asked for.
    """
    if len(body) > MAX_READ_BYTES:
        return UpstreamError("The provider refused the request.")
    try:
        said = _read_json(body)
    except UNREADABLE:
        return UpstreamError("The provider refused the request.")
    error = _error_in(said)
    message = _text(error, "message") or _text(error, "detail") or "The provider refused the request."
    return UpstreamError(
        message=scrub(message, names=names),
        type=_name(error, "type"),
        code=_code(error, message),
        param=_name(error, "param"),
    )


def scrub(text: str, *, names: Mapping[str, str] | None = None) -> str:
    """The text without keys, addresses, ids of organisations and long opaque values; at most 500 characters."""
    for name, shown in (names or {}).items():
        text = text.replace(name, shown)
    cleaned = _SECRETS.sub(HIDDEN, text[: 4 * MAX_MESSAGE])
    return cleaned if len(cleaned) <= MAX_MESSAGE else cleaned[: MAX_MESSAGE - 1] + "…"


def _error_in(said: Any) -> dict[str, Any]:
    """The object that describes the error: `{"error": {…}}`, `{"error": "…"}`, `[{…}]` or the body itself."""
    if isinstance(said, list) and said:
        said = cast(list[Any], said)[0]
    if not isinstance(said, dict):
        return {}
    fields = cast(dict[str, Any], said)
    error = fields.get("error", fields)
    if isinstance(error, str):
        return {"message": error}
    return cast(dict[str, Any], error) if isinstance(error, dict) else {}


def _code(error: dict[str, Any], message: str) -> str | None:
    """What a provider calls its error, or what its words and details come to where it gives no code."""
    for start, code in _BY_OPENING.items():
        if message.startswith(start):
            return code
    return _name(error, "code") or _GOOGLES.get(_reason(error))


def _reason(error: dict[str, Any]) -> str:
    """The `reason` in Google's details of an error, empty if there is none."""
    details = error.get("details")
    for detail in cast(list[Any], details) if isinstance(details, list) else ():
        reason = cast(dict[str, Any], detail).get("reason") if isinstance(detail, dict) else None
        if isinstance(reason, str):
            return reason
    return ""


def _text(fields: dict[str, Any], name: str) -> str | None:
    value = fields.get(name)
    return value if isinstance(value, str) and value else None


def _name(fields: dict[str, Any], name: str) -> str | None:
    """A code, type or field name; whatever does not look like one is dropped."""
    value = _text(fields, name)
    if value is None or not _NAME.fullmatch(value) or _SECRETS.search(value):
        return None
    return value
