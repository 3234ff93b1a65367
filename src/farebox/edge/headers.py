"""Headers in and out: credentials and wishes of a request, standing and charge of an answer.

Those of an answer are made as the lines that are sent, each with its end: they are only ever joined.
"""

from __future__ import annotations

from urllib.parse import parse_qsl

import msgspec

from farebox.admission.access import ip_is_allowed
from farebox.admission.refusals import Refusal, RefusalCode
from farebox.money import AmountError, Nano, format_credits, parse_positive_credits
from farebox.relay.ask import Charged, Headers, Standing

EXPOSED = (
    b"x-request-id, x-ratelimit-limit, x-ratelimit-remaining, x-ratelimit-used, x-ratelimit-reset, "
    b"x-ratelimit-resource, x-request-priority, x-credits-charged, x-credits-remaining, x-billing-method, "
    b"x-queue-wait-ms, x-max-tokens-applied, idempotent-replayed, x-should-retry, retry-after"
)
MAX_IDEMPOTENCY_KEY = 255


class Wishes(msgspec.Struct, gc=False):
    """What a request's headers say, beside what is only passed on."""

    secret: str = ""
    idempotency_key: str | None = None
    ceiling: Nano | None = None
    retry_count: int = 0
    forwarded_for: str = ""
    origin: bytes = b""
    content_length: int = 0
    speaks: str = ""
    """The dialect whose headers these are, where it is not OpenAI's."""
    refusal: Refusal | None = None
    """Why the headers alone do not let the request go on."""


def read_headers(headers: Headers) -> Wishes:
    """One pass over the headers of a request."""
    wishes = Wishes()
    for name, value in headers:
        read = _READERS.get(name)
        if read is not None:
            read(wishes, value)
    return wishes


def _authorization(wishes: Wishes, value: bytes) -> None:
    scheme, _, credentials = value.partition(b" ")
    if scheme.lower() == b"bearer":
        wishes.secret = credentials.strip().decode("latin-1")


def _api_key(wishes: Wishes, value: bytes) -> None:
    wishes.secret = wishes.secret or value.strip().decode("latin-1")


def _anthropic_version(wishes: Wishes, _: bytes) -> None:
    wishes.speaks = "anthropic"


def _goog_api_key(wishes: Wishes, value: bytes) -> None:
    wishes.speaks = "gemini"
    _api_key(wishes, value)


def _idempotency_key(wishes: Wishes, value: bytes) -> None:
    if not value or len(value) > MAX_IDEMPOTENCY_KEY or not value.isascii():
        wishes.refusal = _unreadable("idempotency-key", f"1 to {MAX_IDEMPOTENCY_KEY} ASCII characters")
        return
    wishes.idempotency_key = value.decode("ascii")


def _max_credits(wishes: Wishes, value: bytes) -> None:
    try:
        wishes.ceiling = parse_positive_credits(value.decode("latin-1"))
    except AmountError:
        wishes.refusal = _unreadable("x-max-credits", "a positive decimal number of credits, such as 0.25")


def _retry_count(wishes: Wishes, value: bytes) -> None:
    if value.isdigit() and len(value) < 4:
        wishes.retry_count = int(value)


def _forwarded_for(wishes: Wishes, value: bytes) -> None:
    text = value.decode("latin-1")
    wishes.forwarded_for = f"{wishes.forwarded_for},{text}" if wishes.forwarded_for else text


def _origin(wishes: Wishes, value: bytes) -> None:
    wishes.origin = value


def _content_encoding(wishes: Wishes, value: bytes) -> None:
    if value.strip().lower() not in (b"", b"identity"):
        wishes.refusal = _unreadable("content-encoding", "absent: bodies are read as they are, not compressed")


def _content_length(wishes: Wishes, value: bytes) -> None:
    if value.isdigit() and len(value) < 16:
        wishes.content_length = int(value)


