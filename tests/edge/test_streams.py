"""Streams over HTTP: what passes, what is hidden, what is said in silence, and how each is cut."""

from __future__ import annotations

import asyncio
import time

import asyncpg
import openai as openai_sdk
import pytest
from tests.support.gateway import running_gateway
from tests.support.openai_answers import UsageIn, chat_stream, error_body, event_of, usage
from tests.support.script import Ending, Script, answer, events, silence
from tests.support.scripted_upstream import ScriptedUpstream
from tests.support.shop import INPUT, MODELS, OUTPUT, UPSTREAM_NAMES, Shop, sell, until
from tests.support.sse import chunks_of, ends_with_done, finish_of, read_events, text_of, usage_of

from farebox.edge import connection
from farebox.relay import flow

SETTINGS = {"ping_interval_s": 1}
REPORTED = 12 * INPUT + 8 * OUTPUT
USAGE = {"stream_options": {"include_usage": True}}
LONG_TEXT = " ".join(f"word{number}" for number in range(400))


# What passes ----------------------------------------------------------------------------------------


def test_a_stream_passes_whole_and_names_the_model_asked_for(shop: Shop) -> None:
    shop.upstream.play(chat_stream(text="one two three", model="upstream-words"))
    answer = shop.chat(shop.customer(), stream=True, model="words-latest")
    chunks = chunks_of(answer.body)
    assert text_of(chunks) == "one two three"
    assert finish_of(chunks) == "stop"
    assert ends_with_done(answer.body)
    assert {chunk["model"] for chunk in chunks} == {"words-latest"}
    assert b"upstream-words" not in answer.body
    assert shop.upstream.seen[0].json()["model"] == "upstream-words"


def test_the_head_of_a_stream_says_what_a_client_needs(shop: Shop) -> None:
    answer = shop.chat(shop.customer(), stream=True)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["x-accel-buffering"] == "no"
    assert answer.headers["x-queue-wait-ms"] == "0"
    assert answer.headers["x-request-id"].startswith("req_")
    assert answer.headers["x-ratelimit-limit"] == "unlimited"
    assert "x-credits-charged" not in answer.headers


def test_usage_is_asked_for_and_hidden_from_who_did_not_ask(shop: Shop) -> None:
    answer = shop.chat(shop.customer(), stream=True)
    assert shop.upstream.seen[0].json()["stream_options"] == {"include_usage": True}
    assert usage_of(chunks_of(answer.body)) is None
    assert b"cost" not in answer.body


def test_usage_is_shown_with_the_charge_to_who_asked(shop: Shop) -> None:
    customer = shop.customer()
    answer = shop.chat(customer, stream=True, **USAGE)
    *_, last = chunks_of(answer.body)
    assert last["choices"] == []
    assert last["usage"] == usage(12, 8) | {"cost": "0.000036"}
    assert shop.charge(customer).amount == REPORTED


def test_counted_usage_is_shown_in_place_of_what_was_not_believed(shop: Shop) -> None:
    customer = shop.customer()
    shop.upstream.play(chat_stream(text="one two", usage=usage(12, -5)))
    answer = shop.chat(customer, stream=True, **USAGE)
    shown = usage_of(chunks_of(answer.body))
    assert shown is not None
    assert shown["completion_tokens"] == 2
    assert shop.charge(customer).usage["output"] == 2


@pytest.mark.parametrize("place", [place for place in UsageIn if place is not UsageIn.NOWHERE])
@pytest.mark.parametrize("asked", [False, True], ids=["unasked", "asked"])
def test_usage_counts_once_wherever_the_provider_puts_it(shop: Shop, place: UsageIn, *, asked: bool) -> None:
    customer = shop.customer()
    shop.upstream.play(chat_stream(usage_in=place))
    answer = shop.chat(customer, stream=True, **(USAGE if asked else {}))
    assert shop.charge(customer).amount == REPORTED
    assert (b'"cost":"0.000036"' in answer.body) is asked
    assert (b'"completion_tokens"' in answer.body) is asked


