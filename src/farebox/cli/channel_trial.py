"""One tiny real request to a provider, and what its answer means to the operator.

Asked directly, past ledger and relay: it charges nobody, and costs the operator a few tokens upstream.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AsyncExitStack

import msgspec

from farebox.cli.channel_wishes import DialectName
from farebox.cli.key_wishes import known_model
from farebox.cli.output import Column, CommandFailed, ExitCode, Kind
from farebox.config import Settings
from farebox.main import sandbox
from farebox.relay.routes import Route, WayOut
from farebox.store.catalogue import Snapshot
from farebox.tariff.price_list import ModelType
from farebox.upstream.channel import Channel, UpstreamKey
from farebox.upstream.client import HttpClient, Outgoing
from farebox.upstream.timeouts import Timeouts
from farebox.upstream.trouble import AddressForbidden, ConnectFailed, TimedOut, UpstreamFault
from farebox.upstream.verdicts import Verdict, verdict_on
from farebox.wire.call import Malformed
from farebox.wire.dialect import OPENAI_CHAT, OPENAI_EMBEDDINGS, Dialect
from farebox.wire.passage import passage_between

COLUMNS = (
    Column("key"),
    Column("model"),
    Column("well"),
    Column("status", Kind.NUMBER),
    Column("milliseconds", Kind.NUMBER, "ms"),
    Column("meaning"),
    Column("said"),
)
_DIALECTS = {ModelType.CHAT: OPENAI_CHAT, ModelType.EMBEDDING: OPENAI_EMBEDDINGS}
_QUESTIONS = {
    OPENAI_CHAT.name: b'{"model":"any","messages":[{"role":"user","content":"Say ok."}]}',
    OPENAI_EMBEDDINGS.name: b'{"model":"any","input":"ok"}',
}
TIMEOUTS = Timeouts(connect=10, first_byte=60, idle=30, total=90)
OUTPUT_TOKENS = 16
ANSWER_BYTES, SAID_BYTES = 1 << 20, 200

MEANINGS = {
    Verdict.ANSWERED: "It answers: the channel works.",
    Verdict.KEY_REJECTED: "The provider refuses this key: wrong, out of credit, or not allowed this model.",
    Verdict.CALLER_ERROR: "The provider does not take the request: check the base URL and its name for the model.",
    Verdict.RATE_LIMITED: "The key is at the provider's rate limit, or out of quota there.",
    Verdict.FAILED: "The provider is in trouble; the key was not judged.",
}


class Trial(msgspec.Struct, frozen=True):
    """What came of one key."""

    key: str
    model: str
    well: bool
    meaning: str
    status: int | None = None
    milliseconds: int | None = None
    said: str | None = None
    """The beginning of an answer that is no success."""


async def run(channel: Channel, model: str | None, snapshot: Snapshot, settings: Settings) -> Sequence[Trial]:
    """Ask with every enabled key of the channel. Raises `CommandFailed` where nothing can be asked."""
    name = _choose(channel, model, snapshot)
    keys = [key for key in channel.keys if key.enabled]
    if not keys:
        raise CommandFailed(
            "The channel has no enabled upstream key.",
            code=ExitCode.SETUP,
            next_step=f"farebox channel rotate-key {channel.name}",
        )
    async with AsyncExitStack() as stack:
        client = HttpClient(allow_private_upstreams=settings.allow_private_upstreams)
        stack.callback(client.close)
        built_in = channel.dialect == DialectName.SANDBOX
        socket = await stack.enter_async_context(sandbox()) if built_in else ""
        route = Route(channel, WayOut(TIMEOUTS, 0, socket))
        dialect = _DIALECTS[snapshot.models[name].model.type]
        return [await _ask(client, route, dialect, key, name) for key in keys]


async def _ask(client: HttpClient, route: Route, dialect: Dialect, key: UpstreamKey, model: str) -> Trial:
    hint = f"…{key.secret[-4:]}" if len(key.secret) >= 12 else "…"
    began = time.monotonic()
    try:
        response = await client.send(route.target, _question(route, dialect, key, model), TIMEOUTS)
        answer = await response.read(ANSWER_BYTES)
    except UpstreamFault as fault:
        return Trial(hint, model, False, _why(fault))
    verdict = verdict_on(response.status)
    well = verdict is Verdict.ANSWERED
    took_ms = int((time.monotonic() - began) * 1000)
    said = None if well else answer[:SAID_BYTES].decode(errors="replace").replace(key.secret, "…")
    return Trial(hint, model, well, MEANINGS[verdict], response.status, took_ms, said)


def _question(route: Route, dialect: Dialect, key: UpstreamKey, model: str) -> Outgoing:
    """As the relay would send it, so that the channel's own headers, fields and names are tried too."""
    call = dialect.parse(_QUESTIONS[dialect.name])
    if isinstance(call, Malformed):
        raise AssertionError(call.message)
    limit = OUTPUT_TOKENS if call.has_output else None
    upstream_model = route.channel.models[model]
    passage = passage_between(dialect, route.channel.dialect)
    if passage is None:
        raise CommandFailed(f"A channel of dialect {route.channel.dialect} cannot serve {model}.", code=ExitCode.SETUP)
    headers = route.headers([(b"content-type", b"application/json")], key.secret, as_given=passage is dialect)
    body = passage.forward(
        call, upstream_model=upstream_model, output_limit=limit, channel=route.body_for("farebox-trial", headers)
    )
    return Outgoing(b"POST", route.path(passage, call, upstream_model), headers, body)


def _choose(channel: Channel, model: str | None, snapshot: Snapshot) -> str:
    if model is not None:
        name = known_model(model, snapshot)
        if name not in channel.models:
            raise CommandFailed(f"The channel does not serve {name}.", code=ExitCode.USAGE)
    else:
        name = next((name for name in channel.models if _can_ask(name, snapshot)), "")
    if not _can_ask(name, snapshot):
        raise CommandFailed(
            "The channel has no chat or embedding model to try it with.",
            code=ExitCode.SETUP,
            next_step=f"farebox channel edit {channel.name} --model MODEL",
        )
    return name


def _can_ask(name: str, snapshot: Snapshot) -> bool:
    priced = snapshot.models.get(name)
    return priced is not None and priced.model.type in _DIALECTS


def _why(fault: UpstreamFault) -> str:
    match fault:
        case AddressForbidden():
            return (
                "The address is private or local. If that is meant, set FAREBOX_ALLOW_PRIVATE_UPSTREAMS=true "
                "for the gateway and for this command."
            )
        case ConnectFailed():
            return f"No connection: {fault}. Check the base URL, the network, and --proxy. {fault.detail}".strip()
        case TimedOut():
            return f"No answer in time: {fault}."
        case _:
            return f"It broke off: {fault}. {fault.detail}".strip()
