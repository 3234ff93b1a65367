"""Channels: who gets a request, what moves it elsewhere, and what an upstream's answer does to health."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox.faults import SetupFault
from farebox.upstream.channel import Channel, UpstreamKey, channels_from
from farebox.upstream.channels import Busy, ChannelPool, Health, HealthPolicy, Lease, NoneAvailable, PlaceHealth

POLICY = HealthPolicy(failures_to_eject=3, eject_s=2, eject_most_s=16, bench_s=60, bench_most_s=240, cool_s=1)


def channel(name: str, *, keys: int | tuple[UpstreamKey, ...] = 1, **settings: Any) -> Channel:
    if isinstance(keys, int):
        keys = tuple(UpstreamKey(f"{name}.k{number}", f"sk-{name}-{number}") for number in range(keys))
    return Channel(
        id=name, name=name, dialect="openai", base_url="http://upstream", keys=keys, models={"m": "m"}, **settings
    )


class Upstreams:
    """A pool, its offers and the changes of health it told."""

    def __init__(self, *channels: Channel) -> None:
        self.told: list[PlaceHealth] = []
        self.freed: list[str] = []
        self.pool = ChannelPool(POLICY, tell=self.told.append)
        self.pool.configure(channels)
        self.pool.freed = self.freed.append
        self.offers = tuple(one.id for one in channels)

    def pick(
        self, sticky: str = "a", *, now: float = 0.0, exclude: tuple[str, ...] = ()
    ) -> Lease | Busy | NoneAvailable:
        return self.pool.pick(self.offers, sticky=sticky.encode(), now=now, exclude=exclude)

    def lease(self, sticky: str = "a", *, now: float = 0.0, exclude: tuple[str, ...] = ()) -> Lease:
        answer = self.pick(sticky, now=now, exclude=exclude)
        assert isinstance(answer, Lease), answer
        return answer

    def where(self, sticky: str = "a", *, now: float = 0.0, exclude: tuple[str, ...] = ()) -> str:
        lease = self.lease(sticky, now=now, exclude=exclude)
        self.pool.release(lease)
        return lease.key.id

    def fails(self, times: int, *, now: float) -> None:
        for _ in range(times):
            lease = self.lease(now=now)
            self.pool.failed(lease, now=now, status=500)
            self.pool.release(lease)

    def health(self, now: float = 0.0) -> dict[str, Health]:
        return {place.key_id or place.channel_id: place.health for place in self.pool.snapshot(now)}


def test_the_same_customer_stays_at_the_same_channel_and_key() -> None:
    upstreams = Upstreams(channel("a", keys=3), channel("b", keys=3), channel("c", keys=3))
    assert len({upstreams.where("acct_1:session", now=float(second)) for second in range(50)}) == 1


def test_two_processes_send_the_same_customer_to_the_same_place() -> None:
    one, other = (Upstreams(channel("a", keys=3), channel("b", keys=3)) for _ in range(2))
    assert [one.where(str(i)) for i in range(50)] == [other.where(str(i)) for i in range(50)]


def test_customers_spread_over_channels_in_proportion_to_weight() -> None:
    upstreams = Upstreams(channel("light", weight=1), channel("heavy", weight=3))
    places = Counter(upstreams.where(f"acct_{i}") for i in range(2000))
    assert 1400 < places["heavy.k0"] < 1600


def test_customers_spread_over_keys_in_proportion_to_weight() -> None:
    keys = (UpstreamKey("light", "s"), UpstreamKey("heavy", "s", weight=3))
    upstreams = Upstreams(channel("a", keys=keys))
    places = Counter(upstreams.where(f"acct_{i}") for i in range(2000))
    assert 1400 < places["heavy"] < 1600


def test_losing_a_channel_moves_only_those_who_were_there() -> None:
    upstreams = Upstreams(channel("a"), channel("b"), channel("c"))
    before = {str(i): upstreams.where(str(i)) for i in range(300)}
    after = {name: upstreams.where(name, exclude=("a",)) for name in before}
    moved = {name for name in before if before[name] != after[name]}
    assert moved == {name for name, place in before.items() if place == "a.k0"}


def test_lower_priority_serves_only_when_no_higher_one_can() -> None:
    upstreams = Upstreams(channel("spare", priority=0), channel("first", priority=5, concurrency=1))
    lease = upstreams.lease()
    assert lease.channel.id == "first"
    assert upstreams.where() == "spare.k0"
    upstreams.pool.release(lease)
    assert upstreams.where() == "first.k0"


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"enabled": False}, {}),
        ({}, {"enabled": False}),
    ],
)
def test_what_is_disabled_is_not_asked(settings: dict[str, Any], key: dict[str, Any]) -> None:
    upstreams = Upstreams(channel("a", keys=(UpstreamKey("k", "s", **key),), **settings))
    assert upstreams.pick() == NoneAvailable(Health.DISABLED, 30)


def test_offers_of_channels_that_are_gone_are_none() -> None:
    upstreams = Upstreams(channel("a"))
    assert upstreams.pool.pick(("gone",), sticky=b"", now=0) == NoneAvailable(Health.DISABLED, 30)


@pytest.mark.parametrize(
    "full", [channel("a", concurrency=1), channel("a", keys=(UpstreamKey("k", "s", concurrency=1),))]
)
def test_a_full_channel_is_busy_until_a_lease_is_released(full: Channel) -> None:
    upstreams = Upstreams(full)
    lease = upstreams.lease()
    assert upstreams.pick() == Busy()
    upstreams.pool.release(lease)
    assert upstreams.freed == ["a"]
    upstreams.lease()


def test_releasing_twice_frees_one_slot_once() -> None:
    upstreams = Upstreams(channel("a", concurrency=2))
    first, _ = upstreams.lease(), upstreams.lease()
    upstreams.pool.release(first)
    upstreams.pool.release(first)
    upstreams.lease()
    assert upstreams.pick() == Busy()


def test_requests_per_minute_of_a_key_are_never_exceeded_in_any_window() -> None:
    upstreams = Upstreams(channel("a", keys=(UpstreamKey("k", "s", requests_per_minute=2),)))
    upstreams.where(now=0)
    upstreams.where(now=20)
    assert upstreams.pick(now=30) == NoneAvailable(Health.COOLING, 30)
    upstreams.where(now=60)
    assert upstreams.pick(now=79) == NoneAvailable(Health.COOLING, 1)
    upstreams.where(now=80)


@given(st.lists(st.floats(0, 30), max_size=60), st.integers(1, 5))
def test_no_minute_holds_more_requests_than_a_key_allows(pauses: list[float], limit: int) -> None:
    upstreams = Upstreams(channel("a", keys=(UpstreamKey("k", "s", requests_per_minute=limit),)))
    now, granted = 0.0, list[float]()
    for pause in pauses:
        now += pause
        if isinstance(answer := upstreams.pick(now=now), Lease):
            upstreams.pool.release(answer)
            granted.append(now)
    assert all(sum(start <= at < start + 60 for at in granted) <= limit for start in granted)


def test_a_rate_limited_key_rests_as_long_as_it_was_told_and_another_serves() -> None:
    upstreams = Upstreams(channel("a", keys=2))
    lease = upstreams.lease(now=100)
    upstreams.pool.rate_limited(lease, now=100, retry_after_s=30)
    upstreams.pool.release(lease)
    assert upstreams.where(now=129.9) != lease.key.id
    assert upstreams.where(now=130) == lease.key.id
    assert [change.health for change in upstreams.told] == [Health.COOLING]


def test_when_every_key_rests_the_answer_says_how_long() -> None:
    upstreams = Upstreams(channel("a"), channel("b"))
    for name, wait_s in (("a", 30.0), ("b", 12.2)):
        lease = upstreams.lease(exclude=tuple({"a", "b"} - {name}))
        upstreams.pool.rate_limited(lease, now=0, retry_after_s=wait_s)
        upstreams.pool.release(lease)
    assert upstreams.pick() == NoneAvailable(Health.COOLING, 13)


def test_cool_downs_without_a_time_double_and_a_success_starts_over() -> None:
    upstreams = Upstreams(channel("a"))
    now, waits = 0.0, list[int]()
    for _ in range(3):
        lease = upstreams.lease(now=now)
        upstreams.pool.rate_limited(lease, now=now)
        upstreams.pool.release(lease)
        answer = upstreams.pick(now=now)
        assert isinstance(answer, NoneAvailable)
        waits.append(answer.retry_after_s)
        now += answer.retry_after_s
    upstreams.pool.succeeded(upstreams.lease(now=now))
    upstreams.pool.rate_limited(upstreams.lease(now=now), now=now)
    assert waits == [1, 2, 4]
    assert upstreams.pick(now=now) == NoneAvailable(Health.COOLING, 1)


def test_a_burst_of_429_counts_as_one_cool_down() -> None:
    upstreams = Upstreams(channel("a"))
    for lease in [upstreams.lease() for _ in range(10)]:
        upstreams.pool.rate_limited(lease, now=0)
    assert upstreams.pick() == NoneAvailable(Health.COOLING, 1)
    assert len(upstreams.told) == 1


def test_a_rejected_key_is_benched_told_once_and_the_next_key_serves() -> None:
    upstreams = Upstreams(channel("a", keys=2))
    leases = [upstreams.lease(), upstreams.lease()]
    for lease in leases:
        upstreams.pool.key_rejected(lease, now=0, status=401)
    benched = leases[0].key.id
    assert upstreams.where(now=59) != benched
    assert upstreams.told == [PlaceHealth("a", benched, Health.BENCHED, 2, 401)]


def test_a_benched_key_is_tried_by_one_request_and_comes_back_when_it_works() -> None:
    upstreams = Upstreams(channel("a"))
    upstreams.pool.key_rejected(upstreams.lease(), now=0, status=402)
    assert upstreams.pick(now=59) == NoneAvailable(Health.BENCHED, 1)
    probe = upstreams.lease(now=60)
    assert upstreams.pick(now=60) == NoneAvailable(Health.BENCHED, 1)
    upstreams.pool.succeeded(probe)
    upstreams.lease(now=60)
    assert upstreams.told[-1].health is Health.WELL


def test_a_key_that_stays_rejected_is_benched_longer_each_time_up_to_a_bound() -> None:
    upstreams = Upstreams(channel("a"))
    now, waits = 0.0, list[int]()
    for _ in range(5):
        lease = upstreams.lease(now=now)
        upstreams.pool.key_rejected(lease, now=now, status=403)
        upstreams.pool.release(lease)
        answer = upstreams.pick(now=now)
        assert isinstance(answer, NoneAvailable)
        waits.append(answer.retry_after_s)
        now += answer.retry_after_s
    assert waits == [60, 120, 240, 240, 240]


def test_failures_in_a_row_eject_a_channel_and_others_serve() -> None:
    upstreams = Upstreams(channel("a"), channel("b"))
    home = upstreams.where()
    upstreams.fails(2, now=0)
    assert upstreams.where() == home
    upstreams.fails(1, now=0)
    assert upstreams.where(now=1.9) != home
    assert upstreams.told == [PlaceHealth(home[0], None, Health.EJECTED, 1, 500)]


def test_a_success_between_failures_keeps_a_channel() -> None:
    upstreams = Upstreams(channel("a"))
    for _ in range(5):
        upstreams.fails(2, now=0)
        upstreams.pool.succeeded(upstreams.lease())
    assert upstreams.health()["a"] is Health.WELL


def test_an_ejected_channel_takes_one_probe_and_a_failed_probe_doubles_the_wait() -> None:
    upstreams = Upstreams(channel("a"))
    upstreams.fails(3, now=0)
    assert upstreams.pick(now=1) == NoneAvailable(Health.EJECTED, 1)
    probe = upstreams.lease(now=2)
    assert isinstance(upstreams.pick(now=2), NoneAvailable)
    upstreams.pool.failed(probe, now=2)
    upstreams.pool.release(probe)
    assert upstreams.pick(now=3) == NoneAvailable(Health.EJECTED, 3)
    upstreams.pool.succeeded(upstreams.lease(now=6))
    assert upstreams.health()["a"] is Health.WELL


def test_a_probe_that_ends_without_an_outcome_lets_the_next_one_probe() -> None:
    upstreams = Upstreams(channel("a"))
    upstreams.fails(3, now=0)
    upstreams.pool.release(upstreams.lease(now=2))
    upstreams.lease(now=2)


def test_answers_to_requests_from_before_an_ejection_change_nothing() -> None:
    upstreams = Upstreams(channel("a"))
    late_success, late_failure = upstreams.lease(), upstreams.lease()
    upstreams.fails(3, now=0)
    upstreams.pool.succeeded(late_success)
    upstreams.pool.failed(late_failure, now=1)
    assert upstreams.pick(now=1) == NoneAvailable(Health.EJECTED, 1)
    upstreams.lease(now=2)


def test_a_callers_error_has_no_effect_on_health() -> None:
    upstreams = Upstreams(channel("a"))
    before = upstreams.health()
    for _ in range(50):
        lease = upstreams.lease()
        upstreams.pool.caller_error(lease)
        upstreams.pool.release(lease)
    assert upstreams.health() == before
    assert upstreams.told == []


def test_a_callers_error_does_not_interrupt_failures_in_a_row() -> None:
    upstreams = Upstreams(channel("a"))
    upstreams.fails(2, now=0)
    upstreams.pool.caller_error(upstreams.lease())
    upstreams.fails(1, now=0)
    assert upstreams.health()["a"] is Health.EJECTED


def test_refusing_for_want_of_a_place_is_no_failure_of_the_place() -> None:
    upstreams = Upstreams(channel("a", concurrency=1))
    lease = upstreams.lease()
    for _ in range(50):
        assert upstreams.pick() == Busy()
    upstreams.pool.release(lease)
    assert upstreams.health() == {"a": Health.WELL, "a.k0": Health.WELL}


def test_failover_leaves_out_what_was_tried() -> None:
    upstreams = Upstreams(channel("a", keys=2), channel("b"))
    tried: tuple[str, ...] = ()
    for _ in range(3):
        tried += (upstreams.where(exclude=tried),)
    assert set(tried) == {"a.k0", "a.k1", "b.k0"}
    assert upstreams.pick(exclude=tried) == NoneAvailable(Health.DISABLED, 30)


def test_an_edited_channel_keeps_its_health_and_its_running_requests() -> None:
    upstreams = Upstreams(channel("a"), channel("b", concurrency=1))
    running = upstreams.lease(exclude=("a",))
    lease = upstreams.lease(exclude=("b",))
    upstreams.pool.key_rejected(lease, now=0, status=401)
    upstreams.pool.configure([channel("a", weight=7), channel("b", weight=7, concurrency=1)])
    assert upstreams.health()["a.k0"] is Health.BENCHED
    assert upstreams.pick() == Busy()
    upstreams.pool.release(running)
    assert upstreams.lease().channel.weight == 7


def test_a_new_secret_under_the_same_id_starts_well() -> None:
    upstreams = Upstreams(channel("a"))
    upstreams.pool.key_rejected(upstreams.lease(), now=0, status=401)
    upstreams.pool.configure([channel("a", keys=(UpstreamKey("a.k0", "sk-new"),))])
    assert upstreams.lease().key.secret == "sk-new"


def test_a_lease_of_a_removed_channel_can_still_end() -> None:
    upstreams = Upstreams(channel("a"))
    lease = upstreams.lease()
    upstreams.pool.configure([])
    upstreams.pool.failed(lease, now=0)
    upstreams.pool.release(lease)
    assert upstreams.pool.snapshot(0) == []


@given(st.lists(st.sampled_from(["pick", "ok", "429", "401", "500", "400", "release"]), max_size=80))
def test_whatever_happens_no_slot_is_lost_and_none_is_invented(steps: list[str]) -> None:
    upstreams = Upstreams(channel("a", keys=2, concurrency=3), channel("b", concurrency=2))
    leases: list[Lease] = []
    now = 0.0
    for step in steps:
        now += 1.5
        if step == "pick":
            answer = upstreams.pick(str(now), now=now)
            leases += [answer] if isinstance(answer, Lease) else []
        elif leases:
            _outcome(upstreams.pool, leases[0], step, now)
            if step == "release":
                upstreams.pool.release(leases.pop(0))
    running = {place.key_id or place.channel_id: place.running for place in upstreams.pool.snapshot(now)}
    assert running["a"] + running["b"] == len(leases)
    assert running["a"] == running["a.k0"] + running["a.k1"] <= 3
    for lease in leases:
        upstreams.pool.release(lease)
    assert not any(place.running for place in upstreams.pool.snapshot(now))
    assert isinstance(upstreams.pick(now=now + 10_000), Lease), "every place recovers in time"


def _outcome(pool: ChannelPool, lease: Lease, step: str, now: float) -> None:
    match step:
        case "ok":
            pool.succeeded(lease)
        case "429":
            pool.rate_limited(lease, now=now)
        case "401":
            pool.key_rejected(lease, now=now, status=401)
        case "500":
            pool.failed(lease, now=now, status=500)
        case _:
            pool.caller_error(lease)


PLAIN: dict[str, Any] = {
    "id": "ch_1",
    "name": "main",
    "dialect": "openai",
    "base_url": "https://api.example.com/v1",
    "keys": [{"id": "uk_1", "secret": "sk-very-secret", "requests_per_minute": 60}],
    "models": {"gpt": "gpt-2026"},
    "headers": {"x-team": "a", "user-agent": None},
    "timeouts": {"first_byte_s": 600},
}


def test_channels_are_read_from_plain_values() -> None:
    (read,) = channels_from([PLAIN])
    assert read.keys[0].requests_per_minute == 60
    assert read.timeouts.first_byte_s == 600
    assert read.bills_after_disconnect


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"wieght": 2}, "wieght"),
        ({"weight": 0}, "weight"),
        ({"concurrency": 0}, "concurrency"),
        ({"base_url": "ftp://x"}, "base_url"),
        ({"keys": [{"id": "ch_1", "secret": "s"}]}, "same id"),
        ({"timeouts": {"connect_s": 0}}, "connect_s"),
    ],
)
def test_wrong_settings_are_refused_by_name(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(SetupFault, match=says):
        channels_from([PLAIN | wrong])


def test_neither_a_secret_nor_an_address_is_in_any_text_form() -> None:
    secrets = PLAIN | {"headers": {"x-org": "org-secret"}, "proxy": "http://user:secret@proxy"}
    (read,) = channels_from([secrets])
    assert "secret" not in f"{read!r} {read} {read.keys[0]!r} {read.keys}"
