"""How a channel is reached: target, path, headers, body wishes and timeouts, worked out once per configuration."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b

import msgspec

from farebox.relay.ask import Headers
from farebox.upstream.channel import Channel
from farebox.upstream.target import Target
from farebox.upstream.timeouts import Timeouts
from farebox.wire.call import Call, ChannelBody, raw
from farebox.wire.passage import Passage

SANDBOX = "sandbox"
NOT_FORWARDED = frozenset(
    b"host content-length authorization x-api-key x-goog-api-key api-key cookie connection keep-alive te trailer "
    b"transfer-encoding upgrade expect accept-encoding proxy-authorization proxy-connection forwarded x-forwarded-for "
    b"x-forwarded-proto x-forwarded-host x-forwarded-port x-real-ip via idempotency-key x-max-credits x-request-id "
    b"openai-organization openai-project x-goog-user-project anthropic-workspace-id anthropic-user-profile-id origin "
    b"referer true-client-ip x-client-ip x-cluster-client-ip x-original-forwarded-for x-envoy-external-address "
    b"cf-connecting-ip cf-connecting-ipv6 cf-ipcountry cf-ray fastly-client-ip fly-client-ip "
    b"x-goog-fieldmask x-http-method-override x-vertex-ai-llm-request-type x-vertex-ai-llm-shared-request-type "
    b"x-amzn-bedrock-service-tier content-encoding".split()
)
"""Headers of the client that end here: ours, the connection's, those that name an account or an address, and those
that would change what a provider does or says beside the body that was read: no usage in it, or another tier."""

TRANSLATED = frozenset({b"content-type", b"user-agent"})
"""Of the client's headers, what goes along with a call that was put into another dialect."""

_BETA, _WIDER = b"anthropic-beta", b"context-1m"
WIDER_CONTEXT = 1_000_000
"""Tokens that the beta which widens the context widens it to."""
_CONTENT_TYPE, _JSON, _FORM = b"content-type", b"application/json", b"multipart/"

_CREDENTIALS: Mapping[str, tuple[bytes, bytes]] = {
    "anthropic": (b"x-api-key", b""),
    "gemini": (b"x-goog-api-key", b""),
}
"""How a channel's dialect wants its key; the others take a bearer."""
_BEARER = (b"authorization", b"Bearer ")
_ANTHROPIC_VERSION = b"anthropic-version"
_OLDEST_VERSION = b"2023-06-01"
_SANDBOX_PREFIX = "/v1"


class WayOut(msgspec.Struct, frozen=True):
    """The operator's settings for everything that leaves this process."""

    timeouts: Timeouts
    queue_timeout_s: float
    sandbox_socket: str
    safety_identifier: bool = False
    """Send a hash of the account with each request, so that one abuser does not cost the upstream key."""


class Route:
    """What a channel's configuration comes to."""

    __slots__ = ("_credentials", "_hidden", "_safety", "_set", "_versioned", "body", "channel", "target", "timeouts")

    def __init__(self, channel: Channel, way: WayOut) -> None:
        self.channel = channel
        self.target = Target.unix(way.sandbox_socket) if self._is_sandbox else _target(channel)
        self._set = [(k.lower().encode(), v.encode()) for k, v in channel.headers.items() if v is not None]
        self._hidden = NOT_FORWARDED | {name.lower().encode() for name in channel.headers}
        self._safety = way.safety_identifier
        self._credentials = _CREDENTIALS.get(channel.dialect, _BEARER)
        self._versioned = channel.dialect == "anthropic"
        self.body = ChannelBody(
            limit_field=channel.limit_field,
            stream_usage=channel.stream_usage,
            overrides={name: raw(value) for name, value in channel.parameters.items()},
        )
        own, usual = channel.timeouts, way.timeouts
        self.timeouts = Timeouts(
            own.connect_s or usual.connect,
            own.first_byte_s or usual.first_byte,
            own.idle_s or usual.idle,
            own.total_s or usual.total,
        )

    def path(self, passage: Passage, call: Call, upstream_model: str) -> bytes:
        """Below the target; a base URL carries its own version."""
        path = passage.upstream_path(call, upstream_model)
        return (_SANDBOX_PREFIX + path if self._is_sandbox else path).encode()

    def headers(self, given: Headers, secret: str, *, as_given: bool = True) -> Headers:
        """The client's, without those that end here; the channel's own; the upstream key.

        `as_given` is false for a call that was put into another dialect, whose headers say nothing here.
        """
        hidden = self._hidden
        headers = [_as_read(pair) for pair in given if pair[0] not in hidden and (as_given or pair[0] in TRANSLATED)]
        headers += self._set
        name, prefix = self._credentials
        headers.append((name, prefix + secret.encode()))
        headers.append((b"accept-encoding", b"identity"))
        if self._versioned and all(pair[0] != _ANTHROPIC_VERSION for pair in headers):
            headers.append((_ANTHROPIC_VERSION, _OLDEST_VERSION))
        return headers

    def body_for(self, account_id: str, headers: Headers) -> ChannelBody:
        """The wishes for one customer's body, which goes out under `headers`."""
        body = self.body
        if self._versioned:
            version = next(value for name, value in headers if name == _ANTHROPIC_VERSION)
            body = msgspec.structs.replace(body, api_version=version.decode("latin-1"))
        if self._safety:
            body = msgspec.structs.replace(body, safety_identifier=safety_identifier(account_id))
        return body

    @property
    def _is_sandbox(self) -> bool:
        return self.channel.dialect == SANDBOX


def _as_read(pair: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    """A header as it goes on. A body was read as JSON in UTF-8, and is called nothing else: in another
    character set the same bytes could ask for more (Law 1)."""
    name, value = pair
    return (name, _JSON) if name == _CONTENT_TYPE and not value.lower().startswith(_FORM) else pair


def within_context(given: Headers) -> Headers:
    """The headers without the beta that widens the context, for calls whose input is bounded by it alone (Law 1)."""
    narrowed = [(name, _without_wider(value) if name == _BETA else value) for name, value in given]
    return [pair for pair in narrowed if pair[0] != _BETA or pair[1]]


def _without_wider(betas: bytes) -> bytes:
    names = [name.strip() for name in betas.split(b",")]
    return b",".join([name for name in names if not name.lower().startswith(_WIDER)])


def safety_identifier(account_id: str) -> str:
    """The same for every request of an account, and nobody's name."""
    return blake2b(account_id.encode(), digest_size=16, person=b"farebox-safety").hexdigest()


def _target(channel: Channel) -> Target:
    return Target.parse(channel.base_url, proxy=channel.proxy)