_READERS = {
    b"authorization": _authorization,
    b"x-api-key": _api_key,
    b"x-goog-api-key": _goog_api_key,
    b"anthropic-version": _anthropic_version,
    b"idempotency-key": _idempotency_key,
    b"x-max-credits": _max_credits,
    b"x-stainless-retry-count": _retry_count,
    b"x-forwarded-for": _forwarded_for,
    b"origin": _origin,
    b"content-encoding": _content_encoding,
    b"content-length": _content_length,
}


def _unreadable(name: str, form: str) -> Refusal:
    return Refusal(RefusalCode.INVALID_PARAMETER, f"The header {name} cannot be used as it is. It is {form}.", name)


def secret_in(query: bytes) -> str:
    """The key of a client that sends it in the address, as Google's may (`?key=`)."""
    return next((value for name, value in parse_qsl(query.decode("latin-1")) if name == "key"), "")


def client_address(peer: str | None, forwarded_for: str, trusted: tuple[str, ...]) -> str | None:
    """The client's address: the last one that no trusted proxy put there, the first if all are trusted."""
    if peer is None or not forwarded_for or not trusted or not ip_is_allowed(trusted, peer):
        return peer
    addresses = [_without_port(each.strip()) for each in forwarded_for.split(",")]
    return next((each for each in reversed(addresses) if not ip_is_allowed(trusted, each)), addresses[0])


def _without_port(address: str) -> str:
    """Some proxies write `192.0.2.1:5678` and `[2001:db8::1]:5678`."""
    if address.startswith("["):
        return address[1:].partition("]")[0]
    return address.partition(":")[0] if address.count(":") == 1 else address


def lines_of(headers: Headers) -> bytes:
    """Header lines as they are sent. The headers are our own, or came through a parser: no line break is in them."""
    return b"".join([b"%b: %b\r\n" % pair for pair in headers])


def standing_lines(standing: Standing) -> bytes:
    """On every answer once the key is known. Unlimited is written `unlimited`."""
    rate = standing.rate
    return (
        f"x-ratelimit-limit: {_count(rate.limit)}\r\n"
        f"x-ratelimit-remaining: {_count(rate.remaining)}\r\n"
        f"x-ratelimit-used: {rate.used}\r\n"
        f"x-ratelimit-reset: {rate.reset_s}\r\n"
        f"x-ratelimit-resource: {standing.resource}\r\n"
        f"x-request-priority: {standing.priority}\r\n"
    ).encode()


def charge_lines(charged: Charged) -> bytes:
    """On a buffered charged answer."""
    lines = (
        f"x-credits-charged: {format_credits(charged.amount)}\r\n"
        f"x-credits-remaining: {format_credits(charged.remaining)}\r\n"
        f"x-billing-method: {charged.method}\r\n"
        f"x-queue-wait-ms: {charged.queue_wait_ms}\r\n"
    )
    if charged.max_tokens_applied is not None:
        lines += f"x-max-tokens-applied: {charged.max_tokens_applied}\r\n"
    return lines.encode()


def cors_lines(origin: bytes, allowed: frozenset[bytes]) -> bytes:
    """For a browser on an allowed origin; nothing for others."""
    if not origin or (origin not in allowed and b"*" not in allowed):
        return b""
    return lines_of(
        [
            (b"access-control-allow-origin", origin),
            (b"access-control-expose-headers", EXPOSED),
            (b"vary", b"origin"),
        ]
    )


ALLOWED = b"*, authorization, content-type, x-api-key, x-goog-api-key, idempotency-key"
PREFLIGHT = lines_of(
    [
        (b"access-control-allow-methods", b"GET, POST, DELETE, OPTIONS"),
        (
            b"access-control-allow-headers",
            b"*, authorization, content-type, x-api-key, x-goog-api-key, idempotency-key",
        ),
        (b"access-control-max-age", b"86400"),
    ]
)


def _count(value: int | None) -> int | str:
    return "unlimited" if value is None else value