def test_a_stream_cut_anywhere_gives_the_same_text_and_charge(shop: Shop) -> None:
    whole = chat_stream(text="Grüße, 你好 🙂 done")
    for size in (1, 2, 3, 7, 64):
        customer = shop.customer()
        shop.upstream.play(whole.in_pieces_of(size))
        answer = shop.chat(customer, stream=True)
        assert text_of(chunks_of(answer.body)) == "Grüße, 你好 🙂 done"
        assert shop.charge(customer).amount == REPORTED


def test_line_ends_and_comments_of_the_provider_do_no_harm(shop: Shop) -> None:
    customer = shop.customer()
    plain = chat_stream()
    crlf = Script(
        headers=plain.headers,
        framing=plain.framing,
        pieces=tuple(
            type(piece)(b": keep-alive\r\n\r\n" + piece.data.replace(b"\n", b"\r\n")) for piece in plain.pieces
        ),
    )
    shop.upstream.play(crlf)
    answer = shop.chat(customer, stream=True)
    assert text_of(chunks_of(answer.body)) == "A short answer from upstream."
    assert ends_with_done(answer.body)
    assert shop.charge(customer).amount == REPORTED


def test_a_long_body_passes_unchanged(shop: Shop) -> None:
    customer = shop.customer()
    text = "tell me more " * 20_000  # 260 KB
    answer = shop.chat(customer, stream=True, text=text)
    assert answer.status == 200
    assert shop.upstream.seen[0].json()["messages"][0]["content"] == text


def test_an_answer_that_is_no_stream_is_not_passed_off_as_one(shop: Shop) -> None:
    customer = shop.customer()
    shop.upstream.always(answer(b"<html>proxy.internal login</html>", content_type="text/html"))
    reply = shop.chat(customer, stream=True)
    assert (reply.status, reply.error["code"]) == (502, "upstream_error")
    assert b"internal" not in reply.body
    assert shop.charge(customer).stamp == "upstream_failed"


def test_the_official_client_reads_a_stream(shop: Shop) -> None:
    customer = shop.customer()
    client = openai_sdk.OpenAI(base_url=f"{shop.gateway.base_url}/v1", api_key=customer.secret)
    shop.upstream.play(chat_stream(text="one two three"))
    stream = client.chat.completions.create(
        model="words", messages=[{"role": "user", "content": "count"}], stream=True, **USAGE
    )
    chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "one two three"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 20


def test_the_official_client_reads_a_stream_that_credits_cut_short(shop: Shop) -> None:
    customer = shop.customer(credits="0.004")
    client = openai_sdk.OpenAI(base_url=f"{shop.gateway.base_url}/v1", api_key=customer.secret)
    shop.upstream.play(chat_stream(text=" ".join(["word"] * 4_000)))
    stream = client.chat.completions.create(model="words", messages=[{"role": "user", "content": "go on"}], stream=True)
    assert [chunk.choices[0].finish_reason for chunk in stream if chunk.choices][-1] == "length"


def test_an_error_after_the_finish_does_not_undo_a_complete_answer(shop: Shop) -> None:
    customer = shop.customer()
    whole = chat_stream(usage=None, done=False)
    late = type(whole.pieces[0])(event_of(error_body(500, "could not count")))
    shop.upstream.play(Script(headers=whole.headers, framing=whole.framing, pieces=(*whole.pieces, late)))
    answer = shop.chat(customer, stream=True)
    assert ends_with_done(answer.body)
    assert finish_of(chunks_of(answer.body)) == "stop"
    assert shop.charge(customer).stamp == "counted"


def test_a_whole_answer_names_the_model_asked_for_too(shop: Shop) -> None:
    answer = shop.chat(shop.customer(), model="words-latest")
    assert answer.json["model"] == "words-latest"
    assert b"upstream-words" not in answer.body


# Silence --------------------------------------------------------------------------------------------


