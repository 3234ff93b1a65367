"""`farebox quote`: what a call with a key would hold and be charged, as `POST /v1/quote` tells the key's owner."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from farebox.admission.commands import Ended
from farebox.books import Books
from farebox.cli.desk import Desk, with_books
from farebox.cli.key import KeyName, find_key
from farebox.cli.output import Column, CommandFailed, ExitCode, refused
from farebox.faults import LawBroken
from farebox.money import Nano
from farebox.relay.ask import Ask
from farebox.relay.attempts import Upstreams
from farebox.relay.buffered import Buffered
from farebox.relay.conversations import Conversations, Keeping
from farebox.relay.job import Job
from farebox.relay.once import Once
from farebox.relay.quote import Quotes
from farebox.relay.relay import Answering, Reading, Relay
from farebox.relay.routes import WayOut
from farebox.relay.settle import Settler
from farebox.relay.stream import Streams
from farebox.store.answers import Answers
from farebox.store.id_source import new_id
from farebox.store.keyring import Keyring, KeyView
from farebox.store.overview import Overview
from farebox.store.responses import StoredResponses
from farebox.tariff.price_list import ModelType
from farebox.upstream.channels import ChannelPool
from farebox.upstream.client import HttpClient
from farebox.upstream.scheduler import Scheduler
from farebox.upstream.timeouts import Timeouts
from farebox.wire.dialect import OPENAI_CHAT, OPENAI_EMBEDDINGS

app = typer.Typer(add_completion=False)

STDIN = Path("-")
COLUMNS = (
    Column("model"),
    Column("billing_method"),
    Column("price_version"),
    Column("input_tokens_at_most"),
    Column("output_tokens_at_most"),
    Column("worst_case"),
    Column("likely_case"),
    Column("would_hold"),
    Column("max_tokens_applied"),
    Column("available"),
    Column("held"),
    Column("refused", title="would be refused", empty="no"),
)
_LIMIT = typer.Option(min=1, help="The most output, in tokens.")
_BODY = typer.Option(metavar="PATH|-", help="A whole request body, instead of --text and --max-tokens.")


@app.command("quote")
@with_books
async def quote(
    desk: Desk,
    key: KeyName,
    model: Annotated[str | None, typer.Argument(help="The model; with --body the body names it.")] = None,
    text: Annotated[str, typer.Option(help="What would be asked.")] = "Hello!",
    max_tokens: Annotated[int | None, _LIMIT] = None,
    body: Annotated[Path | None, _BODY] = None,
) -> None:
    """Show what a call would hold and be charged, and what would refuse it. Charges nothing."""
    given = _written(desk, model, text, max_tokens) if body is None else _read(body)
    view = await _view(desk, key)
    told = await _quotes(desk.books).quote(_ask(given), view)
    if desk.out.as_json:
        desk.out.json(told)
        return
    problem = told["would_be_refused"]
    shown = told | {"refused": problem and f"{problem['code']}: {problem['message']}"}
    desk.out.record(shown, COLUMNS if "model" in told else COLUMNS[-1:])


async def _view(desk: Desk, name: str) -> KeyView:
    key = await find_key(desk, name)
    digest = await Overview(desk.books.pool).digest_of_key(key.id)
    view = None if digest is None else await Keyring(desk.books.pool).load(digest)
    if view is None:
        raise refused("This key has no secret to call with.", next_step=f"farebox key regenerate {key.id}")
    return view


def _ask(body: bytes) -> Ask:
    try:
        embeds = "messages" not in msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError):
        embeds = False  # the quote says what is wrong with it
    return Ask(new_id("req"), OPENAI_EMBEDDINGS if embeds else OPENAI_CHAT, "", [], body)


def _written(desk: Desk, model: str | None, text: str, max_tokens: int | None) -> bytes:
    if model is None:
        raise CommandFailed("Which model?", code=ExitCode.USAGE, next_step="farebox quote KEY MODEL")
    priced = desk.books.catalogue.current.names.get(model)
    if priced is not None and priced.model.type is ModelType.EMBEDDING:
        return msgspec.json.encode({"model": model, "input": text})
    question: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": text}]}
    return msgspec.json.encode(question if max_tokens is None else question | {"max_completion_tokens": max_tokens})


def _read(body: Path) -> bytes:
    try:
        return sys.stdin.buffer.read() if body == STDIN else body.read_bytes()
    except OSError as trouble:
        raise CommandFailed(f"{body} cannot be read: {trouble.strerror}.", code=ExitCode.USAGE) from None


def _quotes(books: Books) -> Quotes:
    """The gateway's own quotes, on a relay whose way out is never taken."""
    pool = ChannelPool()
    upstreams = Upstreams(HttpClient(), pool, Scheduler(pool.release), WayOut(Timeouts(), 0, ""))
    settler = Settler(books.writer, books.key_ring, committed=_never, reverse=_never_back)
    kept = Conversations(StoredResponses(books.pool), books.key_ring, books.catalogue, Keeping(keeps=False, for_us=0))
    streams = Streams(upstreams, settler, books.writer, kept, charge_what_died=False)
    once = Once(Answers(books.pool), books.key_ring)
    relay = Relay(
        Reading(Keyring(books.pool), books.catalogue, books.writer, once, kept),
        Answering(Buffered(upstreams, settler, kept), streams, settler),
        hold_ttl_s=books.settings.hold_ttl_s,
        admitted=lambda: None,
    )
    return Quotes(relay, books.catalogue)


def _never(job: Job, ended: Ended) -> None:
    raise LawBroken(1, "a quote moved credits")


async def _never_back(job: Job, amount: Nano) -> None:
    raise LawBroken(1, "a quote moved credits")
