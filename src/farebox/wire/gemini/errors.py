"""Error bodies of Gemini's dialect: Google's status words, our code and its details.

    {"error": {"code": 429, "message": …, "status": "RESOURCE_EXHAUSTED", "details": [{"@type": …ErrorInfo,
     "reason": "rate_limit_exceeded", "domain": "farebox", "metadata": {"param": …}}]}}

The dialect repeats the answer's status in its body. Which status an answer has is decided by the edge alone; the
table below says how its types are written here.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

_TABLE = """
    invalid_request_error   400  INVALID_ARGUMENT
    authentication_error    401  UNAUTHENTICATED
    billing_error           402  FAILED_PRECONDITION
    permission_error        403  PERMISSION_DENIED
    not_found_error         404  NOT_FOUND
    conflict_error          409  ABORTED
    validation_error        422  INVALID_ARGUMENT
    rate_limit_error        429  RESOURCE_EXHAUSTED
    internal_error          500  INTERNAL
    upstream_error          502  UNAVAILABLE
    service_unavailable     503  UNAVAILABLE
"""
_BY_CODE = """
    method_not_allowed      405  INVALID_ARGUMENT
    body_too_large          413  INVALID_ARGUMENT
    upstream_timeout        504  DEADLINE_EXCEEDED
    context_length_exceeded 400  INVALID_ARGUMENT
"""
DETAILS = "type.googleapis.com/google.rpc.ErrorInfo"


def _rows(table: str) -> dict[str, tuple[int, str]]:
    words = [line.split() for line in table.split("\n") if line.strip()]
    return {name: (int(status), word) for name, status, word in words}


_TYPES, _CODES = _rows(_TABLE), _rows(_BY_CODE)


def render(
    type_: str, code: str, message: str, *, param: str | None = None, extra: Mapping[str, object] | None = None
) -> bytes:
    """An error body. Our code is the `reason` of its details; `extra` stands in their metadata, as text."""
    status, word = _CODES.get(code) or _TYPES.get(type_) or _TYPES["internal_error"]
    told = {"type": type_} | ({} if param is None else {"param": param}) | dict(extra or {})
    metadata = {name: str(value) for name, value in told.items()}
    details = [{"@type": DETAILS, "reason": code, "domain": "farebox", "metadata": metadata}]
    return msgspec.json.encode({"error": {"code": status, "message": message, "status": word, "details": details}})
