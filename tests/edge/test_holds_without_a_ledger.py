"""A hold that cannot grow because the ledger does not answer: on to the end of what is held, a pause, and on again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.support.cut_site import Site, open_site
from tests.support.openai_answers import chat_stream, usage
from tests.support.script import Script
from tests.support.scripted_upstream import ScriptedUpstream
from tests.support.shop import INPUT, OUTPUT, UPSTREAM_NAMES, Shop, remove_channel
from tests.support.sse import ends_with_done

from farebox.relay import flow


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
        remove_channel(site.gateway, channel_id)


def long_stream(words: int) -> Script:
    return chat_stream(
        text=" ".join(["word-word-word-word-word"] * (words // 5)), usage=usage(12, words), pause_s=0.002
    )


def test_a_stream_pauses_at_what_is_held_and_goes_on_when_the_ledger_is_back(site: Site, shop: Shop) -> None:
    customer = shop.customer(credits="0.012")
    shop.upstream.play(long_stream(2_500))
    with shop.stream(customer) as stream:
        stream.until(b"word")
        held = shop.held_by(customer)
        site.silence()
        assert not stream.arrives_within(b'"stop"', 1.5)
        covered = (held - 12 * INPUT) // OUTPUT
        shown = stream.seen.count(b"word")
        assert covered * 3 // 4 < shown <= covered + 50, "to the end of what is held, and no further"
        site.resume()
        body = stream.rest()
    assert ends_with_done(body[body.index(b"data:") :])
    charge = shop.charge(customer)
    assert (charge.stamp, charge.amount) == ("provider", 12 * INPUT + 2_500 * OUTPUT)
    assert charge.amount <= charge.held


def test_an_extension_that_never_commits_cuts_the_stream_at_what_is_held(
    site: Site, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow, "EXTEND_PATIENCE_S", 0.8)
    customer = shop.customer(credits="0.012")
    shop.upstream.play(long_stream(2_500))
    with shop.stream(customer) as stream:
        stream.until(b"word")
        held = shop.held_by(customer)
        site.silence()
        assert not stream.arrives_within(b'"length"', 1.5)
        site.resume()
        body = stream.rest()
    assert b'"length"' in body
    assert ends_with_done(body[body.index(b"data:") :])
    charge = shop.charge(customer)
    assert charge.stamp == "gateway_cut"
    assert 0 < charge.amount <= held <= charge.held
