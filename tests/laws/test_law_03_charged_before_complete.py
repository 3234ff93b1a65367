"""Law 3: an answer is complete for the customer only after its charge is committed. Over HTTP, with a ledger that
is slow, silent, or gone at the worst moment.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import asyncpg
import pytest
from tests.support.cut_site import Site, open_site
from tests.support.cut_wire import Moment, Step
from tests.support.openai_answers import chat_answer, chat_stream
from tests.support.scripted_upstream import ScriptedUpstream
from tests.support.shop import INPUT, OUTPUT, UPSTREAM_NAMES, Line, Shop, remove_channel, until
from tests.support.sse import chunks_of, ends_with_done

from farebox.money import parse_credits
from farebox.relay import relay, settle

REPORTED = 12 * INPUT + 8 * OUTPUT
KEY = {"idempotency-key": "k"}
USAGE = {"stream_options": {"include_usage": True}}


@pytest.fixture(scope="module")
def site(module_database: str) -> Iterator[Site]:
    with open_site(module_database) as site:
        yield site


@pytest.fixture
def shop(site: Site) -> Iterator[Shop]:
    with ScriptedUpstream() as upstream:
        channel_id = site.gateway.channel(upstream.base_url, models=UPSTREAM_NAMES)
        yield Shop(site.gateway, upstream, channel_id)
        site.resume()
        until(lambda: site.gateway.books.writer.connected)
        remove_channel(site.gateway, channel_id)


def is_over(stream: Line) -> bool:
    return b"finish_reason" in stream.seen and b'"stop"' in stream.seen


# Slow -----------------------------------------------------------------------------------------------


def test_the_end_of_a_stream_waits_for_its_charge(site: Site, shop: Shop) -> None:
    customer = shop.customer()
    shop.upstream.play(chat_stream(text="one two three", pause_s=0.15))
    with shop.stream(customer, **USAGE) as stream:
        stream.until(b"three")
        site.silence()
        assert not stream.arrives_within(b'"stop"', 0.8)
        assert shop.upstream.seen[0].answered_at is not None, "the provider had said all it has to say"
        assert b'"usage"' not in stream.seen.replace(b'"usage":null', b"")
        assert b"[DONE]" not in stream.seen
        site.resume()
        body = stream.rest()
    assert ends_with_done(body[body.index(b"data:") :])
    assert shop.charge(customer).amount == REPORTED


def test_the_charge_stands_in_the_books_when_the_last_byte_arrives(shop: Shop) -> None:
    for stream in (False, True):
        customer = shop.customer()
        assert shop.chat(customer, stream=stream).status == 200
        (charge,) = shop.charges_so_far(customer)  # read at once, without waiting for anything
        assert charge.amount == REPORTED
        assert shop.held_by(customer) == 0


def test_no_byte_of_a_whole_answer_comes_before_its_charge(site: Site, shop: Shop) -> None:
    customer = shop.customer()
    shop.upstream.play(chat_answer().after(0.1))
    with shop.line(customer) as line, ThreadPoolExecutor() as pool:
        until(lambda: shop.upstream.seen)
        site.silence()
        head = pool.submit(lambda: line.response.status)
        time.sleep(0.7)
        assert not head.done()
        site.resume()
        assert head.result(5) == 200
        assert b"A short answer" in line.rest()
    assert shop.charge(customer).amount == REPORTED


def test_an_account_locked_elsewhere_holds_back_the_end_too(shop: Shop, module_database: str) -> None:
    customer = shop.customer()
    shop.upstream.play(chat_stream(text="one two three", pause_s=0.1))
    with shop.stream(customer) as stream:
        stream.until(b"three")
        with account_locked(module_database, customer.account_id):
            assert not stream.arrives_within(b'"stop"', 1.2)  # longer than one try for the lock
        body = stream.rest()
    assert ends_with_done(body[body.index(b"data:") :])
    assert shop.charge(customer).amount == REPORTED


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_shutdown_in_the_moment_of_the_charge_still_brings_the_last_byte(database: str, stream: bool) -> None:
    with open_site(database, drain_timeout_s=2) as site, ScriptedUpstream() as upstream:
        shop = Shop(site.gateway, upstream, site.gateway.channel(upstream.base_url, models=UPSTREAM_NAMES))
        customer = shop.customer()
        upstream.play((chat_stream() if stream else chat_answer()).after(0.2))
        with shop.stream(customer) if stream else shop.line(customer) as line, ThreadPoolExecutor() as pool:
            until(lambda: upstream.seen)
            site.silence()
            until(lambda: upstream.seen[0].answered_at is not None)
            stopping = pool.submit(site.gateway.stop)
            time.sleep(2.4)  # its patience with running requests has ended: they are cancelled
            site.resume()
            body = line.rest()
            stopping.result(20)
        assert body.endswith(b"data: [DONE]\n\n") if stream else b"A short answer" in body, (line.response.status, body)
        (row,) = asyncio.run(_charges(database, customer.account_id))
        assert (row["ended"], row["amount"]) == ("captured", REPORTED)


async def _charges(dsn: str, account_id: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetch("SELECT ended, amount FROM charges WHERE account_id = $1", account_id)
    finally:
        await connection.close()


# Gone -----------------------------------------------------------------------------------------------


def test_a_stream_whose_charge_cannot_be_confirmed_ends_in_an_error(
    site: Site, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settle, "CAPTURE_PATIENCE_S", 1.0)
    customer = shop.customer(credits="10")
    shop.upstream.play(chat_stream(text="one two three", pause_s=0.1))
    with shop.stream(customer, **USAGE) as stream:
        stream.until(b"three")
        site.silence()
        body = stream.rest()
    last = chunks_of(body)[-1]
    assert last["error"]["code"] == "ledger_unavailable"
    assert not is_over(stream)
    assert b"[DONE]" not in body
    site.resume()
    charge = shop.charge(customer)
    assert charge.amount == 0 or shop.gateway.available(customer) == parse_credits("10")
    until(lambda: shop.gateway.available(customer) == parse_credits("10"))


def test_a_whole_answer_whose_charge_cannot_be_confirmed_is_a_503(
    site: Site, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settle, "CAPTURE_PATIENCE_S", 1.0)
    customer = shop.customer(credits="10")
    shop.upstream.play(chat_answer().after(0.1))
    with shop.line(customer) as line:
        until(lambda: shop.upstream.seen)
        site.cut_off()
        assert line.response.status == 503
        assert line.response.headers["retry-after"] == "2"
        assert b"A short answer" not in line.rest()
    site.resume()
    charge = shop.charge(customer)
    assert (charge.ended, charge.stamp, charge.amount) == ("voided", "ledger_unavailable", 0)
    assert shop.gateway.available(customer) == parse_credits("10")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("step", [Step.LOCK, Step.WRITE, Step.COMMIT])
@pytest.mark.parametrize("moment", list(Moment))
def test_a_connection_cut_at_any_step_of_the_charge_charges_once(
    site: Site, shop: Shop, step: Step, moment: Moment, stream: bool
) -> None:
    customer = shop.customer(credits="10")
    script = chat_stream() if stream else chat_answer()
    shop.upstream.play(script.after(0.2))
    made = site.cuts_made
    with shop.stream(customer) if stream else shop.line(customer) as line:
        until(lambda: shop.upstream.seen)
        site.cut(step, moment)
        assert line.response.status == 200
        body = line.rest()
    assert b"A " in body
    assert site.cuts_made == made + 1
    charge = shop.charge(customer)
    assert (charge.ended, charge.amount) == ("captured", REPORTED)
    assert shop.gateway.available(customer) == parse_credits("10") - REPORTED


def test_a_charge_found_committed_after_the_customer_was_told_otherwise_is_given_back(
    site: Site, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settle, "CAPTURE_PATIENCE_S", 1.0)
    customer = shop.customer(credits="10")
    shop.upstream.play(chat_answer().after(0.2))
    with shop.line(customer) as line:
        until(lambda: shop.upstream.seen)
        site.cut(Step.COMMIT, Moment.AFTER)
        site.refuse()
        assert line.response.status == 503
    site.resume()
    until(lambda: shop.gateway.available(customer) == parse_credits("10"))
    assert shop.charge(customer).amount == REPORTED
    entries = shop.gateway.call(
        shop.gateway.books.pool.fetch(
            "SELECT move, amount, corrects FROM entries WHERE account_id = $1 ORDER BY version", customer.account_id
        )
    )
    assert [row["move"] for row in entries] == ["grant", "capture", "adjust"]
    assert entries[2]["amount"] == entries[1]["amount"] == REPORTED
    assert entries[2]["corrects"].startswith("mov_")


def test_a_charge_found_committed_stays_where_the_answer_can_still_be_fetched(
    site: Site, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settle, "CAPTURE_PATIENCE_S", 1.0)
    customer = shop.customer(credits="10")
    shop.upstream.play(chat_answer().after(0.2))
    with shop.line(customer, headers=KEY) as line:
        until(lambda: shop.upstream.seen)
        site.cut(Step.COMMIT, Moment.AFTER)
        site.refuse()
        assert line.response.status == 503
    site.resume()
    until(lambda: shop.gateway.books.writer.connected)
    again = shop.chat(customer, headers=KEY)
    assert again.headers["idempotent-replayed"] == "true"
    assert shop.gateway.available(customer) == parse_credits("10") - REPORTED


# Law 6, seen from outside ---------------------------------------------------------------------------


def test_without_a_ledger_nothing_goes_upstream_and_afterwards_all_is_well(
    site: Site, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "ADMIT_PATIENCE_S", 0.5)
    customer = shop.customer()
    assert shop.chat(customer).status == 200
    site.cut_off()
    for stream in (False, True):
        answer = shop.chat(customer, stream=stream)
        assert (answer.status, answer.error["code"]) == (503, "ledger_unavailable")
        assert int(answer.headers["retry-after"]) >= 1
        assert "x-should-retry" not in answer.headers
    assert len(shop.upstream.seen) == 1
    assert shop.gateway.get("/readyz").status == 503
    assert shop.gateway.get("/livez").status == 200
    site.resume()
    until(lambda: shop.chat(customer).status == 200)
    assert shop.gateway.get("/readyz").status == 200


@contextmanager
def account_locked(dsn: str, account_id: str) -> Iterator[None]:
    """As another session would hold it."""
    held, release = threading.Event(), threading.Event()

    async def hold() -> None:
        connection = await asyncpg.connect(dsn)
        async with connection.transaction():
            await connection.execute("SELECT FROM accounts WHERE id = $1 FOR UPDATE", account_id)
            held.set()
            await asyncio.to_thread(release.wait, 10)
        await connection.close()

    with ThreadPoolExecutor(1) as pool:
        holding = pool.submit(asyncio.run, hold())
        assert held.wait(5)
        try:
            yield
        finally:
            release.set()
            holding.result(5)
