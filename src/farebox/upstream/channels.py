"""Channels as pools of upstream keys: where a request goes, and how well each place is.

Enters: the operator's configuration, a model's offers (channel ids), sticky material, what the
upstream said, and the time as an argument (monotonic seconds). Leaves: a `Lease`, or why there is
none. Never: opens a connection, reads a clock, draws a random number, knows a price. Only what an
upstream did reaches health: our own refusals have no way in, and a caller's error changes nothing.

State belongs to this process: each worker learns for itself, and limits of a key count per worker.

    channel   well ── failures in a row ──→ ejected ── time ──→ one probe ── success ──→ well
    key       well ── 401 402 403 ────────→ benched ── time ──→ one probe ── success ──→ well
              well ── 429 529 ────────────→ cooling ── time ──→ well
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from enum import StrEnum
from hashlib import blake2b
from math import ceil, log
from zlib import crc32

import msgspec

from farebox.upstream.channel import Channel, UpstreamKey


class HealthPolicy(msgspec.Struct, frozen=True):
    """When a place is taken out of rotation, and for how long; each repetition doubles up to `…_most_s`."""

    failures_to_eject: int = 3
    eject_s: float = 2.0
    eject_most_s: float = 120.0
    bench_s: float = 60.0
    bench_most_s: float = 3600.0
    cool_s: float = 1.0
    """For a 429 without a Retry-After."""
    cool_most_s: float = 600.0
    """Also the longest Retry-After believed: a key asked too early only cools again."""


class Health(StrEnum):
    WELL = "well"
    COOLING = "cooling"
    BENCHED = "benched"
    EJECTED = "ejected"
    DISABLED = "disabled"


class PlaceHealth(msgspec.Struct, frozen=True):
    """How one channel (`key_id` is `None`) or one of its keys is: told at each change, and listed for metrics."""

    channel_id: str
    key_id: str | None
    health: Health
    running: int
    status: int | None = None
    """What the upstream answered, if that caused the change."""


class NoneAvailable(msgspec.Struct, frozen=True):
    """No place will serve for `retry_after_s` (whole seconds, at least 1)."""

    health: Health
    """Of the place back first: `COOLING` is the provider's rate limit, `DISABLED` that nothing enabled was offered."""
    retry_after_s: int


class Busy(msgspec.Struct, frozen=True):
    """Only a slot is missing: wait for one."""


RATE_WINDOW_S = 60.0
_UNKNOWN_S, _PROBED_S = 30.0, 1.0
_RANKINGS_KEPT = 4096


class _Place:
    """What channels and keys share. Banned: out until a time, then one probe at a time until one succeeds."""

    __slots__ = ("banned", "probing", "running", "salt", "until")

    def __init__(self, place_id: str) -> None:
        self.salt = int.from_bytes(blake2b(place_id.encode(), digest_size=8).digest(), "big")
        self.running = 0
        self.banned = 0
        """How often in a row; 0 is in rotation."""
        self.until = 0.0
        self.probing = False

    def allowed(self, now: float) -> bool:
        return not self.banned or (now >= self.until and not self.probing)

    def open(self, now: float, config: Channel | UpstreamKey) -> bool:
        free = config.concurrency is None or self.running < config.concurrency
        return config.enabled and free and self.allowed(now)

    def ban(self, now: float, first_s: float, most_s: float) -> None:
        self.until = now + min(first_s * 2 ** min(self.banned, 30), most_s)
        self.banned += 1


class _KeyState(_Place):
    __slots__ = ("asked", "config", "cool_until", "cooled")

    def __init__(self, config: UpstreamKey) -> None:
        super().__init__(config.id)
        self.config = config
        self.cool_until = 0.0
        self.cooled = 0
        self.asked: deque[float] = deque()

    def usable(self, now: float) -> bool:
        if now < self.cool_until or not self.open(now, self.config):
            return False
        return self.config.requests_per_minute is None or self.rate_free_at(now) <= now

    def serves(self, now: float) -> bool:
        """Whether only a slot can be missing."""
        free = self.config.requests_per_minute is None or self.rate_free_at(now) <= now
        return self.config.enabled and free and now >= self.cool_until and self.allowed(now)

    def rate_free_at(self, now: float) -> float:
        """When the next request fits under the requests per minute; `now` if it does already."""
        asked, limit = self.asked, self.config.requests_per_minute
        while asked and asked[0] <= now - RATE_WINDOW_S:
            asked.popleft()
        return asked[-limit] + RATE_WINDOW_S if limit is not None and len(asked) >= limit else now

    def cool(self, now: float, retry_after_s: float | None, policy: HealthPolicy) -> bool:
        """True if this starts a new cool-down; False for one more answer of the same burst."""
        fresh = now >= self.cool_until
        wait_s = policy.cool_s * 2 ** min(self.cooled, 30) if retry_after_s is None else retry_after_s
        if fresh:
            self.cooled += 1
        if fresh or retry_after_s is not None:
            self.cool_until = max(self.cool_until, now + min(wait_s, policy.cool_most_s))
        return fresh

    def health(self, now: float) -> Health:
        rested = Health.COOLING if now < self.cool_until else Health.WELL
        in_rotation = Health.BENCHED if self.banned else rested
        return in_rotation if self.config.enabled else Health.DISABLED