def test_silence_is_broken_by_pings_that_do_not_cut_an_event(shop: Shop) -> None:
    customer = shop.customer()
    whole = chat_stream(text="one two three")
    first, second, *rest = whole.pieces
    half = type(second)
    halves = (half(second.data[:40]), half(second.data[40:], 2.3))
    shop.upstream.play(Script(headers=whole.headers, framing=whole.framing, pieces=(first, *halves, *rest)))
    answer = shop.chat(customer, stream=True)
    comments = [comment for event in read_events(answer.body) for comment in event.comments]
    assert comments == ["ping"] * len(comments)
    assert 1 <= len(comments) <= 3
    assert text_of(chunks_of(answer.body)) == "one two three"
    assert ends_with_done(answer.body)


def test_a_client_need_not_wait_long_for_the_head_of_a_stream(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "QUIET_START_S", 0.2)
    customer = shop.customer()
    whole = chat_stream()
    first, *rest = whole.pieces
    slow = type(first)(first.data, 1.0)
    shop.upstream.play(Script(headers=whole.headers, framing=whole.framing, pieces=(slow, *rest)))
    began = time.monotonic()
    with shop.stream(customer) as stream:
        assert stream.response.status == 200
        assert time.monotonic() - began < 0.8
        assert ends_with_done(_body(stream.rest()))
    assert shop.charge(customer).amount == REPORTED


# Slow readers ---------------------------------------------------------------------------------------


def flood(megabytes: int) -> Script:
    """A stream of so much output, as fast as it is taken."""
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "upstream-words"}
    delta = {"index": 0, "delta": {"content": "word " * 2_000}, "finish_reason": None}
    return events([event_of(chunk | {"choices": [delta]})] * (megabytes * 100))


def test_back_pressure_reaches_the_upstream_and_a_client_that_never_reads_is_cut(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "SLOW_READER_S", 1.0)
    customer = shop.customer(credits="1000")
    shop.upstream.play(flood(60))
    with shop.stream(customer, max_tokens=4_000) as stream:
        stream.until(b"word")
        charge = shop.charge(customer)
    (seen,) = shop.upstream.seen
    assert seen.bytes_sent < 24_000_000  # what the sockets of three hops take, not what the gateway keeps
    assert seen.left_early
    assert charge.stamp == "gateway_cut"
    assert 0 < charge.amount <= charge.held


def test_a_slow_reader_gets_everything(shop: Shop) -> None:
    customer = shop.customer(credits="1000")
    shop.upstream.play(chat_stream(text="word " * 3_000))
    with shop.stream(customer) as stream:
        stream.until(b"word")
        time.sleep(0.5)
        body = stream.rest()
    assert ends_with_done(body[body.index(b"data:") :])
    assert shop.charge(customer).stamp == "provider"


def test_a_keyed_stream_of_a_reader_that_is_cut_is_finished_all_the_same(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "SLOW_READER_S", 0.5)
    customer = shop.customer(credits="1000")
    done = chat_stream(text="end", usage=usage(12, 8)).pieces[-4:]
    many = flood(20)
    shop.upstream.play(Script(headers=many.headers, framing=many.framing, pieces=(*many.pieces, *done)))
    with shop.stream(customer, headers={"idempotency-key": "slow"}) as stream:
        stream.until(b"word")
        (charge,) = shop.charges(customer)
    assert (charge.stamp, charge.amount) == ("client_left_drained", REPORTED)


# Our own limits -------------------------------------------------------------------------------------


def test_our_time_limit_cuts_a_stream_well_formed_and_charges_what_was_produced(shop: Shop) -> None:
    customer = shop.customer()
    with shop.another(priority=9, timeouts={"total_s": 0.6}) as upstream:
        upstream.play(chat_stream(text=LONG_TEXT, pause_s=0.05))
        answer = shop.chat(customer, stream=True, **USAGE)
    charge = shop.charge(customer)
    assert charge.stamp == "gateway_cut"
    assert INPUT < charge.amount < 400 * OUTPUT
    chunks = chunks_of(answer.body)
    assert finish_of(chunks) == "length"
    assert ends_with_done(answer.body)


