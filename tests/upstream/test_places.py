"""One place among many: the upstream key that sealed something, asked for by name."""

from __future__ import annotations

from farebox.upstream.channel import Channel, UpstreamKey
from farebox.upstream.channels import Busy, ChannelPool, HealthPolicy, Lease

KEYS = (UpstreamKey("k1", "sk-1", concurrency=1), UpstreamKey("k2", "sk-2", requests_per_minute=1))


def pool_of(*, enabled: bool = True) -> ChannelPool:
    channel = Channel(
        id="a",
        name="a",
        dialect="openai_responses",
        base_url="http://up",
        keys=KEYS,
        models={"m": "m"},
        enabled=enabled,
    )
    pool = ChannelPool(HealthPolicy())
    pool.configure([channel])
    return pool


def lease(pool: ChannelPool, key_id: str, *, now: float = 0.0) -> Lease:
    found = pool.pick_at("a", key_id, now=now)
    assert isinstance(found, Lease), found
    assert found.key.id == key_id
    return found


def test_a_place_is_given_by_its_name() -> None:
    pool = pool_of()
    for key_id in ("k1", "k2"):
        pool.release(lease(pool, key_id))


def test_a_place_that_is_full_is_waited_for() -> None:
    pool = pool_of()
    taken = lease(pool, "k1")
    assert pool.pick_at("a", "k1", now=0.0) == Busy()
    pool.release(taken)
    lease(pool, "k1")


def test_a_place_that_does_not_serve_is_none() -> None:
    pool = pool_of()
    pool.release(lease(pool, "k2"))
    assert pool.pick_at("a", "k2", now=1.0) is None  # its requests per minute are used up
    lease(pool, "k2", now=61.0)
    benched = lease(pool, "k1")
    pool.key_rejected(benched, now=0.0, status=401)
    pool.release(benched)
    assert pool.pick_at("a", "k1", now=1.0) is None
    assert pool_of(enabled=False).pick_at("a", "k1", now=0.0) is None


def test_what_is_gone_or_was_tried_is_none() -> None:
    pool = pool_of()
    assert pool.pick_at("b", "k1", now=0.0) is None
    assert pool.pick_at("a", "k9", now=0.0) is None
    assert pool.pick_at("a", "k1", now=0.0, exclude={"k1"}) is None
    assert pool.pick_at("a", "k1", now=0.0, exclude={"a"}) is None