class _ChannelState(_Place):
    __slots__ = ("config", "failures", "keys")

    def __init__(self, config: Channel) -> None:
        super().__init__(config.id)
        self.failures = 0
        self.keys: tuple[_KeyState, ...] = ()
        self.adopt(config)

    def adopt(self, config: Channel) -> None:
        """Take new configuration; keys keep their health by id, unless the secret is another one."""
        known = {(state.config.id, state.config.secret): state for state in self.keys}
        self.config = config
        self.keys = tuple(known.get((key.id, key.secret)) or _KeyState(key) for key in config.keys)
        for state, key in zip(self.keys, config.keys, strict=True):
            state.config = key

    def health(self) -> Health:
        in_rotation = Health.EJECTED if self.banned else Health.WELL
        return in_rotation if self.config.enabled else Health.DISABLED


class Lease:
    """A slot at a `channel` and one `key` of it, configured as when picked, until released. The rest is the pool's."""

    __slots__ = ("channel", "channel_state", "held", "key", "key_state", "probes_channel", "probes_key")

    def __init__(self, channel: _ChannelState, key: _KeyState, now: float) -> None:
        self.channel = channel.config
        self.key = key.config
        self.channel_state, self.key_state, self.held = channel, key, True
        self.probes_channel = channel.probing = channel.banned > 0
        self.probes_key = key.probing = key.banned > 0
        channel.running += 1
        key.running += 1
        if key.config.requests_per_minute is not None:
            key.asked.append(now)


Ranking = list[tuple[_ChannelState, list[_KeyState]]]


def _ignore(_: object) -> None: ...