def test_an_upstream_that_falls_silent_mid_answer_died(shop: Shop) -> None:
    customer = shop.customer()
    with shop.another(priority=9, timeouts={"idle_s": 0.3}) as upstream:
        upstream.play(chat_stream(text=LONG_TEXT).cut(3_000, Ending.HANG))
        answer = shop.chat(customer, stream=True)
    assert b"[DONE]" not in answer.body
    assert shop.charge(customer).stamp == "upstream_died"


def test_shutdown_lets_streams_end_and_cuts_those_that_take_too_long(database: str) -> None:
    with running_gateway(database, drain_timeout_s=1) as gateway, ScriptedUpstream() as upstream:
        sell(gateway, *MODELS)
        shop = Shop(gateway, upstream, gateway.channel(upstream.base_url, models=UPSTREAM_NAMES))
        quick, slow, whole = shop.customer(), shop.customer(), shop.customer()
        upstream.when(lambda seen: b"quick" in seen.body, chat_stream(text="one two three", pause_s=0.1))
        upstream.when(lambda seen: b"slow" in seen.body, chat_stream(text=LONG_TEXT, pause_s=0.1))
        upstream.when(lambda seen: b"whole" in seen.body, silence())
        with (
            shop.stream(quick, text="quick") as first,
            shop.stream(slow, text="slow") as second,
            shop.line(whole, text="whole"),
        ):
            first.until(b"one")
            second.until(b"word1 ")
            until(lambda: len(upstream.seen) == 3)
            gateway.stop()
            assert ends_with_done(_body(first.rest()))
            assert finish_of(chunks_of(_body(second.rest()))) == "length"
    books = {row["account_id"]: row for row in asyncio.run(_charges(database))}
    assert books[quick.account_id]["stamp"] == "provider"
    cut = books[slow.account_id]
    assert cut["stamp"] == "gateway_cut"
    assert 0 < cut["amount"] <= cut["held"]
    assert (books[whole.account_id]["stamp"], books[whole.account_id]["amount"]) == ("gateway_cut", 0)


async def _charges(dsn: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(dsn)
    try:
        assert await connection.fetchval("SELECT count(*) FROM holds") == 0
        return await connection.fetch("SELECT account_id, stamp, amount, held FROM charges")
    finally:
        await connection.close()


def _body(seen: bytes) -> bytes:
    return seen[seen.index(b"data:") :]


def test_what_a_dead_upstream_produced_is_charged_where_the_operator_wants_it(database: str) -> None:
    with running_gateway(database, died_mid_answer="produced") as gateway, ScriptedUpstream() as upstream:
        sell(gateway, *MODELS)
        shop = Shop(gateway, upstream, gateway.channel(upstream.base_url, models=UPSTREAM_NAMES))
        by_token, by_call = shop.customer(), shop.customer()
        upstream.play(chat_stream(text=LONG_TEXT).cut(4_000), chat_stream(text=LONG_TEXT).cut(4_000))
        body = shop.chat(by_token, stream=True).body
        assert b"What had been produced was charged" in body
        assert shop.charge(by_token).stamp == "upstream_died"
        assert shop.charge(by_token).amount > 0
        shop.chat(by_call, stream=True, model="calls")
        assert shop.charge(by_call).amount == 0


def test_many_streams_at_once_are_each_charged_once(shop: Shop) -> None:
    customer = shop.customer()
    shop.upstream.always(chat_stream(pause_s=0.01))
    lines = [shop.stream(customer) for _ in range(30)]
    for line in lines:
        line.__enter__()
    bodies = [line.rest() for line in lines]
    for line in lines:
        line.leave()
    assert all(body.rstrip().endswith(b"data: [DONE]") for body in bodies)
    charges = shop.charges(customer)
    assert [charge.amount for charge in charges] == [REPORTED] * 30
    until(lambda: shop.gateway.held(customer) == 0)
