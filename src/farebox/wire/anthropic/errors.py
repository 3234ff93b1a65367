"""Error bodies of the Anthropic dialect.

Our own code and message stay in them; the type becomes one its clients know. They read
`error.type`, `error.message` and `error.details.error_code`.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

_TYPES = {
    "conflict_error": "invalid_request_error",
    "validation_error": "invalid_request_error",
    "service_unavailable": "overloaded_error",
    "upstream_error": "api_error",
    "internal_error": "api_error",
}
"""Ours by theirs; the others have the same names."""
_TYPES_BY_CODE = {
    "body_too_large": "request_too_large",
    "model_unpriced": "api_error",
    "ledger_unavailable": "api_error",
    "upstream_timeout": "timeout_error",
}


def render(
    type_: str, code: str, message: str, *, param: str | None = None, extra: Mapping[str, object] | None = None
) -> bytes:
    """An error body. `extra` stands beside the standard fields (`required`, `available` …)."""
    shown = _TYPES_BY_CODE.get(code) or _TYPES.get(type_, type_)
    error: dict[str, object] = {"type": shown, "message": message, "code": code, "param": param}
    error["details"] = {"error_code": code}
    return msgspec.json.encode({"type": "error", "error": {**error, **(extra or {})}})