class ChannelPool:
    """Every channel of this process with its health. `tell` hears each change of health."""

    def __init__(self, policy: HealthPolicy | None = None, *, tell: Callable[[PlaceHealth], None] = _ignore) -> None:
        self.freed: Callable[[str], None] = _ignore
        """Hears the id of a channel where waiting may be over; `main` sets it to the scheduler's."""
        self._policy = policy or HealthPolicy()
        self._tell = tell
        self._states: dict[str, _ChannelState] = {}
        self._rankings: dict[tuple[tuple[str, ...], int], Ranking] = {}

    def configure(self, channels: Iterable[Channel]) -> None:
        """Replace the configuration; health and running requests stay with their ids."""
        before, self._states, self._rankings = self._states, {}, {}
        for channel in channels:
            state = self._states[channel.id] = before.get(channel.id) or _ChannelState(channel)
            state.adopt(channel)
        for channel_id in before.keys() | self._states.keys():
            self.freed(channel_id)

    def pick(
        self, offers: tuple[str, ...], *, sticky: bytes, now: float, exclude: Collection[str] = ()
    ) -> Lease | Busy | NoneAvailable:
        """A lease at the best of the offered channels: by priority, then the same place for the same `sticky`.

        `exclude` names channels and keys this request has tried already. A lease must be released.
        """
        ranking = self._ranking(offers, crc32(sticky))
        for channel, keys in ranking:
            if not channel.open(now, channel.config) or channel.config.id in exclude:
                continue
            for key in keys:
                if key.usable(now) and key.config.id not in exclude:
                    return Lease(channel, key, now)
        return _nothing([channel for channel, _ in ranking], now, exclude)

    def pick_at(
        self, channel_id: str, key_id: str, *, now: float, exclude: Collection[str] = ()
    ) -> Lease | Busy | None:
        """A lease at this very place, which alone can read what it sealed before; None if it does not serve."""
        channel = self._states.get(channel_id)
        if channel is None or not {channel_id, key_id}.isdisjoint(exclude):
            return None
        for key in channel.keys:
            if key.config.id != key_id:
                continue
            if channel.open(now, channel.config) and key.usable(now):
                return Lease(channel, key, now)
            serves = channel.config.enabled and channel.allowed(now) and key.serves(now)
            return Busy() if serves else None
        return None

    def dialect_of(self, channel_id: str) -> str:
        """What a channel speaks; empty if it is gone."""
        state = self._states.get(channel_id)
        return "" if state is None else state.config.dialect

    def release(self, answer: Lease | Busy | NoneAvailable) -> None:
        """Give the slot back. Repeating it, or releasing what is no lease, does nothing."""
        if not isinstance(answer, Lease) or not answer.held:
            return
        answer.held = False
        for state, probed in (answer.channel_state, answer.probes_channel), (answer.key_state, answer.probes_key):
            state.running -= 1
            if probed:
                state.probing = False
        self.freed(answer.channel.id)

    def succeeded(self, lease: Lease) -> None:
        """The upstream answered well. A success that began before an ejection proves nothing about it."""
        channel, key = lease.channel_state, lease.key_state
        if lease.probes_channel or not channel.banned:
            channel.failures, was_banned, channel.banned = 0, channel.banned, 0
            if was_banned:
                self._tell_of(lease, Health.WELL, of_key=False)
        if lease.probes_key or not key.banned:
            key.cooled, was_banned, key.banned = 0, key.banned, 0
            if was_banned:
                self._tell_of(lease, Health.WELL)

    def rate_limited(self, lease: Lease, *, now: float, retry_after_s: float | None = None, status: int = 429) -> None:
        """429 or 529: this key rests for `retry_after_s`, or a doubling time when the upstream named none."""
        if lease.key_state.cool(now, retry_after_s, self._policy):
            self._tell_of(lease, Health.COOLING, status)

    def key_rejected(self, lease: Lease, *, now: float, status: int) -> None:
        """401, 402 or 403: the key is benched and the operator told; after a while one request tries it again."""
        key = lease.key_state
        if key.banned and not lease.probes_key:
            return  # asked before the bench, answered after it
        key.ban(now, self._policy.bench_s, self._policy.bench_most_s)
        self._tell_of(lease, Health.BENCHED, status)
        self.freed(lease.channel.id)

    def failed(self, lease: Lease, *, now: float, status: int | None = None) -> None:
        """5xx, no connection, silence: enough in a row eject the channel; a failed probe does at once."""
        channel = lease.channel_state
        if channel.banned and not lease.probes_channel:
            return  # asked before the ejection, answered after it
        channel.failures += 1
        if lease.probes_channel or channel.failures >= self._policy.failures_to_eject:
            channel.ban(now, self._policy.eject_s, self._policy.eject_most_s)
            self._tell_of(lease, Health.EJECTED, status, of_key=False)
            self.freed(lease.channel.id)

    def caller_error(self, lease: Lease) -> None:
        """400, 404, 413, 422: about the request, not the channel. Deliberately without effect."""

    def snapshot(self, now: float) -> list[PlaceHealth]:
        """How every channel and key is, each channel followed by its keys."""
        places: list[PlaceHealth] = []
        for channel_id, state in self._states.items():
            places.append(PlaceHealth(channel_id, None, state.health(), state.running))
            places += [PlaceHealth(channel_id, key.config.id, key.health(now), key.running) for key in state.keys]
        return places

    def _tell_of(self, lease: Lease, health: Health, status: int | None = None, *, of_key: bool = True) -> None:
        state = lease.key_state if of_key else lease.channel_state
        self._tell(PlaceHealth(lease.channel.id, lease.key.id if of_key else None, health, state.running, status))

    def _ranking(self, offers: tuple[str, ...], point: int) -> Ranking:
        """Best first, by priority, then weighted rendezvous: losing a place moves only those who were there."""
        ranking = self._rankings.get((offers, point))
        if ranking is None:
            known = [self._states[name] for name in offers if name in self._states]
            known.sort(key=lambda channel: (channel.config.priority, _score(channel, point)), reverse=True)
            ranking = [(c, sorted(c.keys, key=lambda key: _score(key, point), reverse=True)) for c in known]
            if len(self._rankings) >= _RANKINGS_KEPT:
                self._rankings.clear()
            self._rankings[offers, point] = ranking
        return ranking


def _nothing(offered: Iterable[_ChannelState], now: float, exclude: Collection[str]) -> Busy | NoneAvailable:
    places = [channel for channel in offered if channel.config.enabled and channel.config.id not in exclude]
    obstacles = [found for channel in places for found in _obstacles(channel, now, exclude)]
    until, health = min(obstacles, default=(now + _UNKNOWN_S, Health.DISABLED))
    if health is Health.WELL:
        return Busy()
    return NoneAvailable(health, max(1, ceil(until - now)))


def _obstacles(channel: _ChannelState, now: float, exclude: Collection[str]) -> Iterator[tuple[float, Health]]:
    """For each key of a channel: what keeps it from serving, and until when; `WELL` if only a slot does."""
    for key in channel.keys:
        if not key.config.enabled or key.config.id in exclude:
            continue
        if not channel.allowed(now) or not key.allowed(now):
            until = max(channel.until, key.until, now + _PROBED_S)
            yield until, key.health(now) if channel.allowed(now) else Health.EJECTED
        elif (until := max(key.cool_until, key.rate_free_at(now))) > now:
            yield until, Health.COOLING
        else:
            yield now, Health.WELL


def _score(place: _ChannelState | _KeyState, point: int) -> float:
    """Weight over −ln(u), with u in (0, 1) mixed from place and point: places win in proportion to weight."""
    mixed = place.salt ^ point
    mixed = ((mixed ^ (mixed >> 33)) * 0xFF51AFD7ED558CCD) & 0xFFFFFFFFFFFFFFFF
    mixed = ((mixed ^ (mixed >> 33)) * 0xC4CEB9FE1A85EC53) & 0xFFFFFFFFFFFFFFFF
    return place.config.weight / -log(((mixed >> 11) + 1) / (2**53 + 2))
